"""Lines with bands or bars, in panels: what figures of a quantity against a size have in common.

:func:`line_figure` draws a mapping of panel to :class:`Line`; :func:`line_of` makes a line from the
rows of a table. The functions below them are for figures that need more than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.captions import n_categories
from lakeviz.plots.template import DASHES, MARKERS, NEUTRAL, PALETTE, faded, new_figure, plain
from lakeviz.tables import mean_by, numbers, range_by

Values = Float[np.ndarray, " x"]
Place = Literal["inside", "above", "foot", "axis"]
REFERENCE = {"color": NEUTRAL, "dash": "dot", "width": 1.4}
"""Of a line that values are compared with, such as no difference."""

_ROW, _NAME = 250, 24


@dataclass(frozen=True)
class Look:
    """How a series is told apart: by colour, dash and marker alike."""

    colour: str
    dash: str
    marker: str

    @classmethod
    def of(cls, number: int) -> Look:
        """The look of the first, second, ... series."""
        return cls(
            PALETTE[number % len(PALETTE)],
            DASHES[number % len(DASHES)],
            MARKERS[number % len(MARKERS)],
        )


CHANCE = Look(NEUTRAL, "dot", "line-ew")
"""Of what chance alone would give."""


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
    width : float
    in_legend : bool
    """

    name: str
    x: Values
    y: Values
    look: Look
    interval: tuple[Values, Values] | None = None
    bars: bool = False
    width: float = 2
    in_legend: bool = True


