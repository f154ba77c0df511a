"""Sweeps: the numbers of single runs, captured once, resumed, and failing cells reported."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, DataError, LakevizError, OutputError, SelectionError
from lakeviz.lake import Lake, LakeOptions, VisualOptions
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.contrasts import difference
from lakeviz.models import load_model
from lakeviz.runs.spec import RunSpec
from lakeviz.studies import SweepResult, SweepSpec, load_study, sweep
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.sweep import AXES, cells, read_grid
from lakeviz.studies.sweep import backends as parallel

METRICS = (("image", "auroc"), ("pixel", "aupro"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    return write_benchmark(
        root, categories=("tile", "gear"), size=48, n_train=4, n_good=3, n_per_defect=1
    )


@pytest.fixture(scope="module")
def base(root):
    options = LakeOptions(map_size=(12, 12), text_weight=0, layers=(1,), k=10)
    return RunSpec("mvtec", str(root), shots=2, options=options)


@pytest.fixture
def make(base):
    """A spec with few resamples; ``make(grid, **changes of the base)``."""

    def made(grid, metrics=METRICS, n_random_sets=2, **changes):
        return SweepSpec(
            replace(base, **changes),
            grid,
            metrics,
            bootstrap=Bootstrap(n_resamples=20),
            n_random_sets=n_random_sets,
        )

    return made


def here(spec, out, **settings) -> SweepResult:
    return sweep(spec, out, progress=False, **{"backend": "sequential"} | settings)


def same(one: SweepResult, other: SweepResult) -> None:
    """Equal tables, but for the time they took."""
    for name in SweepResult.table_names():
        a, b = (getattr(r, name).drop(columns="seconds", errors="ignore") for r in (one, other))
        pd.testing.assert_frame_equal(a, b)


@pytest.fixture
def passed(monkeypatch):
    """Number of images in each forward pass of a tower."""
    from lakeviz.models import HookedTower

    counts = []
    forward = HookedTower.run_with_cache

    def counted(self, images, *args, **kwargs):
        counts.append(len(images))
        return forward(self, images, *args, **kwargs)

    monkeypatch.setattr(HookedTower, "run_with_cache", counted)
    return counts


@pytest.fixture
def measured(monkeypatch):
    """Selectors that were measured, in order."""
    names = []
    real = cells._Bench._measure

    def noted(self, selector):
        names.append(selector)
        return real(self, selector)

    monkeypatch.setattr(cells._Bench, "_measure", noted)
    return names


# --- the numbers ---


def test_cells_have_the_numbers_of_single_runs(make, base, tmp_path):
    options = replace(
        base.options, visual=VisualOptions(coreset=0.5, neighbours=2), text_weight=None
    )
    grid = {
        "layer": ("2+3",),
        "selector": ("variance", "random"),
        "seed": (3,),
        "k": (12,),
        "normalisation": ("l2/after",),
        "category": ("tile",),
        "text_weight": (0.2,),
    }
    spec = make(grid, options=options)
    result = here(spec, tmp_path)
    dataset = read_dataset("mvtec", base.root)
    model, own = load_model("tiny"), dataset.category("tile")
    found = spec.cells(dataset)
    assert [c.spec.options.layers for c in found] == [(2, 3), (2, 3)]
    for cell in found:
        lake = Lake.from_options(model, cell.spec.options)
        evaluation = lake.fit(cell.spec.draw_normals(dataset, "tile")[0]).evaluate(own)
        own_rows = result.cells[result.cells["selector"] == cell.selector]
        row = own_rows.set_index(["level", "metric"])["value"]
        assert row["image", "auroc"] == pytest.approx(evaluation.value("auroc"))
        assert row["pixel", "aupro"] == pytest.approx(evaluation.value("aupro", "pixel"), abs=1e-4)


def test_contrasts_are_paired_over_images_and_random_sets(make, base, tmp_path):
    grid = {"selector": ("random", "variance", "all"), "category": ("gear",)}
    result = here(make(grid), tmp_path)
    own = read_dataset("mvtec", base.root).category("gear")
    data = capture_study(load_model("tiny"), own.few_shot(2, 0), own, options=base.options)
    evaluator = data.evaluator(METRICS, Bootstrap(n_resamples=20))
    top, every = (
        evaluator.measure(data.visual_maps(data.branches([data.select(10, s)]))[0])
        for s in ("variance", "all")
    )
    assert list(result.contrasts["control"].unique()) == ["random", "all"]
    assert list(result.contrasts["n_random_sets"]) == [2, 2, 1, 1]
    for level, metric in METRICS:
        row = result.contrasts[
            (result.contrasts["control"] == "all") & (result.contrasts["metric"] == metric)
        ].iloc[0]
        gap = difference(top, every, (level, metric), Bootstrap(n_resamples=20))
        assert row["value"] == pytest.approx(top.values[level, metric], abs=1e-6)
        assert row["difference"] == pytest.approx(gap.value, abs=1e-6)
        assert row["difference_low"] == pytest.approx(gap.low, abs=1e-6)
        assert row["difference_high"] == pytest.approx(gap.high, abs=1e-6)
    random = result.contrasts[result.contrasts["control"] == "random"]
    cell = result.cells[result.cells["selector"] == "random"]
    # The cell is the first of the random sets; the control is the mean of all.
    assert not np.allclose(random["control_mean"], cell["value"])
    assert result.notes == []


def test_a_grid_without_controls_says_so(make, tmp_path):
    result = here(make({"k": (5, 10), "category": ("tile",)}), tmp_path)
    assert result.contrasts.empty
    assert any("no controls" in note for note in result.notes)
    assert "holds no controls" in result.summary()
    assert "winner's curse" in result.summary()
    assert "image AUROC" in result.summary()
    assert result.varied == ["k"]
    marginal = result.marginals[result.marginals["metric"] == "aupro"]
    cell = result.cells[result.cells["metric"] == "aupro"]
    np.testing.assert_allclose(marginal["value"], cell["value"])
    assert marginal["low"].isna().all()
    assert set(marginal["reason"]) == {"a single unit (category and seed) has no interval"}


# --- captured once, resumed ---


def test_each_image_passes_each_model_once(make, base, tmp_path, passed):
    dataset = read_dataset("mvtec", base.root)
    grid = {"layer": (1, "2+3"), "shots": (1, 2), "seed": (0, 1), "k": (5, 10)}
    here(make(grid), tmp_path)
    union = {
        name
        for category in ("tile", "gear")
        for shots in (1, 2)
        for seed in (0, 1)
        for name in dataset.category(category).few_shot(shots, seed).sample_ids
    }
    assert sum(passed) == len(union) + len(dataset.split("test"))
    passed.clear()
    # More of what needs no new activations: nothing passes; a new draw: only its new images.
    here(make(grid | {"k": (5, 7), "distance": ("euclidean",)}), tmp_path)
    assert passed == []
    here(make({"seed": (0, 2), "layer": (1,)}, shots=3), tmp_path)
    wider = {
        name
        for category in ("tile", "gear")
        for seed in (0, 2)
        for name in dataset.category(category).few_shot(3, seed).sample_ids
    }
    assert sum(passed) == len(wider - union)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_stopped(make, tmp_path, monkeypatch, measured):
    spec = make({"k": (5, 10), "selector": ("variance", "random")})
    whole = here(spec, tmp_path / "whole")
    assert len(measured) == 8
    noted = cells._Bench._measure

    def cut(self, selector):
        if len(measured) == 8 + 3:
            raise KeyboardInterrupt
        return noted(self, selector)

    monkeypatch.setattr(cells._Bench, "_measure", cut)
    with pytest.raises(KeyboardInterrupt):
        here(spec, tmp_path / "cut")
    files = sorted((tmp_path / "cut/sweep/cells").glob("*"))
    assert len(files) == 3
    assert all(json.loads(file.read_text())["rows"] for file in files)
    monkeypatch.setattr(cells._Bench, "_measure", noted)
    measured.clear()
    resumed = here(spec, tmp_path / "cut")
    # Three are read back; the cut control needs its reference again.
    assert len(measured) == 5 + 1
    same(resumed, whole)
    measured.clear()
    same(here(spec, tmp_path / "cut"), whole)
    assert measured == []


def test_a_damaged_cell_is_measured_again_and_other_sweeps_are_left_alone(make, tmp_path, measured):
    spec = make({"k": (5, 10), "category": ("tile",)})
    first = here(spec, tmp_path)
    folder = tmp_path / "sweep/cells"
    damaged, whole = sorted(folder.glob("*.json"))
    damaged.write_text('{"protocol": ')
    kept = whole.read_text()
    measured.clear()
    # Another grid of the same folder shares the cells it has in common.
    other = here(make({"k": (10, 5, 7), "category": ("tile",)}), tmp_path)
    assert len(measured) == 2
    assert whole.read_text() == kept
    assert len(list(folder.glob("*.json"))) == 3
    measured.clear()
    same(here(spec, tmp_path), first)
    assert measured == []
    assert list(other.cells["k"].unique()) == [10, 5, 7]


def test_other_images_are_not_taken_for_the_same(make, base, tmp_path, measured):
    spec = make({"k": (5,), "category": ("tile",)})
    here(spec, tmp_path)
    for changed in ({"shots": 1}, {"seed": 1}):
        measured.clear()
        here(make({"k": (5,), "category": ("tile",)}, **changed), tmp_path)
        assert measured == ["variance"]
    ids = read_dataset("mvtec", base.root).category("tile").few_shot(2, 0).sample_ids
    listed = make({"k": (5,), "category": ("tile",)}, few_shot_lists={"tile": ids}, seed=9)
    measured.clear()
    here(listed, tmp_path)
    assert measured == []


# --- failing cells ---


def test_failing_cells_are_reported_and_the_sweep_goes_on(make, tmp_path, measured):
    grid = {
        "k": (0, 10, 193),
        "layer": (1, 99),
        "shots": (2, 77),
        "selector": ("variance", "all"),
        "category": ("tile",),
    }
    result = here(make(grid), tmp_path)
    failed = result.failures
    assert result.settings["n_cells"] == 24
    # Two values of k fail for one of two selectors, at the one layer and number that are there.
    assert len(failed) == 2 + 6 + 12
    reasons = {
        "193": "SelectionError: blocks.1.hook_resid_post has 192 channels, so k must be between",
        "99": "ConfigError: tiny has blocks 0 to 5, not 99",
        "77": "FewShotError: 77 shots asked of",
    }
    for reason in reasons.values():
        assert any(error.startswith(reason) for error in failed["error"])
        assert any(reason in note for note in result.notes)
    assert "24 cells" in result.summary()
    assert "20 of which failed" in result.summary()
    row = result.cells[result.cells["error"] != ""].iloc[0]
    assert row["metric"] == ""
    assert np.isnan(row["value"])
    # A control without its reference is a number, but no comparison, and says why.
    lone = result.contrasts[result.contrasts["k"] == 193]
    assert lone["difference"].isna().all()
    assert lone["reason"].str.startswith("variance: SelectionError").all()
    measured.clear()
    same(here(make(grid), tmp_path), result)
    assert sorted(measured) == ["all", "all", "variance", "variance"]


def test_a_bug_in_one_cell_is_its_own(make, tmp_path, monkeypatch):
    real = cells._Bench._measure

    def broken(self, selector):
        if selector == "random" and self.group.data.options.k == 5:
            raise RuntimeError("out of luck")
        return real(self, selector)

    monkeypatch.setattr(cells._Bench, "_measure", broken)
    grid = {"k": (5, 10), "selector": ("variance", "random"), "category": ("tile",)}
    result = here(make(grid), tmp_path)
    assert list(result.failures["error"]) == ["RuntimeError: out of luck"]
    assert len(result.cells) == 3 * len(METRICS) + 1
    monkeypatch.setattr(cells._Bench, "_measure", real)
    assert len(here(make(grid), tmp_path).failures) == 0


def test_a_model_without_text_and_one_that_cannot_be_loaded(make, tmp_path):
    grid = {
        "model": ("tiny", "timm/vit_tiny_patch16_224@random", "ViT-B-61"),
        "text_weight": (0, 0.3),
        "category": ("tile",),
    }
    result = here(make(grid, metrics=[("image", "auroc")]), tmp_path)
    errors = result.cells.set_index(["model", "text_weight"])["error"]
    assert errors["tiny", 0.3] == ""
    assert errors["timm/vit_tiny_patch16_224@random", 0] == ""
    assert "has no text encoder" in errors["timm/vit_tiny_patch16_224@random", 0.3]
    assert "UnknownModelError" in errors["ViT-B-61", 0]
    assert set(result.provenance["models"]) == {"tiny", "timm/vit_tiny_patch16_224@random"}


def test_nothing_at_all_can_be_measured(make, tmp_path):
    result = here(make({"layer": (77,), "category": ("tile",)}), tmp_path)
    assert "No metric was measured" in result.summary()
    assert result.main_metric is None
    assert result.marginals.empty


# --- specs ---


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({}, "needs an axis to vary, such as k=10,20; there are category, model"),
        ({"neighbors": (1,)}, "no axis 'neighbors'; nearest: neighbours"),
        ({"k": ()}, "axis k has no value"),
        ({"k": 10}, "axis k needs a sequence of values, not 10"),
        ({"model": "tiny"}, "axis model needs a sequence of values, not 'tiny'"),
        ({"k": (10, "20")}, "axis k: must be a whole number, not '20'"),
        ({"k": (10, True)}, "axis k: must be a whole number, not True"),
        ({"k": (10, 10)}, "axis k names 10 twice"),
        ({"shots": ("some",)}, "axis shots: must be a whole number, not 'some'"),
        ({"seed": (-1,)}, "axis seed: must be 0 or more, not -1"),
        ({"layer": ("5++6",)}, r"axis layer: must be layers joined by \+, such as 5\+6"),
        ({"text_weight": (1.5,)}, "axis text_weight: the text weight must be between 0 and 1"),
        ({"text_weight": (float("nan"),)}, "axis text_weight: must be a number"),
        ({"coreset": (0,)}, r"axis coreset: the coreset share must be in \(0, 1\]"),
        ({"distance": ("cosin",)}, "axis distance: it must be cosine or euclidean"),
        ({"normalisation": ("l2/between",)}, "axis normalisation: it must be before or after"),
        ({"selector": ("varience",)}, "no selector 'varience'; nearest: variance"),
        ({"category": (3,)}, "axis category: must be a name, not 3"),
    ],
)
def test_bad_grids_are_refused_before_anything_is_computed(base, grid, said):
    with pytest.raises((ConfigError, SelectionError), match=said):
        SweepSpec(base, grid)


def test_bad_settings_of_a_sweep(make, tmp_path):
    with pytest.raises(ConfigError, match="n_random_sets is 0; it must be at least 1"):
        make({"k": (1,)}, n_random_sets=0)
    with pytest.raises(DataError, match="no category 'tyle'; nearest: tile"):
        here(make({"category": ("tyle",)}), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        here(make({"k": (1,)}), tmp_path / "file")


def test_specs_are_data(make, base):
    one = make({"k": (5, 10), "layer": (1, (5, 6))})
    two = make({"layer": ("1", "5+6"), "k": [5, 10]})
    assert one == two
    assert one.digest == two.digest == make({"k": (5, 10), "layer": (1, "5+6")}, root="x").digest
    assert len({one, two}) == 1
    assert one.digest != make({"k": (10, 5), "layer": (1, "5+6")}).digest
    assert one.digest != make({"k": (5, 10), "layer": (1, "5+6")}, shots=1).digest
    assert json.loads(json.dumps(one.to_plain()))["grid"]["layer"] == ["1", "5+6"]
    assert one.varied == ["layer", "k"]
    with pytest.warns(DeprecationWarning, match="random_draws is called n_random_sets now"):
        assert SweepSpec(base, {"k": (1,)}, random_draws=3).n_random_sets == 3
    open_size = replace(base, options=replace(base.options, map_size=None))
    assert SweepSpec(open_size, {"k": (1,)}).base.options.map_size == (128, 128)


def test_every_axis_puts_its_value_into_the_settings(base):
    values = {
        "category": "tile",
        "model": "ViT-B-16@openai",
        "layer": "3+blocks.4.hook_resid_mid",
        "shots": "all",
        "seed": 7,
        "k": 33,
        "normalisation": "zscore/after",
        "distance": "euclidean",
        "neighbours": 3,
        "coreset": 0.25,
        "text_weight": 0.4,
        "image_score": "top_mean",
        "selector": "pca",
    }
    assert set(values) == set(AXES)
    listed = replace(base, few_shot_lists={"tile": ("a",)})
    spec = listed
    for name, value in values.items():
        spec = AXES[name].put(spec, AXES[name].check(value))
    o = spec.options
    assert (spec.categories, spec.model, spec.pretrained) == (("tile",), "ViT-B-16", "openai")
    assert (spec.shots, spec.seed, o.seed, spec.few_shot_lists) == ("all", 7, 7, {})
    assert o.layers == (3, "blocks.4.hook_resid_mid")
    assert (o.k, o.selector, o.text_weight, o.image_score.name) == (33, "pca", 0.4, "top_mean")
    assert (o.visual.distance, o.visual.neighbours, o.visual.coreset) == ("euclidean", 3, 0.25)
    assert (o.visual.normalisation.kind, o.visual.normalisation.stage) == ("zscore", "after")
    kept = {n for n in values if n not in ("category", "model")}
    assert {n: AXES[n].get(spec) for n in kept} == {n: values[n] for n in kept}
    assert AXES["model"].put(listed, "tiny") == listed
    assert AXES["model"].put(listed, "timm/x@true").pretrained is True


def test_grids_are_read_from_the_command_line():
    assert read_grid(["k=10, 20", "layer=3,5+6", "shots=1,all", "text_weight=0,.3"]) == {
        "k": (10, 20),
        "layer": ("3", "5+6"),
        "shots": (1, "all"),
        "text_weight": (0.0, 0.3),
    }
    for texts, said in (
        (["k"], "'k' is no axis with its values"),
        (["k=1", "k=2"], "axis k is named twice"),
        (["kk=1"], "no axis 'kk'"),
        (["k=ten"], "axis k has numbers, not 'ten'"),
    ):
        with pytest.raises(ConfigError, match=said):
            read_grid(texts)


def test_round_trip(make, tmp_path):
    grid = {"shots": (1, "all"), "selector": ("variance", "random"), "k": (5, 500)}
    result = here(make(grid), tmp_path)
    folder = result.to_parquet(tmp_path / "studies/sweep")
    again = load_study(folder)
    assert isinstance(again, SweepResult)
    for name in SweepResult.table_names():
        pd.testing.assert_frame_equal(getattr(again, name), getattr(result, name))
    assert again.summary() == result.summary()
    assert again.notes == result.notes
    assert again.categories == ["gear", "tile"]
    assert "winner" in again._repr_html_()
    for name in SweepResult.table_names():
        assert getattr(result, name).columns[0] == "category"


# --- where it runs ---

GRID = {"k": (5, 10), "selector": ("variance", "random"), "layer": (1, 99)}


@pytest.fixture(scope="module")
def sequential(base, tmp_path_factory):
    spec = SweepSpec(base, GRID, METRICS, Bootstrap(n_resamples=20), 2)
    return spec, here(spec, tmp_path_factory.mktemp("sequential"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_two_jobs_give_the_same_tables(sequential, tmp_path, backend):
    spec, expected = sequential
    threads = torch.get_num_threads()
    same(here(spec, tmp_path, backend=backend, n_jobs=2), expected)
    assert torch.get_num_threads() == threads
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_dask_cluster_of_two_workers_gives_the_same_tables(sequential, tmp_path):
    distributed = pytest.importorskip("distributed")
    spec, expected = sequential
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster:
        address = cluster.scheduler_address
        found = sweep(spec, tmp_path / "a", backend="dask", address=address)
        same(found, expected)
        with distributed.Client(cluster):
            same(here(spec, tmp_path / "a", backend="dask"), expected)
        assert len(cluster.scheduler.workers) == 2


def test_backends_that_cannot_be_had(monkeypatch):
    def start(*arguments):
        with parallel.engine(*arguments):
            pass

    for arguments, said in (
        (("lokki",), "no backend 'lokki'; nearest: loky"),
        (("loky", 0), "n_jobs must be a number of tasks at a time, or -1, not 0"),
        (("loky", True), "n_jobs must be"),
        (("loky", 2, "tcp://host:1"), "an address is of a cluster"),
        (("dask", 2), "no Dask cluster is connected"),
        (("dask", 2, "what://host"), "no Dask scheduler answers at what://host"),
    ):
        with pytest.raises(LakevizError, match=said):
            start(*arguments)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(parallel, "import_module", missing)
    for backend in ("dask", "ray"):
        with pytest.raises(ConfigError, match=rf"pip install 'lakeviz\[{backend}\]'"):
            start(backend)


_SLEEPERS = """
import os, time
from lakeviz.studies.sweep.backends import engine

def task(number):
    print(os.getpid(), flush=True)
    time.sleep(100)

if __name__ == "__main__":
    with engine("loky", 2) as ready:
        list(ready.map(task, [0, 1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a process there does not know its parent")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "sleepers.py").write_text(_SLEEPERS)
    parent = subprocess.Popen(
        [sys.executable, "sleepers.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    # The pipe is closed when the last process that has it ends.
    assert parent.stdout.read() == ""
    for worker in workers:
        state = Path(f"/proc/{worker}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"
