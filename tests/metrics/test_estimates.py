"""Differences and their intervals: hand-worked, and honest where there is no effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binom

from lakeviz.metrics import Bootstrap, estimates
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.measurement import Measurement

METRIC = ("image", "auroc")
BOOTSTRAP = Bootstrap(n_resamples=1000)


def measurement(value, draws) -> Measurement:
    return Measurement({METRIC: value}, {METRIC: np.asarray(draws, dtype=float)})


def test_paired_differences_subtract_draw_by_draw():
    shared = np.random.default_rng(0).standard_normal(1000)
    one, other = measurement(0.9, shared + 0.2), measurement(0.7, shared)
    found = estimates.difference(one, other, METRIC, BOOTSTRAP)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.2))
    assert found.verdict == "higher"


def test_a_control_of_one_member_is_a_paired_difference():
    draws = np.random.default_rng(1).standard_normal((2, 1000))
    one, other = measurement(0.5, draws[0]), measurement(0.1, draws[1])
    paired = estimates.difference(one, other, METRIC, BOOTSTRAP)
    assert estimates.difference_to(one, [other], METRIC, BOOTSTRAP) == paired


def test_the_interval_holds_the_spread_between_members():
    # No spread over images at all: what is left is that of the choice of a member.
    members = [measurement(v, np.full(1000, v)) for v in np.linspace(0.4, 0.6, 21)]
    found = estimates.difference_to(
        measurement(0.55, np.full(1000, 0.55)), members, METRIC, BOOTSTRAP
    )
    assert found.value == pytest.approx(0.05)
    assert found.low == pytest.approx(0.55 - 0.6, abs=0.011)
    assert found.high == pytest.approx(0.55 - 0.4, abs=0.011)
    assert found.verdict == "undecided"
    assert estimates.n_below(measurement(0.55, [0]), members, METRIC) == 15


def test_each_member_is_taken_equally_often():
    members = [measurement(v, np.full(1000, v)) for v in range(8)]
    taken = estimates.random_member(members, METRIC, BOOTSTRAP)
    np.testing.assert_array_equal(np.unique(taken, return_counts=True)[1], [125] * 8)


def test_a_random_set_among_random_sets_is_called_different_as_rarely_as_said():
    """The null: the set in question is itself drawn as the members of the control are."""
    generator = np.random.default_rng(2)
    n_worlds, wrong = 400, 0
    for _ in range(n_worlds):
        image_noise = 0.02 * generator.standard_normal(1000)
        values = 0.8 + 0.05 * generator.standard_normal(21)
        sets = [measurement(v, v + image_noise) for v in values]
        wrong += (
            estimates.difference_to(sets[0], sets[1:], METRIC, BOOTSTRAP).verdict != "undecided"
        )
    # 20 members say less of the tails than infinitely many: the exact level is 2 of 21 beyond the
    # outermost members, and less inside them.
    assert binom.ppf(0.001, n_worlds, 0.05) <= wrong <= binom.ppf(0.999, n_worlds, 2 / 21)


def test_verdicts_and_words():
    assert Estimate(0.1, 0.05, 0.2).verdict == "higher"
    assert Estimate(-0.1, -0.2, -0.05).verdict == "lower"
    assert Estimate(0.0, -0.2, 0.2).verdict == "undecided"
    assert estimates.NOT_MEASURED.verdict == "undecided"
    assert str(Estimate(0.5, 0.4, 0.6)) == "0.500 [0.400, 0.600]"
    assert Estimate(0.5, -0.4, 0.6).text(signed=True) == "+0.500 [-0.400, +0.600]"
    assert Estimate(1, 0, 2).columns("gap") == {"gap": 1, "gap_low": 0, "gap_high": 2}


def test_means_over_units_have_students_interval():
    found = estimates.mean_over_categories(np.array([1.0, 2.0, 4.0]), 0.95)
    expected = stats.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval(0.95)
    assert found.value == pytest.approx(7 / 3)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    single = estimates.mean_over_categories(np.array([4.0]), 0.95)
    assert single.value == 4.0
    assert np.isnan([single.low, single.high]).all()
    assert np.isnan(estimates.mean_over_categories(np.array([]), 0.95).value)


@pytest.mark.parametrize("n_units", [2, 3, 8])
def test_units_without_an_effect_are_called_so_as_rarely_as_said(n_units):
    generator = np.random.default_rng(n_units)
    worlds = generator.standard_normal((2000, n_units))
    wrong = sum(estimates.mean_over_categories(w, 0.95).verdict != "undecided" for w in worlds)
    assert binom.ppf(0.001, 2000, 0.05) <= wrong <= binom.ppf(0.999, 2000, 0.05)


def test_p_values():
    # Hand-worked: p * n / rank, made monotone from the largest down.
    found = estimates.benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.03]))
    np.testing.assert_allclose(found, [0.03, 0.04, np.nan, 0.04])
    assert estimates.rank_p_value(2.0, np.array([1.0, 2.0, 3.0])) == 3 / 4
    assert estimates.rank_p_value(9.0, np.zeros(19)) == 1 / 20
