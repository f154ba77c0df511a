"""The synthetic benchmark: 21 categories, 8 kinds of defect, exact masks, any resolution.

Four categories are held out: the embedded model never saw them, and results on them are reported
apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image as PILImage

from lakeviz.data.synthetic.defects import DEFECTS, Scene, apply_defect, to_uint8
from lakeviz.data.synthetic.fields import mix, shade, solid, value_noise
from lakeviz.data.synthetic.scenes import OBJECTS, TEXTURES
from lakeviz.settings import check_choice

CATEGORIES: tuple[str, ...] = (*TEXTURES, *OBJECTS)
HELD_OUT: tuple[str, ...] = ("carpet", "brick", "gear", "cable")
TRAINED: tuple[str, ...] = tuple(name for name in CATEGORIES if name not in HELD_OUT)
DEFECT_TYPES: tuple[str, ...] = tuple(DEFECTS)

_SPLITS = ("train", "test", "pretraining")


@dataclass(frozen=True)
class Sample:
    """One rendered picture with its exact mask (all False when ``defect_type`` is "good")."""

    category: str
    split: str
    index: int
    defect_type: str
    image: UInt8[np.ndarray, "height width 3"]
    mask: Bool[np.ndarray, "height width"]


def _light(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Vary exposure, tint, lighting gradient and sensor noise, as between normal photographs."""
    size = image.shape[0]
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope_x, slope_y = rng.normal(0, 0.06, 2)
    image = shade(image, rng.normal(0, 0.04) + slope_x * axis[None, :] + slope_y * axis[:, None])
    image = image * (1 + rng.normal(0, 0.02, 3)).astype(np.float32)
    grain = value_noise(rng, size, 128, 128)
    return np.clip(shade(image, 0.02 * grain), 0, 1)


def render_scene(category: str, size: int, rng: np.random.Generator) -> Scene:
    """Render a normal scene of a category.

    Parameters
    ----------
    category : str
        One of :data:`CATEGORIES`.
    size : int
        Side of the square picture in pixels.
    rng : numpy.random.Generator
        Source of the normal variation: pose, light, grain.
    """
    check_choice("category", category, CATEGORIES)
    if category in TEXTURES:
        image = _light(rng, TEXTURES[category](rng, size))
        backing = np.broadcast_to(1 - image.mean(axis=(0, 1)), image.shape).astype(np.float32)
        return Scene(image, np.ones((size, size), dtype=bool), backing)
    picture, cover = OBJECTS[category](rng, size)
    plain = shade(solid(size, 0.9, 0.89, 0.86), 0.012 * value_noise(rng, size, 6, 6))
    state = rng.bit_generator.state
    lit = _light(rng, mix(plain, picture, cover))
    rng.bit_generator.state = state  # the backing stands in the same light as the object
    return Scene(lit, cover > 0.5, _light(rng, plain))


def render_sample(
    category: str,
    split: str,
    index: int,
    defect_type: str = "good",
    *,
    size: int = 96,
    seed: int = 0,
) -> Sample:
    """Render one picture; the same arguments always give the same picture.

    Parameters
    ----------
    category, split, index : str, str, int
        Name the picture's own random stream.
    defect_type : str
        "good" or one of :data:`DEFECT_TYPES`.
    size : int
        Side in pixels; the scene is the same at every size.
    seed : int
        Seed of the whole benchmark.
    """
    check_choice("category", category, CATEGORIES)
    check_choice("split", split, _SPLITS)
    check_choice("defect type", defect_type, ("good", *DEFECT_TYPES))
    # Each picture has a stream of its own, so that any one can be rendered without the others.
    key = (seed, CATEGORIES.index(category), _SPLITS.index(split), index)
    rng = np.random.default_rng(np.random.SeedSequence(key))
    scene = render_scene(category, size, rng)
    if defect_type == "good":
        image, mask = to_uint8(scene.image), np.zeros((size, size), dtype=bool)
    else:
        image, mask = apply_defect(rng, scene, defect_type)
    return Sample(category, split, index, defect_type, image, mask)


def benchmark_pictures(
    categories: Iterable[str], kinds: Iterable[str], n_train: int, n_good: int, n_per_defect: int
) -> Iterator[tuple[str, str, str, int]]:
    """Category, split, kind and number of every picture; test pictures are numbered on."""
    defective = [kind for kind in kinds for _ in range(n_per_defect)]
    for category in categories:
        for index in range(n_train):
            yield category, "train", "good", index
        for index, kind in enumerate(["good"] * n_good + defective):
            yield category, "test", kind, index


def save_picture(path: Path, pixels: np.ndarray, **how: Any) -> None:
    """Write a picture, or a mask in black and white, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels
    PILImage.fromarray(shown).save(path, **how)


def write_benchmark(
    root: str | Path,
    *,
    categories: tuple[str, ...] | None = None,
    size: int = 96,
    seed: int = 0,
    n_train: int = 16,
    n_good: int = 16,
    n_per_defect: int = 2,
) -> Path:
    """Write the benchmark in MVTec-AD's folder layout, so that the ordinary reader reads it.

    Parameters
    ----------
    root : path
        Folder to write to; a category folder is made in it for each category.
    categories : tuple of str, optional
        All 21 by default.
    size, seed : int
        See :func:`render_sample`.
    n_train, n_good, n_per_defect : int
        Normal training pictures, normal test pictures, and test pictures per kind of defect.

    Returns
    -------
    Path
        ``root``.
    """
    root = Path(root)
    numbers = (n_train, n_good, n_per_defect)
    pictures = benchmark_pictures(categories or CATEGORIES, DEFECT_TYPES, *numbers)
    for category, split, kind, index in pictures:
        sample = render_sample(category, split, index, kind, size=size, seed=seed)
        save_picture(root / category / split / kind / f"{index:03d}.png", sample.image)
        if kind != "good":
            masks = root / category / "ground_truth" / kind
            save_picture(masks / f"{index:03d}_mask.png", sample.mask)
    return root


def render_pair(
    category: str, index: int, defect_type: str, *, size: int = 96, seed: int = 0
) -> tuple[Sample, Sample]:
    """Render a picture with a defect and the same one without: equal seed, pose, light and grain.

    Parameters
    ----------
    category, index, defect_type, size, seed
        As for :func:`.render_sample`, of the test split.

    Returns
    -------
    defect, twin : Sample
        They differ where the defect changes pixels, and nowhere else.
    """
    own = {"size": size, "seed": seed}
    defect = render_sample(category, "test", index, defect_type, **own)
    return defect, render_sample(category, "test", index, "good", **own)


def twin_of(
    path: Path, image: UInt8[np.ndarray, "height width 3"]
) -> UInt8[np.ndarray, "height width 3"] | None:
    """Twin of a file of the benchmark; None where it is not one of its pictures.

    The file is taken for what its place in the folders says only if rendering that again gives the
    very same pixels.
    """
    category, defect_type = path.parts[-4:-3], path.parent.name
    known = category and category[0] in CATEGORIES and defect_type in DEFECT_TYPES
    if not known or not path.stem.isdecimal() or image.shape[0] != image.shape[1]:
        return None
    size = image.shape[0]
    defect, twin = render_pair(category[0], int(path.stem), defect_type, size=size)
    return twin.image if np.array_equal(defect.image, image) else None
