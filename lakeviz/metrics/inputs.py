"""Scores, labels, maps and masks as checked numpy arrays, without changing a single value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from lakeviz.errors import MetricError

if TYPE_CHECKING:
    from lakeviz.metrics.regions import RegionMask

ArrayLike = Any
"""A numpy array, a torch tensor on any device, or anything ``numpy.asarray`` takes."""


class ScoredImage(NamedTuple):
    """One image's map and, if it has a defect, its mask, and its regions if they came labelled."""

    scores: Float[np.ndarray, "height width"]
    defect: Bool[np.ndarray, "height width"] | None
    regions: RegionMask | None = None


def to_numpy(values: ArrayLike) -> np.ndarray:
    """Return ``values`` as a numpy array; torch tensors are recognised by their methods."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # numpy has no bfloat16; float32 holds it exactly
            values = values.float()
        values = values.numpy()
    return np.asarray(values)


def to_scores(values: ArrayLike, what: str) -> np.ndarray:
    """Return ``values`` as float32 or float64, whichever holds every value exactly.

    Raises
    ------
    MetricError
        Not real numbers, not representable without loss, or NaN or infinite somewhere.
    """
    array = to_numpy(values)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "fiub" or size > 8:
        raise MetricError(f"{what} have dtype {array.dtype}; scores must be real numbers")
    exact = np.float64 if size == 8 or (kind in "iu" and size == 4) else np.float32
    scores = array.astype(exact, copy=False)
    if kind in "iu" and size == 8 and not np.array_equal(scores.astype(array.dtype), array):
        raise MetricError(f"{what} hold integers beyond 2**53, which no float holds exactly")
    if not np.isfinite(scores).all():
        bad = "NaN" if np.isnan(scores).any() else "infinite values"
        raise MetricError(f"{what} hold {bad}; a metric over them would be meaningless")
    return scores


def to_binary(values: ArrayLike, what: str) -> np.ndarray:
    """Return ``values`` as booleans; 0 is normal and the one other value is a defect.

    Raises
    ------
    MetricError
        More than one value besides 0, as in a mask that was resized with interpolation.
    """
    array = to_numpy(values)
    if array.dtype == bool:
        return array
    if array.dtype.kind not in "fiub":
        raise MetricError(f"{what} has dtype {array.dtype}; it must be boolean or numeric")
    binary = array != 0
    nonzero = array[binary]
    if nonzero.size and not nonzero.min() == nonzero.max() > 0:
        raise MetricError(
            f"{what} is not binary: besides 0 it holds values from {nonzero.min()} to "
            f"{nonzero.max()}; threshold it first (resize masks with nearest neighbour), or give "
            "labelled regions as RegionMask.of_labels(mask)"
        )
    return binary


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

    Raises
    ------
    MetricError
        No image, counts or shapes that do not match, NaN or infinite scores, a mask that is not
        binary; the message names the image by its number.
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
    # A RegionMask is told by its attribute: its module imports this one.
    regions: RegionMask | None = mask if hasattr(mask, "n_regions") else None
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


def plane(array: np.ndarray) -> np.ndarray:
    """Drop the channel axis of one."""
    return array[0] if array.ndim == 3 and array.shape[0] == 1 else array
