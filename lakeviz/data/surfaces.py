"""Slopes, normals and curvature of a measured surface, by weighted local fits of planes.

A plane is fitted around every pixel to the measured points alone, with Gaussian weights. So planes
are met exactly, at the border and beside invalid points too, and small gaps are bridged.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import correlate1d, distance_transform_edt

Plane = Float[np.ndarray, "height width"]
Vectors = Float[np.ndarray, "height width 3"]

_REACH = 3  # the window ends at this many standard deviations
_LEAST_WEIGHT, _LEAST_SPREAD = 0.02, 0.01  # of a full window


class LocalPlanes:
    """Fits over the windows of one set of measured points, for any number of fields."""

    def __init__(self, valid: Bool[np.ndarray, "height width"], sigma: float) -> None:
        reach = max(int(np.ceil(_REACH * sigma)), 1)
        offset = np.arange(-reach, reach + 1, dtype=np.float64)
        weight = np.exp(-0.5 * (offset / sigma) ** 2)
        weight /= weight.sum()
        self._kernels = [weight, weight * offset, weight * offset**2]
        self._valid = valid
        seen = valid.astype(np.float64)
        total = self._moment(seen, 0, 0)
        spread = float((weight * offset**2).sum())
        self._total = np.where(total > _LEAST_WEIGHT, total, np.nan)
        self._mean_u = self._moment(seen, 1, 0) / self._total
        self._mean_v = self._moment(seen, 0, 1) / self._total
        self._uu = self._moment(seen, 2, 0) / self._total - self._mean_u**2
        self._vv = self._moment(seen, 0, 2) / self._total - self._mean_v**2
        self._uv = self._moment(seen, 1, 1) / self._total - self._mean_u * self._mean_v
        determinant = self._uu * self._vv - self._uv**2
        determinant[determinant < _LEAST_SPREAD * spread**2] = np.nan
        self._determinant = determinant

    def slopes(self, field: Plane) -> tuple[Plane, Plane]:
        """Change of a field per pixel to the right (u) and down (v); NaN without support.

        Its values count where points are valid.
        """
        centre = np.median(field[self._valid])
        values = np.where(self._valid, field - centre, 0.0)
        mean = self._moment(values, 0, 0) / self._total
        with_u = self._moment(values, 1, 0) / self._total - self._mean_u * mean
        with_v = self._moment(values, 0, 1) / self._total - self._mean_v * mean
        along_u = (self._vv * with_u - self._uv * with_v) / self._determinant
        along_v = (self._uu * with_v - self._uv * with_u) / self._determinant
        return along_u, along_v

    def _moment(self, values: Plane, u: int, v: int) -> Plane:
        across = correlate1d(values, self._kernels[u], axis=1, mode="constant")
        return correlate1d(across, self._kernels[v], axis=0, mode="constant")


def tangents(
    points: Float[np.ndarray, "height width channel"],
    valid: Bool[np.ndarray, "height width"],
    sigma: float,
) -> tuple[Vectors, Vectors]:
    """Steps in space from a pixel to the next, rightwards and downwards.

    Of a depth map (one channel) a pixel is the unit of length of all three axes.
    """
    fits = LocalPlanes(valid, sigma)
    along = [fits.slopes(points[..., c]) for c in range(points.shape[-1])]
    if len(along) == 1:
        one, none = np.ones(valid.shape), np.zeros(valid.shape)
        along = [(one, none), (none, one), *along]
    right, down = (np.stack(steps, axis=-1) for steps in zip(*along))
    return right, down


def unit_normals(right: Vectors, down: Vectors) -> Vectors:
    """Normals of length 1 from the tangents; NaN where there are none."""
    normals = np.cross(right, down)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals / np.where(length > 0, length, np.nan)


def mean_curvature(right: Vectors, down: Vectors, normals: Vectors, sigma: float) -> Plane:
    """Mean of the two principal curvatures, per unit of the points.

    1 / radius of a sphere. It is positive where depth has a minimum.
    """
    fits = LocalPlanes(finite(normals), sigma)
    turns = [fits.slopes(normals[..., c]) for c in range(3)]
    turn_u, turn_v = (np.stack(t, axis=-1) for t in zip(*turns))
    e, f, g = _dot(right, right), _dot(right, down), _dot(down, down)
    bend_e, bend_g = -_dot(turn_u, right), -_dot(turn_v, down)
    bend_f = -(_dot(turn_u, down) + _dot(turn_v, right)) / 2
    area = e * g - f**2
    return (bend_e * g - 2 * bend_f * f + bend_g * e) / (2 * np.where(area > 0, area, np.nan))


def nearest_known(field: np.ndarray, known: Bool[np.ndarray, "height width"]) -> np.ndarray:
    """Give every pixel that is not known the value of the nearest that is."""
    if known.all() or not known.any():
        return field
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return field[tuple(np.asarray(nearest))]


def finite(vectors: np.ndarray) -> Bool[np.ndarray, "height width"]:
    """Where all channels are numbers."""
    return np.logical_and.reduce(np.isfinite(vectors), axis=-1)


def _dot(a: Vectors, b: Vectors) -> Plane:
    return (a * b).sum(axis=-1)
