"""Bootstrap intervals of pixel-level metrics: images are resampled, pixels are counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from lakeviz.metrics import formulas as areas
from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, PairedDifference
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.counts import Reached, Thresholds, count_reached
from lakeviz.metrics.inputs import ArrayLike, ScoredImage, scored_images
from lakeviz.metrics.pixel import summarise, with_resolution
from lakeviz.metrics.pixel_counts import DefectPixels, count_images, sorted_background
from lakeviz.metrics.results import PIXEL_METRICS, PixelMetrics, check_metrics

PerImage = Float[np.ndarray, "image threshold"]


@dataclass(frozen=True)
class PixelDraws:
    """Counts per image, of which every resample is a weighted sum; threshold axes descend.

    Attributes
    ----------
    tp, fp, fp_above
        Counts of each image at the thresholds of the grid.
    overlap
        Sum over the image's regions of the share at or above the threshold.
    n_defect, n_background, n_regions
        Totals of each image.
    """

    tp: PerImage
    fp: PerImage
    fp_above: PerImage
    overlap: PerImage
    n_defect: Float[np.ndarray, " image"]
    n_background: Float[np.ndarray, " image"]
    n_regions: Float[np.ndarray, " image"]
    conventions: Conventions

    @classmethod
    def build(cls, images: Sequence[ScoredImage], conventions: Conventions) -> PixelDraws:
        """Count at the thresholds of the grid, image by image."""
        n = len(images)
        defects = DefectPixels.collect(images, conventions.connectivity)
        grouping = Thresholds.of(defects.scores)
        grid = _grid(grouping, conventions.interval_grid)
        values = grouping.values[grid]
        fp, fp_above = np.empty((n, grid.size)), np.empty((n, grid.size))
        n_background = np.empty(n)
        for j, image in enumerate(images):
            background = sorted_background([image])
            n_background[j] = background.size
            reached = count_reached(background, values)
            fp[j], fp_above[j] = _on_grid(reached, complete=grid.size == grouping.values.size)
        tp, overlap = np.zeros((n, grid.size)), np.zeros((n, grid.size))
        for i in np.unique(defects.image):
            own = defects.image == i
            tp[i], overlap[i] = _reached_weight(defects.scores[own], defects.share[own], values)
        n_defect = np.bincount(defects.image, minlength=n).astype(float)
        # Shares of a region add up to 1, so their sum over an image counts its regions.
        n_regions = np.bincount(defects.image, weights=defects.share, minlength=n).round()
        # Copies in the right order: a matrix product is slow on a reversed view.
        tp, fp, fp_above, overlap = (
            np.ascontiguousarray(table[:, ::-1]) for table in (tp, fp, fp_above, overlap)
        )
        return cls(tp, fp, fp_above, overlap, n_defect, n_background, n_regions, conventions)

    def evaluate(
        self, metric: str, weights: Int[np.ndarray, "draw image"]
    ) -> Float[np.ndarray, " draw"]:
        """Value of a metric in each draw."""
        w = weights.astype(np.float64)
        positives, negatives = w @ self.n_defect, w @ self.n_background
        if metric == "aupimo":
            return self._aupimo(w)
        fp = w @ self.fp
        if metric == "f1_max":
            return areas.f1_max(w @ self.tp, fp, positives)[0]
        fp_above = w @ self.fp_above
        if metric == "auroc":
            return areas.auroc(w @ self.tp, fp, fp_above, positives, negatives)
        if metric == "average_precision":
            rule = self.conventions.ap_rule
            return areas.average_precision(w @ self.tp, fp, fp_above, positives, rule)
        overlap = (w @ self.overlap) / (w @ self.n_regions)[:, None]
        return areas.aupro(overlap, fp, fp_above, negatives, self.conventions.aupro_limit)

    def _aupimo(self, w: Float[np.ndarray, "draw image"]) -> Float[np.ndarray, " draw"]:
        normal = self.n_defect == 0
        recall = self.tp[~normal] / self.n_defect[~normal, None]
        rate = self.fp[normal] / self.n_background[normal, None]
        rate = (w[:, normal] @ rate) / w[:, normal].sum(axis=1, keepdims=True)
        gained = w[:, ~normal] @ np.diff(recall, axis=1, prepend=0)
        share = areas.log_share(rate, self.conventions.aupimo_bounds)
        return (gained * share).sum(axis=1) / w[:, ~normal].sum(axis=1)


def pixel_intervals(
    maps: ArrayLike,
    masks: ArrayLike,
    metrics: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> dict[str, Interval]:
    """Bootstrap intervals, over images, of pixel-level metrics.

    Parameters
    ----------
    maps, masks
        As for :func:`pixel_metrics`; they must fit in memory.
    metrics
        Which; None for every one that is defined for this set.
    bootstrap
        Draws, level and seed.
    conventions
        ``interval_grid`` bounds the thresholds that the draws look at.

    Raises
    ------
    MetricError
        As :func:`pixel_metrics`, and when a metric that was named is undefined.
    ConfigError
        Unknown metric.
    """
    check_metrics(metrics or PIXEL_METRICS)
    images, estimates = estimate_all(maps, masks, conventions)
    names = metrics or [name for name in PIXEL_METRICS if name not in estimates.reasons]
    exact = {name: estimates.require(name) for name in names}
    if not exact:
        return {}
    table = PixelDraws.build(images, estimates.conventions)
    evaluators = [partial(table.evaluate, name) for name in exact]
    values = bootstrap.draw(evaluators, table.n_defect > 0, table.tp.shape[1])
    return {
        name: bootstrap.interval(estimate, row, len(images), estimates.conventions)
        for (name, estimate), row in zip(exact.items(), values)
    }


def paired_pixel_difference(
    metric: str,
    maps_a: ArrayLike,
    maps_b: ArrayLike,
    masks: ArrayLike,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> PairedDifference:
    """Difference of a pixel-level metric between two sets of maps of the same images.

    Raises
    ------
    MetricError
        As :func:`pixel_metrics`, and when the metric is undefined.
    ConfigError
        Unknown metric.
    """
    check_metrics((metric,))
    both = [estimate_all(maps, masks, conventions) for maps in (maps_a, maps_b)]
    estimates = [result.require(metric) for _, result in both]
    tables = [PixelDraws.build(images, result.conventions) for images, result in both]
    width = max(table.tp.shape[1] for table in tables)
    values = bootstrap.draw(
        [partial(table.evaluate, metric) for table in tables], tables[0].n_defect > 0, width
    )
    return bootstrap.paired(
        metric, (estimates[0], estimates[1]), values, len(both[0][0]), both[0][1].conventions
    )


def estimate_all(
    maps: ArrayLike,
    masks: ArrayLike,
    conventions: Conventions,
    metrics: Sequence[str] = PIXEL_METRICS,
) -> tuple[list[ScoredImage], PixelMetrics]:
    """Exact values of pixel metrics, and the checked images they are of."""
    images = scored_images(maps, masks)
    conventions = with_resolution(conventions, {image.scores.shape for image in images})
    counts = count_images(images, conventions.connectivity)
    return images, summarise(counts, len(images), conventions, metrics)


def _grid(grouping: Thresholds, size: int) -> Int[np.ndarray, " threshold"]:
    """Indices of all thresholds, or of those at evenly spaced ranks of the defect pixels."""
    if grouping.values.size <= size:
        return np.arange(grouping.values.size)
    ranks = np.linspace(0, grouping.order.size - 1, size).round().astype(int)
    return np.unique(np.searchsorted(grouping.starts, ranks, side="right") - 1)


def _on_grid(reached: Reached, *, complete: bool) -> tuple[np.ndarray, np.ndarray]:
    """False positives at and above each grid threshold, ascending.

    On a true grid each cell holds many defect pixels, spread over the false positives from the
    next higher threshold on; only when no threshold was left out is it the ties alone.
    """
    if complete:
        return reached.reach, reached.exceed
    return reached.reach, np.append(reached.reach[1:], reached.exceed[-1])


def _reached_weight(
    scores: Float[np.ndarray, " defect_pixel"],
    share: Float[np.ndarray, " defect_pixel"],
    values: Float[np.ndarray, " threshold"],
) -> tuple[np.ndarray, np.ndarray]:
    """Count the pixels of one image at or above each ascending value, and sum their shares."""
    order = np.argsort(scores)
    below = np.searchsorted(scores[order], values, side="left")
    summed = np.append(np.cumsum(share[order][::-1])[::-1], 0.0)
    return scores.size - below, summed[below]
