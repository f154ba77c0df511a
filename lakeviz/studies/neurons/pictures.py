"""Small pictures of the patches that drive a neuron: the patch in the middle of its neighbours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lakeviz.data import load_image
from lakeviz.data.aspect import SQUASH, Geometry
from lakeviz.errors import LakevizError

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


def crops(
    paths: Sequence[Path],
    places: Sequence[tuple[int, int, int, tuple[int, int]]],
    geometry: Geometry = SQUASH,
) -> tuple[list[bytes | None], list[str]]:
    """PNG of each place (image, row, column, grid); every image is read once.

    Returns
    -------
    list of bytes or None, list of str
        The pictures, and the reason for each image that could not be read.
    """
    made: list[bytes | None] = [None] * len(places)
    problems = []
    for index in sorted({place[0] for place in places}):
        try:
            image = load_image(paths[index])
        except LakevizError as error:
            problems.append(str(error))
            continue
        for number, (own, row, column, grid) in enumerate(places):
            if own == index:
                made[number] = _png(crop_patch(image, row, column, grid, geometry=geometry))
    return made, problems


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
