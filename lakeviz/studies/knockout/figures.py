"""Knock-outs as pictures: curves beside their controls, and contrasts at one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.registry import metric_title
from lakeviz.plots.line_panels import add_series
from lakeviz.plots.panels import (
    Look,
    Panel,
    add_level,
    bottom_titles,
    name_panel,
    panels,
    size_axis,
)
from lakeviz.plots.template import NEUTRAL, PALETTE, counted, new_figure, plain
from lakeviz.selector_names import selector_name, selector_order
from lakeviz.tables import numbers, rows, where

KIND_NAMES = {
    "score": "score knock-out",
    "forward": "forward knock-out",
    "weights": "weights knock-out",
}
_LOOKS = {
    "variance": Look(PALETTE[0], "solid", "circle"),
    "random": Look(PALETTE[1], "dash", "diamond"),
    "bottom_variance": Look(PALETTE[2], "dot", "square"),
    "variance_matched": Look(PALETTE[3], "dashdot", "triangle-up"),
}
_PANEL_HEIGHT, _NAME_HEIGHT, _SPREAD = 250, 24, 0.12
Metrics = Sequence[tuple[str, str]]


def knockout_curves_figure(
    curves: pd.DataFrame, *, shown: Metrics | None = None, interval_level: float = 0.95
) -> go.Figure:
    """Metrics against the number of neurons knocked out (or kept), a panel per metric.

    Parameters
    ----------
    curves : DataFrame
        ``KnockoutResult.curves`` of one category, kind, mode and part.
    shown : sequence of (level, metric), optional
        All by default.
    interval_level : float

    Raises
    ------
    ConfigError
        There is no such row, or there are rows of several categories, kinds, modes or parts.
    """
    category, kind, mode, part = only(curves, "category", "kind", "mode", "part")
    curves, trivial = _telling(curves)
    measured = _metrics(curves, shown)
    n = int(numbers(curves, "n_images")[0])
    draws = int(numbers(curves, "n_draws").max())
    done = "knocked out" if mode == "remove" else "kept, all others knocked out"
    level = f"{100 * interval_level:g} %"
    caption = (
        f"{counted(n, 'test image')}; the same number of neurons {done} at every hook point. Bars: "
        f"{level} bootstrap over images. Bands: {level} range in which another random set would be "
        f"expected ({counted(draws, 'set')}, images and sets resampled); lines in them: mean of "
        "the sets. Dotted level: nothing knocked out." + trivial + impossible(curves)
    )
    height = _PANEL_HEIGHT * -(-len(measured) // 3) + 60
    title = f"{_kind_title(kind)} of {category}, {part} part"
    fig = new_figure(title, caption, legend_above=True, height=height)
    room_for_names(fig)
    made = panels(fig, len(measured))
    there = list(dict.fromkeys(curves["order"]))
    orders = [o for o in _LOOKS if o in there] + [o for o in there if o not in _LOOKS]
    for number, (panel, (lv, metric)) in enumerate(zip(made, measured, strict=True)):
        table = where(curves, level=lv, metric=metric)
        # Bands first, so that the line of the top neurons lies on them.
        for order in sorted(orders, key=lambda o: o == "variance"):
            _curve(fig, panel, where(table, order=order), order, shown=number == 0)
        add_level(fig, panel, float(numbers(table, "intact")[0]))
        name_panel(fig, number, metric_title(lv, metric), "above")
    sizes = sorted(set(curves["size"].tolist()))
    what = "knocked out" if mode == "remove" else "kept"
    size_axis(fig, made, sizes, f"neurons {what} per hook point")
    return fig


def knockout_contrasts_figure(
    contrasts: pd.DataFrame, *, shown: Metrics | None = None, interval_level: float = 0.95
) -> go.Figure:
    """Knock-out of the top neurons minus each control at one size, a panel per metric.

    Parameters
    ----------
    contrasts : DataFrame
        ``KnockoutResult.contrasts`` of one kind, mode, part and size; of one category with
        intervals, of several as dots with their mean.
    shown : sequence of (level, metric), optional
    interval_level : float

    Raises
    ------
    ConfigError
        There is no such row, or there are rows of several kinds, modes, parts or sizes.
    """
    kind, mode, part, size = only(contrasts, "kind", "mode", "part", "size")
    measured = _metrics(contrasts, shown)
    categories = list(dict.fromkeys(contrasts["category"]))
    controls = selector_order(contrasts["control"])
    one = len(categories) == 1
    done = "knocked out" if mode == "remove" else "kept"
    n = int(numbers(contrasts, "n_images").sum() / len(contrasts) * len(categories))
    over = (
        f"Bars: {100 * interval_level:g} % paired bootstrap over images, and over the choice of "
        "one random set where there are several."
        if one
        else "Small dots: categories. Diamonds: their mean."
    )
    caption = (
        f"{counted(n, 'test image')} of {counted(len(categories), 'category', 'categories')}; "
        f"{size} neurons {done} at every hook point. {over} Left of zero, the metric is lower with "
        f"the highest-variance neurons {done} than with the control's." + impossible(contrasts)
    )
    height = (60 + 34 * len(controls)) * -(-len(measured) // 3) + 50
    fig = new_figure(
        f"{_kind_title(kind)}: highest variance minus control, {part} part", caption, height=height
    )
    room_for_names(fig)
    made = panels(fig, len(measured), shared_y=True, gap=0.05)
    for number, (panel, (lv, metric)) in enumerate(zip(made, measured, strict=True)):
        table = where(contrasts, level=lv, metric=metric)
        for place, control in enumerate(controls):
            _difference(fig, panel, where(table, control=control), control, place)
        style: dict[str, Any] = {"row": panel.row, "col": panel.column}
        fig.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot", "width": 1.4}, **style)
        name_panel(fig, number, metric_title(lv, metric), "above")
    bottom_titles(fig, made, "difference of the metric")
    fig.update_yaxes(
        tickvals=list(range(len(controls))),
        ticktext=[plain(selector_name(c)) for c in controls],
        range=[len(controls) - 0.5, -0.5],
        ticks="",
        showline=False,
    )
    fig.update_xaxes(nticks=4)
    fig.update_layout(showlegend=False)
    return fig


def _curve(fig: go.Figure, panel: Panel, table: pd.DataFrame, order: str, *, shown: bool) -> None:
    table = rows(table, np.argsort(numbers(table, "size"), kind="stable"))
    drawn = int(numbers(table, "n_draws").max()) > 1
    interval = (numbers(table, "low"), numbers(table, "high"))
    look = _LOOKS.get(order) or Look.of(4)
    add_series(
        fig,
        panel,
        numbers(table, "size"),
        numbers(table, "value"),
        interval if drawn or order == "variance" else None,
        selector_name(order),
        look,
        bars=not drawn,
        shown=shown,
    )


def _difference(
    fig: go.Figure, panel: Panel, table: pd.DataFrame, control: str, place: int
) -> None:
    x = numbers(table, "difference")
    colour = PALETTE[0]
    style: dict[str, Any] = {"row": panel.row, "col": panel.column}
    hover = plain(selector_name(control))
    if len(x) == 1:
        low, high = numbers(table, "difference_low"), numbers(table, "difference_high")
        bars = {"type": "data", "symmetric": False, "array": high - x, "arrayminus": x - low}
        fig.add_trace(
            go.Scatter(
                x=x,
                y=[place],
                error_x={**bars, "thickness": 1.6, "width": 5},
                mode="markers",
                marker={"symbol": "circle", "size": 9, "color": colour},
                customdata=np.stack([low, high], axis=1),
                hovertemplate=f"{hover}<br>%{{x:+.4f}} [%{{customdata[0]:+.4f}}, "
                "%{customdata[1]:+.4f}]<extra></extra>",
            ),
            **style,
        )
        return
    spread = _SPREAD * np.resize([-1.0, 0.0, 1.0, -0.5, 0.5], len(x))
    names = [plain(c) for c in table["category"]]
    dots = {"symbol": "circle", "size": 6, "color": NEUTRAL, "opacity": 0.6}
    fig.add_trace(
        go.Scatter(
            x=x,
            y=place + spread,
            mode="markers",
            marker=dots,
            text=names,
            hovertemplate=f"%{{text}}, {hover}: %{{x:+.4f}}<extra></extra>",
        ),
        **style,
    )
    fig.add_trace(
        go.Scatter(
            x=[x.mean()],
            y=[place],
            mode="markers",
            marker={"symbol": "diamond", "size": 11, "color": colour},
            hovertemplate=f"mean, {hover}: %{{x:+.4f}}<extra></extra>",
        ),
        **style,
    )


def _telling(curves: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Leave out the size at which every order takes the same neurons: all there are."""
    largest = int(numbers(curves, "size").max())
    at = where(curves, size=largest)
    of_metric: dict[tuple[str, str], set[float]] = {}
    for level, metric, value in zip(at["level"], at["metric"], at["value"], strict=True):
        of_metric.setdefault((level, metric), set()).add(float(value))
    n_orders, n_sizes = len(set(at["order"])), len(set(curves["size"]))
    if n_orders == 1 or n_sizes == 1 or any(len(values) > 1 for values in of_metric.values()):
        return curves, ""
    values = ", ".join(
        f"{metric_title(*metric)} {of_metric[metric].pop():.3g}"
        for metric in (("image", "auroc"), ("pixel", "aupro"))
        if metric in of_metric
    )
    said = f" Not drawn: all {largest} neurons, where every order is the same ({values})."
    return rows(curves, numbers(curves, "size") < largest), said


