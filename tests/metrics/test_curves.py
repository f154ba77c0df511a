"""Curves carry the areas, keep their ends when thinned, and their thresholds mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import image_metrics, pixel_metrics, pr_curve, pro_curve, roc_curve


@pytest.fixture(params=[None, 2])
def pixels(request, smooth_set):
    return smooth_set(0, n=4, side=16, levels=request.param)


def test_roc_curve_holds_the_area_and_its_thresholds(pixels):
    maps, masks = pixels
    curve = roc_curve(maps, masks)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(pixel_metrics(maps, masks).auroc)
    for x, y, threshold in zip(curve.x, curve.y, curve.thresholds):
        assert x == pytest.approx((maps[~masks] >= threshold).mean())
        assert y == pytest.approx((maps[masks] >= threshold).mean())
    assert curve.conventions.resolution == "16x16"


def test_roc_curve_passes_through_every_point_of_scikit_learns(pixels):
    maps, masks = pixels
    fpr, tpr, _ = sk.roc_curve(masks.ravel(), maps.ravel(), drop_intermediate=False)
    curve = roc_curve(maps, masks)
    start = np.stack([curve.x, curve.y], axis=1)[:-1]
    step = np.diff(np.stack([curve.x, curve.y], axis=1), axis=0)
    for point in np.stack([fpr, tpr], axis=1):
        along = ((point - start) * step).sum(axis=1) / (step**2).sum(axis=1)
        nearest = start + along.clip(0, 1)[:, None] * step
        assert np.linalg.norm(point - nearest, axis=1).min() < 1e-12


def test_pr_curve_holds_average_precision(pixels):
    maps, masks = pixels
    curve = pr_curve(maps, masks)
    area = (np.diff(curve.x) * curve.y[1:]).sum()
    assert area == pytest.approx(pixel_metrics(maps, masks).average_precision)
    assert (curve.x[0], curve.y[0]) == (0, 1)
    assert curve.x[-1] == 1 and curve.y[-1] >= masks.mean()


def test_pro_curve_is_the_textbooks(pixels, textbook_pro):
    maps, masks = pixels
    rates, overlaps = textbook_pro(maps, masks)
    curve = pro_curve(maps, masks)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(np.trapezoid(overlaps, rates))
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.x) >= 0).all() and (np.diff(curve.y) >= 0).all()


def test_image_level_curves_from_lists():
    scores, labels = [0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]
    curve = roc_curve(scores, labels)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(image_metrics(scores, labels).auroc)
    assert pr_curve(scores, labels).y.tolist() == pytest.approx([1, 1, 2 / 3])


@pytest.mark.parametrize("n_points", [2, 5, 40])
@pytest.mark.parametrize("make", [roc_curve, pr_curve, pro_curve])
def test_thinning_keeps_the_ends_and_only_true_points(smooth_set, make, n_points):
    maps, masks = smooth_set(1)
    full, thin = make(maps, masks), make(maps, masks, n_points=n_points)
    assert thin.x.size <= n_points < full.x.size
    for end in (0, -1):
        assert (thin.x[end], thin.y[end]) == (full.x[end], full.y[end])
    assert set(zip(thin.x, thin.y, thin.thresholds)) <= set(zip(full.x, full.y, full.thresholds))


def test_thinning_loses_little_area(smooth_set):
    maps, masks = smooth_set(2, side=64)
    full, thin = roc_curve(maps, masks), roc_curve(maps, masks, n_points=200)
    gap = np.trapezoid(full.y, full.x) - np.trapezoid(thin.y, thin.x)
    assert abs(gap) < 1e-3


def test_undefined_cases(smooth_set):
    maps, masks = smooth_set(3)
    with pytest.raises(MetricError, match="no mask of the"):
        roc_curve(maps, np.zeros_like(masks))
    with pytest.raises(MetricError, match="every pixel of the"):
        pro_curve(maps, np.ones_like(masks))
    with pytest.raises(MetricError, match="all 2 images are normal"):
        pr_curve([1.0, 2.0], [0, 0])
    with pytest.raises(ConfigError, match="n_points"):
        roc_curve(maps, masks, n_points=1)
