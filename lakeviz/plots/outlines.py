"""Outlines of masks as closed polygons along the pixel edges."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from lakeviz.errors import ConfigError

Outline = Float[np.ndarray, "corner 2"]
_Vertex = tuple[int, int]
# Sides of a pixel walked clockwise on the screen, y pointing down: the neighbour across the side,
# where the side starts relative to the pixel's top left corner, and where it heads.
_SIDES = (
    ((-1, 0), (0, 0), (1, 0)),
    ((0, 1), (1, 0), (0, 1)),
    ((1, 0), (1, 1), (-1, 0)),
    ((0, -1), (0, 1), (0, -1)),
)


def mask_outlines(mask: Bool[np.ndarray, "height width"]) -> list[Outline]:
    """Trace the border of every region and hole of a mask.

    Pixel ``(row, column)`` covers the square from ``(column, row)`` to ``(column + 1, row + 1)``,
    so an outline lies on pixel edges, encloses exactly the pixels of the region, and has corners
    only where it turns. Pixels that touch at a corner alone are traced apart.

    Parameters
    ----------
    mask : bool array [height, width]

    Returns
    -------
    list of float arrays [corner, 2]
        Corners as (x, y) in pixels, clockwise on the screen around regions and counter-clockwise
        around holes; the first corner is not repeated at the end.

    Raises
    ------
    ConfigError
        The mask does not have two dimensions.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.ndim != 2:
        raise ConfigError(f"a mask has 2 dimensions, not {mask.ndim}")
    leaving = _edges(mask)
    outlines = []
    while leaving:
        outlines.append(_corners(_walk(leaving, next(iter(leaving)))))
    return outlines


def shrink_mask(
    mask: Bool[np.ndarray, "height width"], size: tuple[int, int]
) -> Bool[np.ndarray, "row column"]:
    """Bring a mask to ``size`` (height, width); true where any part of the new pixel is.

    A defect of one pixel stays visible however small the picture becomes.
    """
    if mask.shape == tuple(size):
        return mask
    height, width = size
    share = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    return np.asarray(share) > 0


def svg_path(
    mask: Bool[np.ndarray, "height width"], scale: tuple[float, float] = (1.0, 1.0)
) -> str:
    """Outlines of a mask as an SVG path; ``scale`` is from its pixels to the units of the page."""
    return "".join(
        "M" + "L".join(f"{round(x, 1):g} {round(y, 1):g}" for x, y in corners * scale) + "Z"
        for corners in mask_outlines(mask)
    )


def _edges(mask: Bool[np.ndarray, "height width"]) -> dict[_Vertex, list[_Vertex]]:
    """Headings of the border edges by the vertex they leave, the mask on their right."""
    padded = np.pad(mask, 1)
    leaving: dict[_Vertex, list[_Vertex]] = {}
    for (down, right), (x0, y0), heading in _SIDES:
        outside = ~np.roll(padded, (-down, -right), axis=(0, 1))
        rows, columns = np.nonzero((padded & outside)[1:-1, 1:-1])
        for x, y in zip((columns + x0).tolist(), (rows + y0).tolist(), strict=True):
            leaving.setdefault((x, y), []).append(heading)
    return leaving


def _walk(leaving: dict[_Vertex, list[_Vertex]], start: _Vertex) -> list[_Vertex]:
    """Follow the border from ``start`` until it closes, using the edges up."""
    at, first, heading = start, leaving[start][0], leaving[start][0]
    walked = []
    while True:
        walked.append(at)
        leaving[at].remove(heading)
        if not leaving[at]:
            del leaving[at]
        at = (at[0] + heading[0], at[1] + heading[1])
        turned = (-heading[1], heading[0])  # to the right, which stays with the same pixel
        if at == start and (at not in leaving or turned == first):
            return walked
        heading = turned if turned in leaving[at] else leaving[at][0]


def _corners(walked: list[_Vertex]) -> Outline:
    points = np.array(walked, dtype=float)
    arriving = points - np.roll(points, 1, axis=0)
    departing = np.roll(points, -1, axis=0) - points
    return points[(arriving != departing).any(axis=1)]
