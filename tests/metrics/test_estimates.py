"""Differences and their intervals: hand-worked, and honest where there is no effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binom

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import (
    NOT_MEASURED,
    Estimate,
    benjamini_hochberg,
    difference,
    difference_to,
    estimate,
    mean_over_categories,
    n_below,
    quantile_interval,
    random_member,
    rank_p_value,
)
from lakeviz.metrics.measurement import Measurement

METRIC = ("image", "auroc")
BOOTSTRAP = Bootstrap(n_resamples=1000)


def measurement(value, draws) -> Measurement:
    return Measurement({METRIC: value}, {METRIC: np.asarray(draws, dtype=float)})


def test_paired_differences_subtract_draw_by_draw():
    shared = np.random.default_rng(0).standard_normal(1000)
    one, other = measurement(0.9, shared + 0.2), measurement(0.7, shared)
    found = difference(one, other, METRIC, BOOTSTRAP)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.2))
    assert found.verdict == "higher"


def test_a_control_of_one_member_is_a_paired_difference():
    draws = np.random.default_rng(1).standard_normal((2, 1000))
    one, other = measurement(0.5, draws[0]), measurement(0.1, draws[1])
    paired = difference(one, other, METRIC, BOOTSTRAP)
    assert difference_to(one, [other], METRIC, BOOTSTRAP) == paired


def test_the_interval_holds_the_spread_between_members():
    # No spread over images at all: what is left is that of the choice of a member.
    members = [measurement(v, np.full(1000, v)) for v in np.linspace(0.4, 0.6, 21)]
    found = difference_to(measurement(0.55, np.full(1000, 0.55)), members, METRIC, BOOTSTRAP)
    assert found.value == pytest.approx(0.05)
    assert found.low == pytest.approx(0.55 - 0.6, abs=0.011)
    assert found.high == pytest.approx(0.55 - 0.4, abs=0.011)
    assert found.verdict == "undecided"
    assert n_below(measurement(0.55, [0]), members, METRIC) == 15


def test_each_member_is_taken_equally_often():
    members = [measurement(v, np.full(1000, v)) for v in range(8)]
    taken = random_member(members, METRIC, BOOTSTRAP)
    np.testing.assert_array_equal(np.unique(taken, return_counts=True)[1], [125] * 8)


def resampled_mean(one, members, bootstrap):
    """The rule that is not used: the mean of the members, drawn with replacement."""
    draws = np.stack([m.draws[METRIC] for m in members])
    picks = np.random.default_rng(0).integers(len(draws), size=draws.shape)
    gap = one.draws[METRIC] - np.take_along_axis(draws, picks, axis=0).mean(axis=0)
    value = one.values[METRIC] - np.mean([m.values[METRIC] for m in members])
    return Estimate(value, *quantile_interval(gap, bootstrap.confidence))


def one_more(one, members, bootstrap):
    return difference_to(one, members, METRIC, bootstrap)


def called_different(rule, n_members=20, n_worlds=400) -> int:
    """How often the rule calls a set different that is drawn as the members of the control are.

    The sets differ by 0.03, and each is measured with an error of 0.03 over images that the
    bootstrap knows; half of its variance is shared by all sets.
    """
    generator, wrong = np.random.default_rng(2), 0
    for _ in range(n_worlds):
        shared, own = (
            generator.standard_normal(301),
            generator.standard_normal((n_members + 1, 301)),
        )
        error = 0.03 * np.sqrt(0.5) * (shared + own)
        truth = 0.8 + 0.03 * generator.standard_normal((n_members + 1, 1))
        # The first error is that of the measured value; the others are those of its resamples.
        value = truth + error[:, :1]
        sets = [measurement(v.item(), v + e) for v, e in zip(value, error[:, 1:], strict=True)]
        wrong += rule(sets[0], sets[1:], BOOTSTRAP).verdict != "undecided"
    return wrong


def test_a_random_set_among_random_sets_is_called_different_as_rarely_as_said():
    """Exchangeable worlds: only a difference to *one more* random set keeps what it promises."""
    most = binom.ppf(0.999, 400, 0.05)
    assert called_different(one_more) <= most
    assert called_different(resampled_mean) > 2 * most


def test_without_spread_over_images_the_outermost_members_are_the_interval():
    """Then a further set lies beyond one of them in 2 of 21 worlds: no quantile reaches further."""
    generator = np.random.default_rng(3)
    n_worlds, wrong = 400, 0
    for _ in range(n_worlds):
        sets = [measurement(v, np.full(1000, v)) for v in generator.standard_normal(21)]
        wrong += one_more(sets[0], sets[1:], BOOTSTRAP).verdict != "undecided"
    assert binom.ppf(0.001, n_worlds, 2 / 21) <= wrong <= binom.ppf(0.999, n_worlds, 2 / 21)


def test_two_groups_are_compared_by_their_means():
    own = [measurement(v, np.full(1000, v)) for v in (0.6, 0.8)]
    members = [measurement(v, np.full(1000, v)) for v in (0.1, 0.2, 0.3)]
    found = difference_to(own, members, METRIC, BOOTSTRAP)
    assert found.value == pytest.approx(0.7 - 0.2)
    assert (found.low, found.high) == (pytest.approx(0.3), pytest.approx(0.7))
    assert difference_to(members, own, METRIC, BOOTSTRAP).value == pytest.approx(-0.5)


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
