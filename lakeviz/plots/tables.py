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


def numbers(table: pd.DataFrame, column: str) -> Float[np.ndarray, " row"]:
    """Read a column as floats."""
    return table[column].to_numpy(dtype=float)
