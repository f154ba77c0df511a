"""Ten objects on a plain backdrop. Each gives its picture and the soft region it covers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lakeviz.data.synthetic.fields import (
    Field,
    Image,
    Pose,
    below,
    box,
    fractal_noise,
    mix,
    polygon,
    rgb,
    segment,
    shade,
    solid,
    value_noise,
)

ObjectPainter = Callable[[np.random.Generator, int], tuple[Image, Field]]


def _pose(rng: np.random.Generator, angle: float = 0.35) -> Pose:
    shift_x, shift_y = rng.uniform(-0.04, 0.04, 2)
    return Pose(rng.uniform(-angle, angle), shift_x, shift_y, rng.uniform(0.95, 1.05))


def washer(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A flat steel ring."""
    u, v = _pose(rng).coordinates(size)
    r = np.hypot(u, v)
    cover = below(np.abs(r - 0.27) - 0.13, 1.5 / size)
    turned = 0.05 * np.sin(2 * np.pi * 60 * r) + 0.15 * np.cos(2 * np.arctan2(v, u))
    return shade(solid(size, 0.66, 0.67, 0.7), turned), cover


def hex_nut(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A hexagonal nut with a threaded hole."""
    u, v = _pose(rng).coordinates(size)
    r = np.hypot(u, v)
    body = polygon(u, v, 6, 0.36)
    cover = below(np.maximum(body, 0.18 - r), 1.5 / size)
    image = shade(solid(size, 0.72, 0.6, 0.32), 0.35 * np.clip(body / 0.08 + 1, 0, 1) * -1)
    return mix(image, rgb(0.4, 0.32, 0.16), below(np.abs(r - 0.2) - 0.02, 0.02)), cover


def capsule(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A pill of two colours with a highlight."""
    u, v = _pose(rng, 0.3).coordinates(size)
    distance = box(u, v, 0.41, 0.19, 0.19)
    image = np.where((u < 0)[..., None], rgb(0.8, 0.22, 0.2), rgb(0.92, 0.88, 0.78))
    image = shade(image, -0.35 * np.clip(1 + distance / 0.12, 0, 1))
    return mix(image, rgb(1, 1, 1), 0.5 * below(box(u, v + 0.08, 0.28, 0.02, 0.02), 0.03)), below(
        distance, 1.5 / size
    )


def button(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A round button with a rim and four holes."""
    u, v = _pose(rng).coordinates(size)
    r = np.hypot(u, v)
    image = shade(solid(size, 0.2, 0.42, 0.36), 0.25 * np.exp(-(((r - 0.33) / 0.03) ** 2)))
    holes = np.minimum.reduce(
        [np.hypot(u - x, v - y) for x in (-0.09, 0.09) for y in (-0.09, 0.09)]
    )
    return image, below(np.maximum(r - 0.39, 0.045 - holes), 1.5 / size)


def coin(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A coin with a beaded rim and a star."""
    u, v = _pose(rng).coordinates(size)
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    star = r * (1.25 - 0.35 * np.cos(5 * angle)) - 0.2
    relief = 0.3 * np.exp(-((star / 0.02) ** 2)) + 0.2 * np.exp(-(((r - 0.36) / 0.015) ** 2))
    relief += 0.12 * np.cos(48 * angle) * np.exp(-(((r - 0.32) / 0.015) ** 2))
    return shade(solid(size, 0.7, 0.5, 0.28), relief - 0.05), below(r - 0.4, 1.5 / size)


def bottle(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A glass bottle seen from above: concentric rings."""
    u, v = _pose(rng).coordinates(size)
    r = np.hypot(u, v)
    rings = 0.45 * np.sin(2 * np.pi * (5.5 * r + 0.1)) * np.exp(-2 * r)
    gleam = 0.5 * np.exp(-((np.hypot(u + 0.12, v + 0.12) / 0.07) ** 2))
    return shade(solid(size, 0.28, 0.5, 0.3), rings + gleam), below(r - 0.42, 1.5 / size)


def chip(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A black integrated circuit with pins, a dot and a printed line."""
    u, v = _pose(rng, 0.08).coordinates(size)
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
    u, v = _pose(rng).coordinates(size)
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
    u, v = _pose(rng).coordinates(size)
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    teeth = r - 0.36 - 0.045 * np.tanh(4 * np.cos(14 * angle))
    image = shade(
        solid(size, 0.5, 0.53, 0.58),
        0.12 * np.cos(2 * angle) - 0.2 * np.exp(-(((r - 0.25) / 0.02) ** 2)),
    )
    return image, below(np.maximum(teeth, 0.09 - r), 1.5 / size)


def cable(rng: np.random.Generator, size: int) -> tuple[Image, Field]:
    """A cable cut across: sheath and three coloured cores with strands."""
    u, v = _pose(rng, 0.2).coordinates(size)
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
    u, v = _pose(rng, 0.15).coordinates(size)
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
