"""Small readings of tidy tables."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float


def where(table: pd.DataFrame, **equals: Any) -> pd.DataFrame:
    """Rows whose columns have the given values."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in equals.items():
        keep &= (table[column] == value).to_numpy()
    return rows(table, keep)


def rows(table: pd.DataFrame, keep: np.ndarray) -> pd.DataFrame:
    """Rows of a boolean mask, or of positions in that order."""
    positions = np.flatnonzero(keep) if keep.dtype == bool else keep
    return cast(pd.DataFrame, table.iloc[positions])


def mean_by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of the numbers of all rows that share a value of a column, by rising value."""
    return cast(pd.DataFrame, table.groupby(column, as_index=False).mean(numeric_only=True))


def range_by(
    table: pd.DataFrame, column: str, of: str
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    """Lowest and highest of a number among rows that share a value of a column."""
    at, value = numbers(table, column), numbers(table, of)
    groups = [value[at == one] for one in np.unique(at)]
    return np.array([g.min() for g in groups]), np.array([g.max() for g in groups])


def numbers(table: pd.DataFrame, column: str) -> Float[np.ndarray, " row"]:
    """Read a column as floats."""
    return table[column].to_numpy(dtype=float)
