"""Differences and their intervals: hand-worked, and honest where there is no effect."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binom

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.contrasts import (
    Replicates,
    contrast,
    difference,
    difference_to,
    estimate_of,
    mean_estimate,
    n_below,
    p_value_among,
)
from lakeviz.metrics.estimates import Estimate, quantile_interval
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.metrics.intervals import interval, paired_difference_interval
from lakeviz.metrics.measurement import Measurement

METRIC = ("pixel", "auroc")
BOOTSTRAP = Bootstrap(n_resamples=1000)
N = (40, 40)


def measurement(value, draws) -> Measurement:
    return Measurement({METRIC: value}, {METRIC: np.asarray(draws, dtype=float)}, {"pixel": N})


def noisy(value, generator, sd=0.02) -> Measurement:
    return measurement(value, value + sd * generator.standard_normal(1000))


def own_interval(one: Measurement, confidence=0.95) -> tuple[float, float]:
    return interval(METRIC, one.values[METRIC], one.resampled[METRIC], *N, confidence)


def test_over_images_alone_a_difference_is_the_paired_interval():
    generator = np.random.default_rng(0)
    one, other = noisy(0.9, generator), noisy(0.7, generator)
    found = difference(one, other, METRIC, BOOTSTRAP)
    draws = (one.resampled[METRIC], other.resampled[METRIC])
    expected = paired_difference_interval(METRIC, 0.9, draws[0], 0.7, draws[1], *N, 0.95)
    assert (found.low, found.high) == pytest.approx(expected)
    assert contrast([(-1, other), (1, one)], METRIC, 0.95) == found
    turned = difference(other, one, METRIC, BOOTSTRAP)
    assert turned.low == pytest.approx(-found.high)


def test_paired_conditions_are_told_apart_more_sharply():
    shared = 0.02 * np.random.default_rng(0).standard_normal(1000)
    one, other = measurement(0.80, 0.80 + shared), measurement(0.79, 0.79 + shared)
    found = difference(one, other, METRIC, BOOTSTRAP)
    assert found.high - found.low < 0.25 * (own_interval(one)[1] - own_interval(one)[0])


def test_equal_conditions_leave_a_little_room():
    draws = 0.9 + 0.02 * np.random.default_rng(0).standard_normal(1000)
    found = difference(measurement(0.9, draws), measurement(0.9, draws), METRIC, BOOTSTRAP)
    single = own_interval(measurement(0.9, draws))
    assert found.value == 0
    assert 0 < found.high - found.low < (single[1] - single[0]) / 3
    best = measurement(1.0, np.ones(1000))
    assert difference(best, best, METRIC, BOOTSTRAP).low < -0.01


def test_one_and_the_same_detector_is_told_by_its_scores():
    """Scores equal but for rounding leave one pair of images; equal ranks alone do not."""
    labels = np.repeat([0, 1], 12)
    scores = np.random.default_rng(0).random(24) + 0.5 * labels
    one, rounded, ranked = (
        measure_images(s, labels, ("auroc",), BOOTSTRAP)
        for s in (scores, scores * (1 + 1e-6), scores**2)
    )
    metric = ("image", "auroc")
    found = difference(one, rounded, metric, BOOTSTRAP)
    assert (found.low, found.high) == pytest.approx((-1 / 144, 1 / 144))
    assert difference(one, ranked, metric, BOOTSTRAP).high > 2 / 144


def test_one_member_is_a_paired_difference():
    generator = np.random.default_rng(1)
    one, other = noisy(0.5, generator), noisy(0.4, generator)
    paired = difference(one, other, METRIC, BOOTSTRAP)
    assert difference_to(one, [other], METRIC, BOOTSTRAP) == paired
    assert math.isnan(p_value_among(one, [other], METRIC))


def test_sets_add_a_prediction_or_the_error_of_their_mean():
    """Hand-worked: a metric without error over images leaves Student's intervals of the sets."""
    values = np.linspace(0.4, 0.6, 21)
    members = [measurement(v, np.full(1000, v)) for v in values]
    one = measurement(0.55, np.full(1000, 0.55))
    alone = difference(one, measurement(0.5, np.full(1000, 0.5)), METRIC, BOOTSTRAP)
    s = stats.t.ppf(0.975, 20) * values.std(ddof=1)
    for rule, factor in ((difference_to, 1 + 1 / 21), (difference, 1 / 21)):
        found = rule(one, members, METRIC, BOOTSTRAP)
        assert found.value == pytest.approx(0.05)
        below = math.hypot(alone.value - alone.low, s * math.sqrt(factor))
        assert found.value - found.low == pytest.approx(below, rel=1e-6)
    assert found.variances["sets"] == pytest.approx(values.var(ddof=1) / 21)
    assert n_below(measurement(0.55, [0]), members, METRIC) == 15


