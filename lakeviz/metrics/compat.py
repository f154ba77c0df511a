"""Published ways to compute the same names, so that a mismatch with a paper can be explained.

None of these is used by the metrics of this package. Each is written from its mathematics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from lakeviz.errors import MetricError
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.inputs import ArrayLike, ScoredImage, scored_images
from lakeviz.metrics.pixel import with_resolution
from lakeviz.metrics.pixel_counts import DefectPixels, count_images, sorted_background
from lakeviz.settings import check_choice

Images = Sequence[ScoredImage]


@dataclass(frozen=True)
class CompatMode:
    """A published convention.

    Attributes
    ----------
    metric
        What it calls the result.
    description
        How it differs.
    source
        Where it comes from.
    """

    name: str
    metric: str
    description: str
    source: str
    compute: Callable[[Images, Conventions], float]


@dataclass(frozen=True)
class CompatResult:
    """A number under a published convention."""

    mode: str
    metric: str
    value: float
    description: str
    conventions: Conventions

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return vars(self) | {"conventions": self.conventions.to_dict()}


def compat(
    name: str, maps: ArrayLike, masks: ArrayLike, conventions: Conventions = DEFAULT
) -> CompatResult:
    """Compute a pixel metric the way a published code does.

    Parameters
    ----------
    name
        One of ``COMPAT_MODES``.
    maps, masks
        As for :func:`pixel_metrics`.
    conventions
        ``aupro_limit`` and ``connectivity`` are used.

    Raises
    ------
    ConfigError
        Unknown mode.
    MetricError
        Bad input, no defect pixel or no other, or the mode breaks down on these scores.
    """
    check_choice("the mode of compat", name, COMPAT_MODES)
    mode = COMPAT_MODES[name]
    images = scored_images(maps, masks)
    if all(image.defect is None for image in images):
        raise MetricError(f"no mask of the {len(images)} images has a defect pixel")
    if all(image.defect is not None and image.defect.all() for image in images):
        raise MetricError(f"every pixel of the {len(images)} images is a defect pixel")
    used = with_resolution(conventions, {image.scores.shape for image in images})
    if mode.metric == "average_precision":
        used = replace(used, ap_rule="trapezoid")
    return CompatResult(name, mode.metric, mode.compute(images, used), mode.description, used)


def _mvtec(images: Images, conventions: Conventions) -> float:
    """PRO at 100 thresholds at even ranks of the background, joined by straight lines."""
    scores = sorted_background(images)
    ranks = np.linspace(0, scores.size - 1, 100).astype(int)
    # Ties are not looked at: the k-th lowest score is taken to leave n - k - 1 pixels above it.
    rate = 1 - (ranks + 1) / scores.size
    overlap = _overlap_above(images, scores[ranks], conventions.connectivity)
    rate = np.append(rate[::-1], 1.0)
    overlap = np.append(overlap[::-1], 1.0)
    limit = conventions.aupro_limit
    inside = rate < limit
    rate_cut = np.append(rate[inside], limit)
    overlap_cut = np.append(overlap[inside], np.interp(limit, rate, overlap))
    return float(np.trapezoid(overlap_cut, rate_cut) / limit)


def _cflow(images: Images, conventions: Conventions) -> float:
    """PRO at 200 even steps of score; the rates below the limit are stretched to [0, 1]."""
    lowest = float(min(image.scores.min() for image in images))
    highest = float(max(image.scores.max() for image in images))
    thresholds = lowest + (highest - lowest) / 200 * np.arange(200)
    scores = sorted_background(images)
    rate = 1 - np.searchsorted(scores, thresholds, side="right") / scores.size
    inside = rate < conventions.aupro_limit
    kept = rate[inside]
    if kept.size < 2 or kept.max() == kept.min():
        raise MetricError(
            f"of 200 even score steps fewer than 2 have distinct false-positive rates below "
            f"{conventions.aupro_limit}; the cflow convention is undefined for these scores"
        )
    overlap = _overlap_above(images, thresholds[inside], conventions.connectivity)
    stretched = (kept - kept.min()) / (kept.max() - kept.min())
    return float(np.trapezoid(overlap[::-1], stretched[::-1]))


def _anomalib_trapezoid(images: Images, conventions: Conventions) -> float:
    """Straight lines from each threshold's precision to the lowest at the next recall."""
    ranks = count_images(images, None)
    # Sorting the points by recall puts the last threshold of a recall level, just above the next
    # defect score, before the first; so lines run from the first to the next level's last.
    last_fp = np.append(ranks.fp_above[1:], ranks.n_negative)
    first = np.concatenate([[1.0], ranks.tp / (ranks.tp + ranks.fp)])
    last = ranks.tp / (ranks.tp + last_fp)
    gained = np.diff(ranks.tp, prepend=0) / ranks.n_positive
    return float((gained * (first[:-1] + last) / 2).sum())


def _overlap_above(
    images: Images, thresholds: Float[np.ndarray, " threshold"], connectivity: int
) -> Float[np.ndarray, " threshold"]:
    """Mean over regions of the share of the region that exceeds each threshold."""
    defects = DefectPixels.collect(images, connectivity)
    order = np.argsort(defects.scores)
    summed = np.append(np.cumsum(defects.share[order][::-1])[::-1], 0.0)
    at = np.searchsorted(defects.scores[order], thresholds, side="right")
    return summed[at] / summed[0]


COMPAT_MODES = MappingProxyType(
    {
        mode.name: mode
        for mode in (
            CompatMode(
                "mvtec",
                "aupro",
                "PRO at 100 thresholds taken at even ranks of the background scores, straight "
                "lines between them, up to the limit",
                "evaluation scripts of MVTec 3D-AD and MVTec LOCO AD",
                _mvtec,
            ),
            CompatMode(
                "cflow",
                "aupro",
                "PRO at 200 even steps between the lowest and highest score; rates below the "
                "limit are stretched to [0, 1] by their own range",
                "CFLOW-AD; also ADer, APRIL-GAN, MuSc, AnomalyCLIP",
                _cflow,
            ),
            CompatMode(
                "anomalib_trapezoid",
                "average_precision",
                "trapezoids under the precision-recall points after sorting them by recall",
                "anomalib before 2.7 (issue 3781)",
                _anomalib_trapezoid,
            ),
        )
    }
)
"""The published conventions by name."""
