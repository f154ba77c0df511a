"""``lakeviz figure`` and ``lakeviz table`` on a run, its categories and its studies."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark
from lakeviz.plots.template import new_figure
from lakeviz.studies.base import registry
from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.base.settings import Settings
from lakeviz.studies.base.study import Study


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("run")
    sizes = {"size": 48, "n_train": 3, "n_good": 3, "n_per_defect": 1}
    write_benchmark(root / "data", categories=("tile", "wood"), **sizes)
    options = "--shots 2 --map-size 32 --k 20 --control all"
    main(
        shlex.split(f"run mvtec --root {root / 'data'} --out {root / 'run'} {options}"),
    )
    return root / "run"


def call(capsys, *words: object) -> str:
    main([str(word) for word in words])
    return capsys.readouterr().out


def fail(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 2
    return capsys.readouterr().err


def sidecar(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize(
    ("kind", "options", "title", "tables"),
    [
        ("roc", (), "ROC of images", False),
        ("pr", ("--category", "tile"), "Precision and recall of images", False),
        ("roc", ("--level", "pixel", "--category", "tile"), "ROC of pixels", False),
        ("scores", ("--category", "wood"), "Image scores: wood", True),
        ("spectrum", ("--category", "wood"), "Variance spectrum: wood", True),
        ("controls", (), "LAKE minus control: AUPRO", True),
        ("controls", ("--category", "tile"), "LAKE's neurons and controls: AUPRO", True),
        ("metrics", (), "Metrics by category", True),
        ("pro", (), "Per-region overlap", False),
        ("matrix", (), "Variance rank of neurons by category", True),
        ("gallery", ("--category", "wood"), "Best, worst and typical images: wood", True),
    ],
)
def test_figures_of_a_run(run, tmp_path, capsys, kind, options, title, tables):
    out = tmp_path / "a.html"
    assert call(capsys, "figure", kind, run, "--out", out, *options).strip() == str(out)
    told = sidecar(out)
    assert told["title"] == title
    assert ("tables" in told["data"]) == tables
    assert told["command"].startswith(f"lakeviz figure {kind} ")
    category = options[-1] if "--category" in options else "tile"
    assert told["provenance"][category]["model"]["name"] == "tiny"
    if not tables:
        names = [trace.get("name", "") for trace in told["data"]["traces"]]
        assert any(name.startswith(("tile", "LAKE")) for name in names)


def test_the_command_of_the_sidecar_makes_the_same_figure(run, tmp_path, capsys):
    out = tmp_path / "a b.html"
    words = ["--category", "tile", "--level", "image", "--metric", "auroc", "--width", "100"]
    call(capsys, "figure", "controls", run, "--out", out, *words)
    first = sidecar(out)
    out.unlink()
    main(shlex.split(first["command"])[1:])
    assert sidecar(out) == first


def test_heat_map_of_one_image(run, tmp_path, capsys):
    out = tmp_path / "a.html"
    folder = run / "categories" / "wood"
    said = fail(capsys, "figure", "heatmap", folder, "--out", out)
    image = said.split("high score: ")[1].split(",")[0].strip()
    call(capsys, "figure", "heatmap", folder, "--out", out, "--image", image, "--no-sidecar")
    page = out.read_text()
    assert image.split("/")[-1] in page
    # A page can be pointed at, so the model was asked why; a picture cannot.
    assert page.count("neurons (share): ") >= 144
    assert "nearest normal patch" in page
    assert not out.with_suffix(".json").exists()
    assert "no image 'x'" in fail(capsys, "figure", "heatmap", folder, "--out", out, "--image", "x")


def test_a_heat_map_of_other_scores_is_not_explained(run, tmp_path, capsys, monkeypatch, caplog):
    """Reasons for scores that the run does not have would be reasons for something else."""
    from lakeviz.explorer import one_image

    told = one_image.patch_facts
    monkeypatch.setattr(
        one_image, "patch_facts", lambda *a: told(*a).assign(score=lambda t: t["score"] + 0.1)
    )
    folder, out = run / "categories" / "wood", tmp_path / "a.html"
    image = pd.read_parquet(folder / "scores.parquet")["sample_id"].iloc[0]
    call(capsys, "figure", "heatmap", folder, "--out", out, "--image", image)
    assert "gives this image other scores than the run has (up to 0.1 apart)" in caplog.text
    assert "Pointing at a patch" not in sidecar(out)["caption"]


def test_parts_and_activations_of_one_image(run, tmp_path, capsys):
    folder, out = run / "categories" / "wood", tmp_path / "a.html"
    scores = pd.read_parquet(folder / "scores.parquet")
    image = scores.loc[scores["label"] == 1, "sample_id"].iloc[0]
    call(capsys, "figure", "layers", folder, "--out", out, "--image", image)
    said = sidecar(out)["caption"]
    assert "fused = 0.7 visual + 0.3 text; visual = mean of 2 layers" in said
    call(capsys, "figure", "activations", folder, "--out", out, "--image", image)
    assert "20 selected neurons at" in sidecar(out)["caption"]
    words = ("--image", image, "--point", "x")
    assert "no neurons at 'x'" in fail(
        capsys, "figure", "activations", folder, "--out", out, *words
    )


def test_tables_need_no_images(run, tmp_path, capsys):
    data = run.parent / "data"
    data.rename(run.parent / "moved")
    try:
        out = tmp_path / "a.html"
        for level in ("image", "pixel"):
            call(capsys, "figure", "roc", run, "--level", level, "--out", out)
        gallery = ("figure", "gallery", run / "categories" / "tile", "--out", out)
        assert "data" in fail(capsys, *gallery)
        call(capsys, *gallery, "--root", run.parent / "moved")
    finally:
        (run.parent / "moved").rename(data)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("figure rock RUN --out a.pdf", "nearest: roc"),
        ("figure roc RUN --out a.jpg", "known are .pdf"),
        ("figure roc RUN --out a.html --width 0", "0.0 mm is outside"),
        ("figure roc RUN --out a.html --width 5x", "neither column, page nor"),
        ("figure roc RUN --out a.html --template x", "unknown template"),
        ("figure scores RUN --out a.html", "--category, of tile, wood"),
        ("figure scores RUN --out a.html --category tyle", "tile"),
        ("figure controls RUN --out a.html --metric f1", "no control was measured by image f1"),
        ("figure roc RUN/.. --out a.html", "holds no result"),
        ("figure roc RUN", "--out"),
        ("table RUN RUN --out a.tex", "2 different names"),
        ("table RUN --out a.tex --metric aupro", "LEVEL:METRIC"),
        ("table RUN --out RUN/manifest.json/a.tex", "cannot write"),
    ],
)
def test_bad_words(run, capsys, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    said = fail(capsys, *shlex.split(words.replace("RUN", str(run))))
    assert message in said
    assert said.count("error:") <= 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def study(run, monkeypatch):
    """A study of the run, with two figures."""

    @dataclass
    class Toy(StudyResult):
        numbers: pd.DataFrame
        name: ClassVar[str] = "toy"
        title: ClassVar[str] = "Toy"

        def summary(self) -> str:
            return "nothing"

        def figures(self) -> list:
            assert self.table["value"].tolist() == [1.5]
            return [new_figure("First one", "c"), new_figure("Second one", "c")]

    monkeypatch.setitem(registry._REGISTRY, "toy", Study(Settings, Toy))
    table = pd.DataFrame({"category": ["tile"], "value": [1.5]})
    yield Toy(numbers=table, provenance={"study": "toy"}).to_parquet(run / "studies" / "toy")
    for file in (run / "studies" / "toy").iterdir():
        file.unlink()
    (run / "studies" / "toy").rmdir()


def test_figures_of_a_study(run, study, tmp_path, capsys):
    out = tmp_path / "a.html"
    for words in (("--number", 2), ("--title", "second")):
        call(capsys, "figure", "toy", run, "--out", out, *words)
        assert sidecar(out)["title"] == "Second one"
        assert sidecar(out)["provenance"] == {"study": "toy"}
    call(capsys, "figure", "toy", study, "--out", out, "--number", 1)
    assert sidecar(out)["title"] == "First one"
    for words in ((), ("--number", 3), ("--title", "one")):
        said = fail(capsys, "figure", "toy", study, "--out", out, *words)
        assert "1 = First one; 2 = Second one" in said
    assert "it has toy" in fail(capsys, "figure", "roc", study, "--out", out)


def test_list(run, study, capsys):
    every = call(capsys, "figure", "--list")
    assert "spectrum" in every and "timeline" in every
    said = call(capsys, "figure", "--list", run)
    assert "heatmap" in said and "timeline" not in said  # it has no clips
    assert "--number 2  Second one" in said
    assert "heatmap" not in call(capsys, "figure", "--list", study)


def test_table_of_runs(run, tmp_path, capsys):
    out = tmp_path / "deep" / "a.tex"
    assert call(capsys, "table", run, "--out", out).strip() == str(out)
    rows = [line for line in out.read_text().splitlines() if line.endswith(r"\\")]
    assert [row.split(" &")[0] for row in rows] == ["category", "tile", "wood", "mean"]
    names = ("--name", "a_b", "--name", "c")
    call(capsys, "table", run, run, "--out", out, *names, "--metric", "pixel:aupro")
    rows = [line for line in out.read_text().splitlines() if line.endswith(r"\\")]
    assert [row.split(" &")[0] for row in rows] == ["run", r"a\_b", "c"]
    assert "AUPRO" in rows[0]


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom lakeviz.cli import main\n"
        "try:\n    main(['figure', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'plotly', 'pandas', 'kaleido') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
