"""The synthetic benchmark with depth: the generator's scenes as height fields.

Objects are domes on a tilted plane, textures gentle hills. A defect changes the depth alone, the
colour alone or both (:data:`RELIEF_DEFECTS`), so that what a stream can find is known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import distance_transform_edt

from lakeviz.data.synthetic.benchmark import (
    CATEGORIES,
    benchmark_pictures,
    render_scene,
    save_picture,
)
from lakeviz.data.synthetic.defects import DEFECTS, Scene, largest_of, to_uint8
from lakeviz.data.synthetic.fields import Field, below, fractal_noise, mix, value_noise
from lakeviz.settings import check_choice

RELIEF_DEFECTS: dict[str, tuple[str, ...]] = {
    "dent": ("depth",),
    "bump": ("depth",),
    "hole": ("depth",),
    "stain": ("colour",),
    "contamination": ("colour", "depth"),
}
"""Kinds of defect, and where each shows."""

_SPLITS = ("train", "validation", "test")
_DISTANCE, _SIDE = 500.0, 100.0  # of the camera, and of the field of view, in mm
_DOME, _HILLS, _SCATTER = 10.0, 1.0, 0.05  # heights in mm
_SHOWN = 0.2  # a smaller change of depth (mm) is not in the mask
_VISIBLE = 8  # of 255
_LOST = 0.003  # share of points that are not measured
_LEAST_AREA = 0.004  # share of the picture


@dataclass(frozen=True)
class ReliefSample:
    """One picture with its organised point cloud and exact mask.

    Attributes
    ----------
    image
    points
        x, y, z in mm; z is the distance from the camera. 0, 0, 0 where nothing was measured.
    mask
        Where colour or depth differ from those of the same scene without defect.
    """

    image: UInt8[np.ndarray, "height width 3"]
    points: Float[np.ndarray, "height width 3"]
    mask: Bool[np.ndarray, "height width"]


def render_relief(
    category: str,
    split: str,
    index: int,
    defect_type: str = "good",
    *,
    size: int = 96,
    seed: int = 0,
) -> ReliefSample:
    """Render one picture with depth; the same arguments always give the same.

    Parameters
    ----------
    category, split, index
        Name the scene; ``split`` is train, validation or test.
    defect_type
        ``"good"`` or one of :data:`RELIEF_DEFECTS`.
    size
        Side in pixels.
    seed
        Seed of the whole benchmark.

    Raises
    ------
    ConfigError
        There is no such category, split or kind of defect.
    """
    check_choice("category", category, CATEGORIES)
    check_choice("split", split, _SPLITS)
    check_choice("defect type", defect_type, ("good", *RELIEF_DEFECTS))
    key = (seed, CATEGORIES.index(category), _SPLITS.index(split), index)
    rng = np.random.default_rng(np.random.SeedSequence((*key, 3)))
    scene = render_scene(category, size, np.random.default_rng(np.random.SeedSequence(key)))
    height, lost = _height(rng, scene)
    image, raised, mask = to_uint8(scene.image), height, np.zeros((size, size), dtype=bool)
    if defect_type != "good":
        image, raised, mask = _defect(rng, scene, height, defect_type)
    axis = (np.arange(size) + 0.5) / size * _SIDE
    x, y = np.broadcast_arrays(axis[None, :], axis[:, None])
    points = np.stack([x, y, _DISTANCE - raised], axis=-1).astype(np.float32)
    points[lost] = 0
    return ReliefSample(image, points, mask)


def _height(rng: np.random.Generator, scene: Scene) -> tuple[Field, np.ndarray]:
    """Height of the normal scene in mm, and the points that no camera would measure."""
    size = scene.size
    axis = np.linspace(-1, 1, size)
    tilt_x, tilt_y = rng.normal(0, 1.0, 2)
    height = tilt_x * axis[None, :] + tilt_y * axis[:, None]
    if scene.foreground.all():
        height = height + _HILLS * fractal_noise(rng, size, 3, 2)
        shadow = np.zeros((size, size), dtype=bool)
    else:
        inside = np.asarray(distance_transform_edt(scene.foreground)) / size
        height = height + _DOME * (1 - np.exp(-inside / 0.06))
        shadow = np.roll(scene.foreground, max(size // 64, 1), axis=1) & ~scene.foreground
    height = height + _SCATTER * value_noise(rng, size, 128, 128)
    return height.astype(np.float32), shadow | (rng.random((size, size)) < _LOST)


def _defect(
    rng: np.random.Generator, scene: Scene, height: Field, kind: str
) -> tuple[np.ndarray, Field, np.ndarray]:
    """Image, height and mask of a scene with a defect that is large enough to be fair."""

    def draw() -> tuple[np.ndarray, Field, np.ndarray]:
        painted, raised = scene.image, height
        if kind == "stain":
            painted = DEFECTS[kind](rng, scene)
        else:
            profile, change = _shape(rng, scene, kind)
            raised = height + change
            if kind == "contamination":
                painted = mix(scene.image, rng.uniform(0, 1, 3), 0.9 * (profile > 0.2))
        normal, image = to_uint8(scene.image), to_uint8(painted)
        seen = np.abs(image.astype(np.int16) - normal).max(axis=2) >= _VISIBLE
        mask = (seen | (np.abs(raised - height) >= _SHOWN)) & scene.foreground
        image = np.where(mask[..., None], image, normal)
        return image, np.where(mask, raised, height), mask

    return largest_of(draw, _LEAST_AREA)


def _shape(rng: np.random.Generator, scene: Scene, kind: str) -> tuple[Field, Field]:
    """Profile of a defect from 0 to 1, and the height that it adds."""
    rows, columns = np.nonzero(scene.foreground)
    pick = int(rng.random() * len(rows))
    axis = np.arange(scene.size)
    away = np.hypot(axis[None, :] - columns[pick], axis[:, None] - rows[pick]) / scene.size
    radius, depth = rng.uniform(0.05, 0.09), rng.uniform(3.0, 5.0)
    if kind == "hole":
        profile = below(away - 0.7 * radius, 2 / scene.size)
        return profile, -2 * depth * profile
    profile = np.exp(-0.5 * (away / (0.5 * radius)) ** 2).astype(np.float32)
    return profile, (-depth if kind == "dent" else depth) * profile


def write_relief_benchmark(
    root: str | Path,
    *,
    categories: tuple[str, ...] | None = None,
    size: int = 96,
    seed: int = 0,
    n_train: int = 16,
    n_good: int = 16,
    n_per_defect: int = 4,
) -> Path:
    """Write the benchmark with depth in the layout of MVTec 3D-AD.

    Parameters
    ----------
    root
        Folder to write to.
    categories
        All of the generator's by default.
    size, seed
        See :func:`render_relief`.
    n_train, n_good, n_per_defect
        Normal training images, normal test images, and test images per kind of defect.

    Returns
    -------
    Path
        ``root``.
    """
    import tifffile

    root = Path(root)
    numbers = (n_train, n_good, n_per_defect)
    pictures = benchmark_pictures(categories or CATEGORIES, RELIEF_DEFECTS, *numbers)
    for category, split, kind, index in pictures:
        made = render_relief(category, split, index, kind, size=size, seed=seed)
        folder, name = root / category / split / kind, f"{index:03d}"
        save_picture(folder / "rgb" / f"{name}.png", made.image)
        (folder / "xyz").mkdir(exist_ok=True)
        tifffile.imwrite(folder / "xyz" / f"{name}.tiff", made.points, photometric="rgb")
        if split == "test":
            save_picture(folder / "gt" / f"{name}.png", made.mask)
    return root
