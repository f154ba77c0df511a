"""Metrics of every category side by side, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.difference_plot import metric_title
from lakeviz.plots.template import MARKERS, PALETTE, counted, new_figure, plain
from lakeviz.tables import numbers, rows, where

DEFAULT_METRICS = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))


def metrics_figure(
    metrics: pd.DataFrame,
    *,
    which: Sequence[tuple[str, str]] = DEFAULT_METRICS,
    part: str = "lake",
    title: str = "Metrics by category",
    interval_level: float = 0.95,
) -> go.Figure:
    """One row per category, one dot with its interval per metric.

    Parameters
    ----------
    metrics : DataFrame
        ``Evaluation.metrics`` of one or more categories, one below the other.
    which : sequence of (level, metric)
    part : str
        ``"lake"``, ``"visual"``, ``"text"`` or ``"text_image"``.
    title : str
    interval_level : float
        Of the intervals in the table, for the caption.

    Raises
    ------
    ConfigError
        None of them was measured.
    """
    table = where(metrics, part=part)
    table = rows(table, np.isfinite(numbers(table, "value")))
    categories = list(dict.fromkeys(metrics["category"]))
    places = {category: place for place, category in enumerate(categories)}
    n_images = sorted({int(n) for n in table["n_images"]})
    span = " to ".join(f"{n:,}" for n in dict.fromkeys(n_images[:1] + n_images[-1:]))
    caption = (
        f"{counted(len(categories), 'category', 'categories')} of {span} test images. "
        f"Lines: {100 * interval_level:g} % bootstrap interval over images."
    )
    height = 90 + 30 * len(categories)
    fig = new_figure(title, caption, legend_above=True, height=height)
    for number, (level, metric) in enumerate(which):
        found = where(table, level=level, metric=metric)
        if not found.empty:
            shift = 0.2 * (number - (len(which) - 1) / 2)
            fig.add_trace(_dots(found, places, shift, metric_title(level, metric), number))
    if not fig.data:
        raise ConfigError(f"none of these metrics was measured for {part!r}")
    fig.update_xaxes(title_text="value of the metric (1 = perfect)")
    fig.update_yaxes(
        tickvals=list(range(len(categories))),
        ticktext=[plain(c) for c in categories],
        range=[len(categories) - 0.5, -0.5],
        ticks="",
        showline=False,
    )
    return fig


def _dots(
    table: pd.DataFrame, places: dict[str, int], shift: float, name: str, number: int
) -> go.Scatter:
    value, low, high = (numbers(table, column) for column in ("value", "low", "high"))
    return go.Scatter(
        x=value,
        y=[places[c] + shift for c in table["category"]],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.nan_to_num(high - value),
            "arrayminus": np.nan_to_num(value - low),
            "thickness": 1.4,
            "width": 0,
        },
        mode="markers",
        marker={"symbol": MARKERS[number], "size": 8, "color": PALETTE[number]},
        text=[plain(c) for c in table["category"]],
        customdata=np.stack([low, high], axis=1),
        hovertemplate=f"%{{text}}<br>{name} %{{x:.4f}} "
        "[%{customdata[0]:.4f}, %{customdata[1]:.4f}]<extra></extra>",
        name=name,
    )
