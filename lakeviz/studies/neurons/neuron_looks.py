"""What figures of single neurons have in common: names, looks, checks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.plots.names import measure_title
from lakeviz.plots.panels import Look
from lakeviz.tables import numbers, rows

LOOKS = {"selected": Look.of(0), "random": Look.of(1)}


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


def chance_of(measure: str) -> float | None:
    """What chance alone would give, where the measure is an AUROC."""
    return 0.5 if measure.endswith("auroc") and not measure.startswith("loss_") else None
