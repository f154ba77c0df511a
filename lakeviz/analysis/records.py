"""Rows of a tidy table as plain mappings, for sentences and small tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

Row = dict[Any, Any]


def records(table: pd.DataFrame, **equals: Any) -> list[Row]:
    """Rows whose columns have the given values."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in equals.items():
        keep &= (table[column] == value).to_numpy()
    found = table.iloc[np.flatnonzero(keep)]
    return found.to_dict("records")


def mean_of(rows: Sequence[Row], column: str) -> float:
    """Mean of a column of some rows."""
    return float(np.mean([row[column] for row in rows]))
