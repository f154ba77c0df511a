"""Reading of tidy tables: rows by value, columns as floats, means and ranges of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from lakeviz.wording import counted

Row = dict[Any, Any]


def equals(table: pd.DataFrame, **values: Any) -> Bool[np.ndarray, " row"]:
    """Which rows have the given values."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in values.items():
        keep &= (table[column] == value).to_numpy(dtype=bool)
    return keep


def rows(table: pd.DataFrame, keep: np.ndarray) -> pd.DataFrame:
    """Rows of a boolean mask, or of positions in that order."""
    positions = np.flatnonzero(keep) if keep.dtype == bool else keep
    return cast(pd.DataFrame, table.iloc[positions])


def where(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Rows whose columns have the given values."""
    return rows(table, equals(table, **values))


def records(table: pd.DataFrame, **values: Any) -> list[Row]:
    """Rows whose columns have the given values, as plain mappings."""
    return where(table, **values).to_dict("records")


def numbers(table: pd.DataFrame, column: str) -> Float[np.ndarray, " row"]:
    """Read a column as floats."""
    return table[column].to_numpy(dtype=float)


def over_regions(row: Mapping[Any, Any], metric: str) -> str:
    """Return "53 regions" for the AUPRO of a row; empty for others, and in older tables."""
    n = row.get("n_regions", 0) if metric == "aupro" else 0
    return counted(int(n), "region") if n else ""


def is_measured(table: pd.DataFrame, column: str) -> bool:
    """Whether there is a column with at least one number."""
    return column in table and bool(np.isfinite(numbers(table, column)).any())


def n_draws(table: pd.DataFrame) -> int:
    """Most draws of the normal images that rows are means over; 1 in older tables."""
    if "n_draws" not in table or not {"estimand", "share_draws", "importance"} & set(table):
        return 1  # tables of before, in which n_draws is another thing
    return int(np.nanmax(numbers(table, "n_draws"), initial=1))


def over_draws(table: pd.DataFrame) -> str:
    """Write ", over 5 draws of the normal images"; empty where there is one."""
    n = n_draws(table)
    return f", over {n} draws of the normal images" if n > 1 else ""


def sampled(*tables: pd.DataFrame, units: str = "images") -> str:
    """Write what intervals are over: "images", or "images and draws of the normal images"."""
    draws = any(over_draws(table) for table in tables)
    return f"{units} and draws of the normal images" if draws else units


def mean_of(found: Sequence[Row], column: str) -> float:
    """Mean of a column of some rows."""
    return float(np.mean([row[column] for row in found]))


def mean_by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of the numbers of all rows that share a value of a column, in ascending order."""
    return cast(pd.DataFrame, table.groupby(column, as_index=False).mean(numeric_only=True))


def range_by(
    table: pd.DataFrame, column: str, of: str
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    """Lowest and highest of a number among rows that share a value of a column."""
    at, value = numbers(table, column), numbers(table, of)
    groups = [value[at == one] for one in np.unique(at)]
    return np.array([g.min() for g in groups]), np.array([g.max() for g in groups])
