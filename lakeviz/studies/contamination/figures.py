"""Figures of the study ``contamination``: metrics, changes and selections by the share replaced."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.captions import mean_over, n_categories, span, tested
from lakeviz.plots.line_panels import Line, line_figure, line_of
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import CHANCE, Look, selector_looks
from lakeviz.selector_names import selector_name, selector_order, selector_short
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import counted, percent

WHAT_NAMES = {
    "both": "both contaminated",
    "selection": "selection alone",
    "gallery": "gallery alone",
    "swapped": "swapped (control)",
    "fewer": "taken away (control)",
}
_SHARE = "share of the fitted images replaced (%)"
_MEASURES = {"jaccard": "Jaccard index", "kernel": "projection kernel"}


def contamination_figure(
    metrics: pd.DataFrame, *, shown: Sequence[Metric] | None = None, confidence: float = 0.95
) -> go.Figure:
    """Metrics against the share of defective images, one panel per metric, a line per selector.

    Parameters
    ----------
    metrics : DataFrame
        ``ContaminationResult.metrics``, of one category or several.
    shown : sequence of (level, metric), optional
        All by default.
    confidence : float

    Raises
    ------
    ConfigError
        There is no such row.
    """
    table = where(metrics, what="both")
    present = dict.fromkeys(zip(table["level"], table["metric"]))
    chosen = [m for m in present if shown is None or m in [tuple(s) for s in shown]]
    if not chosen:
        raise ConfigError("no such metric was measured under contamination")
    band = (
        f" Bands: top-variance and random neurons, {percent(confidence)} over test images and "
        "repeats, of the mean over repeats."
        if n_categories(table) == 1
        else ""
    )
    panels = {
        metric_title(level, metric): [
            line_of(
                where(table, selector=selector, level=level, metric=metric),
                "fraction",
                "value",
                selector_short(selector),
                _look(selector),
                interval="own" if selector in ("variance", "random") else "",
                scale=100,
            )
            for selector in selector_order(table["selector"])
        ]
        for level, metric in chosen
    }
    fig = line_figure(
        panels,
        title="Metrics under contamination",
        caption=f"{_setting(table)}. Lines: means over repeats, visual branch alone; selection and "
        f"gallery both see the defective images.{band}",
        x=_SHARE,
        ends={metric_title(*m): metric_bounds(*m) for m in chosen},
    )
    return _share_axis(fig, table)


def contamination_changes_figure(
    metrics: pd.DataFrame, *, level: str, metric: str, confidence: float = 0.95
) -> go.Figure:
    """Change against the clean fit, one panel per selector; defective images and controls.

    Parameters
    ----------
    metrics : DataFrame
        ``ContaminationResult.metrics`` of one category, or of several: then the mean, with the
        lowest and highest category as bars.
    level, metric : str
    confidence : float

    Raises
    ------
    ConfigError
        There is no such row.
    """
    what = metric_title(level, metric)
    table = where(metrics, level=level, metric=metric)
    table = rows(table, np.isfinite(numbers(table, "change")))
    if table.empty:
        raise ConfigError(f"no change was measured by {what}")
    bars = f"{percent(confidence)} over test images and repeats, of the mean"
    if n_categories(table) > 1:
        bars = "lowest to highest category"
    kinds = [w for w in WHAT_NAMES if w in set(table["what"])]
    panels = {
        selector_name(selector): [
            line_of(
                where(table, selector=selector, what=kind),
                "fraction",
                "change",
                WHAT_NAMES[kind],
                Look.of(place),
                interval="range",
                scale=100,
                shift=0.9 * (place - (len(kinds) - 1) / 2),  # percent, so that bars stay apart
                bars=True,
            )
            for place, kind in enumerate(kinds)
        ]
        for selector in selector_order(table["selector"])
    }
    fig = line_figure(
        panels,
        title=f"Change under contamination: {what}",
        caption=f"{_setting(table)}. {what[0].upper()}{what[1:]} minus that of the clean fit of "
        f"the same repeat, mean over repeats. Bars: {bars}. Both: selection and gallery. Controls: "
        "as many images swapped for other normal ones, or taken away.",
        x=_SHARE,
        y=f"change in {what}",
        shared_y=True,
        gap=0.04,
        level=0,
        ends=metric_bounds(level, metric, difference=True),
    )
    return _share_axis(fig, table)


def selection_stability_figure(
    stability: pd.DataFrame, *, measure: str = "jaccard", confidence: float = 0.95
) -> go.Figure:
    """What is left of the clean selection, one panel per hook point, a line per selector.

    Parameters
    ----------
    stability : DataFrame
        ``ContaminationResult.stability``, of one category or several.
    measure : str
        ``"jaccard"`` (channels) or ``"kernel"`` (subspaces too).
    confidence : float

    Raises
    ------
    ConfigError
        There is no such row.
    """
    table = where(stability, measure=measure)
    kinds = [w for w in ("both", "swapped") if w in set(table["what"])]
    if table.empty or not kinds:
        raise ConfigError(f"the stability of no selection was measured by {measure}")
    repeats = int(numbers(table, "n_repeats").max())
    bars = f"; bars: {percent(confidence)} over {repeats} repeats, of the mean"
    if n_categories(table) > 1:
        bars = f"{mean_over(table)} and {repeats} repeats, without bars"
    words = _MEASURES[measure]
    fig = line_figure(
        {
            short_point(p): _stability_lines(where(table, point=p), kinds)
            for p in dict.fromkeys(table["point"])
        },
        title="Stability of the selection",
        caption=f"{words} of the selection with the clean one of the same repeat, mean over "
        f"repeats{bars}. Thin, open: as many images replaced by other normal ones. Grey: chance.",
        x=_SHARE,
        y=words,
        shared_y=True,
        gap=0.04,
        ends=(0.0, 1.0),
    )
    fig.update_yaxes(range=[0, 1])
    return _share_axis(fig, table)


def _stability_lines(at: pd.DataFrame, kinds: Sequence[str]) -> list[Line]:
    lines = []
    for selector in selector_order(at["selector"]):
        for kind in kinds:
            control, look, name = kind == "swapped", _look(selector), selector_short(selector)
            if control:
                look, name = Look(look.colour, look.dash, look.marker + "-open"), f"{name}, swapped"
            lines.append(
                line_of(
                    where(at, selector=selector, what=kind),
                    "fraction",
                    "value",
                    name,
                    look,
                    interval="own",
                    scale=100,
                    shift=0.5 if control else -0.5,
                    bars=True,
                    width=1 if control else 2,
                    in_legend=not control,  # the caption names it
                )
            )
    first = where(at, what=kinds[0], selector=selector_order(at["selector"])[0])
    return [*lines, line_of(first, "fraction", "expected", "chance", CHANCE, scale=100)]


def _look(selector: str) -> Look:
    return selector_looks([selector])[selector]


def _setting(table: pd.DataFrame) -> str:
    shots = int(numbers(table, "n_fit").max())
    repeats = span(table, "n_repeats")
    return (
        f"{counted(shots, 'image')} fitted on, {repeats} repeats, {tested(table)}{mean_over(table)}"
    )


def _share_axis(fig: go.Figure, table: pd.DataFrame) -> go.Figure:
    shares = sorted({0.0, *(100 * numbers(table, "fraction"))})
    return fig.update_xaxes(
        tickvals=shares, ticktext=[f"{s:.3g}" for s in shares], range=[-3, shares[-1] + 3]
    )
