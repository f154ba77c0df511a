"""Files of an evaluation that need no torch: its tables and its description, of any protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lakeviz.errors import StoreError
from lakeviz.files import read_json, read_parquet, settle
from lakeviz.selector_names import todays_selectors

EVALUATION, MAPS = "evaluation.json", "maps.safetensors"
TABLES = ("metrics", "draws", "scores", "controls", "neurons", "spectrum", "curves", "outliers")

_RENAMED = {
    "metrics": {"part": "branch", "interval_level": "confidence"},
    "controls": {"low": "difference_low", "high": "difference_high"},
}
"""Columns of protocol 1, by table."""
_LATER = ("curves", "draws", "outliers")
"""Tables that runs of earlier versions do not have."""


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """Read a table of an evaluation, of any protocol, with today's names of columns.

    Raises
    ------
    StoreError
        If it is missing or damaged.
    """
    path = folder / f"{name}.parquet"
    if name in _LATER and not path.is_file():
        return pd.DataFrame()
    table = read_parquet(path)
    # A table of today has the new name, and may use the old one for something else.
    old = {was: now for was, now in _RENAMED.get(name, {}).items() if now not in table}
    return todays_selectors(table.rename(columns=old))


def read_description(folder: Path) -> dict[str, Any]:
    """Read what describes an evaluation: its category, its maps, and what made it.

    Raises
    ------
    StoreError
        If it is missing or damaged.
    """
    settle(folder)
    described = read_json(folder / EVALUATION)
    if not {"category", "maps", "provenance"} <= described.keys():
        raise StoreError(f"{folder / EVALUATION} is damaged; delete {folder} and run again")
    return described
