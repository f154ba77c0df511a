"""Ten surfaces that fill the whole image; each draws its normal variation from the generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lakeviz.data.synthetic.fields import (
    Image,
    Pose,
    below,
    cellular,
    fractal_noise,
    mix,
    rgb,
    shade,
    solid,
    value_noise,
)

Texture = Callable[[np.random.Generator, int], Image]


def _pose(rng: np.random.Generator, angle: float = 0.05) -> Pose:
    shift_x, shift_y = rng.uniform(-0.5, 0.5, 2)
    return Pose(rng.uniform(-angle, angle), shift_x, shift_y, rng.uniform(0.95, 1.05))


def wood(rng: np.random.Generator, size: int) -> Image:
    """Long wavy grain lines in two browns with fine fibres."""
    _, v = _pose(rng).coordinates(size)
    wave = v + 0.03 * value_noise(rng, size, 3, 1)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * 11 * wave + 1.2 * value_noise(rng, size, 6, 2))
    fibres = 0.05 * value_noise(rng, size, 96, 6)
    return shade(mix(solid(size, 0.72, 0.52, 0.33), rgb(0.5, 0.32, 0.18), rings), fibres)


def fabric(rng: np.random.Generator, size: int) -> Image:
    """Plain weave: threads pass over and under in a checkerboard."""
    u, v = _pose(rng).coordinates(size)
    n = 16
    over = (np.floor(u * n) + np.floor(v * n)) % 2 == 0
    warp = np.abs(np.sin(np.pi * u * n)) ** 0.7
    weft = np.abs(np.sin(np.pi * v * n)) ** 0.7
    height = np.where(over, warp, weft)
    colour = np.where(over[..., None], rgb(0.36, 0.45, 0.62), rgb(0.45, 0.54, 0.7))
    return shade(colour, 0.5 * height - 0.35 + 0.04 * value_noise(rng, size, 48, 48))


def leather(rng: np.random.Generator, size: int) -> Image:
    """Pebbled grain: creases between cells."""
    u, v = _pose(rng, np.pi).coordinates(size)
    near, second = cellular(rng, u, v, 18)
    crease = np.clip((second - near) / 0.28, 0, 1)
    return shade(solid(size, 0.5, 0.29, 0.2), 0.5 * crease - 0.3 - 0.15 * near)


def tile(rng: np.random.Generator, size: int) -> Image:
    """Square ceramic tiles with pale grout."""
    u, v = _pose(rng).coordinates(size)
    n = 5
    in_u, in_v = np.mod(u * n, 1), np.mod(v * n, 1)
    edge = np.minimum(np.minimum(in_u, 1 - in_u), np.minimum(in_v, 1 - in_v))
    tone = rng.normal(0, 0.06, (32, 32))[
        np.floor(v * n).astype(int) % 32, np.floor(u * n).astype(int) % 32
    ]
    face = shade(solid(size, 0.3, 0.55, 0.55), tone + 0.05 * fractal_noise(rng, size, 24))
    return mix(face, rgb(0.86, 0.85, 0.8), below(edge - 0.055, 0.03))


def brushed_metal(rng: np.random.Generator, size: int) -> Image:
    """Fine parallel brush marks on grey metal with a soft highlight."""
    _, v = Pose(shift_y=rng.uniform(-0.3, 0.3)).coordinates(size)
    marks = 0.08 * value_noise(rng, size, 128, 3) + 0.06 * value_noise(rng, size, 40, 2)
    highlight = 0.12 * np.exp(-((v / 0.25) ** 2))
    return shade(solid(size, 0.6, 0.61, 0.63), marks + highlight)


def granite(rng: np.random.Generator, size: int) -> Image:
    """Crystals of three minerals."""
    image = solid(size, 0.62, 0.58, 0.56)
    image = mix(image, rgb(0.25, 0.24, 0.25), below(0.75 - fractal_noise(rng, size, 26, 2), 0.35))
    image = mix(image, rgb(0.8, 0.62, 0.55), below(0.8 - fractal_noise(rng, size, 20, 2), 0.35))
    return shade(image, 0.05 * value_noise(rng, size, 96, 96))


def mesh(rng: np.random.Generator, size: int) -> Image:
    """Woven wire on a dark ground."""
    u, v = _pose(rng).coordinates(size)
    n = 9
    image = solid(size, 0.13, 0.14, 0.16)
    for axis, other, phase in ((u, v, 0), (v, u, 1)):
        wire = np.abs(np.mod(axis * n, 1) - 0.5)
        lift = 0.25 * np.cos(np.pi * (other * n + np.floor(axis * n) + phase))
        image = mix(
            image,
            shade(solid(size, 0.68, 0.7, 0.7), lift - 1.5 * wire),
            below(wire - 0.16, 0.06),
        )
    return shade(image, 0.03 * value_noise(rng, size, 8, 8))


def cardboard(rng: np.random.Generator, size: int) -> Image:
    """Corrugated board: soft parallel waves and paper fibres."""
    u, _ = _pose(rng).coordinates(size)
    waves = 0.14 * np.sin(2 * np.pi * 13 * u)
    return shade(solid(size, 0.74, 0.6, 0.42), waves + 0.05 * fractal_noise(rng, size, 48, 2))


def carpet(rng: np.random.Generator, size: int) -> Image:
    """Tufted loops with coloured flecks."""
    u, v = _pose(rng, np.pi).coordinates(size)
    near, _ = cellular(rng, u, v, 26)
    image = shade(solid(size, 0.48, 0.42, 0.46), 0.35 - 0.7 * near)
    return mix(image, rgb(0.72, 0.6, 0.42), 0.6 * below(1.0 - value_noise(rng, size, 40, 40), 0.4))


def brick(rng: np.random.Generator, size: int) -> Image:
    """Running bond of red bricks with mortar."""
    u, v = _pose(rng).coordinates(size)
    rows, columns = 8, 4
    row = np.floor(v * rows)
    x = u * columns + 0.5 * (row % 2)
    in_x, in_y = np.mod(x, 1), np.mod(v * rows, 1)
    edge = np.minimum(np.minimum(in_x, 1 - in_x) / columns, np.minimum(in_y, 1 - in_y) / rows)
    tone = rng.normal(0, 0.1, (32, 32))[row.astype(int) % 32, np.floor(x).astype(int) % 32]
    face = shade(solid(size, 0.62, 0.3, 0.24), tone + 0.08 * fractal_noise(rng, size, 32, 2))
    return mix(face, rgb(0.74, 0.72, 0.68), below(edge - 0.011, 0.008))


TEXTURES: dict[str, Texture] = {
    "wood": wood,
    "fabric": fabric,
    "leather": leather,
    "tile": tile,
    "brushed_metal": brushed_metal,
    "granite": granite,
    "mesh": mesh,
    "cardboard": cardboard,
    "carpet": carpet,
    "brick": brick,
}
