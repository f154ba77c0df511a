"""Sweeps: a metric along one axis, with lines by a second and panels by a third."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import mean_over_categories
from lakeviz.metrics.registry import metric_title
from lakeviz.plots.template import DASHES, MARKERS, PALETTE, counted, faded, new_figure, plain
from lakeviz.selector_names import selector_name
from lakeviz.studies.sweep.figure_values import (
    AXIS_TITLES,
    averaged_over,
    measured,
    named,
    values_of,
)
from lakeviz.tables import numbers, rows, where

UNITS = ("category", "seed")
_PANELS = 6


def sweep_lines_figure(
    cells: pd.DataFrame,
    *,
    level: str,
    metric: str,
    x: str,
    series: str | None = None,
    panel: str | None = None,
    interval_level: float = 0.95,
    title: str | None = None,
) -> go.Figure:
    """A metric along one axis, a line per value of a second, a panel per value of a third.

    Each point is a mean over all settings that the figure does not show. Its band is Student's
    interval over units (a category and a seed) where there are several, else that of the single
    cell, over images.

    Parameters
    ----------
    cells : DataFrame
        ``SweepResult.cells``.
    level, metric : str
    x, series, panel : str
        Axes of the sweep.
    interval_level : float
        Of the intervals over images in the table, for the caption.
    title : str, optional

    Raises
    ------
    ConfigError
        The metric was not measured, or an axis is shown twice.
    """
    table = measured(cells, level, metric)
    shown = [axis for axis in (x, series, panel) if axis is not None]
    if len(set(shown)) < len(shown):
        raise ConfigError(f"one axis is shown twice: {', '.join(shown)}")
    what = metric_title(level, metric)
    panels = values_of(table, panel)[:_PANELS] if panel else [None]
    lines = values_of(table, series) if series else [None]
    own = rows(table, table[panel].isin(panels).to_numpy()) if panel else table
    caption = _caption_of_cells(own, shown, panel, len(values_of(table, panel)) if panel else 0)
    fig = new_figure(
        title or f"{what} by {named(x)}",
        caption + _band_caption(own, shown, interval_level),
        legend_above=series is not None,
        height=330 if len(panels) <= 3 else 560,
    )
    columns = min(3, len(panels))
    make_subplots(
        rows=-(-len(panels) // columns),
        cols=columns,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.2,
        subplot_titles=[f"{named(panel)} {plain(p)}" for p in panels] if panel else None,
        figure=fig,
    )
    positions = {value: float(place) for place, value in enumerate(values_of(own, x))}
    for number, value in enumerate(panels):
        of_panel = where(own, **{panel: value}) if panel else own
        row, column = number // columns + 1, number % columns + 1
        for line, name in enumerate(lines):
            of_line = where(of_panel, **{series: name}) if series else of_panel
            for trace in _line(of_line, x, positions, line, name, first=number == 0):
                fig.add_trace(trace, row=row, col=column)
    ticks = {"tickvals": list(positions.values()), "ticktext": [plain(p) for p in positions]}
    fig.update_xaxes(**ticks)
    fig.update_xaxes(title_text=AXIS_TITLES.get(x, x), row=-(-len(panels) // columns))
    fig.update_yaxes(title_text=what, col=1)
    fig.update_annotations(font={"size": 12})
    if panel and series:
        _make_room(fig)
    if series:
        fig.update_layout(legend={"title": {"text": named(series)}})
    return fig


def _make_room(fig: go.Figure, share: float = 0.9) -> None:
    """Move the panels and their titles down, clear of the legend above them."""
    fig.for_each_yaxis(lambda axis: axis.update(domain=[share * end for end in axis.domain]))
    fig.for_each_annotation(lambda note: note.update(y=share * note.y))


def _line(
    table: pd.DataFrame,
    x: str,
    positions: dict[Any, float],
    number: int,
    name: Any,
    *,
    first: bool,
) -> list[go.Scatter]:
    """Band and line of one series."""
    at = [value for value in positions if not where(table, **{x: value}).empty]
    if not at:
        return []
    points = np.array([_point(where(table, **{x: value})) for value in at])
    xs = [positions[value] for value in at]
    colour, n = PALETTE[number % len(PALETTE)], len(MARKERS)
    label = "" if name is None else plain(selector_name(name))
    traces = []
    if np.isfinite(points[:, 1:]).all():
        edge = np.concatenate([points[:, 2], points[::-1, 1]])
        traces.append(
            go.Scatter(
                x=[*xs, *xs[::-1]],
                y=edge,
                fill="toself",
                fillcolor=faded(colour, 0.14),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                legendgroup=label,
                showlegend=False,
                name=label,
            )
        )
    traces.append(
        go.Scatter(
            x=xs,
            y=points[:, 0],
            customdata=np.column_stack([np.array(at, dtype=object), points[:, 1:]]),
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": DASHES[number % len(DASHES)]},
            marker={"symbol": MARKERS[number % n], "size": 8, "color": colour},
            name=label,
            legendgroup=label,
            showlegend=first and name is not None,
            hovertemplate=f"{label}<br>{named(x)} %{{customdata[0]}}: %{{y:.4f}} "
            "[%{customdata[1]:.4f}, %{customdata[2]:.4f}]<extra></extra>",
        )
    )
    return traces


def _point(table: pd.DataFrame) -> tuple[float, float, float]:
    """Mean over the settings that are not shown, with its interval."""
    if len(table) == 1:
        value, low, high = (float(numbers(table, c)[0]) for c in ("value", "low", "high"))
        return value, low, high
    mean = mean_over_categories(_unit_means(table), 0.95)
    return mean.value, mean.low, mean.high


def _unit_means(table: pd.DataFrame) -> np.ndarray:
    keys = table.loc[:, list(UNITS)].astype(str).agg(" ".join, axis=1).to_numpy()
    values = numbers(table, "value")
    return np.array([values[keys == key].mean() for key in np.unique(keys)])


def _caption_of_cells(
    table: pd.DataFrame, shown: Sequence[str], panel: str | None, n_panels: int
) -> str:
    n = [int(value) for value in table["n_images"]]
    images = f"{min(n):,}" if min(n) == max(n) else f"{min(n):,} to {max(n):,}"
    said = f"{counted(len(table), 'cell')} on {images} test images{averaged_over(table, shown)}."
    if n_panels > _PANELS:
        said += f" The first {_PANELS} of {n_panels} panels ({named(panel)})."
    return said


def _band_caption(table: pd.DataFrame, shown: Sequence[str], interval_level: float) -> str:
    units = {tuple(row) for row in table.loc[:, list(UNITS)].itertuples(index=False)}
    if len(table) == len(table.loc[:, list(shown)].drop_duplicates()):
        return f" Band: {100 * interval_level:g} % bootstrap over the images of each cell."
    if len(units) > 1:
        n = f"{len(units)} units at most (category and seed)"
        return f" Band: Student's 95 % interval of the mean over {n}; none where there is one."
    return " No band: a mean over settings of one category and seed."
