"""Sweeps: LAKE's selector minus its controls at every setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.metrics.registry import metric_title
from lakeviz.plots.template import MARKERS, NEUTRAL, PALETTE, new_figure, plain
from lakeviz.selector_names import selector_name
from lakeviz.studies.sweep.figure_values import named
from lakeviz.tables import numbers, rows, where


def sweep_contrasts_figure(
    contrasts: pd.DataFrame,
    *,
    level: str,
    metric: str,
    reference: str = "variance",
    varied: Sequence[str],
    interval_level: float = 0.95,
    title: str | None = None,
) -> go.Figure:
    """The reference minus each control at every setting, sorted, with paired intervals.

    Parameters
    ----------
    contrasts : DataFrame
        ``SweepResult.contrasts``.
    level, metric : str
    reference : str
        The selector that is compared.
    varied : sequence of str
        Axes that tell the settings apart, for hovering.
    interval_level : float
    title : str, optional

    Raises
    ------
    ConfigError
        No control was measured by this metric.
    """
    table = where(contrasts, level=level, metric=metric)
    table = rows(table, np.isfinite(numbers(table, "difference")))
    what = metric_title(level, metric)
    if table.empty:
        raise ConfigError(f"no control was measured by {what}")
    controls = list(dict.fromkeys(table["control"]))
    n = [int(value) for value in table["n_images"]]
    images = f"{min(n):,}" if min(n) == max(n) else f"{min(n):,} to {max(n):,}"
    caption = (
        f"One mark per setting, in rising order: {reference} minus the control on the same "
        f"{images} test images. Lines: {100 * interval_level:g} % bootstrap, paired over images "
        "(and over the draws of a random control). Filled: the interval leaves out zero. Above "
        f"zero, {reference} is better."
    )
    fig = new_figure(
        title or f"{reference} minus controls: {what}", caption, legend_above=True, height=340
    )
    make_subplots(
        rows=1,
        cols=len(controls),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[plain(selector_name(c)) for c in controls],
        figure=fig,
    )
    for number, control in enumerate(controls):
        fig.add_trace(
            _differences(where(table, control=control), number, varied), row=1, col=number + 1
        )
    fig.add_hline(y=0, line={"color": NEUTRAL, "dash": "dot", "width": 1.4})
    fig.update_xaxes(title_text="setting (rank)")
    fig.update_yaxes(title_text=f"{reference} − control, {what}", col=1)
    fig.update_layout(showlegend=False)
    fig.update_annotations(font={"size": 12})
    return fig


def _differences(table: pd.DataFrame, number: int, varied: Sequence[str]) -> go.Scatter:
    table = rows(table, np.argsort(numbers(table, "difference"), kind="stable"))
    middle, low, high = (
        numbers(table, c) for c in ("difference", "difference_low", "difference_high")
    )
    clear = (low > 0) | (high < 0)
    symbol = MARKERS[number % len(MARKERS)]
    said = [
        ", ".join(f"{named(axis)} {plain(row[axis])}" for axis in varied)
        for row in table.to_dict("records")
    ]
    return go.Scatter(
        x=np.arange(1, len(table) + 1),
        y=middle,
        error_y={
            "type": "data",
            "symmetric": False,
            "array": high - middle,
            "arrayminus": middle - low,
            "thickness": 1,
            "width": 0,
        },
        mode="markers",
        marker={
            "symbol": [symbol if one else f"{symbol}-open" for one in clear],
            "size": 7,
            "color": PALETTE[number % len(PALETTE)],
        },
        text=said,
        customdata=np.column_stack([low, high]),
        hovertemplate="%{text}<br>%{y:+.4f} [%{customdata[0]:+.4f}, %{customdata[1]:+.4f}]"
        "<extra></extra>",
    )
