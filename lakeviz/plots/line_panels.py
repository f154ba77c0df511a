"""Lines with bands or bars, in panels: what figures of a quantity against a size have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from lakeviz.plots.template import DASHES, MARKERS, NEUTRAL, PALETTE, faded, plain

Values = Float[np.ndarray, " x"]


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
class Panel:
    """A panel of a figure, by its row and column from 1."""

    row: int
    column: int


def panels(
    fig: go.Figure, n: int, *, columns: int = 3, shared_y: bool = False, gap: float = 0.085
) -> list[Panel]:
    """Divide a figure into panels, row by row."""
    columns = min(n, columns)
    rows = -(-n // columns)
    shared: Any = "all" if shared_y else False  # declared as a bool alone
    make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes=shared,
        horizontal_spacing=gap if columns > 1 else 0,
        vertical_spacing=0.28 / rows if rows > 1 else 0,
        figure=fig,
    )
    return [Panel(1 + i // columns, 1 + i % columns) for i in range(n)]


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
    error = None
    if interval is not None and bars:
        low, high = interval
        error = {
            "type": "data",
            "symmetric": False,
            "array": high - y,
            "arrayminus": y - low,
            "thickness": 1.4,
            "width": 3,
        }
    elif interval is not None:
        fig.add_trace(_band(x, *interval, group, look), row=panel.row, col=panel.column)
    hover = f"{group}<br>%{{x}}: %{{y:.4f}}<extra></extra>"
    line = go.Scatter(
        x=x,
        y=y,
        mode="lines+markers" if lines else "markers",
        line={"color": look.colour, "dash": look.dash, "width": width},
        marker={"symbol": look.marker, "size": 7, "color": look.colour},
        error_y=error,
        name=group,
        legendgroup=group,
        showlegend=shown,
        hovertemplate=hover,
    )
    fig.add_trace(line, row=panel.row, col=panel.column)


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


def add_level(fig: go.Figure, panel: Panel, y: float) -> None:
    """Draw a horizontal line through a panel that has its series, such as no difference."""
    line = {"color": NEUTRAL, "dash": "dot", "width": 1.4}
    fig.add_shape(
        type="line",
        x0=0,
        x1=1,
        y0=y,
        y1=y,
        line=line,
        xref="x domain",
        row=panel.row,
        col=panel.column,
    )


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
        row=panel.row,
        col=panel.column,
    )


def size_axis(fig: go.Figure, made: Sequence[Panel], sizes: Sequence[int], title: str) -> None:
    """Make every x axis one of sizes by their logarithm; all have a tick, those apart a label."""
    labelled = [sizes[-1]]
    for size in reversed(sizes):
        if labelled[-1] >= 2.5 * size:
            labelled.append(size)
    text = [f"{size:,}" if size in labelled else "" for size in sizes]
    fig.update_xaxes(type="log", tickvals=list(sizes), ticktext=text, tickangle=0)
    bottom_titles(fig, made, title)


def bottom_titles(fig: go.Figure, made: Sequence[Panel], title: str) -> None:
    """Title the x axes that have no panel below them."""
    last = {panel.column: panel.row for panel in made}
    for column, row in last.items():
        fig.update_xaxes(title_text=title, row=row, col=column)


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
