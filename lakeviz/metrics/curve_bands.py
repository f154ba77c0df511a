"""Pointwise bootstrap bands of ROC, precision-recall and PRO curves over images.

The resamples are those of the intervals of the areas under the curves: the same seed draws the same
images, and curves of pixels have the same grid of thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lakeviz.errors import MetricError
from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.image import both_classes
from lakeviz.metrics.image_intervals import ImageCounts, ImageResamples
from lakeviz.metrics.inputs import ArrayLike, is_flat, scored_images
from lakeviz.metrics.pixel import one_kind
from lakeviz.metrics.pixel_intervals import CountsPerImage, PixelResamples

Heights = Float[np.ndarray, "resample point"]
_N_POINTS = 201


@dataclass(frozen=True)
class Band:
    """Lower and upper edge of a curve at the positions ``x``."""

    x: Float[np.ndarray, " point"]
    low: Float[np.ndarray, " point"]
    high: Float[np.ndarray, " point"]
    bootstrap: Bootstrap


def roc_band(
    scores: ArrayLike,
    labels: ArrayLike,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    n_points: int = _N_POINTS,
) -> Band:
    """Interval of the true-positive rate at evenly spaced false-positive rates.

    Normal and anomalous images are drawn apart, each as many as there are. Equal scores are one
    threshold, crossed in a straight line, as everywhere in :mod:`lakeviz.metrics`.

    Parameters
    ----------
    scores, labels
        Of images, or maps and masks; as for :func:`lakeviz.metrics.roc_curve`.
    bootstrap
        Resamples, confidence and seed.
    n_points
        Number of rates from 0 to 1.

    Raises
    ------
    MetricError
        Bad input, or only one class is present.
    """
    at = np.linspace(0, 1, n_points)
    heights = [
        _straight(c, c.tp / c.n_positive[:, None], at)
        for c in _resampled(scores, labels, bootstrap)
    ]
    return _band(at, heights, bootstrap)


def pr_band(
    scores: ArrayLike,
    labels: ArrayLike,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    n_points: int = _N_POINTS,
) -> Band:
    """Interval of the precision at evenly spaced recalls, by the step rule.

    The precision at a recall is that at the highest threshold that reaches it; at recall 0 that at
    the first defect found. Takes and raises what :func:`roc_band` does.
    """
    at = np.linspace(0, 1, n_points)
    heights = [_steps(c, at) for c in _resampled(scores, labels, bootstrap)]
    return _band(at, heights, bootstrap)


def pro_band(
    maps: ArrayLike,
    masks: ArrayLike,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    n_points: int = _N_POINTS,
    conventions: Conventions = DEFAULT,
) -> Band:
    """Interval of the mean region overlap at false-positive rates up to ``aupro_limit``.

    Parameters
    ----------
    maps, masks
        As for :func:`lakeviz.metrics.pro_curve`.
    bootstrap, n_points
        As for :func:`roc_band`.
    conventions
        Limit, connectivity and grid.

    Raises
    ------
    MetricError
        Bad input, no defect pixel, or no other.
    """
    at = np.linspace(0, conventions.aupro_limit, n_points)
    resampled = _resampled_pixels(maps, masks, bootstrap, conventions)
    heights = [_straight(c, c.overlap, at) for c in resampled]
    return _band(at, heights, bootstrap)


def _resampled(
    scores: ArrayLike, labels: ArrayLike, bootstrap: Bootstrap
) -> Iterator[ImageResamples | PixelResamples]:
    """Counts of all resamples, some at a time."""
    if not is_flat(scores):
        yield from _resampled_pixels(scores, labels, bootstrap, DEFAULT)
        return
    images = ImageCounts.of(*both_classes(scores, labels))
    for _, weights in bootstrap.blocks(images.anomalous, images.scores.size):
        yield images.resampled(weights)


def _resampled_pixels(
    maps: ArrayLike, masks: ArrayLike, bootstrap: Bootstrap, conventions: Conventions
) -> Iterator[PixelResamples]:
    images = scored_images(maps, masks)
    table = CountsPerImage.build(images, conventions)
    reason = one_kind(table.n_defect.sum(), table.n_background.sum(), len(images))
    if reason:
        raise MetricError(reason)
    for _, weights in bootstrap.blocks(table.anomalous, table.n_thresholds):
        yield table.resampled(weights)


def _band(at: Float[np.ndarray, " point"], heights: list[Heights], bootstrap: Bootstrap) -> Band:
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(np.concatenate(heights), [tail, 1 - tail], axis=0)
    return Band(at, low, high, bootstrap)


def _straight(
    counts: ImageResamples | PixelResamples,
    height: Float[np.ndarray, "resample threshold"],
    at: Float[np.ndarray, " point"],
) -> Heights:
    """Heights of curves through the points just before and at each threshold, and (1, 1)."""
    n = len(height)
    ends = [np.zeros((n, 1)), np.ones((n, 1))]
    x = np.stack([counts.fp_above, counts.fp], axis=2).reshape(n, -1) / counts.n_negative[:, None]
    before = np.concatenate([ends[0], height[:, :-1]], axis=1)
    y = np.stack([before, height], axis=2).reshape(n, -1)
    x, y = (np.concatenate([ends[0], values, ends[1]], axis=1) for values in (x, y))
    return np.stack([_height(*curve, at) for curve in zip(x, y)])


def _height(
    x: Float[np.ndarray, " corner"],
    y: Float[np.ndarray, " corner"],
    at: Float[np.ndarray, " point"],
) -> Float[np.ndarray, " point"]:
    """Height of a curve; where it rises straight up, the top (at 1: one)."""
    last = np.searchsorted(x, at, side="right") - 1
    after = np.minimum(last + 1, x.size - 1)
    run = x[after] - x[last]
    share = np.divide(at - x[last], run, out=np.zeros_like(at), where=run > 0)
    return y[last] + share * (y[after] - y[last])


def _steps(counts: ImageResamples | PixelResamples, at: Float[np.ndarray, " point"]) -> Heights:
    """Precision at the first threshold of each resample that reaches a recall."""
    alarms = counts.tp + counts.fp
    precision = np.divide(counts.tp, alarms, out=np.zeros(alarms.shape), where=alarms > 0)
    made = np.empty((len(alarms), at.size))
    for row, tp, own, total in zip(made, counts.tp, precision, counts.n_positive):
        # Rounding must not put a recall just beyond the threshold that reaches it.
        wanted = np.maximum(at * total * (1 - 1e-12), 1e-12)
        row[:] = own[np.searchsorted(tp, wanted).clip(max=tp.size - 1)]
    return made
