"""Resolution-free building blocks: noise, coordinates and soft edges on the unit square.

Random numbers are drawn on lattices whose size does not depend on the resolution, so the same seed
gives the same scene at 64 and at 512 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

Field = Float[np.ndarray, "height width"]
Image = Float[np.ndarray, "height width 3"]


@lru_cache(maxsize=256)
def _interpolation(size: int, cells: int) -> Float[np.ndarray, "size knots"]:
    """Weights that carry ``cells + 1`` lattice values to ``size`` pixel centres by smoothstep."""
    position = (np.arange(size) + 0.5) / size * cells
    left = np.minimum(position.astype(int), cells - 1)
    t = position - left
    t = t * t * (3 - 2 * t)
    weights = np.zeros((size, cells + 1), dtype=np.float32)
    rows = np.arange(size)
    weights[rows, left] = 1 - t
    weights[rows, left + 1] = t
    return weights


def value_noise(rng: np.random.Generator, size: int, cells_y: int, cells_x: int) -> Field:
    """Smooth noise with about ``cells_y`` x ``cells_x`` bumps, zero mean, of order one."""
    lattice = rng.standard_normal((cells_y + 1, cells_x + 1)).astype(np.float32)
    return _interpolation(size, cells_y) @ lattice @ _interpolation(size, cells_x).T


def fractal_noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 3) -> Field:
    """Sum of ``octaves`` of value noise, each twice as fine and half as strong."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave in range(octaves):
        total += 0.5**octave * value_noise(rng, size, cells * 2**octave, cells * 2**octave)
    return total


def cellular(rng: np.random.Generator, u: Field, v: Field, cells: int) -> tuple[Field, Field]:
    """Distances to the nearest and second nearest of jittered lattice points (Worley noise).

    Distances are in units of one cell; the lattice repeats, so any ``u``, ``v`` is allowed.
    """
    offsets = ((rng.random((cells, cells, 2)) - 0.5) * 0.8 + 0.5).astype(np.float32)
    x, y = u * cells, v * cells
    ix, iy = np.floor(x).astype(int), np.floor(y).astype(int)
    first = np.full(u.shape, 9.0, dtype=np.float32)
    second = first.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            point = offsets[(iy + dy) % cells, (ix + dx) % cells]
            distance = np.hypot(ix + dx + point[..., 0] - x, iy + dy + point[..., 1] - y)
            second = np.minimum(second, np.maximum(first, distance))
            first = np.minimum(first, distance)
    return first, second


@dataclass(frozen=True)
class Pose:
    """Where a thing lies: rotation in radians, shift and scale in units of the image side."""

    angle: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    scale: float = 1.0

    def coordinates(self, size: int) -> tuple[Field, Field]:
        """Pixel centres in the thing's own frame; its centre is (0, 0), the image side about 1."""
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
        x = axis[None, :] - np.float32(self.shift_x)
        y = axis[:, None] - np.float32(self.shift_y)
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        scale = np.float32(self.scale)
        return (cos * x + sin * y) / scale, (-sin * x + cos * y) / scale


def below(signed_distance: Field, edge: float) -> Field:
    """1 where ``signed_distance`` < 0, 0 where > 0, with a soft step of width ``edge``."""
    return np.clip(0.5 - signed_distance / edge, 0, 1).astype(np.float32)


def box(u: Field, v: Field, half_width: float, half_height: float, radius: float = 0.0) -> Field:
    """Signed distance to a rectangle with rounded corners."""
    x = np.abs(u) - (half_width - radius)
    y = np.abs(v) - (half_height - radius)
    outside = np.hypot(np.maximum(x, 0), np.maximum(y, 0))
    return outside + np.minimum(np.maximum(x, y), 0) - radius


def polygon(u: Field, v: Field, sides: int, inradius: float) -> Field:
    """Signed distance (exact inside, a lower bound outside) to a regular polygon."""
    sector = 2 * np.pi / sides
    angle = np.mod(np.arctan2(v, u) + sector / 2, sector) - sector / 2
    return np.hypot(u, v) * np.cos(angle) - inradius


def segment(u: Field, v: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance to a line segment."""
    ax, ay = start
    bx, by = end[0] - ax, end[1] - ay
    length = max(bx * bx + by * by, 1e-12)
    t = np.clip(((u - ax) * bx + (v - ay) * by) / length, 0, 1)
    return np.hypot(u - ax - t * bx, v - ay - t * by)


def mix(base: Image, colour: np.ndarray, alpha: Field) -> Image:
    """Blend ``colour`` (one colour or an image) over ``base`` with weight ``alpha``."""
    return base + alpha[..., None] * (colour - base)


def rgb(*channels: float) -> np.ndarray:
    """Return one colour, channels in [0, 1]."""
    return np.asarray(channels, dtype=np.float32)


def solid(size: int, *colour: float) -> Image:
    """Return a picture of one colour."""
    return np.tile(rgb(*colour), (size, size, 1))


def shade(base: np.ndarray, relief: Field) -> Image:
    """Brighten or darken a colour (or image) by a factor ``1 + relief``."""
    return base * (1 + relief[..., None])
