"""Listing of folders: their images and sub-folders, by rules that drop nothing silently.

Everything returns sorted results, so that no table depends on the order in which a file system
happens to list its entries.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from lakeviz.errors import ConfigError, DatasetLayoutError, ImageReadError
from lakeviz.wording import some

_READ = "png jpg jpeg jpe jfif bmp dib tif tiff webp pgm ppm pbm pnm gif tga jp2"
IMAGE_SUFFIXES = frozenset(f".{s}" for s in _READ.split())
DEPTH_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".npy", ".pgm"})
# Pictures that are not read: passed over, a test set would shrink without a word.
_FOREIGN = "heic heif avif jxl exr hdr psd svg dcm nii dng raw cr2 nef arw mp4 avi mov"
_FOREIGN_SUFFIXES = frozenset(f".{s}" for s in _FOREIGN.split())
VOLUME_SUFFIXES = frozenset({".npy", ".mat"})
"""Files that hold the masks of all frames of a clip; ``FILE#12`` names the mask of frame 12."""
VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mkv", ".mov", ".webm"})
"""Files that hold all frames of a clip; ``FILE#12`` names frame 12."""
_KINDS_OF_FILE = (
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "JPEG2000")
"""What a file is read as whatever its suffix: for PostScript Pillow would start Ghostscript."""


def list_images(folder: Path) -> list[Path]:
    """Images directly inside ``folder``, sorted by name; an absent folder has none."""
    return list_files(folder, IMAGE_SUFFIXES)


def holds_images(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> bool:
    """Whether there is an image in a folder or anywhere below it."""
    return any(p.suffix.lower() in suffixes and p.is_file() for p in folder.rglob("*"))


def list_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Visible files with one of ``suffixes``, as :func:`list_images`."""
    if not folder.is_dir():
        return []
    found, wrong = [], []
    for path in sorted(_entries(folder)):
        suffix = path.suffix.lower()
        if suffix not in suffixes and suffix not in _FOREIGN_SUFFIXES:
            continue
        if path.is_dir():
            continue
        reason = why_unreadable(path) or ("" if suffix in suffixes else "a format that is not read")
        found.append(path)
        if reason:
            wrong.append(f"{printable(path.name)} is {reason}")
    videos_alone = all(path.suffix.lower() in VIDEO_SUFFIXES for path in found)
    if wrong and videos_alone and not {*suffixes} & VIDEO_SUFFIXES:
        return []  # clips, which are read otherwise
    if wrong:
        raise DatasetLayoutError(
            f"{len(wrong)} of the {len(found)} images in {printable(folder)} cannot be read: "
            f"{some(wrong)}; mend, convert or remove them"
        )
    return found


def walk_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Files with one of ``suffixes`` in a folder and all below it, as :func:`list_images`."""
    below = (p for inner in list_folders(folder) for p in walk_files(inner, suffixes))
    return sorted([*list_files(folder, suffixes), *below])


def is_file(path: Path) -> bool:
    """Whether a path is a file; false, too, of a name that is longer than names can be."""
    return os.path.isfile(path)  # noqa: PTH113


def why_unreadable(path: Path) -> str:
    """Say why a path that exists, or seems to, is no file to read; empty where it is one.

    To be asked before opening: a pipe would be waited for without end.
    """
    if not is_utf8(path.name):
        return "a name that is not UTF-8: rename it"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"a broken link to {printable(path.readlink())}" if path.is_symlink() else ""
    except OSError as error:  # a link to itself
        return f"not to be followed ({error.strerror or error})"
    return next((words for is_kind, words in _KINDS_OF_FILE if is_kind(mode)), "")


def is_utf8(name: str) -> bool:
    """Whether a name of the file system is valid UTF-8."""
    return printable(name) == name


def printable(name: str | Path) -> str:
    r"""Return a name with bytes that are not UTF-8 written as ``\xe9``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def list_folders(folder: Path) -> list[Path]:
    """Visible sub-folders of ``folder``, sorted by name; an absent folder has none."""
    if not folder.is_dir():
        return []
    found = sorted(p for p in _entries(folder) if p.is_dir())
    for path in found:
        if not is_utf8(path.name):
            raise DatasetLayoutError(f"the name of {printable(path)} is not UTF-8: rename it")
    return found


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
    names = sorted(printable(p.name) + ("/" if p.is_dir() else "") for p in _entries(folder))
    if not names:
        return f"{folder} is empty"
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return f"{folder} holds {', '.join(names[:limit])}{more}"


def require_root(root: str | Path, looked_for: str) -> Path:
    """Return ``root`` as an absolute folder."""
    path = Path(root).expanduser().absolute()
    if not is_utf8(str(path)):
        raise DatasetLayoutError(f"the name of {printable(path)} is not UTF-8: rename it")
    if not path.is_dir():
        raise DatasetLayoutError(f"{describe(path)}; looked there for {looked_for}")
    return path


def train_part(names: Iterable[str], seed: int, fraction: float) -> set[str]:
    """Draw the seeded share of ``names`` that goes to training, for data sets without a split.

    At least one trains, and at least one stays for testing where there are two or more.
    """
    if seed < 0:
        raise ConfigError(f"split_seed must be 0 or more, got {seed}")
    if not 0 < fraction < 1:
        raise ConfigError(f"train_fraction must lie strictly between 0 and 1, got {fraction}")
    ordered = sorted(names)
    n = len(ordered)
    count = min(max(round(fraction * n), 1), max(n - 1, 1))
    return {ordered[i] for i in np.random.default_rng(seed).permutation(n)[:count]}


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, or of the content of all images of a folder of masks.

    Of one frame of a video or a volume of masks it is that of the file and the number of the frame.

    Cached by path, size and time of change, so that subsets of a data set are not read again.

    Raises
    ------
    ImageReadError
        The file cannot be read.
    """
    path = Path(path)
    if part := volume_frame(path) or video_frame(path):
        return hashlib.sha256(f"{file_sha256(part[0])}#{part[1]}".encode()).hexdigest()
    try:
        if path.is_dir():
            parts = "".join(p.name + file_sha256(p) for p in list_images(path))
            return hashlib.sha256(parts.encode()).hexdigest()
        if reason := why_unreadable(path):
            raise ImageReadError(f"cannot read {printable(path)}: it is {reason}")
        status = path.stat()
        return _digest(str(path), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ImageReadError(f"cannot read {path}: {error.strerror or error}") from error


def volume_frame(path: str | Path) -> tuple[Path, int] | None:
    """File and number of a mask that a path ``FILE.npy#12`` names; None for any other path."""
    return _frame_of(path, VOLUME_SUFFIXES)


def video_frame(path: str | Path) -> tuple[Path, int] | None:
    """File and number of a frame that a path ``FILE.mp4#12`` names; None for any other path."""
    return _frame_of(path, VIDEO_SUFFIXES)


def _frame_of(path: str | Path, suffixes: Collection[str]) -> tuple[Path, int] | None:
    file, mark, number = str(path).rpartition("#")
    if not mark or not number.isdecimal() or Path(file).suffix.lower() not in suffixes:
        return None
    return Path(file), int(number)


@lru_cache(maxsize=1 << 17)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entries(folder: Path) -> list[Path]:
    """Visible entries: macOS archives bring ``._x.png`` companions."""
    try:
        return [p for p in folder.iterdir() if not p.name.startswith(".")]
    except OSError as error:
        raise DatasetLayoutError(f"cannot list {folder}: {error.strerror or error}") from error
