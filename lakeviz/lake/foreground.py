"""The same metrics where the plane behind the thing is left out: the branch ``"foreground"``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from lakeviz.lake.ground_truth import Size, Truth
from lakeviz.lake.metric_rows import Row, image_rows, pixel_tables
from lakeviz.lake.options import LakeOptions
from lakeviz.lake.score_maps import PixelMaps
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.regions import resize_mask

if TYPE_CHECKING:
    from lakeviz.data import Dataset

BRANCH = "foreground"


def foreground_rows(
    dataset: Dataset,
    sizes: Sequence[Size],
    maps: Sequence[PixelMaps],
    truth: Truth,
    options: LakeOptions,
    bootstrap: Bootstrap,
) -> tuple[list[Row], list[Row]]:
    """Rows of the foreground, and one for each draw.

    There are none without depth, or where fewer than half of the normal images have a plane behind
    the thing: the surface is then the thing itself, and what stands off it a defect.

    Image scores are those of the pixels of the foreground. Of the pixels without defect, those of
    the foreground count; defect pixels all do, so that leaving out the plane hides no defect.

    Parameters
    ----------
    dataset
        Test images.
    sizes
        Height and width of each.
    maps
        Pixel maps, draw by draw.
    truth, options, bootstrap
        As of all pixels.
    """
    if not dataset.depths:
        return [], []
    shown = [
        _foreground(depth.path, own if options.map_size is None else options.map_size)
        for depth, own in zip(dataset.depths, sizes, strict=True)
    ]
    normal = [mask.all() for mask, label in zip(shown, truth.labels, strict=True) if not label]
    if np.mean(normal or [True]) >= 0.5:  # what stands off the surface is the defect
        return [], []
    rule = options.image_score
    conventions = Conventions(image_score=f"{rule.describe()} on the foreground")
    scores = [
        np.array([rule(one[mask][None, None])[0] for one, mask in zip(draw, shown, strict=True)])
        for draw in maps
    ]
    rows, draws = image_rows({BRANCH: scores}, truth.labels, conventions, bootstrap)
    own = truth if truth.reason else truth.counting(shown)
    found = pixel_tables({BRANCH: maps}, own, conventions, bootstrap, curves_too=False)
    return [*rows, *found[0]], [*draws, *found[1]]


def _foreground(path: Path, size: Size) -> Bool[np.ndarray, "height width"]:
    """Foreground of a depth map at the size of the pixel map; all where there is no plane."""
    from lakeviz.data.depth import foreground
    from lakeviz.data.depth_files import read_depth

    depth = read_depth(path)
    found = foreground(depth)
    if np.array_equal(found, depth.valid):
        found = np.ones_like(found)  # no plane: what was not measured is no background
    return resize_mask(found, size)
