"""A run's folder: read without torch, of any protocol, and not made again without need."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored import unseal

from lakeviz.cli import main
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, DataError, StoreError
from lakeviz.lake.evaluation_files import TABLES
from lakeviz.lake.provenance import versions
from lakeviz.report.run_report import inputs_of
from lakeviz.runs.run import execute, same_weights
from lakeviz.runs.run_folder import RunFolder
from lakeviz.runs.spec import RunSpec

HEAVY = ("torch", "open_clip", "transformer_lens", "timm", "plotly")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a data set, ``data``, and a run of it with its report, ``run``."""
    folder = tmp_path_factory.mktemp("made")
    write_benchmark(
        folder / "data", categories=("tile", "gear"), size=48, n_train=3, n_good=3, n_per_defect=1
    )
    main([str(word) for word in command(folder)])
    return folder


def command(folder: Path) -> list[object]:
    small = ["--shots", 2, "--random-sets", 2, "--map-size", 24]
    return ["run", "mvtec", "--root", folder / "data", "--out", folder / "run", *small]


@pytest.fixture
def own(made, tmp_path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


def in_a_new_process(code: str) -> str:
    checked = f"{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{checked}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_read(made):
    run = RunFolder.open(made / "run")
    assert run.categories == ["gear", "tile"]
    assert run.chosen(["tile"]) == ["tile"]
    for name in TABLES:
        joined = pd.read_parquet(made / "run" / f"{name}.parquet")
        pd.testing.assert_frame_equal(run.table(name), joined)
    assert set(run.table("scores", ["tile"])["category"]) == {"tile"}
    assert list(run.overview().index) == ["gear", "tile", "mean"]
    assert run.provenance("tile")["fit"]["n_images"] == 2
    assert run.spec.few_shot_lists["tile"] == tuple(d.sample_ids for d in run.draws("tile"))
    assert run.model.weights_hash == run.manifest["model"]["weights_hash"]
    assert [e.category for e in run.evaluations] == ["gear", "tile"]
    pd.testing.assert_frame_equal(run.evaluations[1].scores, run.table("scores", ["tile"]))
    assert run.studies == {}
    with pytest.raises(StoreError, match="holds no study 'pca'; it has none"):
        run.study("pca")
    with pytest.raises(DataError, match="no category 'tyle'; nearest: tile"):
        run.table("metrics", ["tyle"])
    with pytest.raises(ConfigError, match="name it with --category, of gear, tile"):
        run.one([])


def test_tables_are_read_without_torch(made):
    code = f"""
from lakeviz import RunFolder
run = RunFolder.open({str(made / "run")!r})
run.table("metrics"), run.overview(), run.provenance("tile"), run.studies, run.spec.digest
run.draw("tile")"""
    assert in_a_new_process(code) == "[]\n"


def test_a_process_that_only_reads_shows_the_names_of_selectors(made):
    code = f"""
from lakeviz import RunFolder
from lakeviz.selector_names import selector_name
RunFolder.open({str(made / "run")!r})
print(selector_name("bottom_variance"), "|", selector_name("untrained"))"""
    said = "lowest-variance neurons | the same reading of an untrained tower\n[]\n"
    assert in_a_new_process(code) == said


def test_the_same_command_again_does_nothing(made):
    before = {p: p.stat().st_mtime_ns for p in (made / "run").rglob("*")}
    words = [str(word) for word in command(made)]
    out = in_a_new_process(f"from lakeviz.cli import main\nmain({words!r})")
    assert out.endswith("[]\n")
    assert "image AUROC" in out
    assert {p: p.stat().st_mtime_ns for p in (made / "run").rglob("*")} == before


def test_a_report_is_drawn_again_when_its_inputs_change(own):
    run = RunFolder.open(own / "run")
    inputs = inputs_of(run)
    assert inputs in (own / "run/report.html").read_text()[:4096]
    (own / "run/studies/pca").mkdir(parents=True)
    (own / "run/studies/pca/study.json").write_text("{}")
    changed = inputs_of(run)
    assert changed != inputs
    (own / "run/studies/pca/study.json").write_text('{"a": 1}')
    assert inputs_of(run) != changed
    (own / "run/activations").mkdir()
    (own / "run/activations/a").write_text("")
    shutil.rmtree(own / "run/studies")
    assert inputs_of(run) == inputs


def test_a_run_of_the_first_protocol_is_read(own):
    old = own / "run"
    today = RunFolder.open(old)
    tables = {name: today.table(name) for name in TABLES}
    renamed = {
        "metrics": {"branch": "part", "confidence": "interval_level"},
        "controls": {"difference_low": "low", "difference_high": "high"},
    }
    for path in (old / "categories").rglob("*.parquet"):
        table = pd.read_parquet(path)
        new = renamed.get(path.stem, {})
        assert set(new) <= set(table)
        if path.stem == "controls":  # had the interval of the difference alone
            table = table.drop(columns=["low", "high"])
        table.rename(columns=new).to_parquet(path, index=False)
        unseal(path.parent / "evaluation.json")
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["weights_file"]
    (old / "manifest.json").write_text(json.dumps(manifest | {"protocol": "lakeviz-run/1"}))
    run = RunFolder.open(old)
    tables["controls"] = tables["controls"].drop(columns=["low", "high"])
    for name, table in tables.items():
        pd.testing.assert_frame_equal(run.table(name), table)
    assert run.evaluation("tile").value("auroc") == today.evaluation("tile").value("auroc")
    again = execute(run.spec, old) if run.spec.digest == manifest["digest"] else None
    assert again is None  # the spec of a manifest lists its images
    resumed = execute(RunSpec.from_plain(manifest["spec"]), old)
    assert resumed.manifest["protocol"] == "lakeviz-run/3"
    assert resumed.manifest["weights_file"] is None


def test_a_category_and_a_study_alone(own):
    alone = RunFolder.open(own / "run/categories/tile")
    assert alone.categories == ["tile"]
    assert alone.evaluation("tile").category == "tile"
    shutil.copytree(own / "run/categories/tile", own / "tile")
    apart = RunFolder.open(own / "tile")
    pd.testing.assert_frame_equal(apart.table("metrics"), alone.table("metrics"))
    with pytest.raises(StoreError, match="lies in no run"):
        apart.evaluation("tile")
    (own / "study.json").write_text('{"study": "pca"}')
    study = RunFolder.open(own)
    assert study.categories == []
    assert study.study("pca") == own
    with pytest.raises(StoreError, match="has no evaluated category"):
        study.table("metrics")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protocol": "lakeviz-run/9"}, "is not the manifest of a lakeviz run"),
        ({"spec": None}, "is damaged"),
        ({"categories": {"tile": {"folder": 3}}}, "is damaged"),
    ],
)
def test_damaged_manifests(own, changes, said):
    path = own / "run/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(StoreError, match=rf"manifest\.json {said}"):
        RunFolder.open(own / "run")


