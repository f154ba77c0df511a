"""Depth maps and organised point clouds on disk, and which of their points are measured.

=====================  ============================================================================
16-bit PNG, PGM, TIFF  depth or disparity in whole numbers; 0 is invalid
float TIFF, ``.npy``   ``[height, width]`` depth, or ``[height, width, 3]`` x, y, z of each pixel
                       (MVTec 3D-AD); NaN, infinite and 0 are invalid, of a point x = y = z = 0
Eyecandies             16-bit PNG whose range is in ``STEM_info_depth.yaml``; 0 is the nearest
                       depth and valid
=====================  ============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml
from jaxtyping import Bool, Float
from PIL import Image

from lakeviz.data.files import printable, why_unreadable
from lakeviz.data.images import image_size
from lakeviz.data.surfaces import finite
from lakeviz.errors import DepthError, ImageReadError

_LOOKED_AT = 3
_TIFF, _NPY = (".tif", ".tiff"), ".npy"
_FULL_RANGE = 65535
_EIGHT_BIT = ("RGB", "RGBA", "P", "CMYK", "1")


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth of each pixel, or the point (x, y, z) that it sees; invalid ones are NaN."""

    values: Float[np.ndarray, "height width channel"]
    name: str = "the depth map"

    @property
    def depth(self) -> Float[np.ndarray, "height width"]:
        """Depth, or z of the points."""
        return self.values[..., -1]

    @cached_property
    def valid(self) -> Bool[np.ndarray, "height width"]:
        """Which points are measured."""
        return finite(self.values)

    @property
    def n_invalid(self) -> int:
        """Points that are not measured."""
        return int(self.valid.size - np.count_nonzero(self.valid))

    @property
    def is_constant(self) -> bool:
        """Whether all measured points have one depth: it tells nothing."""
        measured = self.depth[self.valid]
        return bool(measured.min() == measured.max())


def read_depth(path: str | Path) -> DepthMap:
    """Read a depth map or an organised point cloud."""
    path = Path(path)
    named = f"the depth map {printable(path)}"
    if reason := why_unreadable(path):
        raise DepthError(f"{named} is {reason}")
    try:
        raw = _read(path)
    except FileNotFoundError as error:
        raise DepthError(f"{named} does not exist") from error
    except DepthError:
        raise
    except Exception as error:  # tifffile and yaml have errors of many kinds
        raise DepthError(f"cannot read {named}: {error}") from error
    info = _info(path)
    return depth_map(raw if info is None else _scaled(raw, info), named, zero_is_invalid=not info)


def depth_map(array: Any, name: str = "the depth map", *, zero_is_invalid: bool = True) -> DepthMap:
    """Make a depth map of an array ``[height, width]`` or ``[height, width, 3]``."""
    raw = np.asarray(array)
    if raw.ndim == 3 and raw.shape[-1] == 1:
        raw = raw[..., 0]
    if raw.ndim not in (2, 3) or not raw.size or (raw.ndim == 3 and raw.shape[-1] != 3):
        raise DepthError(
            f"{name} has shape {list(raw.shape)}; it must be [height, width] or, of an organised "
            "point cloud, [height, width, 3]"
        )
    if raw.dtype.kind not in "fiu" or raw.dtype == np.uint8:
        raise DepthError(f"{name} holds {raw.dtype}; depth is in floats or integers of 16 bits")
    values = raw.reshape(*raw.shape[:2], -1).astype(np.float64)
    invalid = ~finite(values)
    if zero_is_invalid:
        invalid |= (values == 0).all(axis=-1)
    if invalid.all():
        raise DepthError(f"{name} has no valid point: all {invalid.size} are 0, NaN or infinite")
    values[invalid] = np.nan
    return DepthMap(values, name)


def require_same_size(path: str | Path, image: str, size: tuple[int, int]) -> None:
    """Refuse a depth map, by its header, that has another height and width than its image."""
    height, width = _size(Path(path))
    if (height, width) != size:
        raise DepthError(
            f"the depth map {printable(path)} is {width}x{height} (width x height) and its image "
            f"{image} {size[1]}x{size[0]}; register one to the other"
        )


def depth_notes(paths: Mapping[str, Sequence[Path]]) -> list[str]:
    """Say what share of the first depth maps of each category is invalid, and if they are constant.

    Damaged ones are passed over: they are an error when they are rendered.
    """
    notes = []
    for category, members in paths.items():
        found = []
        for path in members[:_LOOKED_AT]:
            with suppress(ImageReadError):
                found.append(read_depth(path))
        invalid, points = sum(d.n_invalid for d in found), sum(d.valid.size for d in found)
        if invalid:
            notes.append(
                f"{category}: {invalid} of the {points} points of its first {len(found)} depth "
                "maps are invalid; they are drawn as the nearest valid ones"
            )
        if found and all(d.is_constant for d in found):
            said = f"its first {len(found)} depth maps are constant and add nothing"
            notes.append(f"{category}: {said}")
    return notes


def _size(path: Path) -> tuple[int, int]:
    try:
        if path.suffix.lower() == _NPY:
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        elif path.suffix.lower() in _TIFF:
            with tifffile.TiffFile(path) as file:
                shape = file.pages.first.shape
        else:
            return image_size(path)
    except ImageReadError:
        raise
    except Exception as error:  # of many kinds
        raise DepthError(f"cannot read the depth map {printable(path)}: {error}") from error
    if len(shape) < 2:
        raise DepthError(f"the depth map {printable(path)} has shape {list(shape)}")
    return shape[0], shape[1]


def _read(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix == _NPY:
        return np.load(path, allow_pickle=False)
    if suffix in _TIFF:
        return tifffile.imread(path)
    with Image.open(path, formats=("PNG", "PPM")) as image:
        if image.mode in _EIGHT_BIT:
            raise DepthError(
                f"the depth map {printable(path)} is a picture of mode {image.mode}; depth is one "
                "channel of 16 bits, floats, or an organised point cloud"
            )
        return np.asarray(image)


def _info(path: Path) -> Path | None:
    """File with the range of an Eyecandies depth map (.yml on its site, .yaml in its archives)."""
    stem = path.stem.removesuffix("_depth")
    if stem == path.stem:
        return None
    beside = (path.with_name(f"{stem}_info_depth{suffix}") for suffix in (".yaml", ".yml"))
    return next((p for p in beside if p.is_file()), None)


def _scaled(raw: np.ndarray, info: Path) -> np.ndarray:
    """Depth in the unit of the range: 0 is its least, 65535 its greatest."""
    try:
        span = yaml.safe_load(info.read_text(encoding="utf-8"))["normalization"]
        low, high = float(span["min"]), float(span["max"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise DepthError(
            f"{printable(info)} does not give normalization: min and max of its depth map"
        ) from error
    return raw / _FULL_RANGE * (high - low) + low
