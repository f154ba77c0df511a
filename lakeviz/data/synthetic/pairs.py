"""Counterfactual pairs: the same picture with and without its defect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from lakeviz.data.synthetic.benchmark import CATEGORIES, DEFECT_TYPES, Sample, render_sample


def render_pair(
    category: str, index: int, defect_type: str, *, size: int = 96, seed: int = 0
) -> tuple[Sample, Sample]:
    """Render a picture with a defect and the same one without: equal seed, pose, light and grain.

    Parameters
    ----------
    category, index, defect_type, size, seed
        As for :func:`.render_sample`, of the test split.

    Returns
    -------
    defect, twin : Sample
        They differ where the defect changes pixels, and nowhere else.
    """
    own = {"size": size, "seed": seed}
    defect = render_sample(category, "test", index, defect_type, **own)
    return defect, render_sample(category, "test", index, "good", **own)


def twin_of(
    path: Path, image: UInt8[np.ndarray, "height width 3"]
) -> UInt8[np.ndarray, "height width 3"] | None:
    """Twin of a file of the benchmark; None where it is not one of its pictures.

    The file is taken for what its place in the folders says only if rendering that again gives the
    very same pixels.
    """
    category, defect_type = path.parts[-4:-3], path.parent.name
    known = category and category[0] in CATEGORIES and defect_type in DEFECT_TYPES
    if not known or not path.stem.isdecimal() or image.shape[0] != image.shape[1]:
        return None
    size = image.shape[0]
    defect, twin = render_pair(category[0], int(path.stem), defect_type, size=size)
    return twin.image if np.array_equal(defect.image, image) else None
