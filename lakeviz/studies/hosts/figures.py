"""Figures of the study ``hosts``: what a host gains or loses, and what it costs."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.captions import difference_bars, mean_over, n_categories, span, tested
from lakeviz.plots.forest import ForestRow, add_forest, forest_row
from lakeviz.plots.panels import Look, end_axes, log_axes, panels
from lakeviz.plots.template import new_figure
from lakeviz.selector_names import selector_short
from lakeviz.tables import numbers, where

_SHORT = {"restrict": "only", "add": "+"}
_LOOKS = {"restrict": Look.of(0), "lake": Look.of(2), "add": Look.of(1), "alone": Look.of(3)}
_COSTS = (("bytes", 2**-20, "memory, MiB"), ("seconds_per_image", 1e3, "time per image, ms"))
Line = tuple[str, str]


def host_gains_figure(metrics: pd.DataFrame, *, host: str, confidence: float = 0.95) -> go.Figure:
    """What a host gains or loses: one panel per metric, one line per selection plugged in.

    Parameters
    ----------
    metrics : DataFrame
        ``HostResult.metrics``. Of several categories each is a small dot and their mean a large
        mark, with Student's interval over categories.
    host : str
    confidence : float

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
    what = (
        "only: the host sees the selected channels. +: LAKE's score in these channels is added to "
        f"the host's. Random sets: {span(table, 'n_random_sets')}. Right of zero, the host is "
        "better with it."
    )
    caption = f"{tested(table)}; bars: {difference_bars(table, confidence)}. {what}"
    if n_categories(table) > 1:
        n = n_categories(table)
        caption = (
            f"Small dots: {n} categories; large marks: their mean with Student's interval. {what}"
        )
    fig = new_figure(f"Plugged into {host}", caption, height=90 + 26 * len(lines))
    for panel, (level, metric) in zip(
        panels(fig, len(measured), shared_y=True, gap=0.05), measured
    ):
        own = where(table, level=level, metric=metric)
        rows = [
            forest_row(
                where(own, mode=mode, selector=selector),
                "difference",
                _named((mode, selector)),
                look=_LOOKS[mode],
            )
            for mode, selector in lines
        ]
        add_forest(fig, panel, rows)
        alone = float(numbers(where(own, mode="alone"), "value").mean())
        title = f"{metric_title(level, metric)} − host alone<br>(alone: {alone:.3f})"
        fig.update_xaxes(title_text=title, **panel.at)
        end_axes(fig, "x", metric_bounds(level, metric, difference=True), **panel.at)
    return fig.update_layout(showlegend=False)


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
    timed = " or ".join(dict.fromkeys(str(t) for t in table["timed"]))
    caption = (
        "Left: bytes of all arrays that the fitted detector keeps, without the tower. Right: time "
        f"per image, median of {span(table, 'n_repeats')} repeats in turn ({timed}). Added scores: "
        f"the sum of both detectors{mean_over(table)}."
    )
    fig = new_figure(f"Costs: {host}", caption, height=90 + 26 * len(lines))
    for panel, (name, factor, title) in zip(panels(fig, 2, shared_y=True, gap=0.05), _COSTS):
        rows = []
        for mode, selector in lines:
            own = where(table, mode=mode, selector=selector)
            value = factor * float(numbers(own, name).mean())
            nothing = float("nan")
            rows.append(
                ForestRow(
                    _named((mode, selector)), Estimate(value, nothing, nothing), look=_LOOKS[mode]
                )
            )
        add_forest(fig, panel, rows, zero=None, form=".4g")
        fig.update_xaxes(title_text=title, **panel.at)
    log_axes(fig, "x")
    return fig.update_layout(showlegend=False)


def _lines(table: pd.DataFrame) -> list[Line]:
    """Conditions in the order they are drawn: restricted, LAKE's score alone, added."""
    present = list(dict.fromkeys(zip(table["mode"], table["selector"])))
    return [line for mode in ("restrict", "lake", "add") for line in present if line[0] == mode]


def _named(line: Line) -> str:
    mode, selector = line
    if mode == "alone":
        return "host alone"
    name = selector_short(selector)
    return f"LAKE alone, {name}" if mode == "lake" else f"{_SHORT[mode]} {name}"
