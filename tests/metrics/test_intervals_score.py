"""Intervals of values and of paired differences: closed forms, and what holds for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from lakeviz.errors import ConfigError
from lakeviz.metrics import MetricDefinition, register_metric, registry
from lakeviz.metrics.intervals import coverage_note, interval, paired_difference_interval

AUROC, AP, D = ("image", "auroc"), ("image", "average_precision"), ("image", "cohens_d")
PIXEL_AP = ("pixel", "average_precision")
Z = 1.959963984540054


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_DEFINITIONS", dict(registry._DEFINITIONS))
    return register_metric


def spread(value, sd, n=2000, seed=0):
    """Resamples whose variance is exact."""
    draws = np.random.default_rng(seed).normal(size=n)
    return value + sd * (draws - draws.mean()) / draws.std(ddof=1)


def newcombe_5(auroc, m, n):
    """Limits from the formulas of the paper, with Hanley and McNeil's Q1 and Q2."""

    def far(true):
        q1, q2, size = true / (2 - true), 2 * true**2 / (1 + true), (m + n) / 2
        variance = true * (1 - true) + (size - 1) * (q1 + q2 - 2 * true**2)
        return (auroc - true) ** 2 - Z**2 * variance / (m * n)

    ends = (1e-12, auroc - 1e-9), (auroc + 1e-9, 1 - 1e-12)
    low, high = (brentq(far, *end) if end[1] > end[0] else 1.0 for end in ends)
    return low, high


def test_newcombe_at_the_ceiling():
    low, high = interval(AUROC, 1.0, np.ones(100), 6, 17, 0.95)
    assert (round(low, 3), high) == (0.780, 1.0)


@pytest.mark.parametrize(("auroc", "m", "n"), [(0.9, 10, 20), (0.6, 2, 17), (1.0, 50, 50)])
def test_without_spread_the_image_auroc_is_newcombes_method_5(auroc, m, n):
    found = interval(AUROC, auroc, np.full(50, auroc), m, n, 0.95)
    assert found == pytest.approx(newcombe_5(auroc, m, n), abs=1e-6)


def test_at_the_ceiling_other_metrics_are_wilsons_of_as_many_images():
    # n of n successes: n / (n + z^2), with the harmonic mean of both numbers of images.
    low, high = interval(AP, 1.0, np.ones(100), 10, 40, 0.95)
    assert (low, high) == (pytest.approx(16 / (16 + Z**2)), 1.0)
    # Every image has pixels without defect: 10 images with defects and 50 with background.
    low, _ = interval(PIXEL_AP, 1.0, np.ones(100), 10, 40, 0.95)
    size = 2 / (1 / 10 + 1 / 50)
    assert low == pytest.approx(size / (size + Z**2))


def test_many_images_give_the_interval_of_the_resamples():
    # A variance of 1e-4 at 0.8 is that of 1600 Bernoulli trials: Wilson's interval of 1280 of them.
    low, high = interval(AP, 0.8, spread(0.8, 0.01), 1000, 1000, 0.95)
    wilson = stats.binomtest(1280, 1600).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=2e-4)


def test_cohens_d_without_spread_is_hedges_interval():
    reach = Z * math.sqrt(1 / 10 + 1 / 20 + 1.5**2 / (2 * 28))
    assert interval(D, 1.5, np.full(50, 1.5), 10, 20, 0.95) == pytest.approx(
        (1.5 - reach, 1.5 + reach)
    )
    # Scores that are all equal: d is 0 in each resample, and nothing is known of the true one.
    low, high = interval(D, 0.0, np.zeros(50), 2, 17, 0.95)
    assert low == -high < -1
    assert all(math.isnan(limit) for limit in interval(D, math.inf, np.zeros(50), 1, 1, 0.95))


def test_infinite_resamples_are_left_out():
    draws = spread(1.0, 0.3)
    expected = interval(D, 1.0, draws, 10, 10, 0.95)
    assert interval(D, 1.0, np.append(draws, [np.inf, np.nan]), 10, 10, 0.95) == expected


