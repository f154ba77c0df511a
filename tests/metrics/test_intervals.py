"""Bootstrap intervals against literal resampling, closed forms and their own coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import (
    IMAGE_METRICS,
    PIXEL_METRICS,
    Bootstrap,
    Conventions,
    get_metric,
    image_intervals,
    image_metrics,
    paired_difference,
    paired_pixel_difference,
    pixel_intervals,
    pixel_metrics,
)
from lakeviz.metrics.clips import ClusterBootstrap
from lakeviz.metrics.image_intervals import ImageCounts
from lakeviz.metrics.inputs import scored_images
from lakeviz.metrics.pixel_intervals import CountsPerImage

WIDE = Conventions(aupimo_bounds=(1e-3, 0.2))


def gaussian_scores(rng, n=40, shift=1.0):
    labels = np.arange(2 * n) < n
    return rng.normal(size=2 * n) + shift * labels, labels


@pytest.mark.parametrize("rule", ["step", "trapezoid"])
def test_resampled_images_equal_metrics_of_repeated_images(rule):
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 20).astype(float), np.arange(20) % 2 == 0
    conventions = Conventions(ap_rule=rule)
    weights = np.zeros((8, 20), dtype=int)
    weights[:, labels] = rng.multinomial(10, np.full(10, 0.1), size=8)
    weights[:, ~labels] = rng.multinomial(10, np.full(10, 0.1), size=8)
    counts = ImageCounts.of(scores, labels).resampled(weights)
    for metric in IMAGE_METRICS:
        literal = [
            getattr(image_metrics(scores.repeat(w), labels.repeat(w), conventions), metric)
            for w in weights
        ]
        found = get_metric("image", metric).evaluator("image", conventions)(counts)
        np.testing.assert_allclose(found, literal, atol=1e-12)


@pytest.mark.parametrize("levels", [None, 2])
def test_resampled_pixels_equal_metrics_of_repeated_images(smooth_set, levels):
    maps, masks = smooth_set(0, n=6, levels=levels)
    rng = np.random.default_rng(1)
    weights = np.zeros((5, 6), dtype=int)
    weights[:, ::2] = rng.multinomial(3, np.full(3, 1 / 3), size=5)
    weights[:, 1::2] = rng.multinomial(3, np.full(3, 1 / 3), size=5)
    counts = CountsPerImage.build(scored_images(maps, masks), WIDE).resampled(weights)
    for metric in PIXEL_METRICS:
        literal = [
            getattr(pixel_metrics(maps.repeat(w, axis=0), masks.repeat(w, axis=0), WIDE), metric)
            for w in weights
        ]
        found = get_metric("pixel", metric).evaluator("pixel", WIDE)(counts)
        np.testing.assert_allclose(found, literal, atol=1e-12)


def test_a_coarse_grid_stays_close(smooth_set):
    maps, masks = smooth_set(2, n=10, side=64)
    weights = np.ones((1, 10), dtype=int)
    images = scored_images(maps, masks)
    exact = CountsPerImage.build(images, WIDE)
    coarse = CountsPerImage.build(images, Conventions(interval_grid=64))
    assert coarse.n_thresholds <= 64 < exact.n_thresholds
    for metric in PIXEL_METRICS:
        evaluate = get_metric("pixel", metric).evaluator("pixel", WIDE)
        gap = evaluate(coarse.resampled(weights)) - evaluate(exact.resampled(weights))
        assert abs(gap[0]) < 0.02


def test_the_spread_of_auroc_is_delongs():
    # DeLong et al. 1988: variance from the placements of each class among the other.
    rng = np.random.default_rng(3)
    scores, labels = gaussian_scores(rng, n=60)
    wins = scores[labels][:, None] > scores[~labels][None, :]
    variance = wins.mean(1).var(ddof=1) / 60 + wins.mean(0).var(ddof=1) / 60
    interval = image_intervals(scores, labels, ["auroc"], Bootstrap(0.6827, 4000))["auroc"]
    half_width = (interval.high - interval.low) / 2
    assert half_width == pytest.approx(np.sqrt(variance), rel=0.08)


def test_coverage_of_the_closed_form():
    # Equal-variance Gaussians a distance d apart have AUROC Phi(d / sqrt 2).
    rng = np.random.default_rng(4)
    truth = stats.norm.cdf(1 / np.sqrt(2))
    hits = 0
    for seed in range(200):
        scores, labels = gaussian_scores(rng)
        interval = image_intervals(scores, labels, ["auroc"], Bootstrap(0.9, 400, seed))["auroc"]
        hits += interval.low <= truth <= interval.high
    # 180 expected, standard deviation 4.2; the percentile interval covers slightly less.
    assert 165 <= hits <= 195


def test_equal_seeds_give_equal_intervals(smooth_set):
    maps, masks = smooth_set(5, n=8)
    first, again = (
        pixel_intervals(maps, masks, bootstrap=Bootstrap(n_resamples=50, seed=7), conventions=WIDE)
        for _ in range(2)
    )
    other = pixel_intervals(
        maps, masks, bootstrap=Bootstrap(n_resamples=50, seed=8), conventions=WIDE
    )
    assert first == again != other
    assert set(first) == set(PIXEL_METRICS)


def test_draws_do_not_depend_on_the_block_size():
    labels = np.arange(30) < 10
    scores = np.arange(30.0)
    bootstrap = Bootstrap(n_resamples=40)
    evaluate = [lambda w: (w * scores).sum(axis=1)]
    whole, blocks = (bootstrap.draw(evaluate, labels, width) for width in (1, 1 << 20))
    np.testing.assert_array_equal(whole, blocks)


@pytest.mark.parametrize(
    "resampling",
    [Bootstrap(n_resamples=40), ClusterBootstrap(n_resamples=40, clusters=(0, 0, 1, 1, 2, 2, 2))],
)
@pytest.mark.parametrize("width", [1, 1 << 20])
def test_kept_draws_equal_those_that_are_too_many_to_keep(resampling, width, monkeypatch):
    labels = np.array([1, 0, 0, 0, 1, 0, 0], dtype=bool)
    kept, again = ([w for _, w in resampling.blocks(labels, width)] for _ in range(2))
    kept[0][:] = 0  # a reader who writes into them does not change the next reader's
    monkeypatch.setattr("lakeviz.metrics.bootstrap._KEPT_VALUES", 0)
    drawn = [w for _, w in resampling.blocks(labels, width)]
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(drawn))
    assert {w.dtype for w in again} == {w.dtype for w in drawn}


def test_every_draw_keeps_both_classes():
    seen = []

    def watch(weights):
        seen.append(weights)
        return np.zeros(len(weights))

    labels = np.array([True, False, False, False])
    Bootstrap(n_resamples=30).draw([watch], labels, 1)
    weights = np.concatenate(seen)
    assert (weights[:, 0] == 1).all() and (weights[:, 1:].sum(axis=1) == 3).all()


def test_an_interval_holds_its_value(smooth_set):
    maps, masks = smooth_set(6, n=10)
    intervals = pixel_intervals(maps, masks, ["auroc", "aupro"], Bootstrap(0.9, 200, 3), WIDE)
    exact = pixel_metrics(maps, masks, WIDE)
    for name, interval in intervals.items():
        assert interval.value == getattr(exact, name)
        assert interval.low < interval.value < interval.high


def test_paired_difference_against_itself_is_zero(smooth_set):
    maps, masks = smooth_set(7)
    pixel = paired_pixel_difference("aupro", maps, maps, masks, Bootstrap(n_resamples=50))
    scores, labels = gaussian_scores(np.random.default_rng(8))
    image = paired_difference("f1_max", scores, np.exp(scores), labels, Bootstrap(n_resamples=50))
    for result in (pixel, image):
        assert result.difference.value == 0
        assert result.difference.low <= 0 <= result.difference.high


def test_paired_difference_is_tighter_than_two_intervals():
    rng = np.random.default_rng(9)
    scores, labels = gaussian_scores(rng)
    better = scores + 0.5 * labels + 0.1 * rng.normal(size=scores.size)
    result = paired_difference("auroc", better, scores, labels)
    a, b = (image_intervals(s, labels)["auroc"] for s in (better, scores))
    assert result.value == a and result.control_values == (b.value,)
    assert result.difference.value == a.value - b.value
    assert result.difference.low > 0
    assert result.difference.high - result.difference.low < 0.55 * (a.high - a.low)
    mirrored = paired_difference("auroc", scores, better, labels)
    assert mirrored.difference.low == pytest.approx(-result.difference.high)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_paired_pixel_difference_finds_the_better_maps(smooth_set, metric):
    maps, masks = smooth_set(10, n=10)
    result = paired_pixel_difference(
        metric, maps + masks, maps, masks, Bootstrap(n_resamples=100), WIDE
    )
    assert result.difference.value > 0


def test_settings_are_read_from_results_of_both_protocols():
    made = Bootstrap(0.9, 50, 3)
    assert Bootstrap.from_plain({"confidence": 0.9, "n_resamples": 50, "seed": 3}) == made
    assert Bootstrap.from_plain({"level": 0.9, "n_draws": 50, "seed": 3}) == made
    assert Bootstrap.from_plain(None) == Bootstrap()


def test_bad_options_and_undefined_cases(smooth_set):
    maps, masks = smooth_set(11)
    with pytest.raises(ConfigError, match="confidence"):
        Bootstrap(confidence=1.0)
    with pytest.raises(ConfigError, match="n_resamples"):
        Bootstrap(n_resamples=0)
    with pytest.raises(ConfigError, match="no metric image aupro; known: image auroc"):
        image_intervals([1.0, 0.0], [1, 0], ["aupro"])
    with pytest.raises(MetricError, match="all 2 images are normal"):
        image_intervals([1.0, 0.0], [0, 0])
    with pytest.raises(MetricError, match="aupimo is undefined"):
        pixel_intervals(maps, masks, ["aupimo"])
    assert "aupimo" not in pixel_intervals(maps, masks, bootstrap=Bootstrap(n_resamples=5))
    with pytest.raises(MetricError, match="no mask"):
        paired_pixel_difference("auroc", maps, maps, np.zeros_like(masks))
    assert pixel_intervals(maps, np.zeros_like(masks)) == {}
