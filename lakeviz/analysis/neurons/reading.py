"""Small readings of tidy tables."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float


def numbers(table: pd.DataFrame, column: str) -> Float[np.ndarray, " row"]:
    """Read a column as floats."""
    return table[column].to_numpy(dtype=float)


def equals(table: pd.DataFrame, column: str, value: object) -> Bool[np.ndarray, " row"]:
    """Which rows have a value."""
    return (table[column] == value).to_numpy(dtype=bool)


def rows(table: pd.DataFrame, keep: np.ndarray) -> pd.DataFrame:
    """Rows of a boolean mask, or of positions in that order."""
    positions = np.flatnonzero(keep) if keep.dtype == bool else keep
    return cast(pd.DataFrame, table.iloc[positions])


def is_measured(table: pd.DataFrame, column: str) -> bool:
    """Whether there is a column with at least one number."""
    return column in table and bool(np.isfinite(numbers(table, column)).any())
