"""Readings of the tables of sweeps that their figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.registry import metric_title
from lakeviz.tables import numbers, rows, where

AXIS_TITLES = {
    "category": "category",
    "model": "model",
    "layer": "layer (block, or mean of blocks)",
    "shots": "normal images",
    "seed": "seed",
    "k": "k (neurons per hook point)",
    "normalisation": "normalisation",
    "distance": "distance",
    "neighbours": "neighbours",
    "coreset": "share of normal tokens kept",
    "text_weight": "text weight",
    "image_score": "image score",
    "selector": "selector",
}


def measured(cells: pd.DataFrame, level: str, metric: str) -> pd.DataFrame:
    """Rows of a metric that were measured.

    Raises
    ------
    ConfigError
        There is none.
    """
    table = where(cells, level=level, metric=metric)
    table = rows(table, np.isfinite(numbers(table, "value")))
    if table.empty:
        raise ConfigError(f"no cell was measured by {metric_title(level, metric)}")
    return table


def values_of(table: pd.DataFrame, axis: str) -> list[Any]:
    """Values of an axis: numbers in rising order, others in the order of the table."""
    known = list(dict.fromkeys(table[axis]))
    return sorted(known, key=float) if all(_is_number(value) for value in known) else known


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def named(axis: str | None) -> str:
    """Name of an axis in a text."""
    return (axis or "").replace("_", " ")


def averaged_over(table: pd.DataFrame, shown: Sequence[str]) -> str:
    """Say which other axes vary: ", averaged over 3 of seed"."""
    counts = {axis: len(values_of(table, axis)) for axis in AXIS_TITLES if axis in table}
    over = [f"{n} of {named(a)}" for a, n in counts.items() if n > 1 and a not in shown]
    return f", averaged over {', '.join(over)}" if over else ""
