"""Score maps of any detector on disk, with the masks that belong to them, by name and no guess."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from PIL import Image

from lakeviz.data.files import IMAGE_FORMATS, IMAGE_SUFFIXES, walk_files
from lakeviz.data.images import image_size, load_mask
from lakeviz.data.masks import pair
from lakeviz.data.text_tables import is_normal_word
from lakeviz.errors import DataError, ImageReadError, MaskError
from lakeviz.wording import some

MAP_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
_NAMED = ("anomaly_map", "map", "scores", "arr_0")
_GREY = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")
_DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,  # of a memory map whose header lies
    RecursionError,
    tokenize.TokenError,  # of the header of an .npy
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class MapFile:
    """Where one map lies.

    ``key`` is the name of the image: relative path without suffix, or name in an ``.npz``.
    ``member`` is the name of the array in an ``.npz`` of many; empty elsewhere.
    """

    key: str
    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}[{self.member}]" if self.member else str(self.path)

    def read(self) -> Float[np.ndarray, "height width"]:
        """Read the map: one finite number per pixel."""
        try:
            values = self._load()
        except _DECODE_ERRORS as error:
            raise DataError(f"cannot read the map {self}: {error}") from error
        values = np.squeeze(values)
        if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size:
            raise DataError(
                f"the map {self} has shape {values.shape} and type {values.dtype}; it must be one "
                "number per pixel [height, width]"
            )
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise DataError(f"the map {self} has {bad} values that are NaN or infinite")
        return values

    def _load(self) -> np.ndarray:
        suffix = self.path.suffix.lower()
        if suffix == ".npy":
            # Mapped, so that a header that claims more than the file holds asks for no memory.
            return np.load(self.path, mmap_mode="c", allow_pickle=False)
        if suffix == ".npz":
            with np.load(self.path, allow_pickle=False) as arrays:
                return arrays[self.member or _only(arrays.files)]
        with Image.open(self.path, formats=IMAGE_FORMATS) as image:
            if image.mode not in _GREY:
                raise ValueError(
                    f"it is a picture of mode {image.mode}, drawn in colours; scores are one "
                    "number per pixel"
                )
            return np.asarray(image)

    @property
    def is_eight_bit(self) -> bool:
        """Whether the file can hold 256 different scores at most."""
        if self.path.suffix.lower() not in IMAGE_SUFFIXES:
            return False
        try:
            with Image.open(self.path, formats=IMAGE_FORMATS) as image:
                return image.mode in ("1", "L")
        except _DECODE_ERRORS as error:
            raise DataError(f"cannot read the map {self}: {error}") from error


class LazyMaps(Sequence[np.ndarray]):
    """Maps that are read, and brought to their size, when they are asked for."""

    def __init__(self, files: Sequence[MapFile], resize: Any) -> None:
        self.files, self.resize = files, resize

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        if index >= len(self):
            raise IndexError(index)
        return self.resize(index, self.files[index].read())


def find_maps(where: str | Path) -> dict[str, MapFile]:
    """Maps by image name, of a folder (with sub-folders) or an ``.npz`` of arrays so named."""
    where = Path(where)
    if where.is_file() and where.suffix.lower() == ".npz":
        try:
            with np.load(where, allow_pickle=False) as arrays:
                names = arrays.files
        except _DECODE_ERRORS as error:
            raise DataError(f"cannot read the maps {where}: {error}") from error
        found = [MapFile(_stem(name), where, name) for name in names]
    elif where.is_dir():
        found = [MapFile(key_of(p, where), p) for p in walk_files(where, MAP_SUFFIXES)]
    else:
        raise DataError(f"{where} is neither a folder of maps nor an .npz file")
    if not found:
        raise DataError(f"{where} holds no map ({', '.join(MAP_SUFFIXES)})")
    by_key: dict[str, MapFile] = {}
    for one in found:
        if one.key in by_key:
            raise DataError(f"there are two maps of {one.key}: {by_key[one.key]} and {one}")
        by_key[one.key] = one
    return by_key


def key_of(path: Path, root: Path) -> str:
    """Name of an image: the path below ``root``, with ``/``, without suffix."""
    return path.relative_to(root).with_suffix("").as_posix()


def _stem(name: str) -> str:
    """Name of an image in an archive, which may carry the suffix of its file."""
    known = (*IMAGE_SUFFIXES, *MAP_SUFFIXES)
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in known else path.as_posix()


def _only(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    known = [name for name in _NAMED if name in names]
    if not known:
        raise ValueError(f"it holds {', '.join(names)} and none is called {_NAMED[0]} or map")
    return known[0]


_MASK_SUFFIXES = IMAGE_SUFFIXES | {".npy"}


@dataclass(frozen=True)
class Pair:
    """A map with its mask, or without where the image is normal."""

    map: MapFile
    mask: Path | None

    def read_mask(self) -> Bool[np.ndarray, "height width"] | None:
        """Read the mask at its own size."""
        if self.mask is None:
            return None
        if self.mask.suffix.lower() == ".npy":
            try:
                return np.load(self.mask, allow_pickle=False).squeeze() != 0
            except (OSError, ValueError) as error:
                raise MaskError(f"cannot read the mask {self.mask}: {error}") from error
        try:
            size = image_size(self.mask)
        except ImageReadError as error:
            raise MaskError(f"cannot read the mask {self.mask}: {error}") from error
        return load_mask(self.mask, size)


def match(
    maps: Mapping[str, MapFile], masks: str | Path, *, normal_without_mask: bool = False
) -> list[Pair]:
    """Pair maps and masks of one relative folder by the rule of :mod:`lakeviz.data.masks`.

    An image without a mask is normal if one of its folders is called ``good``, ``normal``, ..., or
    if ``normal_without_mask`` says so of all.
    """
    found, without = _match(maps, Path(masks))
    if without:
        hint = ""
        if not found:
            keys, names = list(maps), [key_of(p, Path(masks)) for p in without]
            hint = f"; no name agrees: maps are called like {some(keys)}, masks like {some(names)}"
        raise DataError(f"{_some(without, 'mask')} without a map of that name{hint}")
    pairs = [Pair(one, found.get(key)) for key, one in maps.items()]
    unknown = [str(p.map) for p in pairs if p.mask is None and not _is_normal(p.map.key)]
    if unknown and not normal_without_mask:
        raise DataError(
            f"{_some(unknown, 'map')} without a mask; if images without a mask are normal, say so "
            "(--normal-without-mask), or put them into a folder called good"
        )
    return pairs


def read_scores(path: str | Path, keys: Sequence[str]) -> Float[np.ndarray, " image"]:
    """Read image scores: a CSV file with the columns ``sample_id`` and ``score``."""
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype={"sample_id": str})
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the scores {path}: {error}") from error
    missing = [name for name in ("sample_id", "score") if name not in table]
    if missing:
        columns = ", ".join(map(str, table.columns))
        raise DataError(f"{path} has no column {missing[0]!r}; it has {columns}")
    names = [_without_suffix(str(name)) for name in table["sample_id"]]
    scores = np.array([_number(value) for value in table["score"].tolist()])
    bad = [name for name, score in zip(names, scores) if not np.isfinite(score)]
    if bad:
        raise DataError(f"{path}: the score of {bad[0]} is not a finite number")
    by_name = dict(zip(names, scores))
    if len(by_name) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: {twice} has two scores")
    absent = [key for key in keys if key not in by_name]
    if absent:
        raise DataError(f"{path}: {_some(absent, 'image')} without a score")
    foreign = [name for name in names if name not in set(keys)]
    if foreign:
        raise DataError(f"{path}: {_some(foreign, 'score')} of images without a map")
    return np.array([by_name[key] for key in keys])


def _match(maps: Mapping[str, MapFile], root: Path) -> tuple[dict[str, Path], list[Path]]:
    """Masks by the key of their map, and the masks that have none."""
    if not root.is_dir():
        raise MaskError(f"{root} is no folder of masks")
    masks = walk_files(root, _MASK_SUFFIXES)
    if not masks:
        raise MaskError(f"{root} holds no mask")
    found: dict[str, Path] = {}
    left: list[Path] = []
    for folder in dict.fromkeys(p.parent for p in masks):
        inside = folder.relative_to(root)
        own = [Path(key) for key in maps if Path(key).parent == inside]
        paired, rest = pair(own, [p for p in masks if p.parent == folder])
        found |= {key.as_posix(): mask for key, mask in paired.items()}
        left += rest
    return found, left


def _is_normal(key: str) -> bool:
    return any(is_normal_word(part) for part in Path(key).parts[:-1])


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return np.nan


def _without_suffix(name: str) -> str:
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else name


def _some(names: Sequence[object], what: str) -> str:
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({some(names)})"
