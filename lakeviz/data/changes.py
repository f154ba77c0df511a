"""What images were when a result was made, and which of them have changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakeviz.data.files import file_sha256
from lakeviz.data.table import DEPTH_COLUMN
from lakeviz.errors import DataError, ImageReadError
from lakeviz.wording import some

if TYPE_CHECKING:
    from lakeviz.data.dataset import Dataset

_SHOWN = 5
_GONE = "gone"


def contents(dataset: Dataset) -> dict[str, str]:
    """Content of every image of a data set: SHA-256 of the image and of its mask, by sample id.

    A file that cannot be opened counts as gone.
    """
    found = {}
    for row in dataset.frame.to_dict("records"):
        mask = _content(row["mask_path"]) if row["mask_path"] else "-"
        found[row["sample_id"]] = f"{_content(row['path'])} {mask} {row['defect_type']}"
        if DEPTH_COLUMN in row:
            found[row["sample_id"]] += f" {_content(row[DEPTH_COLUMN])}"
    return found


def _content(path: str | Path) -> str:
    try:
        return file_sha256(path)
    except ImageReadError:
        return _GONE


def contents_of(sample_ids: Sequence[str], paths: Sequence[Path]) -> dict[str, str]:
    """Content of single files: their SHA-256, by sample id, or that it is gone."""
    return {name: _content(path) for name, path in zip(sample_ids, paths, strict=True)}


def changes(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name what is not as it was, as "a.png (changed)", "(gone)" or "(new)"."""
    changed = [
        f"{name} ({'gone' if now.get(name, _GONE).startswith(_GONE) else 'changed'})"
        for name, content in was.items()
        if now.get(name) != content
    ]
    return changed + [f"{name} (new)" for name in now if name not in was]


def require_unchanged(was: Mapping[str, str], now: Mapping[str, str], what: str) -> None:
    """Refuse images that have changed since a result was made.

    Raises
    ------
    DataError
        Names them, and says what to do.
    """
    found = changes(was, now)
    if found:
        raise DataError(
            f"{len(found)} of the {what} are not those of the run: {some(found, _SHOWN)}"
            "; put them back as they were, or run again into another folder"
        )
