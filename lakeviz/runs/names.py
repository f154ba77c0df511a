"""Files of a run's folder, its protocol, and the columns that were called otherwise before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lakeviz.errors import StoreError
from lakeviz.files import read_json, read_parquet

PROTOCOL = "lakeviz-run/2"
PROTOCOLS = ("lakeviz-run/1", PROTOCOL)
"""Protocols of runs that can be read."""
MANIFEST, EVALUATION, STUDY = "manifest.json", "evaluation.json", "study.json"
CATEGORIES, STUDIES = "categories", "studies"
TABLES = ("metrics", "scores", "controls", "neurons", "spectrum")

_RENAMED = {
    "metrics": {"part": "branch", "interval_level": "confidence"},
    "controls": {"low": "difference_low", "high": "difference_high"},
}
"""Columns of protocol 1, by table."""


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """Read a table of an evaluation, of any protocol, with today's names of columns.

    Raises
    ------
    StoreError
        If it is missing or damaged.
    """
    table = read_parquet(folder / f"{name}.parquet")
    # A table that has a new name already is of today: in protocol 2, low and high are the value's.
    new = {old: now for old, now in _RENAMED.get(name, {}).items() if now not in table}
    return table.rename(columns=new)


def read_description(folder: Path) -> dict[str, Any]:
    """Read what describes an evaluation: its category, its maps, and what made it.

    Raises
    ------
    StoreError
        If it is missing or damaged.
    """
    described = read_json(folder / EVALUATION)
    if not {"category", "maps", "provenance"} <= described.keys():
        raise StoreError(f"{folder / EVALUATION} is damaged; delete {folder} and run again")
    return described
