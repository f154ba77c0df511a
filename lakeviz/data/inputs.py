"""Images as people have them: paths, folders, pictures, arrays, tensors, data sets and loaders.

:func:`as_images` brings all of them to one form. Nothing is imported for it: a data set of torch,
of Hugging Face or of anomalib is known by what it can do.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from lakeviz.data.dataset import Dataset
from lakeviz.data.depth import render, units_of
from lakeviz.data.depth_files import require_same_size
from lakeviz.data.fewshot import FewShotDraw
from lakeviz.data.files import (
    IMAGE_FORMATS,
    IMAGE_SUFFIXES,
    describe,
    holds_images,
    list_folders,
    list_images,
)
from lakeviz.data.images import image_size, load_image, rgb_image
from lakeviz.data.table import DepthFile
from lakeviz.errors import DataError
from lakeviz.wording import counted, some

IMAGE_KEYS = ("image", "img", "pixel_values", "path", "image_path", "file_name")
"""Where an image is looked for in a row that is a mapping, a table or an object; first wins."""

_ROUNDING = 1e-4  # how far outside 0 to 1 resizing may carry floats


@dataclass(frozen=True)
class ImageItems:
    """Images by position, each a path or something in memory, with their names.

    ``items`` are paths, pictures, arrays, tensors, or rows that hold one of them. Frames of clips
    have their clip and number in ``frames``, images with depth their map in ``depths``.
    """

    items: Sequence[Any] = field(repr=False)
    sample_ids: list[str] = field(repr=False)
    frames: Sequence[tuple[str, int]] = field(default=(), repr=False)
    depths: Sequence[DepthFile] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def in_memory(self) -> bool:
        """Whether the images are something else than paths."""
        return bool(self.sample_ids) and not isinstance(self.items[0], str | Path)

    def load(self, index: int) -> Image.Image:
        """Decode one image to 8-bit RGB, upright."""
        return _picture(self.items[index], self.sample_ids[index])

    def rendering(self, index: int, how: str) -> Image.Image:
        """Draw the depth map of one image as 8-bit RGB; see :func:`lakeviz.data.depth.render`."""
        depth, name = self.depths[index], self.sample_ids[index]
        require_same_size(depth.path, name, image_size(self.items[index]))
        return render(depth.path, how, units_of(depth.normal))

    def __getitem__(self, part: slice) -> ImageItems:
        """Return consecutive images."""
        return ImageItems(
            self.items[part], self.sample_ids[part], self.frames[part], self.depths[part]
        )

    def where(self, keep: Sequence[bool]) -> ImageItems:
        """Return the images where ``keep`` is true."""
        chosen = [i for i, kept in enumerate(keep) if kept]
        return ImageItems(
            [self.items[i] for i in chosen],
            [self.sample_ids[i] for i in chosen],
            [self.frames[i] for i in chosen] if self.frames else (),
            [self.depths[i] for i in chosen] if self.depths else (),
        )


@dataclass(frozen=True)
class Preprocessed:
    """Images that a model's preprocessing (or its like) has made already."""

    images: Float[Tensor, "image 3 height width"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)


def as_images(images: Any, *, preprocessed: bool = False) -> ImageItems | Preprocessed:
    """Bring whatever holds images to one form.

    Parameters
    ----------
    images
        A path, a folder (the images directly in it), or several paths; a
        :class:`~lakeviz.data.Dataset` or few-shot draw; a ``PIL.Image``; an array ``[height, width,
        3]`` or a tensor ``[3, height, width]``, with an axis of images in front or not, of integers
        from 0 to 255 or floats from 0 to 1; a table with a column of paths; a data set or loader of
        torch, a data set of Hugging Face, or any sequence or iterable of these. Of rows that are
        tuples the first member is the image, of mappings and objects the first of
        :data:`IMAGE_KEYS`.
    preprocessed
        The images are normalised for the model already: tensors ``[3, height, width]`` of its
        size, which are taken as they are.
    """
    if isinstance(images, ImageItems | Preprocessed):
        return images
    found = _items(images)
    if not len(found):
        raise DataError("there are no images")
    return _stacked(found) if preprocessed else found


def _items(images: Any) -> ImageItems:
    if isinstance(images, FewShotDraw):
        ids = [path.as_posix() for path in images.paths]
        return ImageItems(images.paths, ids, images.frames, images.depths)
    if isinstance(images, Dataset):
        return ImageItems(images.paths, images.sample_ids, images.frames, images.depths)
    if isinstance(images, pd.DataFrame):
        key = next((k for k in IMAGE_KEYS if k in images), None)
        if key is None:
            raise DataError(
                f"the table has no column of images; it needs one of {', '.join(IMAGE_KEYS)} and "
                f"has {', '.join(map(str, images.columns))}"
            )
        return _items(images[key].tolist())
    if isinstance(images, str | Path):
        return _of_path(Path(images))
    if isinstance(images, np.ndarray | Tensor):
        return _numbered(_split(images))
    if isinstance(images, Image.Image):
        return _numbered([images])
    if isinstance(images, Mapping):
        return _items(_member(images, "the mapping"))
    if hasattr(images, "batch_size") and hasattr(images, "dataset"):  # a loader of torch, or alike
        return _numbered([one for batch in images for one in _split(_member(batch, "a batch"))])
    if not (hasattr(images, "__getitem__") and hasattr(images, "__len__")):
        if not isinstance(images, Iterable):
            raise DataError(f"images cannot be taken from {type(images).__name__}; {_TAKEN}")
        images = list(images)
    if len(images) and isinstance(images[0], str | Path):
        paths = [Path(path) for path in images]
        return ImageItems(paths, [path.as_posix() for path in paths])
    return _numbered(images)


