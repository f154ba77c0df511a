"""Estimates, their means over categories, and p-values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binom

from lakeviz.metrics.estimates import (
    NOT_MEASURED,
    Estimate,
    benjamini_hochberg,
    estimate,
    mean_over_categories,
    quantile_interval,
    rank_p_value,
    student_reach,
)


def test_verdicts_and_words():
    assert Estimate(0.1, 0.05, 0.2).verdict == "higher"
    assert Estimate(-0.1, -0.2, -0.05).verdict == "lower"
    assert Estimate(0.0, -0.2, 0.2).verdict == "undecided"
    assert NOT_MEASURED.verdict == "undecided"
    assert -Estimate(0.1, 0.05, 0.2) == Estimate(-0.1, -0.2, -0.05)


def test_one_way_to_write_a_number():
    assert str(Estimate(0.5, 0.4, 0.6)) == "0.500 [0.400, 0.600]"
    gap = Estimate(0.5, -0.4, 0.6)
    assert gap.text(signed=True) == "+0.500 [-0.400, +0.600]"
    assert gap.text(1, style="html") == "0.5 [−0.4, 0.6]"
    assert gap.text(1, style="latex") == "0.5 [$-$0.4, 0.6]"
    assert Estimate(-0.5).text(2) == "-0.50"
    dashes = [NOT_MEASURED.text(style=style) for style in ("plain", "html", "latex")]
    assert dashes == ["–", "—", "--"]


def test_rows_of_tables_hold_estimates():
    own, gap = Estimate(3, 2, 4), Estimate(1, 0, 2)
    row = {**own.columns(), **gap.columns("gap")}
    assert row == {"value": 3, "low": 2, "high": 4, "gap": 1, "gap_low": 0, "gap_high": 2}
    assert (estimate(row), estimate(row, "gap")) == (own, gap)


def test_means_over_units_have_students_interval():
    found = mean_over_categories(np.array([1.0, 2.0, 4.0]), 0.95)
    expected = stats.ttest_1samp([1.0, 2.0, 4.0], 0).confidence_interval(0.95)
    assert found.value == pytest.approx(7 / 3)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    single = mean_over_categories(np.array([4.0]), 0.95)
    assert single.value == 4.0
    assert np.isnan([single.low, single.high]).all()
    assert np.isnan(mean_over_categories(np.array([]), 0.95).value)


def test_equal_categories_are_no_certainty():
    """At the ceiling all categories agree: the interval is then what their own images allow."""
    parts = [Estimate(1.0, 0.7, 1.0), Estimate(1.0, 0.6, 1.0)]
    found = mean_over_categories(parts, 0.95)
    assert found.value == 1.0
    assert found.low == pytest.approx(1 - np.hypot(0.3, 0.4) / 2)
    spread = [Estimate(0.2, -9.0, 9.0), Estimate(0.4, -9.0, 9.0), Estimate(0.9, -9.0, 9.0)]
    told = mean_over_categories(spread, 0.95)
    alone = mean_over_categories([0.2, 0.4, 0.9], 0.95)
    assert (told.low, told.high) == (alone.low, alone.high)
    without = mean_over_categories(np.ones(3), 0.95)
    assert without.value == 1.0 and np.isnan([without.low, without.high]).all()


def bootstrap_of_categories(values, confidence):
    """The rule that is not used: percentiles of the mean over resampled categories."""
    picks = np.random.default_rng(0).integers(len(values), size=(500, len(values)))
    return Estimate(values.mean(), *quantile_interval(values[picks].mean(axis=1), confidence))


@pytest.mark.parametrize("n_categories", [2, 3, 5])
def test_categories_without_an_effect_are_called_so_as_rarely_as_said(n_categories):
    worlds = np.random.default_rng(n_categories).standard_normal((2000, n_categories))

    def wrong(rule) -> int:
        return sum(rule(w, 0.95).verdict != "undecided" for w in worlds)

    most = binom.ppf(0.999, 2000, 0.05)
    assert binom.ppf(0.001, 2000, 0.05) <= wrong(mean_over_categories) <= most
    assert wrong(bootstrap_of_categories) > 2 * most


def test_p_values():
    p_values = np.random.default_rng(0).random(40) ** 2
    expected = stats.false_discovery_control(p_values)
    np.testing.assert_array_equal(benjamini_hochberg(p_values), expected)
    # Hand-worked: p * n / rank, made monotone from the largest down.
    found = benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.03]))
    np.testing.assert_allclose(found, [0.03, 0.04, np.nan, 0.04])
    assert rank_p_value(2.0, np.array([1.0, 2.0, 3.0])) == 3 / 4
    assert rank_p_value(9.0, np.zeros(19)) == 1 / 20


def test_students_reach():
    values = np.array([1.0, 2.0, 4.0])
    t = stats.t.ppf(0.975, 2) * values.std(ddof=1)
    assert student_reach(values, 0.95) == pytest.approx(t / np.sqrt(3))
    assert student_reach(values, 0.95, one_more=True) == pytest.approx(t * np.sqrt(4 / 3))


def test_shares_of_the_variance():
    found = Estimate(0.0, variances={"images": 3.0, "sets": 1.0}).share_columns()
    assert (found["share_images"], found["share_sets"]) == (0.75, 0.25)
    assert np.isnan(found["share_draws"])
