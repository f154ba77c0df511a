"""Files of an evaluation that need no torch: its tables and its description, of any protocol."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pandas as pd

from lakeviz.documents import read_document
from lakeviz.errors import ConfigError, StoreError
from lakeviz.files import read_parquet, settle
from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.selector_names import todays_selectors

EVALUATION, MAPS = "evaluation.json", "maps.safetensors"
TABLES = ("metrics", "draws", "scores", "controls", "neurons", "spectrum", "curves", "outliers")
CLIPS = "clips"
"""Table of frames of clips, written where there are any."""
STREAMS = "streams"
"""Table of every stream alone, written where there are several."""

_RENAMED = {
    "metrics": {"part": "branch", "interval_level": "confidence"},
    "controls": {"low": "difference_low", "high": "difference_high"},
}
"""Columns of protocol 1, by table."""
_LATER = ("curves", "draws", "outliers", CLIPS, STREAMS)
"""Tables that runs of earlier versions do not have."""


class DescribedMaps(TypedDict):
    """What :meth:`lakeviz.lake.score_maps.ScoreMaps.plain` gives."""

    sample_ids: list[str]
    sizes: list[tuple[int, int]]
    smoothing: float
    map_size: tuple[int, int] | None
    skipped: list[tuple[str, str]]


class DescribedImages(TypedDict):
    """Normal images or test images of an evaluation."""

    n_images: int
    fingerprint: NotRequired[str]
    sample_ids: NotRequired[list[str]]
    draws: NotRequired[list[list[str]]]
    contents: NotRequired[dict[str, str]]
    skipped: NotRequired[list[Any]]


class Provenance(TypedDict):
    """What made an evaluation, as far as it is read back."""

    fit: DescribedImages
    test: DescribedImages
    bootstrap: NotRequired[dict[str, Any] | None]
    conventions: NotRequired[dict[str, Any]]
    model: NotRequired[dict[str, Any]]
    options: NotRequired[dict[str, Any]]
    notes: NotRequired[list[str]]
    outlier_warning: NotRequired[str | None]


class Described(TypedDict):
    """What ``evaluation.json`` says."""

    category: str
    maps: DescribedMaps
    provenance: Provenance
    sha256: NotRequired[dict[str, str]]
    maps_sha256: NotRequired[str]


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """Read a table of an evaluation, of any protocol, with today's names of columns."""
    path = folder / f"{name}.parquet"
    if name in _LATER and not path.is_file():
        return pd.DataFrame()
    expected = read_description(folder).get("sha256", {})
    table = read_parquet(path, expected.get(name))
    # A table of today has the new name, and may use the old one for something else.
    old = {was: now for was, now in _RENAMED.get(name, {}).items() if now not in table}
    return todays_selectors(table.rename(columns=old))


def read_description(folder: Path) -> dict[str, Any]:
    """Read what describes an evaluation: its category, its maps, and what made it."""
    settle(folder)
    path = folder / EVALUATION
    try:
        stamp = path.stat()
    except OSError:
        return _described(path)  # says what is wrong with it
    return dict(_kept(path, (stamp.st_ino, stamp.st_mtime_ns, stamp.st_size)))


@lru_cache(maxsize=64)  # every table of a category asks for its hash
def _kept(path: Path, stamp: tuple[int, int, int]) -> dict[str, Any]:
    """The description of a file as long as it stays the same."""
    return _described(path)


def _described(path: Path) -> dict[str, Any]:
    remedy = f"delete {path.parent} and run again"
    found = read_document(path, Described, remedy)
    try:
        Bootstrap.from_plain(found["provenance"].get("bootstrap"))
    except ConfigError as error:
        raise StoreError(f"{path} is damaged: {error}; {remedy}") from error
    return dict(found)
