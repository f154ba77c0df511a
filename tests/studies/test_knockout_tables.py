"""Knock-outs: order, seeds, tables, rank correlations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from knockout_rows import FEW, MARGIN, POINT, rows
from scipy.stats import binom, rankdata, spearmanr

from lakeviz.errors import ConfigError, MetricError, SelectionError
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout import ScoreEngine, knockout
from lakeviz.studies.knockout.rows import rank_correlation
from lakeviz.studies.knockout.study import check_sizes

# --- order, seeds, tables ---


def test_order_of_images_does_not_matter(world):
    data = world()
    normal = {POINT: data.normal.patches(POINT).flip(0)}
    shuffle = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))
    masks = [data.truth.masks[i] for i in shuffle]
    other = StudyData.of_arrays(
        normal,
        {POINT: data.test.patches(POINT)[shuffle]},
        data.truth.labels[shuffle.numpy()],
        masks,
        grid=(4, 4),
        options=data.options,
    )
    settings = {"sizes": [2], "n_random_sets": 2, "bootstrap": FEW}
    one, two = (knockout(d, **settings) for d in (data, other))
    for name in ("value", "change", "importance"):
        if name in one.neurons:
            np.testing.assert_allclose(one.neurons[name], two.neurons[name], atol=1e-5)
        if name in one.curves:
            np.testing.assert_allclose(one.curves[name], two.curves[name], atol=1e-5)


def test_equal_seeds_give_equal_tables(world):
    data = world()
    made = [
        knockout(data, sizes=[3], n_random_sets=3, metrics=MARGIN, bootstrap=FEW, seed=s)
        for s in (5, 5, 6)
    ]
    pd.testing.assert_frame_equal(made[0].curves, made[1].curves)
    assert not made[0].curves.equals(made[2].curves)


def test_controls_have_the_same_size_at_every_point(world):
    data = world({"k": 4}, points=("a", "b"))
    engine = ScoreEngine(data)
    order = {p: np.argsort(-data.statistics[p].variance) for p in ("a", "b")}
    for name in ("variance", "random", "bottom_variance", "next_variance"):
        condition = engine.condition(engine.sets(4, name, 7), "remove")
        assert [len(a.neurons) for a in condition] == [4, 4]
        top = {a.point: set(order[a.point][:4].tolist()) & set(a.neurons) for a in condition}
        if name != "random":
            assert {len(t) for t in top.values()} == {4 if name == "variance" else 0}
    kept = engine.condition(engine.sets(4, "variance", 0), "keep")
    assert [len(a.neurons) for a in kept] == [12, 12]


def test_base_selected_knocks_out_selected_neurons(world):
    found = knockout(
        world({"k": 6}),
        base="selected",
        sizes=[2, 6],
        n_random_sets=2,
        metrics=MARGIN,
        bootstrap=FEW,
    )
    assert set(found.neurons["group"]) == {"selected"}
    assert found.neurons["channel"].nunique() == 6
    gone = rows(found.curves, size=6)
    assert (gone["value"] == 0).all()
    assert any("0 other neurons" in note for note in found.notes)


def test_a_control_that_overlaps_says_so(world):
    found = knockout(
        world(),
        sizes=[12],
        controls=["next_variance"],
        n_random_sets=2,
        single=False,
        metrics=MARGIN,
        bootstrap=FEW,
    )
    assert found.contrasts["reason"].str.contains("8 of the 12 neurons").all()


def test_default_sizes_hold_the_detectors_k():
    assert check_sizes(None, 192, 20) == (1, 2, 6, 14, 20, 33, 80, 192)
    assert check_sizes(None, 192, 15) == (1, 2, 6, 15, 33, 80, 192)
    assert check_sizes(None, 3, 100) == (1, 2, 3)
    assert check_sizes(None, 1, 100) == (1,)
    assert check_sizes([5, 2, 5], 10, 3) == (2, 5)


def test_images_of_one_class_are_refused(world):
    with pytest.raises(MetricError, match="no metric is defined"):
        knockout(world(n_anomalous=0), single=False)


def test_without_masks_the_image_level_goes_on(world):
    found = knockout(world(masks=False), sizes=[2], n_random_sets=2, single=False, bootstrap=FEW)
    assert set(found.curves["level"]) == {"image"}
    assert "no pixel-level metrics, because there are no masks" in found.notes[0]
    assert "AUPRO" not in found.summary()


@pytest.mark.parametrize(
    ("error", "said", "settings"),
    [
        (SelectionError, "between 1 and 16, not 0", {"sizes": [0]}),
        (SelectionError, "between 1 and 16, not 17", {"sizes": [3, 17]}),
        (SelectionError, "no size", {"sizes": []}),
        (SelectionError, "all is no control", {"controls": ["all"]}),
        (SelectionError, "no selector 'randm'", {"controls": ["randm"]}),
        (ConfigError, "kinds must be .*, not 'network'", {"kind": "network"}),
        (ConfigError, "controls is empty", {"controls": []}),
        (ConfigError, "choices of the forward kind", {"reference": "mean"}),
        (ConfigError, "choices of the forward kind", {"point": POINT}),
        (ConfigError, "come without one", {"kind": "forward"}),
    ],
)
def test_bad_settings(world, error, said, settings):
    with pytest.raises(error, match=said):
        knockout(world(), **settings)


# --- correlation ---


def test_rank_correlation_is_spearmans():
    generator = np.random.default_rng(0)
    variance, draws = generator.random(12), generator.random((12, 50))
    importance = variance + 0.3 * generator.random(12)
    rho, p_value, reason = rank_correlation(variance, importance, draws, Bootstrap(confidence=0.8))
    expected = spearmanr(variance, importance)
    assert (rho.value, p_value) == pytest.approx((expected.statistic, expected.pvalue))
    # Every draw takes images and neurons anew; ranks are those among all neurons.
    picks = np.random.default_rng([0, 12]).multinomial(12, np.full(12, 1 / 12), 50)
    rows = [np.repeat(np.arange(12), pick) for pick in picks]
    ranked = [(rankdata(variance)[r], rankdata(d)[r]) for r, d in zip(rows, draws.T)]
    by_draw = [np.corrcoef(x, y)[0, 1] for x, y in ranked]
    assert [rho.low, rho.high] == pytest.approx(np.quantile(by_draw, [0.1, 0.9]))
    assert reason == ""


def test_a_chance_correlation_is_not_made_certain_by_many_images():
    """No noise over images at all: what is left is the choice of the neurons."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        variance, importance = generator.random((2, 20))
        draws = np.repeat(importance[:, None], 400, axis=1)
        rho, *_ = rank_correlation(variance, importance, draws, Bootstrap())
        wrong += rho.verdict != "undecided"
    assert wrong <= binom.ppf(0.999, 200, 0.1)  # a percentile interval of 20 is a little narrow


@pytest.mark.parametrize(
    ("variance", "importance", "said"),
    [
        ([1.0, 2.0], [1.0, 2.0], "2 neurons says nothing"),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], "3 neurons have the same importance"),
        ([1.0, 1.0, 1.0], [0.0, 0.1, 0.0], "have the same variance"),
    ],
)
def test_no_rank_correlation_has_a_reason(variance, importance, said):
    draws = np.zeros((len(variance), 5))
    rho, p_value, reason = rank_correlation(
        np.array(variance), np.array(importance), draws, Bootstrap()
    )
    assert np.isnan([rho.value, rho.low, p_value]).all()
    assert said in reason