cases = {
    "metric": st.sampled_from([AUROC, AP, PIXEL_AP, ("pixel", "aupro"), ("pixel", "auroc")]),
    "value": st.sampled_from([0.0, 1.0, 0.5]) | st.floats(0, 1),
    "sd": st.sampled_from([0.0]) | st.floats(1e-5, 0.4),
    "n": st.tuples(st.integers(1, 400), st.integers(1, 400)),
}


@settings(deadline=None, max_examples=200)
@given(**cases, confidence=st.floats(0.5, 0.98))
def test_a_bounded_metric_has_a_proper_interval(metric, value, sd, n, confidence):
    draws = np.clip(spread(value, sd, 50), 0, 1)
    low, high = interval(metric, value, draws, *n, confidence=confidence)
    assert 0 <= low <= value <= high <= 1 and high - low > 1e-6
    wider = interval(metric, value, draws, *n, confidence=confidence + 0.01)
    assert wider[0] <= low and high <= wider[1]
    mirrored = interval(metric, 1 - value, 1 - draws, *n, confidence=confidence)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(value=cases["value"], sd=cases["sd"], n=cases["n"])
def test_the_image_auroc_does_not_care_which_class_is_which(value, sd, n):
    draws = np.clip(spread(value, sd, 50), 0, 1)
    low, high = interval(AUROC, value, draws, *n, confidence=0.95)
    swapped = interval(AUROC, 1 - value, 1 - draws, *n[::-1], confidence=0.95)
    assert swapped == pytest.approx((1 - high, 1 - low), abs=1e-6)


@settings(deadline=None, max_examples=100)
@given(a=cases["value"], b=cases["value"], sd=cases["sd"], share=st.floats(0, 1), n=cases["n"])
def test_a_difference_has_a_proper_interval(a, b, sd, share, n):
    draws_a = np.clip(spread(a, sd, 60), 0, 1)
    draws_b = np.clip(share * (draws_a - a) + (1 - share) * spread(0, sd, 60, 1) + b, 0, 1)
    low, high = paired_difference_interval(AUROC, a, draws_a, b, draws_b, *n, confidence=0.95)
    assert -1 <= low <= a - b <= high <= 1 and high - low > 1e-6
    reverse = paired_difference_interval(AUROC, b, draws_b, a, draws_a, *n, confidence=0.95)
    assert reverse == pytest.approx((-high, -low), abs=1e-6)
    wider = paired_difference_interval(AUROC, a, draws_a, b, draws_b, *n, confidence=0.99)
    assert wider[0] <= low + 1e-9 and high <= wider[1] + 1e-9


def test_two_conditions_without_an_error_may_differ_by_what_each_may_lack():
    ones = np.ones(100)
    low, high = paired_difference_interval(AUROC, 1.0, ones, 1.0, ones, 6, 17, 0.95)
    assert (round(low, 3), round(high, 3)) == (-0.220, 0.220)


def test_independent_conditions_on_few_images_are_mover():
    # Constant resamples have no correlation: Zou and Donner's formula of independent estimates.
    (l1, u1), (l2, u2) = newcombe_5(0.9, 10, 20), newcombe_5(0.7, 10, 20)
    found = paired_difference_interval(
        AUROC, 0.9, np.full(50, 0.9), 0.7, np.full(50, 0.7), 10, 20, 0.95
    )
    expected = 0.2 - math.hypot(0.9 - l1, u2 - 0.7), 0.2 + math.hypot(u1 - 0.9, 0.7 - l2)
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_condition_against_itself_has_a_width_of_the_order_of_one_image():
    draws = spread(0.9, 0.03)
    for n in (20, 80, 320):
        low, high = paired_difference_interval(AUROC, 0.9, draws, 0.9, draws, n, n, 0.95)
        one_low, one_high = interval(AUROC, 0.9, draws, n, n, 0.95)
        assert low < 0 < high
        # Common to both but for the share 1 / n; up and down differ a little.
        assert (high - low) / (one_high - one_low) == pytest.approx(math.sqrt(2 / n), rel=0.6)


