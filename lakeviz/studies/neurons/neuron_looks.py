"""What figures of single neurons have in common: names, looks, checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.line_panels import Look
from lakeviz.plots.template import NEUTRAL, plain
from lakeviz.tables import numbers, rows

MEASURE_NAMES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "patch_auroc": "patch AUROC",
    "cohens_d": "Cohen's d",
    "matched_d": "difference at matched positions (pooled sd)",
    "rank_biserial": "rank-biserial correlation",
    "abs_cohens_d": "|Cohen's d|",
    "abs_matched_d": "|difference at matched positions| (pooled sd)",
    "deviation_d": "Cohen's d of the deviation",
    "deviation_matched_d": "deviation, matched positions (pooled sd)",
    "deviation_auroc": "patch AUROC of the deviation",
    "cliffs_delta": "Cliff's delta",
    "abs_cliffs_delta": "|Cliff's delta|",
    "share_normal": "share of a normal patch's distance",
    "share_anomalous": "share of a defect patch's distance",
    "share_excess": "share in defect minus normal patches",
    "loss_image_auroc": "loss of image AUROC, score knock-out",
    "loss_pixel_aupro": "loss of AUPRO, score knock-out",
}
LOOKS = {"selected": Look.of(0), "random": Look.of(1)}
MEAN_POINT = "mean of points"
_CHANCE = 0.5


def measure_title(measure: str) -> str:
    """Name of a measure as axes and captions say it."""
    return MEASURE_NAMES.get(measure, measure.replace("_", " "))


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


def error_bars(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """Bars of an interval that need not lie evenly about its value."""
    return {
        "type": "data",
        "symmetric": False,
        "array": high - value,
        "arrayminus": value - low,
        "thickness": 1.4,
        "width": 3,
    }


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


def short_point(point: str) -> str:
    """A hook point without the words that all have."""
    return plain(point.removesuffix(".hook_resid_post"))
