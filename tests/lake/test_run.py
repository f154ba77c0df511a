"""Runs: written whole, resumed after a cut, repeated from the manifest with equal numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, DataError, FewShotError, OutputError
from lakeviz.lake import LakeOptions
from lakeviz.models import load_model
from lakeviz.runs.category import CategoryRun
from lakeviz.runs.run import execute, folder_name
from lakeviz.runs.run_folder import read_manifest
from lakeviz.runs.spec import RunSpec


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    categories = ("tile", "gear")
    write_benchmark(root, categories=categories, size=48, n_train=3, n_good=3, n_per_defect=1)
    return root


@pytest.fixture
def spec(root):
    return RunSpec(
        "mvtec", str(root), shots=2, random_controls=2, options=LakeOptions(map_size=(24, 24))
    )


@pytest.mark.slow
def test_a_run_writes_tables_and_repeats_from_its_manifest(spec, model, tmp_path):
    first = execute(spec, tmp_path / "a", model=model)
    for name in ("metrics", "scores", "controls", "neurons"):
        assert len(pd.read_csv(tmp_path / "a" / f"{name}.csv")) == len(first.table(name))
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / "a" / f"{name}.parquet"), first.table(name)
        )
    again = RunSpec.from_manifest(read_manifest(tmp_path / "a" / "manifest.json"))
    second = execute(again, tmp_path / "b", model=model)
    for name in ("metrics", "scores", "controls", "neurons", "spectrum"):
        pd.testing.assert_frame_equal(first.table(name), second.table(name))
    overview = first.overview()
    assert list(overview.index) == ["gear", "tile", "mean"]
    assert overview.loc["mean", "image auroc"] == pytest.approx(
        overview.loc[["gear", "tile"], "image auroc"].mean()
    )


@pytest.mark.slow
def test_a_cut_run_goes_on_where_it_stopped(spec, model, tmp_path, monkeypatch):
    whole = execute(spec, tmp_path / "whole", model=model)
    evaluated = []
    real = CategoryRun.evaluate

    def cut(self, category, journal=None):
        if evaluated:
            raise KeyboardInterrupt
        evaluated.append(category)
        return real(self, category, journal)

    monkeypatch.setattr(CategoryRun, "evaluate", cut)
    with pytest.raises(KeyboardInterrupt):
        execute(spec, tmp_path / "cut", model=model)
    assert evaluated == ["gear"]

    def rest(self, category, journal=None):
        evaluated.append(category)
        return real(self, category, journal)

    monkeypatch.setattr(CategoryRun, "evaluate", rest)
    resumed = execute(spec, tmp_path / "cut", model=model)
    assert evaluated == ["gear", "tile"]
    pd.testing.assert_frame_equal(resumed.table("metrics"), whole.table("metrics"))


def test_a_folder_of_other_settings_or_files_is_refused(spec, model, tmp_path):
    execute(spec, tmp_path / "a", model=model)
    other = RunSpec("mvtec", spec.root, shots=1, options=spec.options)
    with pytest.raises(OutputError, match="other settings"):
        execute(other, tmp_path / "a", model=model)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="not empty"):
        execute(spec, tmp_path / "b", model=model)
    assert (tmp_path / "b" / "thesis.txt").read_text() == "precious"


def test_nothing_is_written_when_the_settings_are_wrong(spec, model, tmp_path):
    wrong = RunSpec("mvtec", spec.root, shots=99, options=spec.options)
    with pytest.raises(FewShotError, match="99 shots"):
        execute(wrong, tmp_path / "a", model=model)
    layers = RunSpec("mvtec", spec.root, shots=1, options=LakeOptions(layers=(77,)))
    with pytest.raises(ConfigError, match="blocks 0 to"):
        execute(layers, tmp_path / "a", model=model)
    depth = RunSpec("mvtec", spec.root, shots=1, options=LakeOptions(streams=("image", "depth")))
    with pytest.raises(DataError, match="depth needs depth maps"):
        execute(depth, tmp_path / "a", model=model)
    assert not (tmp_path / "a").exists()


def test_folder_names_are_safe_and_distinct():
    assert folder_name("wood") == "wood"
    hostile = folder_name("<img src=x onerror=alert(1)>")
    assert hostile.replace("-", "").replace("_", "").isalnum()
    assert folder_name("../a") != folder_name("a")
    assert folder_name("é") != folder_name("è")
