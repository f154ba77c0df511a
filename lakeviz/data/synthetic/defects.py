"""Eight kinds of defect, painted on a scene inside its foreground.

A painter returns the defective picture; :func:`apply_defect` turns that into an exact mask: the
pixels whose 8-bit value differs, and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, UInt8

from lakeviz.data.synthetic.fields import Field, Image, below, mix, rgb, segment, value_noise


@dataclass(frozen=True)
class Scene:
    """A normal picture, the region that belongs to the thing itself, and what lies behind it."""

    image: Image
    foreground: Bool[np.ndarray, "height width"]
    backing: Image

    @property
    def size(self) -> int:
        """Side of the square picture in pixels."""
        return self.image.shape[0]


Painter = Callable[[np.random.Generator, Scene], Image]
Drawn = TypeVar("Drawn", bound=tuple[Any, ...])

# A smaller change than this (of 255) would not be seen, and a mask around it would be unfair.
_VISIBLE = 8
# A defect smaller than this share of the picture is drawn again.
_MIN_AREA = 0.002
_ATTEMPTS = 60


def _grid(scene: Scene) -> tuple[Field, Field]:
    axis = (np.arange(scene.size, dtype=np.float32) + 0.5) / scene.size
    x, y = np.broadcast_arrays(axis[None, :], axis[:, None])
    return x, y


def _place(rng: np.random.Generator, scene: Scene) -> tuple[float, float]:
    """Return a random foreground position (x, y) in units of the image side."""
    rows, columns = np.nonzero(scene.foreground)
    pick = int(rng.random() * len(rows))
    return (columns[pick] + 0.5) / scene.size, (rows[pick] + 0.5) / scene.size


def _blob(rng: np.random.Generator, scene: Scene, low: float, high: float) -> Field:
    """Signed distance to an uneven ellipse of radius between ``low`` and ``high``."""
    x, y = _grid(scene)
    cx, cy = _place(rng, scene)
    radius = rng.uniform(low, high)
    stretch = rng.uniform(0.7, 1.4)
    angle = rng.uniform(0, np.pi)
    u = np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)
    v = -np.sin(angle) * (x - cx) + np.cos(angle) * (y - cy)
    return np.hypot(u * stretch, v / stretch) - radius * (
        1 + 0.18 * value_noise(rng, scene.size, 12, 12)
    )


def _path(rng: np.random.Generator, scene: Scene, length: float, steps: int, bend: float) -> Field:
    """Distance to a random walk of ``steps`` segments that starts on the foreground."""
    x, y = _grid(scene)
    point = _place(rng, scene)
    heading = rng.uniform(0, 2 * np.pi)
    distance = np.full(x.shape, 9.0, dtype=np.float32)
    for _ in range(steps):
        heading += rng.normal(0, bend)
        step = length / steps
        following = (point[0] + step * np.cos(heading), point[1] + step * np.sin(heading))
        distance = np.minimum(distance, segment(x, y, point, following))
        point = following
    return distance


def _contrast(rng: np.random.Generator, scene: Scene, alpha: Field) -> np.ndarray:
    """Return a grey that stands out from what it covers."""
    under = float((scene.image.mean(axis=2) * alpha).sum() / max(float(alpha.sum()), 1e-6))
    return rgb(*(3 * [rng.uniform(0.02, 0.12) if under > 0.45 else rng.uniform(0.85, 1.0)]))


def scratch(rng: np.random.Generator, scene: Scene) -> Image:
    """A straight or barely bent thin line."""
    distance = _path(rng, scene, rng.uniform(0.2, 0.5), 5, 0.08)
    alpha = below(distance - rng.uniform(0.006, 0.011), 1.5 / scene.size)
    return mix(scene.image, _contrast(rng, scene, alpha), 0.85 * alpha)


def crack(rng: np.random.Generator, scene: Scene) -> Image:
    """A jagged dark line with a branch."""
    distance = np.minimum(
        _path(rng, scene, rng.uniform(0.2, 0.4), 9, 0.7) - 0.002,
        _path(rng, scene, rng.uniform(0.05, 0.15), 4, 0.7) if rng.random() < 0.3 else 9.0,
    )
    alpha = below(distance - rng.uniform(0.008, 0.013), 1.5 / scene.size)
    return mix(scene.image, rgb(0.04, 0.03, 0.03), 0.9 * alpha)


def hole(rng: np.random.Generator, scene: Scene) -> Image:
    """A round dark hole with a bright rim."""
    x, y = _grid(scene)
    cx, cy = _place(rng, scene)
    radius = rng.uniform(0.025, 0.06)
    r = np.hypot(x - cx, y - cy)
    rimmed = mix(scene.image, rgb(0.85, 0.85, 0.82), 0.5 * below(np.abs(r - radius) - 0.012, 0.02))
    return mix(rimmed, rgb(0.03, 0.03, 0.04), below(r - radius, 1.5 / scene.size))


def stain(rng: np.random.Generator, scene: Scene) -> Image:
    """A coloured blot the surface shows through."""
    hue = rng.choice(5)
    colour = np.eye(3, dtype=np.float32)[hue % 3] * 0.6 + (0.05 if hue < 3 else 0.3)
    alpha = rng.uniform(0.55, 0.8) * below(_blob(rng, scene, 0.05, 0.11), 0.02)
    return mix(scene.image, colour, alpha)


def thread(rng: np.random.Generator, scene: Scene) -> Image:
    """A foreign fibre lying in curves."""
    distance = _path(rng, scene, rng.uniform(0.35, 0.7), 14, 0.45)
    alpha = below(distance - rng.uniform(0.006, 0.01), 1.5 / scene.size)
    vivid = rgb(*rng.permutation([0.9, 0.15, rng.uniform(0.1, 0.9)]))
    return mix(scene.image, vivid, 0.9 * alpha)


def dent(rng: np.random.Generator, scene: Scene) -> Image:
    """A bump or hollow: light on one side, shadow on the other."""
    x, y = _grid(scene)
    cx, cy = _place(rng, scene)
    radius = rng.uniform(0.05, 0.1)
    light = rng.uniform(0, 2 * np.pi)
    bump = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (radius / 2) ** 2))
    slope = ((x - cx) * np.cos(light) + (y - cy) * np.sin(light)) / (radius / 2)
    relief = rng.uniform(0.9, 1.2) * slope * bump
    return np.where(
        relief[..., None] > 0,
        mix(scene.image, rgb(1, 1, 1), np.clip(relief, 0, 0.8)),
        scene.image * (1 + np.clip(relief, -0.8, 0))[..., None],
    )


def missing(rng: np.random.Generator, scene: Scene) -> Image:
    """Material is gone and what lies behind shows."""
    return mix(scene.image, scene.backing, below(_blob(rng, scene, 0.06, 0.11), 1.5 / scene.size))


def misplaced(rng: np.random.Generator, scene: Scene) -> Image:
    """A piece of the thing itself, turned and set in the wrong place."""
    turned = np.rot90(scene.image, int(rng.integers(1, 4)))
    shift = rng.integers(scene.size // 6, scene.size // 2, 2)
    moved = np.roll(turned, tuple(shift), axis=(0, 1))
    return mix(scene.image, moved, below(_blob(rng, scene, 0.07, 0.13), 1.5 / scene.size))


DEFECTS: dict[str, Painter] = {
    "scratch": scratch,
    "crack": crack,
    "hole": hole,
    "stain": stain,
    "thread": thread,
    "dent": dent,
    "missing": missing,
    "misplaced": misplaced,
}


def to_uint8(image: Image) -> UInt8[np.ndarray, "height width 3"]:
    """Round a picture in [0, 1] to 8 bits."""
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def largest_of(draw: Callable[[], Drawn], least: float) -> Drawn:
    """Draw a defect until its mask, the last of what is drawn, covers a share of the picture.

    Where none of many does, it is the largest of them.
    """
    best = draw()
    for _ in range(_ATTEMPTS - 1):
        if best[-1].mean() >= least:
            break
        found = draw()
        best = found if found[-1].sum() > best[-1].sum() else best
    return best


def apply_defect(
    rng: np.random.Generator, scene: Scene, kind: str
) -> tuple[UInt8[np.ndarray, "height width 3"], Bool[np.ndarray, "height width"]]:
    """Paint one of :data:`DEFECTS` and give the exact mask of what it changed.

    The picture equals the normal one outside the mask, which lies inside the foreground.
    """
    normal = to_uint8(scene.image)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        painted = to_uint8(DEFECTS[kind](rng, scene))
        change = np.abs(painted.astype(np.int16) - normal).max(axis=2)
        mask = (change >= _VISIBLE) & scene.foreground
        return np.where(mask[..., None], painted, normal), mask

    return largest_of(draw, _MIN_AREA)
