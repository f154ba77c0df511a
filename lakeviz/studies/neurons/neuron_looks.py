"""What figures of single neurons have in common: names, looks, checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.names import measure_title
from lakeviz.plots.panels import Look
from lakeviz.plots.template import NEUTRAL
from lakeviz.tables import numbers, rows

LOOKS = {"selected": Look.of(0), "random": Look.of(1)}
MEAN_POINT = "mean of points"
_CHANCE = 0.5


def measured(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Rows in which a measure is a number.

    Raises
    ------
    ConfigError
        There is none.
    """
    there = np.isfinite(numbers(table, measure)) if measure in table else np.zeros(len(table), bool)
    if not there.any():
        raise ConfigError(f"no neuron has a {measure_title(measure)}")
    return rows(table, there)


def one_category(table: pd.DataFrame) -> None:
    """Refuse a table of several categories.

    Raises
    ------
    ConfigError
        Names what to use instead.
    """
    if len(set(table["category"])) > 1:
        raise ConfigError("several categories: choose one, or use neuron_differences_figure")


def mark_chance(fig: go.Figure, measure: str, row: int, column: int, *, along: str) -> None:
    """Draw chance across a panel where the measure is an AUROC; ``along`` is its axis, x or y."""
    if not measure.endswith("auroc") or measure.startswith("loss_"):
        return
    line = {"color": NEUTRAL, "dash": "dot", "width": 1.4}
    place: dict[str, Any] = {"line": line, "row": row, "col": column}
    if along == "x":
        fig.add_vline(x=_CHANCE, **place)
    else:
        fig.add_hline(y=_CHANCE, **place)
