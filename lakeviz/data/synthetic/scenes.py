"""What is painted: ten surfaces that fill the image, and eleven objects on a plain backdrop.

Each draws its normal variation from the generator of random numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lakeviz.data.synthetic.fields import (
    Field,
    Image,
    Pose,
    below,
    box,
    cellular,
    fractal_noise,
    mix,
    polygon,
    rgb,
    segment,
    shade,
    solid,
    value_noise,
)

Texture = Callable[[np.random.Generator, int], Image]


def _pose(rng: np.random.Generator, angle: float = 0.05, shift: float = 0.5) -> Pose:
    shift_x, shift_y = rng.uniform(-shift, shift, 2)
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


# --- objects: each gives its picture and the soft region it covers ---

ObjectPainter = Callable[[np.random.Generator, int], tuple[Image, Field]]


def _placed(rng: np.random.Generator, angle: float = 0.35) -> Pose:
    return _pose(rng, angle, shift=0.04)


def washer(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A flat steel ring."""
    u, v = _placed(rng).coordinates(size)
    r = np.hypot(u, v)
    cover = below(np.abs(r - 0.27) - 0.13, 1.5 / size)
    turned = 0.05 * np.sin(2 * np.pi * 60 * r) + 0.15 * np.cos(2 * np.arctan2(v, u))
    return shade(solid(size, 0.66, 0.67, 0.7), turned), cover


