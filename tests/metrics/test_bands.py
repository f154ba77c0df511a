"""Bands are quantiles of the curves of resampled images, drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from lakeviz.errors import MetricError
from lakeviz.metrics import (
    Bootstrap,
    Conventions,
    pixel_metrics,
    pr_band,
    pr_curve,
    pro_band,
    pro_curve,
    roc_band,
    roc_curve,
)
from lakeviz.metrics.curve_table import curve_table, read_curve
from lakeviz.metrics.pixel_intervals import CountedPixels, measure_pixels

RNG = np.random.default_rng(3)
LABELS = np.array([0, 1] * 20 + [1] * 7)
SCORES = RNG.normal(size=LABELS.size).round(1) + LABELS  # rounded: ties occur
BOOTSTRAP = Bootstrap(confidence=0.8, n_resamples=50, seed=5)
EXACT = Conventions(interval_grid=1 << 20)


def worlds():
    """Return maps and masks of 6 anomalous and 5 normal images, with regions and ties."""
    generator = np.random.default_rng(1)
    masks = np.zeros((11, 8, 9), dtype=bool)
    for image in range(6):
        row, column = generator.integers(0, 5, size=2)
        masks[image, row : row + 3, column : column + 2] = True
    masks[0, 0, 8] = True
    maps = (generator.normal(size=masks.shape) + masks).round(1)
    return maps, masks


def resamples(anomalous, bootstrap=BOOTSTRAP):
    """Draw the images as :class:`Bootstrap` documents it: a stream per class."""
    streams = np.random.default_rng(bootstrap.seed).spawn(2)
    drawn = np.zeros((bootstrap.n_resamples, anomalous.size), dtype=int)
    for stream, group in zip(streams, (np.flatnonzero(anomalous), np.flatnonzero(~anomalous))):
        even = np.full(group.size, 1 / group.size)
        drawn[:, group] = stream.multinomial(group.size, even, size=bootstrap.n_resamples)
    return [np.repeat(np.arange(anomalous.size), weights) for weights in drawn]


def quantiles(curves):
    return np.quantile(curves, [0.1, 0.9], axis=0)


def test_roc_band_of_images_is_scikit_learns_of_every_draw():
    band = roc_band(SCORES, LABELS, BOOTSTRAP, n_points=11)
    heights = []
    for drawn in resamples(LABELS.astype(bool)):
        fpr, tpr, _ = sk.roc_curve(LABELS[drawn], SCORES[drawn], drop_intermediate=False)
        # Straight up: the top counts. A step of nothing apart keeps interp from choosing.
        heights.append(np.interp(np.linspace(0, 1, 11) + 1e-12, fpr, tpr))
    low, high = quantiles(heights)
    assert band.low == pytest.approx(low, abs=1e-9)
    assert band.high == pytest.approx(high, abs=1e-9)


def test_pr_band_of_images_is_scikit_learns_of_every_draw():
    band = pr_band(SCORES, LABELS, BOOTSTRAP, n_points=8)
    heights = []
    for drawn in resamples(LABELS.astype(bool)):
        precision, recall, _ = sk.precision_recall_curve(LABELS[drawn], SCORES[drawn])
        # From the highest threshold down, without the point (0, 1) that stands for none.
        precision, recall = precision[-2::-1], recall[-2::-1]
        first = [np.flatnonzero(recall >= max(r, 1e-9) - 1e-12)[0] for r in np.linspace(0, 1, 8)]
        heights.append(precision[first])
    low, high = quantiles(heights)
    assert band.low == pytest.approx(low, abs=1e-12)
    assert band.high == pytest.approx(high, abs=1e-12)


@pytest.mark.parametrize("kind", ["roc", "pro"])
def test_bands_of_pixels_are_those_of_the_curves_of_every_draw(kind):
    maps, masks = worlds()
    make, curve, end = {"roc": (roc_band, roc_curve, 1), "pro": (pro_band, pro_curve, 0.3)}[kind]
    band = make(maps, masks, BOOTSTRAP, 13)
    heights = []
    for drawn in resamples(masks.any((1, 2))):
        one = curve(maps[drawn], masks[drawn])
        heights.append(np.interp(np.linspace(0, end, 13) + 1e-12, one.x, one.y))
    low, high = quantiles(heights)
    assert band.x[-1] == pytest.approx(end)
    assert band.low == pytest.approx(low, abs=1e-9)
    assert band.high == pytest.approx(high, abs=1e-9)


def test_the_band_of_one_draw_has_the_aupro_of_that_draw():
    """Band and interval resample the same images: one draw has no width, and its own area."""
    maps, masks = worlds()
    one = Bootstrap(confidence=0.5, n_resamples=1, seed=2)
    band = pro_band(maps, masks, one, 20001, EXACT)
    assert (band.low == band.high).all()
    drawn = measure_pixels(maps, masks, ("aupro",), one, EXACT).resampled["pixel", "aupro"]
    assert np.trapezoid(band.low, band.x) / 0.3 == pytest.approx(drawn.item(), abs=1e-4)


def test_pixel_band_on_a_grid_is_close_to_the_exact_one():
    maps, masks = worlds()
    exact = pro_band(maps, masks, BOOTSTRAP, 13, EXACT)
    coarse = pro_band(maps, masks, BOOTSTRAP, 13, Conventions(interval_grid=20))
    assert np.abs(exact.low - coarse.low).max() < 0.1


def test_band_of_perfect_scores_has_no_width():
    perfect = np.array([0.0, 1, 2, 3]), np.array([0, 0, 1, 1])
    for make in (roc_band, pr_band):
        band = make(*perfect, Bootstrap(n_resamples=20))
        assert (band.low == 1).all()


def test_bands_of_one_kind_alone_are_refused():
    for make in (roc_band, pr_band):
        with pytest.raises(MetricError):
            make(np.zeros(3), np.zeros(3, dtype=int), BOOTSTRAP)
    with pytest.raises(MetricError, match="defect pixel"):
        pro_band(np.zeros((2, 3, 3)), np.zeros((2, 3, 3), dtype=bool), BOOTSTRAP)


def test_the_table_of_curves_holds_every_curve_and_band_as_they_are_made_alone():
    maps, masks = worlds()
    table = curve_table(CountedPixels.of(maps, masks, EXACT), BOOTSTRAP)
    assert (table["n_normal"] == (~masks).sum()).all()
    assert (table["n_defect"] == masks.sum()).all()
    bands = {
        "roc": roc_band(maps, masks, BOOTSTRAP),
        "pr": pr_band(maps, masks, BOOTSTRAP),
        "pro": pro_band(maps, masks, BOOTSTRAP, conventions=EXACT),
    }
    alone = {"roc": roc_curve(maps, masks, 400), "pr": pr_curve(maps, masks, 400)}
    for kind, made in bands.items():
        curve, band = read_curve(table, kind, BOOTSTRAP)
        for name in ("x", "low", "high"):
            np.testing.assert_array_equal(getattr(band, name), getattr(made, name))
        if kind in alone:
            for name in ("x", "y", "thresholds"):
                np.testing.assert_array_equal(getattr(curve, name), getattr(alone[kind], name))
    # The area up to the limit, over the limit, is the AUPRO.
    curve, _ = read_curve(table, "pro")
    assert curve.x[-1] == 0.3
    area = np.trapezoid(curve.y, curve.x) / 0.3
    assert area == pytest.approx(pixel_metrics(maps, masks).aupro, abs=1e-12)