def test_other_folders_and_unfinished_categories(own):
    with pytest.raises(StoreError, match="holds no result"):
        RunFolder.open(own / "data")
    (own / "run/categories/tile/evaluation.json").write_text("{}")
    with pytest.raises(StoreError, match=r"evaluation\.json is damaged"):
        RunFolder.open(own / "run").provenance("tile")
    path = own / "run/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["categories"]
    path.write_text(json.dumps(manifest))
    run = RunFolder.open(own / "run")
    assert run.categories == ["gear", "tile"]
    with pytest.raises(StoreError, match="has not finished gear; run the same command again"):
        run.table("metrics")


def test_moved_data_and_other_weights(own):
    (own / "data").rename(own / "moved")
    run = RunFolder.open(own / "run", root=own / "moved", device="cpu")
    assert run.evaluation("tile").dataset.root == own / "moved"
    run.manifest["model"]["weights_hash"] = "0" * 64
    with pytest.raises(StoreError, match="made with other weights"):
        _ = run.model


def test_changed_images_of_a_finished_category_are_refused(own):
    spec = RunSpec.from_plain(RunFolder.open(own / "run").manifest["spec"])
    image = next((own / "data/tile/test/good").glob("*.png"))
    other = next((own / "data/gear/test/good").glob("*.png"))
    shutil.copy(other, image)
    spec = RunSpec(**{**vars(spec), "root": own / "data"})
    name = image.relative_to(own / "data").as_posix()
    said = rf"1 of the test images are not those of the run: {name} \(changed\)"
    with pytest.raises(DataError, match=said):
        execute(spec, own / "run")


def test_when_weights_are_known_to_be_the_same(tmp_path):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    named, filed = RunSpec("mvtec", "."), RunSpec("mvtec", ".", pretrained=str(weights))
    sha = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # of b"one"
    assert not same_weights({}, named)
    assert not same_weights({"versions": versions()}, named)
    assert same_weights({"versions": versions(), "weights_file": None}, named)
    assert not same_weights({"versions": {**versions(), "torch": "0"}, "weights_file": None}, named)
    for model in ("local-dir:folder", "hf-hub:owner/name"):
        spec = RunSpec("mvtec", ".", model=model)
        assert not same_weights({"versions": versions(), "weights_file": None}, spec)
    assert same_weights({"versions": {}, "weights_file": sha}, filed)
    weights.write_bytes(b"two")
    assert not same_weights({"versions": versions(), "weights_file": sha}, filed)
    assert not same_weights({"versions": versions(), "weights_file": None}, filed)
    weights.unlink()
    assert not same_weights({"versions": versions(), "weights_file": sha}, filed)


def test_old_names_of_parameters_warn(made):
    evaluation = RunFolder.open(made / "run").evaluation("tile")
    with pytest.warns(DeprecationWarning, match="part of value is called branch now"):
        old = evaluation.value("auroc", part="text")
    assert np.isclose(old, evaluation.value("auroc", branch="text"))
