"""Score maps of any detector on disk: one array per pixel map, in the common kinds of file."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from lakeviz.data.files import IMAGE_FORMATS, IMAGE_SUFFIXES, walk_files
from lakeviz.errors import DataError

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

    Attributes
    ----------
    key : str
        Name of the image: relative path without suffix, or name in an ``.npz``.
    path : Path
    member : str
        Name of the array in an ``.npz`` of many; empty elsewhere.
    """

    key: str
    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}[{self.member}]" if self.member else str(self.path)

    def read(self) -> Float[np.ndarray, "height width"]:
        """Read the map.

        Raises
        ------
        DataError
            If it is unreadable, not one number per pixel, or has NaN or infinite values.
        """
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
    """Maps by the name of their image.

    Parameters
    ----------
    where : path
        A folder (with sub-folders), or one ``.npz`` whose arrays are named by image.
    """
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
