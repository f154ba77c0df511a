"""Lines with bands or bars, in panels: what figures of a quantity against a size have in common.

:func:`line_figure` draws a mapping of panel to lines; :func:`line_of` makes a line from the rows of
a table. Figures that need more use :mod:`lakeviz.plots.panels` and :func:`add_line`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import mean_over_categories
from lakeviz.plots.captions import n_categories
from lakeviz.plots.panels import (
    MOST_SERIES,
    Bounds,
    Look,
    Panel,
    Values,
    add_level,
    add_zone,
    bottom_titles,
    end_axes,
    error_bars,
    name_panel,
    panels,
    room_for_names,
    size_axis,
)
from lakeviz.plots.template import faded, new_figure, plain
from lakeviz.tables import mean_by, numbers, range_by

_ROW = 250


@dataclass(frozen=True)
class Line:
    """A series of a panel.

    Attributes
    ----------
    name : str
        In the legend, which has equal names once.
    x, y : float arrays
    look : Look
    interval : pair of float arrays, optional
        Lower and upper ends.
    bars : bool
        Draw the interval as bars instead of a band.
    mode : str
        ``"lines+markers"``, ``"lines"`` or ``"markers"``.
    width, size : float
        Of line and markers, in pixels.
    in_legend : bool
    hover : sequence of str
        Text of each point, in place of name, x and y.
    """

    name: str
    x: Values
    y: Values
    look: Look
    interval: tuple[Values, Values] | None = None
    bars: bool = False
    mode: str = "lines+markers"
    width: float = 2
    size: float = 7
    in_legend: bool = True
    hover: Sequence[str] = ()


def line_of(
    table: pd.DataFrame,
    x: str,
    y: str,
    name: str,
    look: Look,
    *,
    interval: Literal["", "own", "range", "student"] = "",
    confidence: float = 0.95,
    scale: float = 1,
    shift: float = 0,
    **line: Any,
) -> Line:
    """Make a line from the rows of a table: the mean of ``y`` over categories at every ``x``.

    Parameters
    ----------
    table : DataFrame
        Of one category or several (column ``category``).
    x, y : str
        Columns. The ends of ``y``'s interval are ``y_low`` and ``y_high`` (``low`` and ``high`` of
        ``value``).
    name, look
        As in :class:`Line`.
    interval : str
        ``"own"``: that of the table, where there is one category, as a mean of intervals is none.
        ``"range"``: so, and from the lowest to the highest category where there are several.
        ``"student"``: so, and Student's over the categories where there are several.
    confidence : float
        Of Student's interval.
    scale, shift : float
        Of ``x``, such as 100 for per cent and a little to keep bars apart.
    **line
        Other attributes of :class:`Line`.
    """
    means = mean_by(table, x)
    ends = None
    if interval and n_categories(table) == 1:
        prefix = "" if y == "value" else f"{y}_"
        ends = numbers(means, f"{prefix}low"), numbers(means, f"{prefix}high")
    elif interval == "range":
        ends = range_by(table, x, y)
    elif interval == "student":
        at, values = numbers(table, x), numbers(table, y)
        found = [mean_over_categories(values[at == one], confidence) for one in numbers(means, x)]
        ends = np.array([one.low for one in found]), np.array([one.high for one in found])
    return Line(name, scale * numbers(means, x) + shift, numbers(means, y), look, ends, **line)


def line_figure(
    shown: Mapping[str, Sequence[Line]],
    *,
    title: str,
    caption: str,
    x: str,
    y: str = "",
    columns: int = 3,
    shared_y: bool = False,
    gap: float | None = None,
    sizes: Sequence[int] = (),
    level: float | None = None,
    zone: tuple[float, float] | None = None,
    row_height: float = _ROW,
    ends: Bounds | Mapping[str, Bounds] | None = None,
    legend: bool = False,
) -> go.Figure:
    """Draw lines in panels, with a legend where a panel has several.

    No legend tells more lines than :data:`MOST_SERIES` apart: each then has a panel of its own.

    Parameters
    ----------
    shown : mapping of panel name to lines
    title, caption : str
    x : str
        Title of the x axes, below the lowest panels.
    y : str
        Title of the y axes of the first column.
    columns : int
        Panels in a row, at most.
    shared_y : bool
        One scale for all panels.
    gap : float, optional
        Between panels in a row, as a share of the width.
    sizes : sequence of int, optional
        Make the x axes logarithmic, with ticks at these.
    level, zone : float and pair of floats, optional
        A dotted line, and a shaded range, across every panel.
    row_height : float
        Of a row of panels, in pixels.
    ends : pair of floats, or mapping of panel name to one, optional
        Least and greatest value there can be: where the y axes end.
    legend : bool
        Have one for a single line, too, as it names more than lines.

    Raises
    ------
    ConfigError
        There is no line.
    """
    if not any(shown.values()):
        raise ConfigError(f"nothing was measured that {title!r} could show")
    ends = dict.fromkeys(shown, ends) if isinstance(ends, tuple) else ends or {}
    if (
        len({line.name for lines in shown.values() for line in lines if line.in_legend})
        > MOST_SERIES
    ):
        shown, ends = _apart(shown, ends)
    legend = any(line.in_legend for lines in shown.values() for line in lines) and (
        legend or max(map(len, shown.values())) > 1
    )
    height = 60 + row_height * -(-len(shown) // columns)
    fig = new_figure(title, caption, legend_above=legend, height=height, showlegend=legend)
    if any(shown):
        room_for_names(fig)
    gap = (0.05 if shared_y else 0.085) if gap is None else gap
    made = panels(fig, len(shown), columns=columns, shared_y=shared_y, gap=gap)
    known: set[str] = set()
    for number, (panel, (name, lines)) in enumerate(zip(made, shown.items(), strict=True)):
        for line in lines:
            add_line(fig, panel, line, shown=line.in_legend and line.name not in known)
            known.add(line.name)
        if zone is not None:
            add_zone(fig, panel, *zone)
        if level is not None:
            add_level(fig, panel, level)
        if name:
            name_panel(fig, number, name)
        if name in ends:
            end_axes(fig, "y", ends[name], **panel.at)
    if sizes:
        size_axis(fig, made, sizes, x)
    else:
        bottom_titles(fig, made, x)
    if y:
        fig.update_yaxes(title_text=y, col=1)
    return fig


def _apart(
    shown: Mapping[str, Sequence[Line]], ends: Mapping[str, Bounds]
) -> tuple[dict[str, list[Line]], dict[str, Bounds]]:
    """A panel for every line; lines that the legend does not name are drawn in all."""
    made: dict[str, list[Line]] = {}
    own: dict[str, Bounds] = {}
    for panel, lines in shown.items():
        others = [line for line in lines if not line.in_legend]
        for line in lines:
            if line.in_legend:
                name = f"{panel}: {line.name}" if panel else line.name
                made[name] = [replace(line, in_legend=False), *others]
                own |= {name: ends[panel]} if panel in ends else {}
    return made, own


def add_line(fig: go.Figure, panel: Panel, line: Line, *, shown: bool = True) -> None:
    """Draw a line with its interval; ``shown``: in the legend."""
    name, look = plain(line.name), line.look
    if line.interval is not None and not line.bars:
        fig.add_trace(_band(line, name), **panel.at)
    bars = error_bars(line.y, *line.interval) if line.interval is not None and line.bars else None
    said = "%{text}" if len(line.hover) else f"{name}<br>%{{x}}: %{{y:.4f}}"
    trace = go.Scatter(
        x=line.x,
        y=line.y,
        mode=line.mode,
        line={"color": look.colour, "dash": look.dash, "width": line.width},
        marker={"symbol": look.marker, "size": line.size, "color": look.colour},
        error_y=bars,
        name=name,
        legendgroup=name,
        showlegend=shown,
        text=list(line.hover) or None,
        hovertemplate=f"{said}<extra></extra>",
    )
    fig.add_trace(trace, **panel.at)


def _band(line: Line, name: str) -> go.Scatter:
    assert line.interval is not None
    low, high = line.interval
    return go.Scatter(
        x=np.concatenate([line.x, line.x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=faded(line.look.colour, 0.16),
        line={"width": 0},
        mode="lines",
        name=name,
        legendgroup=name,
        showlegend=False,
        hoverinfo="skip",
    )
