"""Metrics of every category side by side, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz import renamed
from lakeviz.errors import ConfigError
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.captions import categories, tested
from lakeviz.plots.forest import forest_figure, forest_row
from lakeviz.plots.panels import Look
from lakeviz.tables import numbers, rows, sampled, where
from lakeviz.wording import percent

DEFAULT_METRICS = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))


@renamed.parameters(part="branch")
def metrics_figure(
    metrics: pd.DataFrame,
    *,
    which: Sequence[tuple[str, str]] = DEFAULT_METRICS,
    branch: str = "lake",
    title: str = "Metrics by category",
    confidence: float = 0.95,
) -> go.Figure:
    """One row per category, one dot with its interval per metric.

    Parameters
    ----------
    metrics : DataFrame
        ``Evaluation.metrics`` of one or more categories, one below the other.
    which : sequence of (level, metric)
    branch : str
        ``"lake"``, ``"visual"``, ``"text"`` or ``"text_image"``.
    title : str
    confidence : float
        Of the intervals in the table, for the caption.

    Raises
    ------
    ConfigError
        None of them was measured.
    """
    table = where(metrics, branch=branch)
    table = rows(table, np.isfinite(numbers(table, "value")))
    shown = [
        forest_row(own, "value", str(own["category"].iloc[0]), series=metric_title(*one), look=look)
        for one, look in zip(which, map(Look.of, range(len(which))))
        for own in _single_rows(where(table, level=one[0], metric=one[1]))
    ]
    if not shown:
        raise ConfigError(f"none of these metrics was measured for {branch!r}")
    return forest_figure(
        {"": shown},
        title=title,
        caption=f"{categories(metrics)} of {tested(table)}. Lines: {percent(confidence)} "
        f"intervals over {sampled(table)}.",
        x="value of the metric (1 = perfect)",
        zero=None,
        lines=list(dict.fromkeys(map(str, metrics["category"]))),
        form=".4f",
        ends=_ends(which),
    )


def _ends(which: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Ends of the axis that several metrics share."""
    bounds = [metric_bounds(*one) for one in which]
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def _single_rows(table: pd.DataFrame) -> list[pd.DataFrame]:
    return [rows(table, np.array([i])) for i in range(len(table))]
