"""Evaluations over several draws of the normal images, and controls from elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import DataError
from lakeviz.lake import Lake, LakeOptions, evaluate
from lakeviz.metrics.estimates import student_reach
from lakeviz.models import load_model
from lakeviz.report.run_report import write_run_report
from lakeviz.runs.category import CategoryRun
from lakeviz.runs.run import execute
from lakeviz.runs.run_folder import RunFolder
from lakeviz.runs.spec import RunSpec
from lakeviz.studies.base.study_run import StudyRun

OPTIONS = LakeOptions(k=20, map_size=(24, 24), text_weight=0)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    categories = ("tile", "gear")
    write_benchmark(root, categories=categories, size=48, n_train=6, n_good=4, n_per_defect=1)
    return root


@pytest.fixture(scope="module")
def spec(root):
    controls = ("all", "random", "other_category")
    return RunSpec("mvtec", root, shots=2, controls=controls, options=OPTIONS, untrained=1)


@pytest.fixture(scope="module")
def run(spec, model, tmp_path_factory) -> RunFolder:
    return execute(spec, tmp_path_factory.mktemp("run") / "run", model=model)


def test_values_are_means_over_the_draws(run, root, model):
    own = read_dataset("mvtec", root).category("tile")
    single = [
        Lake.from_options(model, OPTIONS).fit(draw).evaluate(own)
        for draw in own.few_shot_draws(2, 0)
    ]
    assert len(single) == 3
    metrics = run.evaluation("tile").metrics
    draws = run.table("draws", ["tile"])
    for row in metrics.to_dict("records"):
        each = [one.value(row["metric"], row["level"]) for one in single]
        if row["reason"]:  # AUPIMO: too few normal pixels
            assert np.isnan(row["value"])
            continue
        assert row["value"] == pytest.approx(np.mean(each))
        assert row["n_draws"] == 3
        told = draws[(draws["level"] == row["level"]) & (draws["metric"] == row["metric"])]
        assert told["value"].tolist() == pytest.approx(each)
        # The interval reaches at least as far as Student's of the draws alone.
        assert (
            row["value"] - row["low"]
            >= min(student_reach(np.array(each), 0.95), row["value"]) - 1e-9
        )
        shares = row["share_images"] + row["share_draws"]
        assert shares == pytest.approx(1) or np.isnan(shares)
    # Maps and scores are those of the first draw.
    np.testing.assert_allclose(run.evaluation("tile").maps.patch, single[0].maps.patch)


def test_the_images_pass_the_tower_once_for_all_draws(root, model):
    own = read_dataset("mvtec", root).category("tile")
    lakes = [Lake.from_options(model, OPTIONS).fit(d) for d in own.few_shot_draws(2, 0)]
    seen = []
    watched = model.tower.tower.register_forward_pre_hook(lambda module, args: seen.append(1))
    try:
        evaluate(lakes[0], own, further=lakes[1:])
        together = len(seen)
        seen.clear()
        evaluate(lakes[0], own)
    finally:
        watched.remove()
    assert together == len(seen)


def test_controls_from_elsewhere(run):
    table = run.table("controls")
    assert set(table["control"]) == {"all", "random", "other_category", "untrained"}
    assert set(table["n_draws"]) == {3}
    counts = table.drop_duplicates("control").set_index("control")["n_members"]
    assert counts.to_dict() == {"all": 1, "random": 5, "other_category": 1, "untrained": 1}
    assert not table[["difference", "difference_low", "difference_high"]].isna().any().any()
    random = table[table["control"] == "random"]
    assert random["p_value"].between(1 / 6, 1).all()
    assert (random["difference_low"] <= random["difference_to_mean_low"]).all()


def test_one_category_has_no_other(spec, root, model):
    data = read_dataset("mvtec", root).category("tile")
    draws = {"tile": data.few_shot_draws(2, 0, 1)}
    found = CategoryRun(spec, model, data, draws).evaluate("tile").controls
    own = found[found["control"] == "other_category"]
    assert set(own["reason"]) == {"there is no other category to select neurons on"}
    assert own["value"].isna().all()
    assert set(found["n_draws"].dropna()) == {1}


def test_studies_see_every_draw_and_refuse_changed_images(run, root):
    draws = StudyRun.open(run.folder).draws_of("tile")
    names = [tuple(d.provenance["fit"]["sample_ids"]) for d in draws]
    assert names == [d.sample_ids for d in run.draws("tile")]
    assert len({id(d.test) for d in draws}) == 1
    image = run.draws("tile")[1].paths[0]
    kept = image.read_bytes()
    image.write_bytes(run.draws("tile")[0].paths[0].read_bytes())
    try:
        with pytest.raises(DataError, match=rf"1 of the normal images .*{image.stem}"):
            StudyRun.open(run.folder).draws_of("tile")
    finally:
        image.write_bytes(kept)


def test_what_made_it(run):
    made = run.provenance("tile")
    assert made["seeds"] == {"draw": 0, "sets": 0, "bootstrap": 0, "split": None}
    assert len(made["fit"]["draws"]) == 3
    assert set(made["fit"]["contents"]) == {n for names in made["fit"]["draws"] for n in names}
    assert {"commit", "threads", "processor", "batch_size"} <= set(made["environment"])


def test_the_manifest_repeats_all_draws(run):
    again = RunSpec.from_manifest(run.manifest)
    assert again.few_shot_lists["tile"] == tuple(d.sample_ids for d in run.draws("tile"))
    assert RunSpec.from_plain(again.to_plain()) == again


def test_a_report_of_one_category_whose_control_cannot_be_made(spec, model, root, tmp_path):
    """Numbers that are missing show their reason; a level without masks has one draw."""
    one = replace(spec, categories=("tile",), untrained=0)
    made = execute(one, tmp_path / "run", model=model)
    page = write_run_report(made).read_text(encoding="utf-8")
    assert "there is no other category to select neurons on" in page
    assert made.evaluation("tile").summary().startswith("tile: image AUROC")
