"""Bootstrap intervals of pixel-level metrics: images are resampled, pixels are counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.errors import MetricError
from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Weights
from lakeviz.metrics.contrasts import estimate_of
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.counts import Reached, Thresholds, count_reached
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.formulas import log_share
from lakeviz.metrics.inputs import ArrayLike, ScoredImage, scored_images
from lakeviz.metrics.measurement import Measurement
from lakeviz.metrics.pixel import exact_values, one_kind, undefined, with_resolution
from lakeviz.metrics.pixel_counts import (
    DefectPixels,
    PixelCounts,
    count_images,
    sorted_background,
    threads,
)
from lakeviz.metrics.registry import get_metric
from lakeviz.metrics.results import PIXEL_METRICS

_PerImage = Float[np.ndarray, "image threshold"]
_Resampled = Float[np.ndarray, "resample threshold"]


@dataclass(frozen=True)
class CountsPerImage:
    """Counts of each image, of which every resample is a weighted sum; threshold axes descend.

    Attributes
    ----------
    tp, fp, fp_above
        Counts of each image at the thresholds of the grid.
    overlap
        Sum over the image's regions of the share at or above the threshold.
    n_defect, n_background, n_regions
        Totals of each image.
    """

    tp: _PerImage
    fp: _PerImage
    fp_above: _PerImage
    overlap: _PerImage
    n_defect: Float[np.ndarray, " image"]
    n_background: Float[np.ndarray, " image"]
    n_regions: Float[np.ndarray, " image"]

    @classmethod
    def build(
        cls,
        images: Sequence[ScoredImage],
        conventions: Conventions,
        counts: PixelCounts | None = None,
    ) -> CountsPerImage:
        """Count at the thresholds of the grid, image by image.

        ``counts`` of the same images, with their regions, spare collecting the defects again.
        """
        n = len(images)
        if counts is None:
            defects = DefectPixels.collect(images, conventions.connectivity)
            grouping = Thresholds.of(defects.scores)
        else:
            defects, grouping = counts.defects, counts.grouping
        grid = _grid(grouping, conventions.interval_grid)
        values = grouping.values[grid]
        complete = grid.size == grouping.values.size
        with threads(sum(image.scores.size for image in images)) as executor:
            reached = list(executor.map(partial(_background_on_grid, values=values), images))
        n_background = np.array([size for _, size in reached], dtype=np.float64)
        fp, fp_above = np.empty((n, grid.size)), np.empty((n, grid.size))
        for j, (found, _) in enumerate(reached):
            fp[j], fp_above[j] = _on_grid(found, complete=complete)
        tp, overlap = np.zeros((n, grid.size)), np.zeros((n, grid.size))
        for i, own in defects.per_image():
            weights = np.stack([defects.is_defect[own], defects.share[own]])
            tp[i], overlap[i] = _reached_weights(defects.scores[own], weights, values)
        n_defect = np.bincount(defects.image, weights=defects.is_defect, minlength=n)
        # Shares of a region add up to 1, so their sum over an image counts its regions.
        n_regions = np.bincount(defects.image, weights=defects.share, minlength=n).round()
        # Copies in the right order: a matrix product is slow on a reversed view.
        tp, fp, fp_above, overlap = (
            np.ascontiguousarray(table[:, ::-1]) for table in (tp, fp, fp_above, overlap)
        )
        return cls(tp, fp, fp_above, overlap, n_defect, n_background, n_regions)

    @property
    def anomalous(self) -> Bool[np.ndarray, " image"]:
        """Which images have defect pixels."""
        return self.n_defect > 0

    @property
    def n_thresholds(self) -> int:
        """Size of the grid."""
        return self.tp.shape[1]

    def resampled(self, weights: Weights) -> PixelResamples:
        """Counts in resamples."""
        return PixelResamples(self, weights.astype(np.float64))


class PixelResamples:
    """Counts of the pixels of resampled images, made when a formula asks for them."""

    def __init__(
        self, images: CountsPerImage, weights: Float[np.ndarray, "resample image"]
    ) -> None:
        self._images, self.weights = images, weights

    @cached_property
    def tp(self) -> _Resampled:
        """True positives at descending thresholds."""
        return self.weights @ self._images.tp

    @cached_property
    def fp(self) -> _Resampled:
        """False positives."""
        return self.weights @ self._images.fp

    @cached_property
    def fp_above(self) -> _Resampled:
        """False positives above the threshold."""
        return self.weights @ self._images.fp_above

    @property
    def n_positive(self) -> Float[np.ndarray, " resample"]:
        """Defect pixels."""
        return self.weights @ self._images.n_defect

    @property
    def n_negative(self) -> Float[np.ndarray, " resample"]:
        """Other pixels."""
        return self.weights @ self._images.n_background

    @cached_property
    def overlap(self) -> _Resampled:
        """Mean over regions of the share of the region at or above the threshold."""
        n_regions = self.weights @ self._images.n_regions
        return (self.weights @ self._images.overlap) / n_regions[:, None]

    def aupimo(self, bounds: tuple[float, float]) -> Float[np.ndarray, " resample"]:
        """Mean AUPIMO of the anomalous images."""
        w, images = self.weights, self._images
        normal = ~images.anomalous
        recall = images.tp[~normal] / images.n_defect[~normal, None]
        rate = images.fp[normal] / images.n_background[normal, None]
        rate = (w[:, normal] @ rate) / w[:, normal].sum(axis=1, keepdims=True)
        gained = w[:, ~normal] @ np.diff(recall, axis=1, prepend=0)
        share = log_share(rate, bounds)
        return (gained * share).sum(axis=1) / w[:, ~normal].sum(axis=1)


@dataclass(frozen=True)
class CountedPixels:
    """Pixels of maps and masks, counted once for metrics, intervals, curves and bands.

    Attributes
    ----------
    images
        Maps and masks; they must fit in memory.
    counts
        Over all images, with regions.
    conventions
        With the resolution filled in; ``interval_grid`` bounds the thresholds of resamples.
    """

    images: Sequence[ScoredImage]
    counts: PixelCounts
    conventions: Conventions

    @classmethod
    def of(
        cls, maps: ArrayLike, masks: ArrayLike, conventions: Conventions = DEFAULT
    ) -> CountedPixels:
        """Count maps and masks as :func:`pixel_metrics` takes them.

        Raises
        ------
        MetricError
            As :func:`pixel_metrics`.
        """
        images = scored_images(maps, masks)
        conventions = with_resolution(conventions, {image.scores.shape for image in images})
        return cls(images, count_images(images, conventions.connectivity), conventions)

    @cached_property
    def per_image(self) -> CountsPerImage:
        """Counts of each image, of which resamples are made."""
        return CountsPerImage.build(self.images, self.conventions, self.counts)

    def require_both_kinds(self) -> None:
        """Raise a MetricError where there is no defect pixel, or no other."""
        reason = one_kind(self.counts.n_positive, self.counts.n_negative, len(self.images))
        if reason:
            raise MetricError(reason)

    def measure(
        self,
        metrics: Sequence[str] | None = None,
        bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
        among: Sequence[str] = PIXEL_METRICS,
    ) -> Measurement:
        """Metrics, exact and on resamples of the images; see :func:`measure_pixels`.

        Without names, those ``among`` these that are defined.
        """
        found = {name: get_metric("pixel", name) for name in metrics or among}
        reasons = undefined(self.counts, self.conventions, list(found))
        if metrics is not None and reasons:
            name = next(iter(reasons))
            raise MetricError(f"{name} is undefined: {reasons[name]}")
        names = [name for name in found if name not in reasons]
        if not names:
            return Measurement({}, {})
        table = self.per_image
        draws = bootstrap.draw(
            [found[name].evaluator("pixel", self.conventions) for name in names],
            table.anomalous,
            table.n_thresholds,
            table.resampled,
        )
        exact = exact_values(self.counts, self.conventions, names)
        return Measurement(
            {("pixel", name): value for name, value in exact.items()},
            {("pixel", name): row for name, row in zip(names, draws)},
            {"pixel": bootstrap.sample_sizes("pixel", table.anomalous)},
        )


def measure_pixels(
    maps: ArrayLike,
    masks: ArrayLike,
    metrics: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> Measurement:
    """Pixel-level metrics, exact and on resamples of the images.

    Parameters
    ----------
    maps, masks
        As for :func:`pixel_metrics`; they must fit in memory.
    metrics
        Names of registered pixel metrics; None for every one of :data:`PIXEL_METRICS` that is
        defined for this set.
    bootstrap
        Resamples, confidence and seed.
    conventions
        ``interval_grid`` bounds the thresholds of the resamples.

    Raises
    ------
    MetricError
        As :func:`pixel_metrics`, and when a metric that was named is undefined.
    ConfigError
        Unknown metric.
    """
    return CountedPixels.of(maps, masks, conventions).measure(metrics, bootstrap)


def pixel_intervals(
    maps: ArrayLike,
    masks: ArrayLike,
    metrics: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> dict[str, Estimate]:
    """Pixel-level metrics with bootstrap intervals over images.

    Takes and raises what :func:`measure_pixels` does.
    """
    measured = measure_pixels(maps, masks, metrics, bootstrap, conventions)
    return {m[1]: estimate_of(measured, m, bootstrap) for m in measured.values}


def _grid(grouping: Thresholds, size: int) -> Int[np.ndarray, " threshold"]:
    """Indices of all thresholds, or of those at evenly spaced ranks of the defect pixels."""
    if grouping.values.size <= size:
        return np.arange(grouping.values.size)
    ranks = np.linspace(0, grouping.order.size - 1, size).round().astype(int)
    return np.unique(np.searchsorted(grouping.starts, ranks, side="right") - 1)


def _background_on_grid(
    image: ScoredImage, values: Float[np.ndarray, " threshold"]
) -> tuple[Reached, int]:
    """How much of the background of one image reaches each value, and how many pixels it has."""
    background = sorted_background([image])
    return count_reached(background, values), background.size


def _on_grid(reached: Reached, *, complete: bool) -> tuple[np.ndarray, np.ndarray]:
    """False positives at and above each grid threshold, ascending.

    On a true grid each cell holds many defect pixels, spread over the false positives from the
    next higher threshold on; only when no threshold was left out is it the ties alone.
    """
    if complete:
        return reached.reach, reached.exceed
    return reached.reach, np.append(reached.reach[1:], reached.exceed[-1])


def _reached_weights(
    scores: Float[np.ndarray, " defect_pixel"],
    weights: Float[np.ndarray, "kind defect_pixel"],
    values: Float[np.ndarray, " threshold"],
) -> Float[np.ndarray, "kind threshold"]:
    """Sum weights over the pixels of one image at or above each ascending value."""
    order = np.argsort(scores)
    below = np.searchsorted(scores[order], values, side="left")
    summed = np.cumsum(weights[:, order[::-1]], axis=1)[:, ::-1]
    return np.pad(summed, ((0, 0), (0, 1)))[:, below]