def hex_nut(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A hexagonal nut with a threaded hole."""
    u, v = _placed(rng).coordinates(size)
    r = np.hypot(u, v)
    body = polygon(u, v, 6, 0.36)
    cover = below(np.maximum(body, 0.18 - r), 1.5 / size)
    image = shade(solid(size, 0.72, 0.6, 0.32), 0.35 * np.clip(body / 0.08 + 1, 0, 1) * -1)
    return mix(image, rgb(0.4, 0.32, 0.16), below(np.abs(r - 0.2) - 0.02, 0.02)), cover


def capsule(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A pill of two colours with a highlight."""
    u, v = _placed(rng, 0.3).coordinates(size)
    distance = box(u, v, 0.41, 0.19, 0.19)
    image = np.where((u < 0)[..., None], rgb(0.8, 0.22, 0.2), rgb(0.92, 0.88, 0.78))
    image = shade(image, -0.35 * np.clip(1 + distance / 0.12, 0, 1))
    return mix(image, rgb(1, 1, 1), 0.5 * below(box(u, v + 0.08, 0.28, 0.02, 0.02), 0.03)), below(
        distance, 1.5 / size
    )


def button(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A round button with a rim and four holes."""
    u, v = _placed(rng).coordinates(size)
    r = np.hypot(u, v)
    image = shade(solid(size, 0.2, 0.42, 0.36), 0.25 * np.exp(-(((r - 0.33) / 0.03) ** 2)))
    holes = np.minimum.reduce(
        [np.hypot(u - x, v - y) for x in (-0.09, 0.09) for y in (-0.09, 0.09)]
    )
    return image, below(np.maximum(r - 0.39, 0.045 - holes), 1.5 / size)


def coin(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A coin with a beaded rim and a star."""
    u, v = _placed(rng).coordinates(size)
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    star = r * (1.25 - 0.35 * np.cos(5 * angle)) - 0.2
    relief = 0.3 * np.exp(-((star / 0.02) ** 2)) + 0.2 * np.exp(-(((r - 0.36) / 0.015) ** 2))
    relief += 0.12 * np.cos(48 * angle) * np.exp(-(((r - 0.32) / 0.015) ** 2))
    return shade(solid(size, 0.7, 0.5, 0.28), relief - 0.05), below(r - 0.4, 1.5 / size)


def bottle(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A glass bottle seen from above: concentric rings."""
    u, v = _placed(rng).coordinates(size)
    r = np.hypot(u, v)
    rings = 0.45 * np.sin(2 * np.pi * (5.5 * r + 0.1)) * np.exp(-2 * r)
    gleam = 0.5 * np.exp(-((np.hypot(u + 0.12, v + 0.12) / 0.07) ** 2))
    return shade(solid(size, 0.28, 0.5, 0.3), rings + gleam), below(r - 0.42, 1.5 / size)


def chip(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A black integrated circuit with pins, a dot and a printed line."""
    u, v = _placed(rng, 0.08).coordinates(size)
    body = box(u, v, 0.34, 0.24, 0.02)
    pin = np.maximum(np.abs(np.mod(u * 12, 1) - 0.5) / 12 - 0.02, np.abs(u) - 0.33)
    pins = np.maximum(pin, np.abs(v) - 0.34)
    image = mix(solid(size, 0.75, 0.75, 0.72), rgb(0.13, 0.13, 0.14), below(body, 1.5 / size))
    image = mix(image, rgb(0.6, 0.6, 0.6), below(np.hypot(u + 0.28, v - 0.17) - 0.025, 1.5 / size))
    image = mix(
        image,
        rgb(0.78, 0.78, 0.76),
        below(np.minimum(box(u, v, 0.18, 0.015), box(u, v + 0.07, 0.13, 0.015)), 1.5 / size),
    )
    return image, below(np.minimum(body, pins), 1.5 / size)


def cookie(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A baked disc with an uneven edge and regular dark drops."""
    u, v = _placed(rng).coordinates(size)
    r = np.hypot(u, v) + 0.008 * value_noise(rng, size, 8, 8)
    image = shade(
        solid(size, 0.76, 0.56, 0.34),
        0.08 * fractal_noise(rng, size, 16) - 0.35 * np.clip((r - 0.3) / 0.1, 0, 1),
    )
    for ring, count in ((0.0, 1), (0.16, 6), (0.29, 11)):
        for angle in 2 * np.pi * np.arange(count) / count:
            drop = np.hypot(u - ring * np.cos(angle), v - ring * np.sin(angle)) - 0.035
            image = mix(image, rgb(0.28, 0.16, 0.1), below(drop, 0.015))
    return image, below(r - 0.4, 1.5 / size)


def gear(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A toothed wheel with a bore."""
    u, v = _placed(rng).coordinates(size)
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    teeth = r - 0.36 - 0.045 * np.tanh(4 * np.cos(14 * angle))
    image = shade(
        solid(size, 0.5, 0.53, 0.58),
        0.12 * np.cos(2 * angle) - 0.2 * np.exp(-(((r - 0.25) / 0.02) ** 2)),
    )
    return image, below(np.maximum(teeth, 0.09 - r), 1.5 / size)


def cable(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A cable cut across: sheath and three coloured cores with strands."""
    u, v = _placed(rng, 0.2).coordinates(size)
    r = np.hypot(u, v)
    image = shade(solid(size, 0.32, 0.32, 0.35), -0.25 * np.clip((0.36 - r) / 0.02, 0, 1))
    for angle, colour in zip(
        (0.5, 2.6, 4.7), ((0.2, 0.35, 0.72), (0.3, 0.6, 0.3), (0.62, 0.4, 0.22)), strict=True
    ):
        x, y = u - 0.18 * np.cos(angle), v - 0.18 * np.sin(angle)
        core = np.hypot(x, y)
        strands = shade(solid(size, 0.85, 0.6, 0.38), 0.2 * np.sin(70 * x) * np.sin(70 * y))
        image = mix(
            mix(image, rgb(*colour), below(core - 0.145, 1.5 / size)),
            strands,
            below(core - 0.09, 1.5 / size),
        )
    return image, below(r - 0.42, 1.5 / size)


def fuse(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A glass fuse: two metal caps, a tube, a wire."""
    u, v = _placed(rng, 0.15).coordinates(size)
    body = box(u, v, 0.42, 0.15, 0.03)
    glass = shade(solid(size, 0.72, 0.8, 0.82), 0.2 * np.cos(np.pi * v / 0.15))
    glass = mix(
        glass,
        rgb(0.4, 0.36, 0.3),
        below(segment(u, v, (-0.4, 0.0), (0.4, 0.0)) - 0.012, 1.5 / size),
    )
    caps = shade(solid(size, 0.7, 0.68, 0.6), 0.3 * np.cos(np.pi * v / 0.17))
    return mix(glass, caps, below(0.25 - np.abs(u), 1.5 / size)), below(body, 1.5 / size)


OBJECTS: dict[str, ObjectPainter] = {
    "washer": washer,
    "hex_nut": hex_nut,
    "capsule": capsule,
    "button": button,
    "coin": coin,
    "bottle": bottle,
    "chip": chip,
    "cookie": cookie,
    "fuse": fuse,
    "gear": gear,
    "cable": cable,
}
