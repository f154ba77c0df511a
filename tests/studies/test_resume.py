"""A study that was cut off goes on after its last finished condition, and ends bit-equal."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from lakeviz.activations import Loading
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import DataError
from lakeviz.files import write_text
from lakeviz.lake import LakeOptions
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.models import load_model
from lakeviz.runs.run import execute
from lakeviz.runs.spec import RunSpec
from lakeviz.studies import StudyRun, get_study
from lakeviz.studies.base.study import OnRun
from lakeviz.studies.knockout.forward_engine import ForwardEngine

KNOCKOUT = {"sizes": (3,), "n_random_sets": 2, "single": False, "kinds": ("score", "forward")}


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    """A run of two categories, and where its data lie."""
    root = tmp_path_factory.mktemp("data")
    write_benchmark(root, categories=("tile", "gear"), size=32, n_train=6, n_good=3, n_per_defect=1)
    options = LakeOptions(k=8, map_size=(16, 16), text_weight=0)
    spec = RunSpec("mvtec", root, shots=2, draws=1, controls=(), options=options)
    out = tmp_path_factory.mktemp("run") / "out"
    execute(spec, out, model=model, loading=Loading(batch_size=8))
    return out


@pytest.fixture
def study(made, model, tmp_path):
    """Run a study on a copy of the run: ``study("knockout", **settings)``."""
    shutil.copytree(made, tmp_path / "run")

    def on_run(name, save=True, **settings):
        run = StudyRun.open(tmp_path / "run", map_size=(16, 16))
        run.model = model
        loaded = get_study(name).load()
        chosen = loaded.settings.of(None, settings)
        found = loaded.on_run(OnRun([run], Bootstrap(n_resamples=20)), chosen)
        if save:
            run.save(found)
        return found

    return on_run


@pytest.fixture
def measured(monkeypatch):
    """Conditions that were measured, and network knock-outs that were run; told when to stop."""

    class Measured(list):
        stop_after = None

    found, measure, forward = Measured(), PairedEvaluator._measure, ForwardEngine.run

    def counted(self, maps):
        if len(found) == found.stop_after:
            raise KeyboardInterrupt
        found.append("condition")
        return measure(self, maps)

    def run(self, conditions):
        found.append(f"forward {len(conditions)}")
        return forward(self, conditions)

    monkeypatch.setattr(PairedEvaluator, "_measure", counted)
    monkeypatch.setattr(ForwardEngine, "run", run)
    return found


def cut(study, measured, stop, name, **settings):
    measured.clear()
    measured.stop_after = stop
    with pytest.raises(KeyboardInterrupt):
        study(name, **settings)
    measured.clear()
    measured.stop_after = None


def assert_equal(one, other):
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name], check_exact=True)
    assert one.notes == other.notes


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("knockout", KNOCKOUT),
        ("contamination", {"n_repeats": 2, "shots": 2, "fractions": (0.5,)}),
        ("neurons", {"n_random": 3, "k": 3, "crops": False}),
        ("dossier", {"n_random": 2, "k": 2, "crops": False, "labels": False}),
    ],
)
def test_a_cut_loses_no_finished_condition(study, measured, tmp_path, name, settings):
    whole = study(name, save=False, **settings)
    n = len(measured)
    shutil.rmtree(tmp_path / "run" / "unfinished")
    cut(study, measured, n - 2, name, **settings)
    assert_equal(whole, study(name, **settings))
    assert measured.count("condition") <= 2
    assert not (tmp_path / "run" / "unfinished").exists()


def test_what_was_measured_of_a_study_that_was_not_saved_is_read_back(study, measured):
    study("knockout", save=False, **KNOCKOUT)
    groups = [one for one in measured if one.startswith("forward")]
    assert len(groups) > 4
    measured.clear()
    study("knockout", **KNOCKOUT)
    assert measured == []


def test_other_settings_are_measured_anew(study, measured):
    study("neurons", save=False, n_random=3, k=3, crops=False)
    measured.clear()
    study("neurons", save=False, n_random=3, k=3, crops=False, deviation="nearest")
    assert "condition" in measured


def test_a_repeated_study_replaces_the_old_one_when_it_is_finished(study, measured, tmp_path):
    settings = {"n_random": 3, "k": 3, "crops": False}
    study("neurons", **settings)
    folder = tmp_path / "run" / "studies" / "neurons"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    cut(study, measured, 4, "neurons", **settings, seed=1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    write_text(folder / "left.json.0123abcd.tmp", "half")
    study("neurons", **settings, seed=1)
    assert set(before) == {path.name for path in folder.iterdir()}
    assert (folder / "study.json").read_bytes() != before["study.json"]


@pytest.mark.parametrize("name", ["sweep", "overlap", "contamination"])
def test_every_study_refuses_data_that_changed(study, made, name, tmp_path):
    manifest = tmp_path / "run" / "manifest.json"
    root = tmp_path / "moved"
    spec = StudyRun.open(made).spec
    shutil.copytree(spec.root, root)
    manifest.write_text(manifest.read_text().replace(str(spec.root), str(root)))
    good = root / "gear/test/good"
    (good / "000.png").write_bytes((good / "001.png").read_bytes())
    settings = {"grid": ("k=2",)} if name == "sweep" else {}
    with pytest.raises(DataError, match=r"gear/test/good/000\.png \(changed\)"):
        study(name, **settings)