def room_for_names(fig: go.Figure) -> None:
    """Make room above the panels for their names, below legend or caption."""
    layout = fig.to_plotly_json()["layout"]
    plot = layout["height"] - layout["margin"]["t"] - 60
    fig.update_layout(
        margin={"t": layout["margin"]["t"] + _NAME_HEIGHT},
        height=layout["height"] + _NAME_HEIGHT,
        legend={"y": 1 + _NAME_HEIGHT / plot},
    )


def only(table: pd.DataFrame, *columns: str) -> list[str]:
    """The one value of each column."""
    if table.empty:
        raise ConfigError("there is no knock-out to draw")
    found = []
    for column in columns:
        values = list(dict.fromkeys(table[column]))
        if len(values) > 1:
            said = ", ".join(map(str, values))
            raise ConfigError(f"one {column} can be drawn at a time, not {said}")
        found.append(values[0])
    return found


def _metrics(table: pd.DataFrame, shown: Metrics | None) -> Metrics:
    there = list(dict.fromkeys(zip(table["level"], table["metric"], strict=True)))
    measured = there if shown is None else [m for m in shown if m in there]
    if not measured:
        wanted = ", ".join(metric_title(*m) for m in shown or ())
        raise ConfigError(f"no knock-out was measured by {wanted}")
    return measured


def impossible(table: pd.DataFrame) -> str:
    """What the study says a knock-out cannot change."""
    said = [r for r in dict.fromkeys(table["reason"]) if "cannot" in r or "stays" in r]
    return f" Note: {said[0]}." if said else ""


def _kind_title(kind: str) -> str:
    name = KIND_NAMES.get(kind, kind)
    return name[:1].upper() + name[1:]
