"""Pointwise bootstrap bands of ROC, precision-recall and PRO curves over images.

The resamples are those of the intervals of the areas under the curves: the same seed draws the same
images, and curves of pixels have the same grid of thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.image import both_classes
from lakeviz.metrics.image_intervals import ImageCounts, ImageResamples
from lakeviz.metrics.inputs import ArrayLike, is_flat
from lakeviz.metrics.pixel_intervals import CountedPixels, PixelResamples

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
    return _bands(_resampled(scores, labels, bootstrap), {"roc": 1.0}, bootstrap, n_points)["roc"]


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
    return _bands(_resampled(scores, labels, bootstrap), {"pr": 1.0}, bootstrap, n_points)["pr"]


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
    resampled = _resampled_pixels(CountedPixels.of(maps, masks, conventions), bootstrap)
    return _bands(resampled, {"pro": conventions.aupro_limit}, bootstrap, n_points)["pro"]


def pixel_bands(
    counted: CountedPixels,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    n_points: int = _N_POINTS,
    kinds: Sequence[str] = ("roc", "pr", "pro"),
) -> dict[str, Band]:
    """The bands of :func:`roc_band`, :func:`pr_band` and :func:`pro_band` from the same resamples.

    Returns
    -------
    dict
        Of each kind.

    Raises
    ------
    MetricError
        No defect pixel, or no other.
    """
    ends = {kind: counted.conventions.aupro_limit if kind == "pro" else 1.0 for kind in kinds}
    return _bands(_resampled_pixels(counted, bootstrap), ends, bootstrap, n_points)


def _resampled(
    scores: ArrayLike, labels: ArrayLike, bootstrap: Bootstrap
) -> Iterator[ImageResamples | PixelResamples]:
    """Counts of all resamples, some at a time."""
    if not is_flat(scores):
        yield from _resampled_pixels(CountedPixels.of(scores, labels), bootstrap)
        return
    images = ImageCounts.of(*both_classes(scores, labels))
    for _, weights in bootstrap.blocks(images.anomalous, images.scores.size):
        yield images.resampled(weights)


def _resampled_pixels(counted: CountedPixels, bootstrap: Bootstrap) -> Iterator[PixelResamples]:
    counted.require_both_kinds()
    table = counted.per_image
    for _, weights in bootstrap.blocks(table.anomalous, table.n_thresholds):
        yield table.resampled(weights)


def _bands(
    resampled: Iterable[ImageResamples | PixelResamples],
    ends: Mapping[str, float],
    bootstrap: Bootstrap,
    n_points: int,
) -> dict[str, Band]:
    """Bands of curves by their kind, from 0 to their ends."""
    at = {kind: np.linspace(0, end, n_points) for kind, end in ends.items()}
    heights: dict[str, list[Heights]] = {kind: [] for kind in ends}
    for counts in resampled:
        for kind, found in heights.items():
            found.append(_HEIGHTS[kind](counts, at[kind]))
    tail = (1 - bootstrap.confidence) / 2
    made = {}
    for kind, found in heights.items():
        low, high = np.quantile(np.concatenate(found), [tail, 1 - tail], axis=0)
        made[kind] = Band(at[kind], low, high, bootstrap)
    return made


def _straight(
    counts: ImageResamples | PixelResamples,
    height: Float[np.ndarray, "resample threshold"],
    at: Float[np.ndarray, " point"],
) -> Heights:
    """Heights of curves through the points just before and at each threshold, and (1, 1).

    Where a curve rises straight up, the top counts (at 1: one).
    """
    total = counts.n_negative[:, None]
    before, reached = counts.fp_above / total, counts.fp / total
    made = np.empty((len(height), at.size))
    for row, x0, x1, y in zip(made, before, reached, height):
        # Thresholds whose point just before lies at or left of a place, and that are passed there.
        begun = np.searchsorted(x0, at, side="right")
        passed = np.searchsorted(x1, at, side="right")
        row[:] = np.where(passed > 0, y[passed - 1], 0.0)
        # Ties are crossed in a straight line.
        within = np.flatnonzero(begun > passed)
        if within.size:
            n = passed[within]
            share = (at[within] - x0[n]) / (x1[n] - x0[n])
            row[within] += share * (y[n] - row[within])
        # Beyond the last threshold a straight line leads to (1, 1).
        beyond = np.flatnonzero(passed == y.size)
        if beyond.size:
            start, rise = (x1[-1], y[-1]) if y.size else (0.0, 0.0)
            share = (at[beyond] - start) / (1 - start) if start < 1 else np.ones(beyond.size)
            row[beyond] = rise + share * (1 - rise)
    made[:, at == 1] = 1
    return made


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


_HEIGHTS: dict[str, Callable[[Any, Float[np.ndarray, " point"]], Heights]] = {
    "roc": lambda counts, at: _straight(counts, counts.tp / counts.n_positive[:, None], at),
    "pr": _steps,
    "pro": lambda counts, at: _straight(counts, counts.overlap, at),
}
