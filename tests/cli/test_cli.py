"""The command line: what it writes, and one clear line with exit code 2 for each bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark

TINY_RUN = ("--shots", "2", "--random-sets", "2", "--map-size", "32")


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bench")
    write_benchmark(root, categories=("tile",), size=48, n_train=3, n_good=3, n_per_defect=1)
    return root


@pytest.fixture
def own(bench, tmp_path) -> Path:
    """A copy of the benchmark that a test may spoil."""
    return Path(shutil.copytree(bench, tmp_path / "data"))


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


def succeed(*arguments: object) -> None:
    main([str(a) for a in arguments])


@pytest.mark.slow
def test_run_writes_everything_and_repeats(bench, tmp_path, capsys):
    out = tmp_path / "a"
    succeed("run", "mvtec", "--root", bench, "--out", out, *TINY_RUN)
    printed = capsys.readouterr().out
    assert "image AUROC" in printed
    assert "report.html" in printed
    for name in ("manifest.json", "report.html", "metrics.csv", "metrics.parquet", "scores.csv"):
        assert (out / name).is_file()
    manifest = json.loads((out / "manifest.json").read_text())
    assert len(manifest["model"]["weights_hash"]) == 64
    assert manifest["categories"]["tile"]["few_shot"]["seed"] == 0
    succeed("run", "--from", out / "manifest.json", "--out", tmp_path / "b")
    pd.testing.assert_frame_equal(
        pd.read_parquet(out / "metrics.parquet"), pd.read_parquet(tmp_path / "b/metrics.parquet")
    )
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(manifest["categories"]["tile"]["few_shot"]["sample_ids"]))
    succeed(
        *("run", "mvtec", "--root", bench, "--out", tmp_path / "c", "--few-shot-list", listed),
        *TINY_RUN,
    )
    pd.testing.assert_frame_equal(
        pd.read_parquet(out / "scores.parquet"), pd.read_parquet(tmp_path / "c/scores.parquet")
    )


def test_demo_runs_offline_and_reports_held_out_categories_apart(tmp_path, capsys):
    succeed("demo", "--out", tmp_path / "demo", "--category", "tile", "--category", "gear")
    printed = capsys.readouterr().out
    assert "trained: categories like those tiny was trained on; held-out: others" in printed
    assert "mean of trained" in printed
    assert "mean of held-out" in printed
    page = (tmp_path / "demo/results/report.html").read_text()
    assert "mean of their own: trained: categories like those tiny was trained on" in page
    assert f"lakeviz demo --out {tmp_path / 'demo'} --category tile --category gear" in page


def test_demo_draws_nothing_of_an_unknown_category(tmp_path, capsys):
    assert call("demo", "--out", tmp_path / "demo", "--category", "tile", "--category", "grid") == 2
    assert "grid" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_tables(capsys):
    succeed("datasets")
    assert "mvtec" in capsys.readouterr().out
    succeed("models", "ViT-B-16")
    assert "ViT-B-16" in capsys.readouterr().out
    succeed("hooks", "tiny", "--filter", "blocks.0.*")
    assert "blocks.0.hook_resid_mid" in capsys.readouterr().out


def bad(name: str, root: Path) -> tuple[tuple, str]:
    """Spoil the data in one way; give further arguments and what the error must say."""
    train = root / "tile/train/good/000.png"
    test = next((root / "tile/test/crack").glob("*.png"))
    mask = next((root / "tile/ground_truth/crack").glob("*.png"))
    if name == "truncated image":
        test.write_bytes(test.read_bytes()[:200])
        return (), test.name
    if name == "not an image":
        train.write_text("hello")
        return ("--shots", "3"), train.name
    if name == "mask of another size":
        Image.fromarray(np.ones((9, 9), np.uint8) * 255).save(mask)
        return (), "9"
    if name == "mask missing":
        mask.unlink()
        return (), test.name
    if name == "no normal images":
        shutil.rmtree(root / "tile/train/good")
        (root / "tile/train/good").mkdir()
        return (), "normal"
    options = {
        "too many shots": (("--shots", "99"), "99 shots"),
        "k too large": (("--k", "5000"), "between 1 and"),
        "k zero": (("--k", "0"), "between 1 and"),
        "unknown model": (("--model", "ViT-B-61"), "nearest"),
        "unknown tag": (("--model", "ViT-B-16", "--pretrained", "laion3b"), "laion3b"),
        "unknown layer": (("--layer", "blocks.0.hook_resid_pots"), "nearest"),
        "unknown selector": (("--selector", "varience"), "nearest: variance"),
        "unknown control": (("--control", "varience"), "nearest: variance"),
        "unknown category": (("--category", "tyle"), "tile"),
        "text weight": (("--text-weight", "1.5"), "between 0 and 1"),
        "text layer": (("--text-layer", "60"), "blocks 0 to"),
        "shots": (("--shots", "few"), "--shots"),
        "missing manifest": (("--from", root / "none.json"), "none.json"),
        "missing list": (("--few-shot-list", root / "none.txt"), "none.txt"),
    }
    return options[name]


@pytest.mark.parametrize(
    "name",
    [
        "truncated image",
        "not an image",
        "mask of another size",
        "mask missing",
        "no normal images",
        "too many shots",
        "k too large",
        "k zero",
        "unknown model",
        "unknown tag",
        "unknown layer",
        "unknown selector",
        "unknown control",
        "unknown category",
        "text weight",
        "text layer",
        "shots",
        "missing manifest",
        "missing list",
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(name, own, tmp_path, capsys):
    extra, said = bad(name, own)
    code = call("run", "mvtec", "--root", own, "--out", tmp_path / "out", *TINY_RUN, *extra)
    err = capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in err
    line = next(part for part in err.split("\n") if part.startswith("error: "))
    assert said in line
    assert not (tmp_path / "out" / "report.html").exists()
    if name in ("unknown selector", "unknown control"):
        assert not (tmp_path / "out" / "manifest.json").exists()  # nothing of it is begun


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "name a data set"),
        (("run", "mvtec"), "name a data set"),
        (("run", "mvtec", "--root", "/nonexistent/root"), "/nonexistent/root"),
        (("run", "mvteg", "--root", "."), "nearest: mvtec"),
        (("hooks", "tiny", "--filter", "blocks.9.*"), "blocks.9"),
    ],
)
def test_wrong_arguments(arguments, said, capsys):
    assert call(*arguments) == 2
    assert said in capsys.readouterr().err


def test_skip_bad_goes_on_and_lists(own, tmp_path, capsys):
    spoiled = next((own / "tile/test/crack").glob("*.png"))
    spoiled.write_bytes(spoiled.read_bytes()[:200])
    out = tmp_path / "out"
    succeed("run", "mvtec", "--root", own, "--out", out, *TINY_RUN, "--skip-bad")
    assert "1 unreadable" in capsys.readouterr().out
    skipped = json.loads((out / "manifest.json").read_text())["categories"]["tile"]["skipped"]
    assert skipped[0][0].endswith(spoiled.name)
    assert len(pd.read_csv(out / "scores.csv")) == 3 + 7


def test_an_interrupt_says_how_to_go_on(bench, tmp_path, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("lakeviz.runs.category.CategoryRun.evaluate", interrupt)
    assert call("run", "mvtec", "--root", bench, "--out", tmp_path / "o", *TINY_RUN) == 130
    assert "goes on where it stopped" in capsys.readouterr().err


def test_an_interrupt_promises_nothing_where_nothing_is_kept(tmp_path, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("lakeviz.cli.figure.list_figures", interrupt)
    assert call("figure", "--list") == 130
    assert capsys.readouterr().err.endswith("interrupted; run it again\n")
