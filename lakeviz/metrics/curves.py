"""ROC, precision-recall and PRO curves as points to plot."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.counts import RankCounts, rank_counts
from lakeviz.metrics.image import both_classes
from lakeviz.metrics.inputs import ArrayLike, is_flat, scored_images
from lakeviz.metrics.pixel import one_kind, with_resolution
from lakeviz.metrics.pixel_counts import PixelCounts, count_images


@dataclass(frozen=True)
class Curve:
    """Points of a curve from the highest threshold to the lowest.

    Attributes
    ----------
    x, y
        Coordinates; straight lines between the points are exact for ROC and PRO.
    thresholds
        A sample is called positive from this score up; infinite at the ends.
    x_name, y_name
        What the axes show.
    conventions
        Under which it was computed.
    """

    x: Float[np.ndarray, " point"]
    y: Float[np.ndarray, " point"]
    thresholds: Float[np.ndarray, " point"]
    x_name: str
    y_name: str
    conventions: Conventions

    def up_to(self, limit: float) -> Curve:
        """Cut at an ``x``; the cut lies on the curve's straight line."""
        n = int(np.searchsorted(self.x, limit, side="right"))
        if n == self.x.size:
            return self
        end = np.interp(limit, self.x[n - 1 : n + 1], self.y[n - 1 : n + 1])
        return replace(
            self,
            x=np.append(self.x[:n], limit),
            y=np.append(self.y[:n], end),
            thresholds=np.append(self.thresholds[:n], self.thresholds[n]),
        )

    def thin(self, n_points: int) -> Curve:
        """Keep at most ``n_points`` of the points, evenly along the curve, both ends included.

        Raises
        ------
        ConfigError
            Fewer than 2 points were asked for.
        """
        if n_points < 2:
            raise ConfigError(f"n_points is {n_points}; a curve keeps at least its 2 ends")
        if self.x.size <= n_points:
            return self
        travelled = np.cumsum(np.abs(np.diff(self.x)) + np.abs(np.diff(self.y)))
        travelled = np.concatenate([[0.0], travelled])
        stops = np.linspace(0, travelled[-1], n_points)
        keep = np.searchsorted(travelled, stops).clip(max=self.x.size - 1)
        keep[0], keep[-1] = 0, self.x.size - 1
        keep = np.unique(keep)
        return replace(self, x=self.x[keep], y=self.y[keep], thresholds=self.thresholds[keep])


def roc_curve(scores: ArrayLike, labels: ArrayLike, n_points: int | None = None) -> Curve:
    """ROC curve of image scores and labels, or of the pixels of maps and masks.

    Parameters
    ----------
    scores, labels
        One-dimensional for image level; otherwise maps and masks as for :func:`pixel_metrics`.
    n_points
        Thin to at most this many points.

    Raises
    ------
    MetricError
        Bad input, or only one class is present.
    """
    return _thinned(roc_of(*_counts(scores, labels)), n_points)


def pr_curve(scores: ArrayLike, labels: ArrayLike, n_points: int | None = None) -> Curve:
    """Precision against recall at each distinct positive score, from (0, 1) on.

    Takes what :func:`roc_curve` takes. Average precision by the step rule is the sum of each
    point's precision times the recall it adds to the point before.

    Raises
    ------
    MetricError
        Bad input, or only one class is present.
    """
    return _thinned(pr_of(*_counts(scores, labels)), n_points)


def pro_curve(
    maps: ArrayLike,
    masks: ArrayLike,
    n_points: int | None = None,
    conventions: Conventions = DEFAULT,
) -> Curve:
    """Mean overlap of the defect regions against the false-positive rate of pixels, up to (1, 1).

    Raises
    ------
    MetricError
        Bad input, no defect pixel, or no other.
    """
    return _thinned(pro_of(*_pixel_counts(maps, masks, conventions, regions=True)), n_points)


def roc_of(counts: RankCounts, conventions: Conventions) -> Curve:
    """ROC curve of counts."""
    points = _crossings(counts, counts.tp / counts.n_positive)
    return Curve(*points, "false-positive rate", "true-positive rate", conventions)


def pr_of(counts: RankCounts, conventions: Conventions) -> Curve:
    """Precision-recall curve of counts."""
    # Scores at which a region, but no defect pixel, is reached are no points of this curve.
    new = np.diff(counts.tp, prepend=0) > 0
    tp, fp = counts.tp[new], counts.fp[new]
    recall = np.concatenate([[0.0], tp / counts.n_positive])
    precision = np.concatenate([[1.0], tp / (tp + fp)])
    thresholds = np.concatenate([[np.inf], counts.thresholds[new].astype(np.float64)])
    return Curve(recall, precision, thresholds, "recall", "precision", conventions)


def pro_of(counts: PixelCounts, conventions: Conventions) -> Curve:
    """PRO curve of counts with regions."""
    points = _crossings(counts, counts.overlap)
    return Curve(*points, "false-positive rate", "mean per-region overlap", conventions)


def _crossings(
    counts: RankCounts, height: Float[np.ndarray, " threshold"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points just before and at each threshold, between (0, 0) and (1, 1)."""
    at = counts.thresholds.astype(np.float64)
    # No score lies between a threshold and the next float64 above it, so that float is the
    # threshold of the point before the crossing.
    thresholds = np.stack([np.nextafter(at, np.inf), at], axis=1).ravel()
    x = np.stack([counts.fp_above, counts.fp], axis=1).ravel() / counts.n_negative
    y = np.stack([np.concatenate([[0.0], height[:-1]]), height], axis=1).ravel()
    x, y = np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], y, [1.0]])
    thresholds = np.concatenate([[np.inf], thresholds, [-np.inf]])
    keep = np.concatenate([[True], (np.diff(x) != 0) | (np.diff(y) != 0)])
    return x[keep], y[keep], thresholds[keep]


def _counts(scores: ArrayLike, labels: ArrayLike) -> tuple[RankCounts, Conventions]:
    if is_flat(scores):
        checked, positive = both_classes(scores, labels)
        return rank_counts(checked[positive], checked[~positive]), DEFAULT
    pixels, conventions = _pixel_counts(scores, labels, DEFAULT, regions=False)
    return pixels, conventions


def _pixel_counts(
    maps: ArrayLike, masks: ArrayLike, conventions: Conventions, regions: bool
) -> tuple[PixelCounts, Conventions]:
    images = scored_images(maps, masks)
    counts = count_images(images, conventions.connectivity if regions else None)
    reason = one_kind(counts.n_positive, counts.n_negative, len(images))
    if reason:
        raise MetricError(reason)
    return counts, with_resolution(conventions, {image.scores.shape for image in images})


def _thinned(curve: Curve, n_points: int | None) -> Curve:
    return curve if n_points is None else curve.thin(n_points)