def test_draws_of_the_normal_images_add_students_interval():
    generator = np.random.default_rng(2)
    values = [0.7, 0.72, 0.78, 0.75, 0.69]
    error = 0.01 * generator.standard_normal(1000)
    draws = Replicates.over_draws([measurement(v, v + error) for v in values])
    found = estimate_of(draws, METRIC, BOOTSTRAP)
    mean = measurement(np.mean(values), np.mean(values) + error)
    t = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) / math.sqrt(5)
    assert found.value - found.low == pytest.approx(
        math.hypot(mean.values[METRIC] - own_interval(mean)[0], t)
    )
    assert found.variances["draws"] == pytest.approx(np.var(values, ddof=1) / 5)
    assert set(found.variances) == {"images", "draws"}
    # Paired over draws too: what moves both alike leaves their difference alone.
    other = Replicates.over_draws([measurement(v - 0.1, v - 0.1 + error) for v in values])
    gap = difference(draws, other, METRIC, BOOTSTRAP)
    assert gap.variances["draws"] == pytest.approx(0, abs=1e-20)
    assert gap.low > 0.09


def test_a_difference_of_differences():
    generator = np.random.default_rng(3)
    cells = [noisy(v, generator) for v in (0.8, 0.7, 0.6, 0.55)]
    found = contrast(list(zip((1, -1, -1, 1), cells, strict=True)), METRIC, 0.95)
    assert found.value == pytest.approx(0.8 - 0.7 - 0.6 + 0.55)
    assert found.low < found.value < found.high


def test_rank_p_values_follow_the_direction_of_the_metric():
    members = [measurement(v, [v]) for v in (0.1, 0.2, 0.3)]
    assert p_value_among(measurement(0.25, [0]), members, METRIC) == 2 / 4
    assert p_value_among(measurement(0.9, [0]), members, METRIC) == 1 / 4


def test_intervals_stay_inside_the_metric():
    members = [measurement(v, np.full(1000, v)) for v in (0.9, 1.0, 0.8)]
    found = mean_estimate(members, METRIC, BOOTSTRAP)
    assert found.low < 0.9 < found.high <= 1


def test_intervals_of_differences_stay_inside_what_two_values_can_differ_by():
    generator = np.random.default_rng(0)
    ones, zeros = ([noisy(v, generator) for v in values] for values in ((0.99, 0.97), (0.01, 0.09)))
    found = contrast([(1, ones[0]), (-1, zeros)], METRIC, 0.95)  # two sets: Student's is far out
    assert found.high == 1.0 and found.low < found.value < 1.0
    terms = [(1, ones[0]), (-1, zeros), (-1, zeros), (1, ones[1])]
    assert contrast(terms, METRIC, 0.95).high == 2.0


def resampled_mean(one, members, bootstrap):
    """The rule that is not used: the mean of the members, drawn with replacement."""
    draws = np.stack([m.resampled[METRIC] for m in members])
    picks = np.random.default_rng(0).integers(len(draws), size=draws.shape)
    gap = one.resampled[METRIC] - np.take_along_axis(draws, picks, axis=0).mean(axis=0)
    value = one.values[METRIC] - np.mean([m.values[METRIC] for m in members])
    return Estimate(value, *quantile_interval(gap, bootstrap.confidence))


def one_more(one, members, bootstrap):
    return difference_to(one, members, METRIC, bootstrap)


def called_different(rule, n_members, confidence=0.95, n_worlds=400) -> int:
    """How often the rule calls a set different that is drawn as the members of the control are.

    The sets differ by 0.03, and each is measured with an error of 0.03 over images that the
    bootstrap knows; half of its variance is shared by all sets.
    """
    generator, wrong = np.random.default_rng(2), 0
    bootstrap = Bootstrap(confidence, n_resamples=300)
    for _ in range(n_worlds):
        shared = generator.standard_normal(301)
        own = generator.standard_normal((n_members + 1, 301))
        error = 0.03 * np.sqrt(0.5) * (shared + own)
        truth = 0.8 + 0.03 * generator.standard_normal((n_members + 1, 1))
        # The first error is that of the measured value; the others are those of its resamples.
        value = truth + error[:, :1]
        sets = [measurement(v.item(), v + e) for v, e in zip(value, error[:, 1:], strict=True)]
        wrong += rule(sets[0], sets[1:], bootstrap).verdict != "undecided"
    return wrong


@pytest.mark.parametrize("n_members", [5, 20])
def test_a_random_set_among_random_sets_is_called_different_as_rarely_as_said(n_members):
    """Exchangeable worlds: only a difference to *one more* random set keeps what it promises."""
    most = binom.ppf(0.999, 400, 0.05)
    assert called_different(one_more, n_members) <= most
    assert called_different(resampled_mean, n_members) > 2 * most


def test_a_corrected_confidence_can_be_reached_with_few_members():
    """No quantile of five members reaches 99.6 %; Student's tail does."""
    assert called_different(one_more, 5, confidence=0.996) <= binom.ppf(0.999, 400, 0.004)