_TAKEN = (
    "give a path, a folder, a list of paths, PIL images, arrays [height, width, 3], tensors "
    "[3, height, width], a data set or a loader"
)


def _numbered(items: Sequence[Any]) -> ImageItems:
    return ImageItems(items, [f"image {i}" for i in range(len(items))])


def _of_path(path: Path) -> ImageItems:
    found = [path] if path.is_file() else list_images(path)
    if not found:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(
            f"{path} is neither an image nor a folder of images ({suffixes}): {describe(path)}"
        )
    if below := [one.name for one in list_folders(path) if holds_images(one)]:
        raise DataError(
            f"{path} holds {counted(len(found), 'image')} and folders with more ({some(below)}); "
            "give a list of paths, or one folder after the other"
        )
    return ImageItems(found, [one.as_posix() for one in found])


def _split(batch: Any) -> list[Any]:
    """Take one array or batch of arrays apart into images."""
    if isinstance(batch, np.ndarray | Tensor):
        is_grey = isinstance(batch, np.ndarray) and batch.ndim == 2
        if batch.ndim == 3 or is_grey:
            return [batch]
        if batch.ndim != 4:
            raise DataError(f"an array of shape {list(batch.shape)} holds no images; {_TAKEN}")
    return list(batch)


def _member(row: Any, name: str) -> Any:
    """Find the image in a row of a data set, or the images in a batch of a loader."""
    if isinstance(row, tuple | list):
        if not row:
            raise DataError(f"{name} is empty")
        return row if isinstance(row, list) and not _is_pair(row) else row[0]
    if isinstance(row, Mapping):
        key = next((k for k in IMAGE_KEYS if row.get(k) is not None), None)
        if key is None:
            raise DataError(
                f"{name} holds no image: it has {', '.join(map(str, row))}, and one of "
                f"{', '.join(IMAGE_KEYS)} is looked for"
            )
        return row[key]
    if isinstance(row, str | Path | Image.Image | np.ndarray | Tensor):
        return row
    key = next((k for k in IMAGE_KEYS if getattr(row, k, None) is not None), None)
    return row if key is None else getattr(row, key)


def _is_pair(row: list[Any]) -> bool:
    """Whether a list is images and what belongs to them, as loaders collate tuples."""
    return isinstance(row[0], np.ndarray | Tensor) and row[0].ndim == 4


def _picture(item: Any, name: str) -> Image.Image:
    """Make an upright 8-bit RGB image of one item."""
    item = _member(item, name)
    if isinstance(item, Mapping) and (item.get("bytes") or item.get("path")):
        # A file of a Hugging Face data set that was not decoded.
        kept = item.get("bytes")
        item = item["path"] if not kept else Image.open(io.BytesIO(kept), formats=IMAGE_FORMATS)
    if isinstance(item, str | Path):
        return load_image(item)
    if isinstance(item, Image.Image):
        return rgb_image(item, name)
    if isinstance(item, Tensor):
        if item.ndim != 3 or item.shape[0] not in (1, 3):
            raise DataError(
                f"{name}: a tensor of an image is [3, height, width], not {list(item.shape)}; "
                "a NumPy array is [height, width, 3]"
            )
        return _from_array(item.detach().cpu().float().numpy().transpose(1, 2, 0), name, item.dtype)
    if isinstance(item, np.ndarray):
        if item.ndim not in (2, 3) or (item.ndim == 3 and item.shape[-1] not in (1, 3)):
            raise DataError(
                f"{name}: an array of an image is [height, width, 3], not {list(item.shape)}; a "
                "torch tensor is [3, height, width]"
            )
        return _from_array(item, name, item.dtype)
    raise DataError(f"{name} is a {type(item).__name__}, no image; {_TAKEN}")


def _from_array(values: np.ndarray, name: str, kind: Any) -> Image.Image:
    """Bring integers from 0 to 255, or floats from 0 to 1, to an image."""
    low, high = (float(values.min()), float(values.max())) if values.size else (np.nan, np.nan)
    whole = 255 if "int" in str(kind) else 1
    if not (low >= -_ROUNDING and high <= whole + _ROUNDING):
        raise DataError(
            f"{name} has {kind} values from {low:g} to {high:g}; raw images are integers from 0 to "
            "255 or floats from 0 to 1, and images that are normalised for the model go with "
            "preprocessed=True"
        )
    pixels = np.rint(values * (255 / whole)).clip(0, 255).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels).convert("RGB")


def _stacked(found: ImageItems) -> Preprocessed:
    """Put tensors together that are preprocessed already."""
    tensors = [_member(found.items[i], name) for i, name in enumerate(found.sample_ids)]
    shapes = {
        tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in tensors
    }
    first = tensors[0]
    if len(shapes) > 1 or not isinstance(first, Tensor) or first.ndim != 3:
        said = ", ".join(str(list(s) if isinstance(s, tuple) else s) for s in shapes)
        raise DataError(
            f"preprocessed images are tensors [3, height, width] of one shape, not {said}; without "
            "preprocessed=True lakeviz preprocesses them"
        )
    if not first.is_floating_point():
        raise DataError(
            f"preprocessed images are floats, not {first.dtype}; without preprocessed=True lakeviz "
            "preprocesses raw pixels"
        )
    return Preprocessed(torch.stack(tensors))
