"""Depth as pictures that a tower can look at: depth, normals and curvature in three channels.

``depth``
    Depth less its median, in units of the span between its 2nd and 98th percentile, from black to
    white; a larger value is brighter. All three channels are equal.
``normals``
    Direction of the surface, x, y, z from -1 to 1 as red, green, blue. Depth maps have no unit
    beside the pixel: their slopes are divided by the 95th percentile of the slope, which so stands
    at 45 degrees. Point clouds are in their own unit.
``curvature``
    Mean curvature in units of twice its 95th percentile, around middle grey; minima of depth are
    bright.

The units are medians over normal training images (:meth:`Rendering.of`), so that no test image says
how it is drawn itself: one with a defect that covers much of it is drawn like the others. Only
where there are no normal images they are those percentiles of the image itself, which a defect of
less than 2 % (5 %) of it cannot move. Nothing is stretched to the extremes of an image, where one
wrong point would hide the rest. Invalid points show what the nearest measured points show, so that
they add nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from scipy.ndimage import binary_fill_holes

from lakeviz.data.depth_files import DepthMap, read_depth
from lakeviz.data.surfaces import finite, mean_curvature, nearest_known, tangents, unit_normals
from lakeviz.errors import ConfigError
from lakeviz.settings import check_choice

_SPAN = (2, 98)
_HIGH = 95
_SMOOTHING = 1 / 80
_MOST = 448  # towers look at fewer pixels
_FEWEST, _FITS = 16, 10  # points of a plane, and rounds of its fit
_SMALLEST = 1e-9  # below this share of the values a spread is rounding

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rendering:
    """Units of a rendering; None takes that of each image.

    Parameters
    ----------
    span
        Range of depth from black to middle grey.
    slope
        Slope of a depth map, per pixel, that is drawn at 45 degrees.
    bend
        Half the mean curvature, per pixel, that is drawn black or white.
    smoothing
        Standard deviation of the window of the local fits, as a share of the longer side; at least
        one pixel.
    """

    span: float | None = None
    slope: float | None = None
    bend: float | None = None
    smoothing: float = _SMOOTHING

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 < value < np.inf:
                raise ConfigError(f"{field.name} of a rendering must be positive, got {value}")

    @classmethod
    def of(cls, paths: Iterable[str | Path], smoothing: float = _SMOOTHING) -> Rendering:
        """Units for all images of a kind: the median of those of normal ones.

        Raises
        ------
        DepthError
            A depth map cannot be read.
        """
        maps = [read_depth(p) for p in paths]
        own = [_Surface(one, cls(smoothing=smoothing)) for one in maps]
        span, slope = (float(np.median([getattr(o, u) for o in own])) for u in ("span", "slope"))
        steep = cls(slope=slope, smoothing=smoothing)
        bend = float(np.median([_Surface(one, steep).bend for one in maps]))
        return cls(span, slope, bend, smoothing)


@lru_cache(maxsize=256)
def units_of(paths: tuple[Path, ...]) -> Rendering:
    """Units from normal depth maps; those of each image itself where there are none."""
    return Rendering.of(paths) if paths else Rendering()


def render(path: str | Path, how: str, rendering: Rendering = Rendering()) -> Image.Image:
    """Make a picture of a depth map or an organised point cloud.

    Parameters
    ----------
    path
        See :mod:`lakeviz.data.depth_files`.
    how
        ``"depth"``, ``"normals"`` or ``"curvature"``.
    rendering
        Its units.

    Raises
    ------
    DepthError
        The file cannot be read, or no point is valid.
    ConfigError
        No such rendering.
    """
    return render_map(read_depth(path), how, rendering)


def render_map(depth: DepthMap, how: str, rendering: Rendering = Rendering()) -> Image.Image:
    """Make a picture of a depth map in memory; see :func:`render`."""
    check_choice("rendering", how, _RENDERINGS)
    if depth.n_invalid:
        logger.debug(
            "%s: %d of %d points are invalid", depth.name, depth.n_invalid, depth.valid.size
        )
    if depth.is_constant:
        logger.warning("%s is constant: it adds nothing to its image", depth.name)
    drawn = _RENDERINGS[how](_Surface(depth, rendering))
    # 128 is middle grey and no tie of rounding: a flat map is one colour.
    eight_bit = np.rint(128 + 127 * np.clip(drawn, -1, 1)).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(eight_bit, (*eight_bit.shape[:2], 3)).copy())


def constant_picture(how: str, size: tuple[int, int]) -> Image.Image:
    """Rendering of a depth map of one depth throughout, at a height and width."""
    colour = (128, 128, 255) if how == "normals" else (128, 128, 128)
    return Image.new("RGB", (size[1], size[0]), colour)


def foreground(depth: DepthMap, tolerance: float = 0.02) -> Bool[np.ndarray, "height width"]:
    """The thing, without the plane behind it.

    The plane is fitted to the points near the border of the image by repeatedly leaving out those
    that lie far from it. A point is off the plane where it is farther from it than ``tolerance`` of
    the span of all depths, and than four times the scatter of the points on it. What such points
    enclose belongs to the thing: a pit that reaches down to the plane is a defect of it.

    Returns
    -------
    bool array [height, width]
        All measured points where there is no plane to remove: its points scatter by more than
        5 % of the span, most of the border is off it, or fewer than 1 % of all points are.
    """
    height, width = depth.valid.shape
    v, u = np.mgrid[0:height, 0:width]
    edge = max(min(height, width) // 10, 1)
    border = np.ones((height, width), dtype=bool)
    border[edge:-edge, edge:-edge] = False
    border &= depth.valid
    if np.count_nonzero(border) < _FEWEST:
        return depth.valid.copy()
    design = np.stack([np.ones(height * width), u.ravel() / width, v.ravel() / height], axis=-1)
    z, kept = np.nan_to_num(depth.depth.ravel()), border.ravel()
    distance = np.zeros(0)
    for _ in range(_FITS):
        plane = np.linalg.lstsq(design[kept], z[kept], rcond=None)[0]
        distance = np.abs(z - design @ plane)
        on = border.ravel() & (distance <= 3 * 1.4826 * np.median(distance[border.ravel()]))
        if np.count_nonzero(on) < _FEWEST:
            break
        kept = on
    scatter = 1.4826 * np.median(distance[kept])
    span = _between(z[depth.valid.ravel()])
    far = distance > max(tolerance * span, 4 * scatter)
    off = far.reshape(height, width) & depth.valid
    is_plane = (
        scatter <= 0.05 * span and np.mean(far[border.ravel()]) < 0.5 and np.mean(off) >= 0.01
    )
    return np.asarray(binary_fill_holes(off)) if is_plane else depth.valid.copy()


class _Surface:
    """What is drawn of one depth map, and its own units."""

    def __init__(self, depth: DepthMap, rendering: Rendering) -> None:
        step = -(-max(depth.valid.shape) // _MOST)
        self.points = depth.values[::step, ::step]
        self.valid = depth.valid[::step, ::step]
        if not self.valid.any():
            self.points, self.valid = depth.values, depth.valid
        self.rendering = rendering
        self.sigma = max(rendering.smoothing * max(self.valid.shape), 1.0)

    @property
    def bend(self) -> float:
        """Curvature that few pixels exceed."""
        return self._curvature()[1]

    @property
    def span(self) -> float:
        """Span of depth; the whole range where most points have one depth, 1 where all have."""
        values = self.points[..., -1][self.valid]
        return _between(values) or float(np.ptp(values)) or 1.0

    @property
    def slope(self) -> float:
        """Steepness that few pixels exceed; 1 of a point cloud, which has a unit."""
        if self.points.shape[-1] == 3:
            return 1.0
        right, down = tangents(self.points, self.valid, self.sigma)
        return _spread(np.hypot(right[..., 2], down[..., 2]), self.span) or 1.0

    def depth(self) -> Float[np.ndarray, "height width 1"]:
        """Depth around its median, 1 at the span."""
        values = nearest_known(self.points[..., -1], self.valid)
        middle = np.median(values[self.valid])
        return (values - middle)[..., None] / (self.rendering.span or self.span)

    def normals(self) -> Float[np.ndarray, "height width 3"]:
        """Unit vectors."""
        found = self._tangents_and_normals()[2]
        return self._filled(found, (0.0, 0.0, 1.0))

    def curvature(self) -> Float[np.ndarray, "height width 1"]:
        """Curvature, 1 at twice the bend."""
        found, own = self._curvature()
        bend = self.rendering.bend or own
        return 0.5 * self._filled(found[..., None], (0.0,)) / bend

    def _tangents_and_normals(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cloud = self.points.shape[-1] == 3
        unit = 1.0 if cloud else self.rendering.slope or self.slope
        right, down = tangents(self.points / unit, self.valid, self.sigma)
        return right, down, unit_normals(right, down)

    def _curvature(self) -> tuple[np.ndarray, float]:
        right, down, normals = self._tangents_and_normals()
        if not np.isfinite(normals).any():
            return np.full(self.valid.shape, np.nan), 1.0
        pixel = np.nanmedian(np.linalg.norm(right, axis=-1))
        found = mean_curvature(right, down, normals, self.sigma) * pixel
        return found, _spread(np.abs(found), 1.0) or 1.0

    def _filled(self, found: np.ndarray, without: tuple[float, ...]) -> np.ndarray:
        known = finite(found)
        return nearest_known(found, known) if known.any() else np.broadcast_to(without, found.shape)


_RENDERINGS: dict[str, Callable[[_Surface], np.ndarray]] = {
    "depth": _Surface.depth,
    "normals": _Surface.normals,
    "curvature": _Surface.curvature,
}


def _between(values: np.ndarray) -> float:
    low, high = np.percentile(values, _SPAN)
    return float(high - low)


def _spread(sizes: np.ndarray, scale: float) -> float:
    """Size that few exceed; the largest where most are 0, and 0 where all are rounding."""
    known = sizes[np.isfinite(sizes)]
    if not known.size:
        return 0.0
    for found in (np.percentile(known, _HIGH), known.max()):
        if found > _SMALLEST * scale:
            return float(found)
    return 0.0
