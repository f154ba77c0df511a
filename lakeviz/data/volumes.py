"""Files that hold the labels or the masks of all frames of a clip: NumPy arrays and MATLAB files.

A ``.npy`` file holds one number per frame (labels) or ``[frame, height, width]`` (masks). A
``.mat`` file holds a cell array of masks, ``[height, width, frame]``, or one number per frame.
Nothing is unpickled. The mask of one frame is named ``FILE#12``
(:func:`lakeviz.data.files.volume_frame`).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from lakeviz.data.files import printable, why_unreadable
from lakeviz.errors import MaskError

# Masks of one clip may need hundreds of megabytes once unpacked: the last two clips are kept.
_KEPT = 2


def read_volume(
    path: Path,
) -> Bool[np.ndarray, " frame"] | Bool[np.ndarray, "frame height width"]:
    """Read labels or masks of all frames of a clip, true where they are not 0."""
    if reason := why_unreadable(path):
        raise MaskError(f"{printable(path)} is {reason}")
    try:
        status = path.stat()
        return _read(path, status.st_size, status.st_mtime_ns)
    except MaskError:
        raise
    except Exception as error:  # SciPy's readers raise whatever a damaged file leads them to
        raise MaskError(f"cannot read {printable(path)} as labels or masks: {error}") from error


def mask_of_frame(path: Path, frame: int) -> Bool[np.ndarray, "height width"]:
    """Mask of one frame of a volume."""
    masks = read_volume(path)
    if masks.ndim != 3 or frame >= len(masks):
        raise MaskError(f"{path} has no mask of frame {frame}: its shape is {list(masks.shape)}")
    return masks[frame]


@lru_cache(maxsize=_KEPT)
def _read(path: Path, size: int, mtime_ns: int) -> np.ndarray:
    values = _matlab(path) if path.suffix.lower() == ".mat" else np.load(path, allow_pickle=False)
    if values.dtype.kind not in "biuf":
        raise MaskError(f"{path} holds {values.dtype}, not numbers")
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if values.ndim not in (1, 3) or not values.size:
        raise MaskError(
            f"{path} has the shape {list(values.shape)}; a number per frame or "
            "[frame, height, width] is needed"
        )
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise MaskError(f"{path} has NaN values")
    if values.ndim == 1 and not np.isin(values, (0, 1)).all():
        raise MaskError(f"the labels in {path} are not all 0 or 1")
    return values != 0


def _matlab(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    found = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    if len(found) != 1:
        raise MaskError(f"{path} holds {len(found)} variables ({', '.join(found)}), not one")
    values = np.asarray(next(iter(found.values())))
    if values.dtype == object:  # a cell array, one mask a cell
        return np.stack([np.asarray(mask) for mask in values.ravel()])
    return np.moveaxis(values, -1, 0) if values.ndim == 3 else values
