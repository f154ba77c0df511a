"""Panels of a figure: their axes, and the marks in them: looks, error bars, levels, zones."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from lakeviz.plots.template import DASHES, MARKERS, NEUTRAL, PALETTE, faded, plain

Values = Float[np.ndarray, " x"]
MOST_SERIES = 8
"""Series that one legend tells apart; of more, each has a panel of its own."""
REFERENCE = {"color": NEUTRAL, "dash": "dot", "width": 1.4}
"""Of a line that values are compared with, such as no difference."""

_NAME_WIDTH = 40  # characters
_NAME = 24


@dataclass(frozen=True)
class Look:
    """How a series is distinguished: by colour, dash and marker alike."""

    colour: str
    dash: str
    marker: str

    @classmethod
    def of(cls, number: int) -> Look:
        """The look of the first, second, ... series; where colours repeat, the others differ."""
        n = len(PALETTE)
        dash = DASHES[(number + number // n) % n]
        return cls(PALETTE[number % n], dash, MARKERS[number % len(MARKERS)])


_SELECTORS = (
    *("variance", "random", "bottom_variance", "pca", "variance_without_first", "all"),
    *("untrained", "random_rotation", "mad", "next_variance", "rotated", "trimmed_variance"),
)


def selector_looks(names: Iterable[str]) -> dict[str, Look]:
    """Looks of selectors, the same in every figure; unknown ones have those that follow."""
    present = list(dict.fromkeys(names))
    order = [*_SELECTORS, *(name for name in present if name not in _SELECTORS)]
    return {name: Look.of(order.index(name)) for name in present}


CHANCE = Look(NEUTRAL, "dot", "line-ew")
"""Of what chance alone would give."""


@dataclass(frozen=True)
class Panel:
    """A panel of a figure, by its row and column from 1."""

    row: int
    column: int

    @property
    def at(self) -> dict[str, Any]:
        """The panel as plotly's methods take it: ``fig.add_trace(trace, **panel.at)``."""
        return {"row": self.row, "col": self.column}


def rows_and_columns(n: int, columns: int) -> tuple[int, int]:
    """Rows and columns of panels: four are two by two, not three and one."""
    rows = -(-n // columns)
    return rows, -(-n // rows)


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
    rows, columns = rows_and_columns(n, columns)
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


def name_panel(fig: go.Figure, number: int, name: str) -> None:
    """Write a name above the panel of a number, from 0, off its data."""
    axis = "" if number == 0 else str(number + 1)
    fig.add_annotation(
        text="<br>".join(map(plain, textwrap.wrap(name, _NAME_WIDTH))),
        x=0,
        y=1,
        xref=f"x{axis} domain",
        yref=f"y{axis} domain",
        xanchor="left",
        yanchor="bottom",
        align="left",
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


def log_axes(fig: go.Figure, letter: str, **at: Any) -> None:
    """Make axes logarithmic, with labels of one size at 1, 2 and 5 (or 1) of every decade."""
    spec = fig.to_plotly_json()
    select = fig.select_xaxes if letter == "x" else fig.select_yaxes
    for axis in select(**at):
        axis.type = "log"
        low, high = data_range(spec, axis.plotly_name.replace("axis", "")) or (1.0, 1.0)
        if low <= 0:
            continue
        first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
        steps = (
            (1,) if high > 300 * low else (1, 2, 5) if high > 5 * low else (1, 1.5, 2, 3, 4, 6, 8)
        )
        values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        kept = [v for v in values if 0.8 * low <= v <= 1.25 * high]
        axis.update(tickvals=kept, ticktext=[f"{v:.6g}" for v in kept])


def size_axis(fig: go.Figure, made: Sequence[Panel], sizes: Sequence[int], title: str) -> None:
    """Make every x axis one of sizes by their logarithm; all have a tick, those apart a label."""
    labelled = [sizes[-1]]
    for size in reversed(sizes):
        if labelled[-1] >= 2.5 * size:
            labelled.append(size)
    text = [f"{size:,}" if size in labelled else "" for size in sizes]
    fig.update_xaxes(type="log", tickvals=list(sizes), ticktext=text, tickangle=0)
    bottom_titles(fig, made, title)


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


Bounds = tuple[float, float]
Json = dict[str, Any]
_ROOM = 0.05
"""On both sides of values that are all equal, where a quantity says no other."""


def data_range(spec: Json, axis: str) -> Bounds | None:
    """Lowest and highest value that the traces of an axis (such as ``"x2"``) show, with their bars.

    ``spec`` is ``Figure.to_plotly_json()``; None where there is no number.
    """
    values = [value for trace in spec["data"] for value in _values(trace, axis)]
    finite = [one[np.isfinite(one)] for one in values]
    joined = np.concatenate(finite) if finite else np.array([])
    return (float(joined.min()), float(joined.max())) if joined.size else None


def end_axes(fig: go.Figure, letter: str, bounds: Bounds, **at: Any) -> None:
    """End axes at the bounds of their quantity (infinite where it has none), whatever the range.

    Values that are all equal get a little room instead of a whole unit; marks that lie on the end
    are drawn whole. ``at``: ``row`` and ``col`` of a panel; all panels by default.
    """
    spec = fig.to_plotly_json()
    select = fig.select_xaxes if letter == "x" else fig.select_yaxes
    for axis in select(**at):
        name = axis.plotly_name.replace("axis", "")
        found = data_range(spec, name)
        if found is None:
            continue
        low, high = found
        ends = {"clipmin": bounds[0], "clipmax": bounds[1]}
        axis.autorangeoptions = {end: at for end, at in ends.items() if np.isfinite(at)}
        if high - low < 1e-9:
            axis.range = span_within(np.array([low, high]), bounds)
        traces: Any = fig.data
        for trace in traces:
            if trace.type == "scatter" and (getattr(trace, f"{letter}axis") or letter) == name:
                trace.cliponaxis = False


def span_within(values: np.ndarray, bounds: Bounds) -> list[float]:
    """From the lowest to the highest value; with a little room, within bounds, where they equal."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = _ROOM if high - low < 1e-9 else 0.0
    return np.clip([low - room, high + room], *bounds).tolist()


def unpacked(packed: Mapping[str, Any]) -> np.ndarray:
    """Read an array as plotly packs it: base64 of its bytes."""
    array = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=packed["dtype"])
    shape = str(packed.get("shape", array.size)).split(",")
    return array.reshape([int(length) for length in shape])


def _values(trace: Json, axis: str) -> Iterator[np.ndarray]:
    letter = axis[0]
    if (trace.get(f"{letter}axis") or letter) != axis or trace.get("visible", True) is not True:
        return
    found = _numbers(trace.get(letter))
    if found is None:
        return
    yield found
    bars = trace.get(f"error_{letter}") or {}
    above = _numbers(bars.get("array"))
    below = _numbers(bars.get("arrayminus"))
    if above is not None and len(above) == len(found):
        yield found + above
        yield found - (above if below is None else below)
    base = _numbers(trace.get("base"))
    if base is not None and (trace.get("orientation") == "h") == (letter == "x"):
        yield base
        yield base + found


def _numbers(values: Any) -> np.ndarray | None:
    """Numbers of a list or array, also as plotly packs them; None where they are none."""
    if isinstance(values, dict):
        values = unpacked(values)
    try:
        return None if values is None else np.asarray(values, dtype=float).ravel()
    except (TypeError, ValueError):
        return None
