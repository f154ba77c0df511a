"""Scores, labels, maps and masks, checked: what every metric starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from lakeviz.errors import MetricError
from lakeviz.metrics.arrays import ArrayLike, plane, to_binary, to_numpy, to_scores
from lakeviz.metrics.regions import RegionMask


class ScoredImage(NamedTuple):
    """One image's map and, if it has a defect, its mask, and its regions if they came labelled."""

    scores: Float[np.ndarray, "height width"]
    defect: Bool[np.ndarray, "height width"] | None
    regions: RegionMask | None = None


def labelled_scores(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[Float[np.ndarray, " sample"], Bool[np.ndarray, " sample"]]:
    """Check one score and one label (0 normal, 1 anomalous) per sample."""
    checked, positive = to_scores(scores, "scores"), to_binary(labels, "labels")
    if checked.ndim != 1 or checked.shape != positive.shape:
        raise MetricError(
            f"scores have shape {checked.shape} and labels {positive.shape}; "
            "both must be one-dimensional and of one length"
        )
    if not checked.size:
        raise MetricError("no scores were given")
    return checked, positive


def scored_images(maps: ArrayLike, masks: ArrayLike, first: int = 0) -> list[ScoredImage]:
    """Check maps against masks, image by image.

    Parameters
    ----------
    maps, masks
        ``[image, height, width]``, ``[image, 1, height, width]``, or a sequence of
        ``[height, width]`` (or ``[1, height, width]``) whose sizes may differ. A sequence of
        masks may hold :class:`~lakeviz.metrics.RegionMask` too.
    first
        Number of the first image, for messages.
    """
    map_list, mask_list = _planes(maps, "maps"), _planes(masks, "masks")
    if len(map_list) != len(mask_list):
        raise MetricError(f"{len(map_list)} maps but {len(mask_list)} masks")
    if not map_list:
        raise MetricError("no maps were given")
    return [
        _scored_image(score_map, mask, first + i)
        for i, (score_map, mask) in enumerate(zip(map_list, mask_list))
    ]


def is_flat(scores: ArrayLike) -> bool:
    """Whether these are scores of images, rather than maps."""
    if isinstance(scores, (list, tuple)):
        return not scores or np.ndim(to_numpy(scores[0])) == 0
    return to_numpy(scores).ndim == 1


def _scored_image(score_map: ArrayLike, mask: ArrayLike, number: int) -> ScoredImage:
    scores = plane(to_scores(score_map, f"the scores of map {number}"))
    regions = mask if isinstance(mask, RegionMask) else None
    defect = plane(to_binary(mask, f"mask {number}")) if regions is None else regions.defect
    if scores.shape != defect.shape:
        raise MetricError(f"map {number} has shape {scores.shape}, its mask {defect.shape}")
    if scores.ndim != 2 or not scores.size:
        raise MetricError(f"map {number} has shape {scores.shape}; need height x width pixels")
    return ScoredImage(scores, defect if defect.any() else None, regions)


def _planes(stack: ArrayLike, what: str) -> Sequence[ArrayLike]:
    """Split a stack into its images; a sequence is one already."""
    if isinstance(stack, (list, tuple)):
        return stack
    array = to_numpy(stack)
    if array.ndim not in (3, 4):
        raise MetricError(
            f"{what} have shape {array.shape}; need [image, height, width], "
            "[image, 1, height, width], or a list of [height, width]"
        )
    return list(array)
