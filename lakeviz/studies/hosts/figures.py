"""Hosts with LAKE's neurons plugged in: what they gain or lose, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.difference_plot import metric_title
from lakeviz.plots.template import MARKERS, NEUTRAL, PALETTE, counted, new_figure, plain
from lakeviz.selector_names import selector_short
from lakeviz.tables import numbers, where

_SHORT = {"restrict": "only", "add": "+"}
_ORDER = ("restrict", "lake", "add")
_LOOK = {"restrict": 0, "lake": 2, "add": 1, "alone": 3}
Row = tuple[str, str]


def host_gains_figure(
    metrics: pd.DataFrame, *, host: str, interval_level: float = 0.95
) -> go.Figure:
    """What a host gains or loses: one panel per metric, one line per selection plugged in.

    Parameters
    ----------
    metrics : DataFrame
        ``HostResult.metrics``. Of several categories each is a small dot and their mean a large
        mark, without interval (the summary has it).
    host : str
    interval_level : float

    Raises
    ------
    ConfigError
        Nothing was measured of this host.
    """
    table = where(metrics, host=host)
    measured = list(dict.fromkeys(zip(table["level"], table["metric"])))
    lines = _lines(table)
    if not measured or not lines:
        raise ConfigError(f"nothing was plugged into the host {host!r}, or nothing was measured")
    n = len(set(table["category"]))
    fig = new_figure(
        f"Plugged into {host}",
        _gains_caption(table, n, interval_level),
        height=90 + 26 * len(lines),
    )
    make_subplots(
        rows=1, cols=len(measured), shared_yaxes=True, horizontal_spacing=0.05, figure=fig
    )
    for column, (level, metric) in enumerate(measured, start=1):
        own = where(table, level=level, metric=metric)
        for place, line in enumerate(lines):
            mode, selector = line
            fig.add_traces(
                _marks(where(own, mode=mode, selector=selector), place, line, n),
                rows=1,
                cols=column,
            )
        alone = float(numbers(where(own, mode="alone"), "value").mean())
        axis = "" if column == 1 else str(column)
        fig.add_shape(
            type="line",
            x0=0,
            x1=0,
            y0=0,
            y1=1,
            xref=f"x{axis}",
            yref="paper",
            line={"color": NEUTRAL, "dash": "dot", "width": 1.4},
        )
        title = f"{metric_title(level, metric)} − host alone<br>(alone: {alone:.3f})"
        fig.update_xaxes(title_text=title, nticks=5, row=1, col=column)
    _name_lines(fig, [_named(line) for line in lines])
    return fig


def host_costs_figure(costs: pd.DataFrame, *, host: str) -> go.Figure:
    """Memory and time per image of a host, alone and with each selection plugged in.

    Parameters
    ----------
    costs : DataFrame
        ``HostResult.costs``; of several categories the means.
    host : str

    Raises
    ------
    ConfigError
        The table has nothing of this host.
    """
    table = where(costs, host=host)
    if table.empty:
        raise ConfigError(f"no cost was taken of the host {host!r}")
    lines = [("alone", "none"), *_lines(table)]
    n = len(set(table["category"]))
    repeats = int(numbers(table, "n_repeats").max())
    timed = " or ".join(dict.fromkeys(str(t) for t in table["timed"]))
    caption = (
        f"Left: bytes of all arrays that the fitted detector keeps, without the tower. Right: time "
        f"per image, median of {counted(repeats, 'repeat')} in turn ({timed}). Added scores: the "
        f"sum of both detectors.{'' if n == 1 else f' Means over {n} categories.'}"
    )
    fig = new_figure(f"Costs: {host}", caption, height=90 + 26 * len(lines))
    make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05, figure=fig)
    scaled = (("bytes", 2**-20, "memory, MiB"), ("seconds_per_image", 1e3, "time per image, ms"))
    for column, (name, factor, title) in enumerate(scaled, start=1):
        for place, line in enumerate(lines):
            own = where(table, mode=line[0], selector=line[1])
            value = factor * float(numbers(own, name).mean())
            fig.add_trace(_dot(value, place, line), row=1, col=column)
        fig.update_xaxes(title_text=title, type="log", row=1, col=column)
    fig.update_xaxes(minor={"showgrid": False}, dtick="D2", exponentformat="none")
    _name_lines(fig, [_named(line) for line in lines])
    return fig


def _lines(table: pd.DataFrame) -> list[Row]:
    """Conditions in the order they are drawn: restricted, LAKE's score alone, added."""
    present = list(dict.fromkeys(zip(table["mode"], table["selector"])))
    return [line for mode in _ORDER for line in present if line[0] == mode]


def _named(line: Row) -> str:
    mode, selector = line
    if mode == "alone":
        return "host alone"
    name = plain(selector_short(selector))
    if mode == "lake":
        return f"LAKE alone, {name}"
    return f"{_SHORT[mode]} {name}"


def _name_lines(fig: go.Figure, names: Sequence[str]) -> None:
    fig.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=list(names),
        range=[len(names) - 0.4, -0.6],
        ticks="",
        showline=False,
    )
    fig.update_layout(showlegend=False)


def _gains_caption(table: pd.DataFrame, n: int, level: float) -> str:
    images = sorted({int(i) for i in table["n_images"]})
    draws = int(numbers(table, "n_draws").max())
    what = (
        "only: the host sees the selected channels. +: LAKE's score in these channels is added to "
        f"the host's. Random and matched: {counted(draws, 'draw')}. Right of zero, the host is "
        "better with it."
    )
    if n > 1:
        return f"Small dots: {n} categories; large marks: their mean. {what}"
    return (
        f"{counted(images[0], 'test image')}; bars: {100 * level:g} % bootstrap, paired over "
        f"images (and draws). {what}"
    )


def _marks(own: pd.DataFrame, place: int, line: Row, n: int) -> list[go.Scatter]:
    middle = numbers(own, "difference")
    look = _LOOK[line[0]]
    mean = float(middle.mean())
    marker = {"symbol": MARKERS[look], "size": 9, "color": PALETTE[look]}
    if n > 1:
        dots = go.Scatter(
            x=middle,
            y=place + 0.16 * np.resize([-1.0, 0.0, 1.0, -0.5, 0.5], len(own)),
            mode="markers",
            marker={"symbol": "circle", "size": 5, "color": NEUTRAL, "opacity": 0.6},
            text=[plain(c) for c in own["category"]],
            hovertemplate="%{text}: %{x:+.4f}<extra></extra>",
        )
        hover = f"{_named(line)}<br>mean %{{x:+.4f}}<extra></extra>"
        return [
            dots,
            go.Scatter(x=[mean], y=[place], mode="markers", marker=marker, hovertemplate=hover),
        ]
    low, high = numbers(own, "difference_low"), numbers(own, "difference_high")
    return [
        go.Scatter(
            x=middle,
            y=[place],
            mode="markers",
            marker=marker,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": high - middle,
                "arrayminus": middle - low,
                "thickness": 1.6,
                "width": 4,
            },
            customdata=np.stack([low, high], axis=1),
            hovertemplate=f"{_named(line)}<br>%{{x:+.4f}} "
            "[%{customdata[0]:+.4f}, %{customdata[1]:+.4f}]<extra></extra>",
        )
    ]


def _dot(value: float, place: int, line: Row) -> go.Scatter:
    look = _LOOK[line[0]]
    return go.Scatter(
        x=[value],
        y=[place],
        mode="markers",
        marker={"symbol": MARKERS[look], "size": 9, "color": PALETTE[look]},
        hovertemplate=f"{_named(line)}<br>%{{x:.4g}}<extra></extra>",
    )
