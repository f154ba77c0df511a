"""Arrays of any kind as numpy arrays, without changing a single value."""

from __future__ import annotations

from typing import Any

import numpy as np

from lakeviz.errors import MetricError

ArrayLike = Any
"""A numpy array, a torch tensor on any device, or anything ``numpy.asarray`` takes."""


def to_numpy(values: ArrayLike) -> np.ndarray:
    """Return ``values`` as a numpy array; torch tensors are recognised by their methods."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # numpy has no bfloat16; float32 holds it exactly
            values = values.float()
        values = values.numpy()
    return np.asarray(values)


def to_scores(values: ArrayLike, what: str) -> np.ndarray:
    """Return ``values`` as float32 or float64, whichever holds every value exactly."""
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
    """Return ``values`` as booleans; 0 is normal and the one other value is a defect."""
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


def plane(array: np.ndarray) -> np.ndarray:
    """Drop the channel axis of one."""
    return array[0] if array.ndim == 3 and array.shape[0] == 1 else array
