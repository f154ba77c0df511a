"""Inpainting of a masked region by the pixels of a normal image: an approximate twin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy.ndimage import binary_dilation, distance_transform_edt

_MARGIN, _FEATHER = 0.02, 0.02  # of the longer side: beyond the mask, and of the blend
_COMPARED = 64  # side at which images are compared


def inpaint(
    image: UInt8[np.ndarray, "height width 3"],
    mask: Bool[np.ndarray, "height width"],
    normal: Sequence[Image.Image],
) -> UInt8[np.ndarray, "height width 3"]:
    """Fill the mask, and a little around it, with the same place of the most similar normal image.

    Similar is least in mean absolute difference outside the mask, at a reduced size. The normal
    images are brought to the size of the image. The result is as good as the images are aligned: a
    texture may show a seam.
    """
    if not normal:
        raise ValueError("inpainting needs a normal image")
    height, width = mask.shape
    small = _small(Image.fromarray(image))
    outside = np.asarray(Image.fromarray(~mask).convert("L").resize((_COMPARED, _COMPARED))) > 127
    if not outside.any():
        outside[:] = True
    gaps = [np.abs(_small(one) - small)[outside].mean() for one in normal]
    source = normal[int(np.argmin(gaps))].convert("RGB").resize((width, height))
    longest = max(height, width)
    filled = binary_dilation(mask, iterations=max(1, round(_MARGIN * longest)))
    reach = max(1.0, _FEATHER * longest)
    away = np.asarray(distance_transform_edt(np.logical_not(filled)))
    share = np.clip(1 - away / reach, 0, 1)[..., None]
    made = share * np.asarray(source, dtype=float) + (1 - share) * image
    return np.rint(made).astype(np.uint8)


def _small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((_COMPARED, _COMPARED)), dtype=float)
