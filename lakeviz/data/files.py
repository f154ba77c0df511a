"""Listing of folders: their images and sub-folders, and the mask that belongs to an image.

Everything returns sorted results, so that no table depends on the order in which a file system
happens to list its entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from lakeviz.errors import ConfigError, DatasetLayoutError, ImageReadError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
)

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
"""What a file is read as whatever its suffix: for PostScript Pillow would start Ghostscript."""


def is_image(path: Path) -> bool:
    """Whether ``path`` is a visible file with the suffix of an image."""
    return (
        path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")  # macOS archives bring "._x.png" companions
        and path.is_file()
    )


def list_images(folder: Path) -> list[Path]:
    """Images directly inside ``folder``, sorted by name; an absent folder has none."""
    return sorted(p for p in _entries(folder) if is_image(p)) if folder.is_dir() else []


def list_folders(folder: Path) -> list[Path]:
    """Visible sub-folders of ``folder``, sorted by name; an absent folder has none."""
    if not folder.is_dir():
        return []
    return sorted(p for p in _entries(folder) if p.is_dir() and not p.name.startswith("."))


def child_folder(folder: Path, *names: str) -> Path | None:
    """Return the first sub-folder with one of ``names``, ignoring upper and lower case.

    A name may have several parts (``"good/img"``).
    """
    for name in names:
        found: Path | None = folder
        for part in Path(name).parts:
            children = list_folders(found) if found else []
            found = next((c for c in children if c.name.lower() == part.lower()), None)
        if found is not None:
            return found
    return None


def describe(folder: Path, limit: int = 8) -> str:
    """Describe the content of ``folder`` in words, for the end of a layout error."""
    if not folder.exists():
        return f"{folder} does not exist"
    if not folder.is_dir():
        return f"{folder} is a file"
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in _entries(folder))
    if not names:
        return f"{folder} is empty"
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return f"{folder} holds {', '.join(names[:limit])}{more}"


def mask_index(folder: Path | None) -> dict[str, Path]:
    """Masks by stem: image files, and sub-folders that hold several masks of one image."""
    if folder is None or not folder.is_dir():
        return {}
    return {p.stem: p for p in list_images(folder)} | {p.name: p for p in list_folders(folder)}


def find_mask(
    stem: str, index: dict[str, Path], suffixes: Sequence[str] = ("_mask", "")
) -> Path | None:
    """Return the mask ``stem + suffix`` for the first suffix that is there."""
    return next((index[stem + s] for s in suffixes if stem + s in index), None)


def require_root(root: str | Path, looked_for: str) -> Path:
    """Return ``root`` as an absolute folder.

    Raises
    ------
    DatasetLayoutError
        It does not exist or is a file; the message says what was looked for in it.
    """
    path = Path(root).expanduser().absolute()
    if not path.is_dir():
        raise DatasetLayoutError(f"{describe(path)}; looked there for {looked_for}")
    return path


def train_part(names: Iterable[str], seed: int, fraction: float) -> set[str]:
    """Draw the seeded share of ``names`` that goes to training, for data sets without a split.

    The names are sorted and permuted by ``numpy.random.default_rng(seed)``; the first
    ``round(fraction * n)`` go to training, at least one, and at least one stays for testing where
    there are two or more.

    Raises
    ------
    ConfigError
        ``fraction`` is not strictly between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"train_fraction must lie strictly between 0 and 1, got {fraction}")
    ordered = sorted(names)
    n = len(ordered)
    if n == 0:
        return set()
    count = min(max(round(fraction * n), 1), max(n - 1, 1))
    order = np.random.default_rng(seed).permutation(n)
    return {ordered[i] for i in order[:count]}


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, or of the content of all images of a folder of masks.

    Cached by path, size and time of change, so that subsets of a data set are not read again.

    Raises
    ------
    ImageReadError
        The file cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            parts = "".join(p.name + file_sha256(p) for p in list_images(path))
            return hashlib.sha256(parts.encode()).hexdigest()
        stat = path.stat()
        return _digest(str(path), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ImageReadError(f"cannot read {path}: {error.strerror or error}") from error


@lru_cache(maxsize=1 << 17)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DatasetLayoutError(f"cannot list {folder}: {error.strerror or error}") from error
