"""Forest plots: one line per finding, its value with an interval, and what it is compared with.

:func:`forest_figure` draws a mapping of panel to rows; :func:`add_forest` draws the rows of one
panel of any figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, estimate, mean_over_categories
from lakeviz.plots.panels import (
    Bounds,
    Look,
    Panel,
    add_level,
    bottom_titles,
    end_axes,
    error_bars,
    name_panel,
    panels,
    room_for_names,
)
from lakeviz.plots.template import NEUTRAL, PALETTE, faded, new_figure, plain
from lakeviz.tables import numbers, records

OWN, MEAN = Look.of(0), Look(PALETTE[0], "solid", "diamond")
"""Of one estimate, and of a mean over categories."""

_LINE = 34


@dataclass(frozen=True)
class ForestRow:
    """One finding. Rows of one name share a line, next to each other in the order of their series.

    Attributes
    ----------
    name : str
        Of the line.
    estimate : Estimate
        Drawn as a mark with its interval (without, where that is NaN).
    control : Estimate
        What it is compared with: its range as a grey bar behind, its value as a tick.
    members : mapping of name to float
        What the estimate is a mean of (categories, neurons), as small dots.
    series : str
        In the legend.
    look : Look
    zone : pair of floats, optional
        Range shaded behind this line alone.
    hover : str
        In place of the value and its interval.
    """

    name: str
    estimate: Estimate
    control: Estimate = NOT_MEASURED
    members: Mapping[str, float] = field(default_factory=dict)
    series: str = ""
    look: Look = OWN
    zone: tuple[float, float] | None = None
    hover: str = ""


def forest_row(
    table: pd.DataFrame, column: str, name: str, *, mean: bool = False, **row: Any
) -> ForestRow:
    """Make a row of a table's column: one category with its interval, or the mean of several.

    The ends of the interval are ``COLUMN_low`` and ``COLUMN_high`` (``low`` and ``high`` of
    ``value``). Several categories (or ``mean``) become small dots and a diamond at their mean, with
    Student's interval over categories; of one there is none. ``row``: other attributes of
    :class:`ForestRow`.
    """
    values = numbers(table, column)
    if len(table) == 1 and not mean:
        prefix = "" if column == "value" else f"{column}_"
        ends = (float(numbers(table, f"{prefix}{end}")[0]) for end in ("low", "high"))
        return ForestRow(name, Estimate(float(values[0]), *ends), **row)
    members = dict(zip(map(str, table["category"]), values.tolist(), strict=True))
    row = {"look": MEAN} | row
    known = {"low", "high"} if column == "value" else {f"{column}_low", f"{column}_high"}
    parts = [estimate(one, column) for one in records(table)] if known <= set(table) else values
    return ForestRow(name, mean_over_categories(parts, 0.95), members=members, **row)


def forest_figure(
    shown: Mapping[str, Sequence[ForestRow]],
    *,
    title: str,
    caption: str,
    x: str,
    zero: float | None = 0,
    lines: Sequence[str] = (),
    columns: int = 3,
    form: str = "+.4f",
    line_height: float = _LINE,
    levels: Mapping[str, float] | None = None,
    ends: Bounds | Mapping[str, Bounds] | None = None,
) -> go.Figure:
    """Draw rows in panels side by side; the names of the lines stand at the left.

    Parameters
    ----------
    shown : mapping of panel name to rows
        A name is written above its panel where there are several.
    title, caption : str
    x : str
        Title of the x axes.
    zero : float, optional
        Where nothing differs: a dotted line.
    lines : sequence of str, optional
        Names of the lines from the top; by default in the order of the rows.
    columns : int
        Panels in a row, at most.
    form : str
        How hover texts format a value.
    line_height : float
        In pixels.
    levels : mapping of panel name to float, optional
        Published or expected values, each a dashed line across its panel.
    ends : pair of floats, or mapping of panel name to one, optional
        Least and greatest value there can be: where the x axes end.

    Raises
    ------
    ConfigError
        There is no row.
    """
    found = dict.fromkeys(row.name for rows in shown.values() for row in rows)
    if not found:
        raise ConfigError(f"nothing was measured that {title!r} could show")
    lines = list(lines) or list(found)
    legend = len({row.series for rows in shown.values() for row in rows}) > 1
    height = 50 + (56 + line_height * len(lines)) * -(-len(shown) // columns)
    fig = new_figure(title, caption, legend_above=legend, height=height, showlegend=legend)
    if len(shown) > 1:
        room_for_names(fig)
    made = panels(fig, len(shown), columns=columns, shared_y=True, gap=0.05)
    known: set[str] = set()
    for number, (panel, (name, rows)) in enumerate(zip(made, shown.items(), strict=True)):
        add_forest(fig, panel, rows, zero=zero, form=form, lines=lines, known=known)
        if levels and name in levels:
            add_level(fig, panel, levels[name], axis="x", dash="dash")
        if len(shown) > 1:
            name_panel(fig, number, name)
        if ends is not None:
            end_axes(fig, "x", ends if isinstance(ends, tuple) else ends[name], **panel.at)
    if len(shown) > 1:
        fig.update_xaxes(nticks=4)
    bottom_titles(fig, made, x)
    return fig


def add_forest(
    fig: go.Figure,
    panel: Panel,
    rows: Sequence[ForestRow],
    *,
    zero: float | None = 0,
    form: str = "+.4f",
    lines: Sequence[str] = (),
    known: set[str] | None = None,
) -> None:
    """Draw rows into a panel.

    Parameters
    ----------
    fig, panel, rows
    zero, form
        As in :func:`forest_figure`.
    lines : sequence of str, optional
        Names of all lines from the top, where panels share them.
    known : set of str, optional
        Series that the legend has already; those drawn are added.
    """
    lines = list(lines) or list(dict.fromkeys(row.name for row in rows))
    series = list(dict.fromkeys(row.series for row in rows))
    alone = len({row.name for row in rows}) == len(rows)
    step = 0 if alone else min(0.25, 0.7 / len(series))
    known = set() if known is None else known
    aside = [step * (series.index(row.series) - (len(series) - 1) / 2) for row in rows]
    places = np.array([lines.index(row.name) for row in rows]) + aside
    for row, place in zip(rows, places.tolist(), strict=True):
        _add_behind(fig, panel, row, place, form)
    looks = {(row.series, row.look.colour): None for row in rows}
    for name, colour in looks:
        kept = [i for i, row in enumerate(rows) if (row.series, row.look.colour) == (name, colour)]
        trace = _marks([rows[i] for i in kept], places[kept], form)
        trace.update(name=plain(name), legendgroup=name, showlegend=name not in known)
        fig.add_trace(trace, **panel.at)
        known.add(name)
    if zero is not None:
        add_level(fig, panel, zero, axis="x")
    name_lines(fig, lines, panel)


def name_lines(fig: go.Figure, names: Sequence[str], panel: Panel | None = None) -> None:
    """Make the y axis one of lines with names, the first at the top."""
    fig.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[plain(name) for name in names],
        range=[len(names) - 0.5, -0.5],
        ticks="",
        showline=False,
        **({} if panel is None else panel.at),
    )


def spread_out(n: int) -> Float[np.ndarray, " n"]:
    """Offsets of marks that would lie on each other, by a fixed pattern: the same every time."""
    return 0.16 * np.resize([-1.0, 0.0, 1.0, -0.5, 0.5], n)


def _add_behind(fig: go.Figure, panel: Panel, row: ForestRow, place: float, form: str) -> None:
    """Zone, control and members of a row."""
    if row.zone is not None:
        fig.add_shape(
            type="rect",
            x0=row.zone[0],
            x1=row.zone[1],
            y0=place - 0.36,
            y1=place + 0.36,
            line_width=0,
            fillcolor=faded(PALETTE[3], 0.35),
            layer="below",
            **panel.at,
        )
    control = row.control
    if np.isfinite(control.low):
        line = {"color": faded(NEUTRAL, 0.4), "width": 11}
        ends = [control.low, control.high]
        bar = {"mode": "lines", "line": line, "hoverinfo": "skip", "showlegend": False}
        fig.add_trace(go.Scatter(x=ends, y=[place, place], **bar), **panel.at)
    if np.isfinite(control.value):
        mark = {"symbol": "line-ns", "size": 11, "line": {"color": NEUTRAL, "width": 2}}
        said = f"control: {_text(control, form)}<extra></extra>"
        tick = {"mode": "markers", "marker": mark, "hovertemplate": said, "showlegend": False}
        fig.add_trace(go.Scatter(x=[control.value], y=[place], **tick), **panel.at)
    if row.members:
        dots = go.Scatter(
            x=list(row.members.values()),
            y=place + spread_out(len(row.members)),
            mode="markers",
            marker={"symbol": "circle", "size": 6, "color": NEUTRAL, "opacity": 0.6},
            text=[f"{plain(name)}, {plain(row.name)}" for name in row.members],
            hovertemplate=f"%{{text}}: %{{x:{form}}}<extra></extra>",
            showlegend=False,
        )
        fig.add_trace(dots, **panel.at)


def _marks(rows: Sequence[ForestRow], places: np.ndarray, form: str) -> go.Scatter:
    found = [row.estimate for row in rows]
    value, low, high = np.array([(e.value, e.low, e.high) for e in found]).T
    said = [row.hover or f"{plain(row.name)}<br>{_text(row.estimate, form)}" for row in rows]
    return go.Scatter(
        x=value,
        y=places,
        error_x=error_bars(value, low, high, 1.6, 5),
        mode="markers",
        marker={
            "symbol": [row.look.marker for row in rows],
            "size": [11 if row.members else 9 for row in rows],
            "color": rows[0].look.colour,
            "opacity": 1,  # else 0.7, as sizes are a list
        },
        text=said,
        hovertemplate="%{text}<extra></extra>",
    )


def _text(estimate: Estimate, form: str) -> str:
    if not np.isfinite(estimate.low):
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
