"""Pixel-level metrics of anomaly maps against masks, all from one sort of the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lakeviz.metrics import formulas
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.inputs import ArrayLike, scored_images
from lakeviz.metrics.pixel_counts import PixelCounts, count_images
from lakeviz.metrics.registry import get_metric
from lakeviz.metrics.results import PIXEL_METRICS, Aupimo, F1Max, PixelMetrics, check_metrics


def pixel_metrics(
    maps: ArrayLike,
    masks: ArrayLike,
    conventions: Conventions = DEFAULT,
    metrics: Sequence[str] = PIXEL_METRICS,
) -> PixelMetrics:
    """AUROC, average precision, F1-max, AUPRO and AUPIMO over the pixels of all maps.

    Parameters
    ----------
    maps
        Scores, higher is more anomalous: ``[image, height, width]``, ``[image, 1, height, width]``
        or a sequence of maps whose sizes may differ.
    masks
        Ground truth of the same shapes; 0 normal, one other value defect. An image whose mask is
        empty is a normal image. Regions are labelled at this size; where masks were larger, a
        sequence of :class:`RegionMask` keeps those of the masks at their own size.
    conventions
        Used, and carried by the result with the resolution filled in.
    metrics
        Which to compute; AUPRO costs the labelling of regions. The others are NaN.

    Returns
    -------
    PixelMetrics
        A metric that is undefined for this set is NaN and ``reasons`` says why.

    Raises
    ------
    MetricError
        NaN or infinite scores, shapes that do not match, masks that are not binary.
    """
    check_metrics(metrics)
    images = scored_images(maps, masks)
    counts = count_images(images, conventions.connectivity if "aupro" in metrics else None)
    shapes = {image.scores.shape for image in images}
    return summarise(counts, with_resolution(conventions, shapes), metrics)


def pixel_auroc(maps: ArrayLike, masks: ArrayLike) -> float:
    """Pixel AUROC; tied pairs count half. Raises MetricError where it is undefined."""
    return pixel_metrics(maps, masks, metrics=("auroc",)).require("auroc")


def pixel_average_precision(
    maps: ArrayLike, masks: ArrayLike, conventions: Conventions = DEFAULT
) -> float:
    """Pixel average precision by ``conventions.ap_rule``. Raises MetricError where undefined."""
    name = "average_precision"
    return pixel_metrics(maps, masks, conventions, metrics=(name,)).require(name)


def pixel_f1_max(maps: ArrayLike, masks: ArrayLike) -> F1Max:
    """Best F1 over pixels and its threshold. Raises MetricError where it is undefined."""
    result = pixel_metrics(maps, masks, metrics=("f1_max",))
    return F1Max(result.require("f1_max"), result.f1_threshold)


def aupro(maps: ArrayLike, masks: ArrayLike, conventions: Conventions = DEFAULT) -> float:
    """Area under the per-region overlap curve up to ``conventions.aupro_limit``, over the limit.

    Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021. Equal to the area of MVTec's
    evaluation script, which joins the points of all distinct scores by straight lines.

    Raises
    ------
    MetricError
        No defect pixel, or no other.
    """
    return pixel_metrics(maps, masks, conventions, metrics=("aupro",)).require("aupro")


def aupimo(maps: ArrayLike, masks: ArrayLike, conventions: Conventions = DEFAULT) -> Aupimo:
    """Area under the per-image overlap curve, over log false-positive rate of normal images.

    Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and
    Low Tolerance", BMVC 2024.

    Raises
    ------
    MetricError
        No defect pixel, no normal image, or too few normal pixels to resolve the bounds.
    """
    result = pixel_metrics(maps, masks, conventions, metrics=("aupimo",))
    return Aupimo(result.require("aupimo"), result.aupimo_per_image)


def summarise(
    counts: PixelCounts, conventions: Conventions, metrics: Sequence[str]
) -> PixelMetrics:
    """Turn counts into metrics, or into NaN and a reason each."""
    reasons = {
        name: "it was not asked for" for name in PIXEL_METRICS if name not in metrics
    } | undefined(counts, conventions, metrics)
    values = dict.fromkeys([*PIXEL_METRICS, "f1_threshold"], float("nan"))
    values |= exact_values(counts, conventions, [m for m in PIXEL_METRICS if m not in reasons])
    if "f1_max" not in reasons:
        values["f1_threshold"] = float(counts.thresholds[formulas.f1_max(counts)[1]])
    per_image = np.full(counts.n_images, np.nan)
    if "aupimo" not in reasons:
        per_image = counts.aupimo_per_image(conventions.aupimo_bounds)
    return PixelMetrics(
        **values,
        aupimo_per_image=per_image,
        n_images=counts.n_images,
        n_anomalous=int(np.count_nonzero(np.bincount(counts.defects.image))),
        n_pixels=counts.n_positive + counts.n_negative,
        n_defect_pixels=counts.n_positive,
        n_regions=counts.defects.n_regions,
        conventions=conventions,
        reasons=reasons,
    )


def exact_values(
    counts: PixelCounts, conventions: Conventions, metrics: Sequence[str]
) -> dict[str, float]:
    """Values of metrics that are defined for these counts."""
    return {
        name: float(get_metric("pixel", name).evaluator("pixel", conventions)(counts))
        for name in metrics
    }


def undefined(
    counts: PixelCounts, conventions: Conventions, metrics: Sequence[str]
) -> dict[str, str]:
    """Say why metrics are undefined for these counts; those that are defined are left out."""
    reason = one_kind(counts.n_positive, counts.n_negative, counts.n_images)
    if reason:
        return dict.fromkeys(metrics, reason)
    needed = 1 / conventions.aupimo_bounds[1]
    if "aupimo" not in metrics or (
        counts.normal_rate is not None and counts.n_normal_pixels >= needed
    ):
        return {}
    if counts.normal_rate is None:
        return {"aupimo": "no normal image, whose false-positive rate it is measured by"}
    return {
        "aupimo": f"{counts.n_normal_pixels} normal pixels cannot resolve a false-positive rate of "
        f"{conventions.aupimo_bounds[1]:g}; at least {needed:.0f} are needed"
    }


def one_kind(n_defect: float, n_background: float, n_images: int) -> str | None:
    """Say which kind of pixels is missing, or None when there are both."""
    if not n_defect:
        return f"no mask of the {n_images} images has a defect pixel"
    return None if n_background else f"every pixel of the {n_images} images is a defect pixel"


def with_resolution(conventions: Conventions, shapes: set[tuple[int, ...]]) -> Conventions:
    """Fill in the resolution of the maps, as height x width."""
    height, width = next(iter(shapes))
    return replace(conventions, resolution=f"{height}x{width}" if len(shapes) == 1 else "mixed")