def line_of(
    table: pd.DataFrame,
    x: str,
    y: str,
    name: str,
    look: Look,
    *,
    interval: Literal["", "own", "range"] = "",
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
    return Line(name, scale * numbers(means, x) + shift, numbers(means, y), look, ends, **line)


def line_figure(
    shown: Mapping[str, Sequence[Line]],
    *,
    title: str,
    caption: str,
    x: str,
    y: str = "",
    names: Place = "inside",
    columns: int = 3,
    shared_y: bool = False,
    gap: float | None = None,
    sizes: Sequence[int] = (),
    level: float | None = None,
    zone: tuple[float, float] | None = None,
    row_height: float = _ROW,
) -> go.Figure:
    """Draw lines in panels, with a legend where a panel has several.

    Parameters
    ----------
    shown : mapping of panel name to lines
    title, caption : str
    x : str
        Title of the x axes, below the lowest panels.
    y : str
        Title of the y axes of the first column.
    names : str
        Where a panel's name stands: ``"inside"``, ``"above"``, at its ``"foot"``, or as the title
        of its y ``"axis"``.
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

    Raises
    ------
    ConfigError
        There is no line.
    """
    if not any(shown.values()):
        raise ConfigError(f"nothing was measured that {title!r} could show")
    legend = max(map(len, shown.values())) > 1
    height = 60 + row_height * -(-len(shown) // columns)
    fig = new_figure(title, caption, legend_above=legend, height=height, showlegend=legend)
    if names == "above" and legend:
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
        if names == "axis":
            fig.update_yaxes(title_text=plain(name), row=panel.row, col=panel.column)
        else:
            name_panel(fig, number, name, names)
    if sizes:
        size_axis(fig, made, sizes, x)
    else:
        bottom_titles(fig, made, x)
    if y:
        fig.update_yaxes(title_text=y, col=1)
    return fig


# --- panels ---


@dataclass(frozen=True)
class Panel:
    """A panel of a figure, by its row and column from 1."""

    row: int
    column: int

    @property
    def at(self) -> dict[str, int]:
        """The panel as plotly's methods take it: ``fig.add_trace(trace, **panel.at)``."""
        return {"row": self.row, "col": self.column}


def panels(
    fig: go.Figure,
    n: int,
    *,
    columns: int = 3,
    shared_y: bool = False,
    gap: float = 0.085,
    row_gap: float = 0.28,
) -> list[Panel]:
    """Divide a figure into panels, row by row.

    ``gap`` is between columns, a share of the width; ``row_gap`` a share of the height, of all gaps
    between rows together (nearly).
    """
    columns = min(n, columns)
    rows = -(-n // columns)
    shared: Any = "all" if shared_y else False  # declared as a bool alone
    make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes=shared,
        horizontal_spacing=gap if columns > 1 else 0,
        vertical_spacing=row_gap / rows if rows > 1 else 0,
        figure=fig,
    )
    return [Panel(1 + i // columns, 1 + i % columns) for i in range(n)]


def name_panel(fig: go.Figure, number: int, name: str, place: str = "inside") -> None:
    """Write a name into the upper left corner of the panel of a number, from 0.

    ``place`` is ``"inside"``, ``"above"`` the panel, or at its ``"foot"``.
    """
    axis = "" if number == 0 else str(number + 1)
    y, anchor = {"inside": (0.99, "top"), "above": (1, "bottom"), "foot": (0.06, "middle")}[place]
    fig.add_annotation(
        text=plain(name),
        x=0 if place == "above" else 0.02,
        y=y,
        xref=f"x{axis} domain",
        yref=f"y{axis} domain",
        xanchor="left",
        yanchor=anchor,
    )


def room_for_names(fig: go.Figure) -> None:
    """Make room above the panels for their names, below legend or caption."""
    layout = fig.to_plotly_json()["layout"]
    plot = layout["height"] - layout["margin"]["t"] - 60
    fig.update_layout(
        margin={"t": layout["margin"]["t"] + _NAME},
        height=layout["height"] + _NAME,
        legend={"y": 1 + _NAME / plot},
    )


def bottom_titles(fig: go.Figure, made: Sequence[Panel], title: str) -> None:
    """Title the x axes that have no panel below them."""
    last = {panel.column: panel.row for panel in made}
    for column, row in last.items():
        fig.update_xaxes(title_text=title, row=row, col=column)


def size_axis(fig: go.Figure, made: Sequence[Panel], sizes: Sequence[int], title: str) -> None:
    """Make every x axis one of sizes by their logarithm; all have a tick, those apart a label."""
    labelled = [sizes[-1]]
    for size in reversed(sizes):
        if labelled[-1] >= 2.5 * size:
            labelled.append(size)
    text = [f"{size:,}" if size in labelled else "" for size in sizes]
    fig.update_xaxes(type="log", tickvals=list(sizes), ticktext=text, tickangle=0)
    bottom_titles(fig, made, title)


# --- series and marks ---


def add_line(fig: go.Figure, panel: Panel, line: Line, *, shown: bool = True) -> None:
    """Draw a line with its interval; ``shown`` in the legend or not."""
    add_series(
        fig,
        panel,
        line.x,
        line.y,
        line.interval,
        line.name,
        line.look,
        bars=line.bars,
        shown=shown,
        width=line.width,
    )


def add_series(
    fig: go.Figure,
    panel: Panel,
    x: Values,
    y: Values,
    interval: tuple[Values, Values] | None,
    name: str,
    look: Look,
    *,
    bars: bool = False,
    lines: bool = True,
    shown: bool = True,
    width: float = 2,
) -> None:
    """Draw one series, with its interval as a band or as bars; the legend has it once."""
    group = plain(name)
    if interval is not None and not bars:
        fig.add_trace(_band(x, *interval, group, look), **panel.at)
    line = go.Scatter(
        x=x,
        y=y,
        mode="lines+markers" if lines else "markers",
        line={"color": look.colour, "dash": look.dash, "width": width},
        marker={"symbol": look.marker, "size": 7, "color": look.colour},
        error_y=error_bars(y, *interval) if interval is not None and bars else None,
        name=group,
        legendgroup=group,
        showlegend=shown,
        hovertemplate=f"{group}<br>%{{x}}: %{{y:.4f}}<extra></extra>",
    )
    fig.add_trace(line, **panel.at)


def error_bars(
    value: Values, low: Values, high: Values, thickness: float = 1.4, width: float = 3
) -> dict[str, Any]:
    """Bars of an interval that need not lie evenly about its value; none where it is NaN."""
    return {
        "type": "data",
        "symmetric": False,
        "array": high - value,
        "arrayminus": value - low,
        "thickness": thickness,
        "width": width,
    }


def _band(x: Values, low: Values, high: Values, group: str, look: Look) -> go.Scatter:
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=faded(look.colour, 0.16),
        line={"width": 0},
        mode="lines",
        name=group,
        legendgroup=group,
        showlegend=False,
        hoverinfo="skip",
    )


def add_level(fig: go.Figure, panel: Panel, at: float, axis: str = "y", **line: Any) -> None:
    """Draw a dotted line across a panel that has its traces, such as no difference.

    ``axis`` is the one that ``at`` is a value of.
    """
    other = "x" if axis == "y" else "y"
    place = {f"{other}0": 0, f"{other}1": 1, f"{axis}0": at, f"{axis}1": at}
    place[f"{other}ref"] = f"{other} domain"
    fig.add_shape(type="line", line=REFERENCE | line, **place, **panel.at)


def add_zone(fig: go.Figure, panel: Panel, low: float, high: float) -> None:
    """Shade a range of values across a panel that has its series."""
    fig.add_shape(
        type="rect",
        x0=0,
        x1=1,
        y0=low,
        y1=high,
        xref="x domain",
        layer="below",
        line_width=0,
        fillcolor=faded(NEUTRAL, 0.3),
        **panel.at,
    )
