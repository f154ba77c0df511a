"""Small pictures of the patches that drive a neuron: the patch in the middle of its neighbours."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Int
from PIL import Image

from lakeviz.data import load_image
from lakeviz.data.aspect import SQUASH, Geometry
from lakeviz.data.files import IMAGE_FORMATS
from lakeviz.errors import LakevizError
from lakeviz.plots.heatmap import png_bytes
from lakeviz.tables import rows

if TYPE_CHECKING:
    from lakeviz.studies.base.captured import StudyData

Place = tuple[int, int, int, tuple[int, int]]
"""Image, row and column of a patch, and its grid."""

CROP_PATCHES = 3
CROP_PIXELS = 48
_BEYOND = "#868E99"  # beyond the border of the image


def crop_patch(
    image: Image.Image,
    row: int,
    column: int,
    grid: tuple[int, int],
    longest: int = CROP_PIXELS,
    geometry: Geometry = SQUASH,
) -> Image.Image:
    """Cut a patch and its neighbours out of an image.

    The patch is the middle third in both directions; what lies beyond the image is grey.

    Parameters
    ----------
    image : PIL image (RGB)
    row, column : int
        Of the patch.
    grid : (rows, columns)
        Of patches.
    longest : int
        Longer side of the result at most, in pixels.
    geometry : Geometry
        Which part of the image the patches cover.
    """
    y, x, height, width = (
        share * side
        for share, side in zip(
            geometry.patch_box(row, column, grid, (image.height, image.width)),
            (image.height, image.width) * 2,
        )
    )
    around = CROP_PATCHES // 2
    left, top = round(x - around * width), round(y - around * height)
    right, bottom = round(x + (around + 1) * width), round(y + (around + 1) * height)
    tile = Image.new("RGB", (max(1, right - left), max(1, bottom - top)), _BEYOND)
    inside = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    tile.paste(image.crop(inside), (inside[0] - left, inside[1] - top))
    tile.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return tile


def decode(crop: bytes) -> Image.Image:
    """Read a picture of a patch back."""
    return Image.open(io.BytesIO(crop), formats=IMAGE_FORMATS).convert("RGB")


def with_crops(patches: pd.DataFrame) -> pd.DataFrame:
    """Have the column ``crop`` hold pictures or None: Parquet gives missing ones as numbers."""
    found = patches["crop"] if "crop" in patches else [None] * len(patches)
    pictures = [one if isinstance(one, bytes) else None for one in found]
    return patches.assign(crop=pd.Series(pictures, patches.index, dtype=object))


def add_crops(
    data: StudyData, patches: pd.DataFrame, keep: Int[np.ndarray, " row"] | None = None
) -> list[str]:
    """Picture all patches, or the rows ``keep``; returns notes on what has no picture."""
    if data.dataset is None:
        return [f"{data.category}: no pictures of patches, because there are no image files"]
    shown = patches if keep is None else rows(patches, keep)
    columns = (shown[name].tolist() for name in ("image", "row", "column", "point"))
    places = [(*place, data.grids[point]) for *place, point in zip(*columns, strict=True)]
    # The same patch drives many neurons: each is cut out once.
    made, problems = _crops(data.dataset.paths, set(places), data.geometry)
    pictures = pd.Series([made.get(place) for place in places], shown.index, dtype=object)
    patches["crop"] = pictures.reindex(patches.index)
    return [f"{data.category}: no picture of a patch: {problem}" for problem in problems]


def _crops(
    paths: Sequence[Path], places: Collection[Place], geometry: Geometry
) -> tuple[dict[Place, bytes], list[str]]:
    """PNG of each place, and why an image could not be read; every image is read once."""
    made: dict[Place, bytes] = {}
    problems = []
    for index in sorted({place[0] for place in places}):
        try:
            image = load_image(paths[index])
        except LakevizError as error:
            problems.append(str(error))
            continue
        for place in places:
            if place[0] == index:
                made[place] = png_bytes(crop_patch(image, *place[1:], geometry=geometry))
    return made, problems
