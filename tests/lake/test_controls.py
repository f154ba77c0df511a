"""The controls of a run are compared as those of studies: with one random member at a time."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.lake.controls import CONTROL_METRICS, compare_controls, control_maps
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.score_maps import ScoreMaps
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.contrasts import difference_to, estimate_of
from lakeviz.metrics.estimates import estimate

N, SIDE = 16, 8
LABELS = np.repeat([0, 1], N // 2)


@pytest.fixture
def maps():
    generator = np.random.default_rng(0)
    names = ["visual", "control/random#0", "control/random#1", "control/random#2", "control/all"]
    parts = {}
    for number, name in enumerate(names):
        parts[name] = generator.random((N, SIDE, SIDE)).astype(np.float32)
        parts[name][N // 2 :, 2:5, 2:5] += 0.5 - 0.1 * number
    return ScoreMaps(
        patch=parts["visual"],
        parts=parts,
        image_scores=parts["visual"].max((1, 2)),
        image_parts={name: own.max((1, 2)) for name, own in parts.items()},
        sample_ids=[str(i) for i in range(N)],
        sizes=[(SIDE, SIDE)] * N,
    )


@pytest.fixture
def evaluator(maps):
    masks = [np.zeros((SIDE, SIDE), bool) for _ in range(N)]
    for mask in masks[N // 2 :]:
        mask[2:5, 2:5] = True
    truth = Truth.of_masks(LABELS, masks)
    bootstrap = Bootstrap(n_resamples=300, seed=5)
    return PairedEvaluator(truth, sizes=maps.sizes, metrics=CONTROL_METRICS, bootstrap=bootstrap)


def compared(maps, evaluator, missing=None):
    return compare_controls([maps.parts["visual"]], control_maps([maps]), missing or {}, evaluator)


def test_a_row_per_control_and_metric(maps, evaluator):
    table = compared(maps, evaluator)
    assert list(table["control"]) == ["random", "all"] * 3
    assert list(zip(table["level"], table["metric"]))[::2] == list(CONTROL_METRICS)
    assert list(table["n_members"]) == [3, 1] * 3
    assert set(table["n_images"]) == {N}
    visual = evaluator.measure(maps.parts["visual"])
    members = [evaluator.measure(maps.parts[f"control/random#{i}"]) for i in range(3)]
    for row in table[table["control"] == "random"].to_dict("records"):
        metric = row["level"], row["metric"]
        # low and high belong to the value, the difference has its own.
        assert estimate(row) == estimate_of(visual, metric, evaluator.bootstrap)
        expected = difference_to(visual, members, metric, evaluator.bootstrap)
        assert estimate(row, "difference") == expected
        each = [member.values[metric] for member in members]
        ends = row["control_min"], row["control_mean"], row["control_max"]
        assert ends == (min(each), np.mean(each), max(each))


def test_levels_that_cannot_be_measured_have_no_rows(maps, evaluator):
    no_masks = PairedEvaluator(Truth.of_masks(LABELS, None), metrics=CONTROL_METRICS)
    assert set(compared(maps, no_masks)["level"]) == {"image"}
    normal = PairedEvaluator(Truth.of_masks(np.zeros(N, int), None), metrics=CONTROL_METRICS)
    assert compared(maps, normal).empty


def test_without_controls_the_table_is_empty_and_has_its_columns(maps, evaluator):
    whole = compared(maps, evaluator)
    maps.parts = {"visual": maps.parts["visual"]}
    none = compared(maps, evaluator)
    assert none.empty and list(none.columns) == list(whole.columns)
    assert {"difference_low", "difference_high", "control_min", "control_max"} < set(none.columns)


def test_a_control_that_cannot_be_made_says_why(maps, evaluator):
    table = compared(maps, evaluator, {"deciles": "a decile has too few channels"})
    own = table[table["control"] == "deciles"]
    assert len(own) == len(CONTROL_METRICS)
    assert set(own["reason"]) == {"a decile has too few channels"}
    assert own["difference"].isna().all()
    assert set(table.loc[table["control"] != "deciles", "reason"]) == {""}