def test_a_difference_in_many_images_is_students_of_the_resamples():
    common, own = spread(0.0, 0.02), spread(0.0, 0.005, seed=1)
    a, b = 0.8 + common + own, 0.75 + common
    found = paired_difference_interval(AP, 0.8, a, 0.75, b, 200, 200, 0.95)
    reach = stats.t.ppf(0.975, 200) * np.std(a - b, ddof=1) * math.sqrt(200 / 199)
    assert found == pytest.approx((0.05 - reach, 0.05 + reach), rel=0.01)


def test_a_difference_in_one_image_is_wider_than_its_resamples_say():
    # One of 40 images is ranked otherwise: a resample holds it a Poisson number of times.
    times = np.random.default_rng(0).poisson(1, 5000)
    common = spread(0.0, 0.02, 5000, 2)
    a, b = 0.9 + common, 0.9 + common - 0.005 * (times - 1)
    found = paired_difference_interval(AUROC, 0.9, a, 0.9, b, 20, 20, 0.95)
    assert found[1] - found[0] > 2 * (2 * 1.96 * 0.005)


def test_a_metric_of_a_user_is_kept_inside_its_bounds(registered):
    formula = lambda counts, conventions: np.zeros(1)  # noqa: E731
    registered(MetricDefinition("fpr95", "FPR95", image=formula, higher_is_better=False, best=0.0))
    registered(MetricDefinition("percent", "Percent", image=formula, bounds=(0.0, 100.0)))
    registered(MetricDefinition("gap", "Gap", image=formula, best=math.inf))
    registered(MetricDefinition("cost", "Cost", image=formula, best=0.0, bounds=(0.0, math.inf)))
    draws = spread(0.1, 0.05)
    low, high = interval(("image", "fpr95"), 0.1, draws, 20, 20, 0.95)
    assert 0 < low < 0.1 < high < 1
    scaled = interval(("image", "percent"), 10.0, 100 * draws, 20, 20, 0.95)
    assert scaled == pytest.approx((100 * low, 100 * high))
    reach = stats.t.ppf(0.975, 20) * 0.05 * math.sqrt(20 / 19)
    expected = (0.1 - reach, 0.1 + reach)
    assert interval(("image", "gap"), 0.1, draws, 20, 20, 0.95) == pytest.approx(expected)
    found = interval(("image", "cost"), 0.1, spread(0.1, 0.1), 20, 20, 0.95)
    assert found == pytest.approx((0.0, 0.1 + 2 * reach))
    assert math.isnan(interval(("image", "gap"), 0.1, np.full(9, 0.1), 20, 20, 0.95)[0])
    with pytest.raises(ConfigError, match=r"fpr95 is 4\.0, outside its bounds 0\.0 and 1\.0"):
        interval(("image", "fpr95"), 4.0, draws, 20, 20, 0.95)


def test_an_interval_says_where_its_coverage_falls_short():
    for metric in (AUROC, AP, D, PIXEL_AP):
        assert coverage_note(metric, 300, 300) == ""
        assert "1 image of one class" in coverage_note(metric, 17, 1)
    for metric in (AP, D):
        assert coverage_note(metric, 3, 17) == ""
    assert "fewer than 20 images" in coverage_note(AUROC, 2, 17)
    assert "fewer than 20 images" in coverage_note(PIXEL_AP, 19, 300)
    assert "2 images of one class" in coverage_note(PIXEL_AP, 2, 17)
    assert "2 images of one class" in coverage_note(AP, 17, 2)
    assert "best F1" in coverage_note(("image", "f1_max"), 300, 300)
    assert coverage_note(("image", "fpr95"), 300, 300) == "coverage not measured for this metric"
