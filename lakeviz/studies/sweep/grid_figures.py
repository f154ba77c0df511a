"""Sweeps: a heat table over two axes, and parallel coordinates over all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.matrix import matrix_trace
from lakeviz.plots.panels import span_within
from lakeviz.plots.template import PALETTE, new_figure, plain
from lakeviz.studies.sweep.figures import averaged_over, measured, named, values_of
from lakeviz.studies.sweep.marginals import AXIS_TITLES
from lakeviz.tables import numbers, where
from lakeviz.wording import counted

_ASIDE = 0.18  # of the step between two values


def sweep_heat_figure(
    cells: pd.DataFrame, *, level: str, metric: str, x: str, y: str, title: str | None = None
) -> go.Figure:
    """Mean of a metric over two axes, as numbers on a heat table.

    Parameters
    ----------
    cells : DataFrame
        ``SweepResult.cells``.
    level, metric : str
    x, y : str
        Axes of the sweep.
    title : str, optional

    Raises
    ------
    ConfigError
        The metric was not measured, or both axes are one.
    """
    table = measured(cells, level, metric)
    if x == y:
        raise ConfigError(f"a heat table needs two axes, not {x} twice")
    columns, lines = values_of(table, x), values_of(table, y)
    values = np.full((len(lines), len(columns)), np.nan)
    counts = np.zeros(values.shape, dtype=int)
    for i, line in enumerate(lines):
        for j, column in enumerate(columns):
            own = numbers(where(table, **{x: column, y: line}), "value")
            counts[i, j] = own.size
            values[i, j] = own.mean() if own.size else np.nan
    what = metric_title(level, metric)
    low, high = span_within(values, metric_bounds(level, metric))
    least, most = int(counts.min()), int(counts.max())
    at_least = "" if least == most else f" ({least} at least)"
    caption = (
        f"Mean {what} over {counted(most, 'cell')}{at_least} at each pair of values"
        f"{averaged_over(table, [x, y])}. Of the same test images: the highest is no choice for "
        "others."
    )
    fig = new_figure(
        title or f"{what} by {named(y)} and {named(x)}", caption, height=150 + 40 * len(lines)
    )
    fig.add_trace(
        matrix_trace(
            values,
            what,
            f"{named(x)} %{{x}}, {named(y)} %{{y}}<br>%{{z:.4f}}, mean of %{{customdata}} cell(s)",
            ends=(low, high),
            text=[["" if np.isnan(v) else f"{v:.3f}" for v in line] for line in values],
            gap=2,
            x=[plain(c) for c in columns],
            y=[plain(line) for line in lines],
            customdata=counts,
        )
    )
    fig.update_xaxes(title_text=AXIS_TITLES.get(x, x), type="category", ticks="")
    fig.update_yaxes(title_text=named(y), type="category", autorange="reversed", ticks="")
    return fig


def sweep_parallel_figure(
    cells: pd.DataFrame, *, level: str, metric: str, axes: Sequence[str], title: str | None = None
) -> go.Figure:
    """Parallel coordinates: a line per cell through its value on each axis, to the metric.

    Parameters
    ----------
    cells : DataFrame
        ``SweepResult.cells``.
    level, metric : str
    axes : sequence of str
        Axes of the sweep.
    title : str, optional

    Raises
    ------
    ConfigError
        The metric was not measured, or no axis was named.
    """
    table = measured(cells, level, metric)
    if not axes:
        raise ConfigError("parallel coordinates need an axis")
    what, values = metric_title(level, metric), numbers(table, "value")
    # Lines through one value lie side by side, in the order of the metric, instead of on one spot.
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    spread = _ASIDE * (2 * ranks / max(1, len(values) - 1) - 1)
    dimensions: list[dict[str, Any]] = []
    for axis in axes:
        known = values_of(table, axis)
        dimensions.append(
            {
                "label": named(axis),
                "values": [known.index(v) + aside for v, aside in zip(table[axis], spread)],
                "tickvals": list(range(len(known))),
                "ticktext": [plain(value) for value in known],
                "range": [-0.3, len(known) - 0.7],
            }
        )
    span = span_within(values, metric_bounds(level, metric))
    dimensions.append({"label": what, "values": values, "range": span})
    caption = (
        f"{counted(len(table), 'cell')}: one line each, from its settings to its {what}, which the "
        "last axis shows and the colour repeats; lines through one value lie side by side in that "
        "order. Drag along an axis to keep some of the lines."
    )
    fig = new_figure(title or f"All cells: {what}", caption, height=420)
    fig.add_trace(
        go.Parcoords(
            dimensions=dimensions,
            labelfont={"size": 12},
            tickfont={"size": 12},
            rangefont={"size": 12, "color": "rgba(0,0,0,0)"},  # the ticks say it already
            line={"color": values, "colorscale": [[0, PALETTE[1]], [1, PALETTE[0]]]},
            domain={"x": [0.03, 0.97], "y": [0, 0.88]},
        )
    )
    return fig
