"""Defective images among the normal ones: metrics, changes and selections by their share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.difference_plot import metric_title
from lakeviz.plots.line_panels import add_series
from lakeviz.plots.panels import (
    CHANCE,
    Look,
    Panel,
    add_level,
    bottom_titles,
    name_panel,
    panels,
)
from lakeviz.plots.template import counted, new_figure
from lakeviz.selector_names import selector_name, selector_short
from lakeviz.tables import mean_by, numbers, range_by, rows, where

WHAT_NAMES = {
    "both": "both contaminated",
    "selection": "selection alone",
    "memory": "memory alone",
    "swapped": "swapped (control)",
    "fewer": "taken away (control)",
}
_ORDER = ("variance", "random", "mad", "trimmed_variance", "pca", "all")
_SHARE = "share of the fitted images replaced (%)"
Metrics = Sequence[tuple[str, str]]


def contamination_figure(
    metrics: pd.DataFrame, *, shown: Metrics | None = None, interval_level: float = 0.95
) -> go.Figure:
    """Metrics against the share of defective images, one panel per metric, a line per selector.

    Parameters
    ----------
    metrics : DataFrame
        ``ContaminationResult.metrics``, of one category or several.
    shown : sequence of (level, metric), optional
        All by default.
    interval_level : float

    Raises
    ------
    ConfigError
        There is no such row.
    """
    table = where(metrics, what="both")
    measured = _measured(table, shown)
    n = _n_categories(table)
    band = (
        f"Bands: top-variance and random neurons, {100 * interval_level:g} % over test images and "
        "draws, of one draw."
        if n == 1
        else ""
    )
    caption = (
        f"{_setting(table)}. Lines: means over draws, visual branch alone; selection and memory "
        f"both see the defective images. {band}"
    )
    fig = new_figure(
        "Metrics under contamination", caption, legend_above=True, height=_height(len(measured))
    )
    made = panels(fig, len(measured))
    for number, ((level, metric), panel) in enumerate(zip(measured, made)):
        for selector in _selectors(table):
            own = where(table, selector=selector, level=level, metric=metric)
            drawn = _by_share(own)
            interval = (numbers(drawn, "low"), numbers(drawn, "high"))
            add_series(
                fig,
                panel,
                100 * numbers(drawn, "fraction"),
                numbers(drawn, "value"),
                interval if selector in ("variance", "random") and n == 1 else None,
                selector_short(selector),
                _look(selector),
                shown=number == 0,
            )
        fig.update_yaxes(title_text=metric_title(level, metric), row=panel.row, col=panel.column)
    _share_axis(fig, table)
    bottom_titles(fig, made, _SHARE)
    return fig


def contamination_changes_figure(
    metrics: pd.DataFrame, *, level: str, metric: str, interval_level: float = 0.95
) -> go.Figure:
    """Change against the clean fit, one panel per selector; defective images beside controls.

    Parameters
    ----------
    metrics : DataFrame
        ``ContaminationResult.metrics`` of one category, or of several: then the mean, with the
        lowest and highest category as bars.
    level, metric : str
    interval_level : float

    Raises
    ------
    ConfigError
        There is no such row.
    """
    table = where(metrics, level=level, metric=metric)
    table = rows(table, np.isfinite(numbers(table, "change")))
    if table.empty:
        raise ConfigError(f"no change was measured by {metric_title(level, metric)}")
    n = _n_categories(table)
    bars = f"{100 * interval_level:g} % over test images and draws, of one draw"
    if n > 1:
        bars = "lowest to highest category"
    what = metric_title(level, metric)
    caption = (
        f"{_setting(table)}. {what[0].upper()}{what[1:]} minus that of the clean fit of the same "
        "draw, mean over draws. "
        f"Bars: {bars}. Both: selection and memory. Controls: as many images swapped for other "
        "normal ones, or taken away."
    )
    names = _selectors(table)
    fig = new_figure(
        f"Change under contamination: {what}",
        caption,
        legend_above=True,
        height=_height(len(names)),
    )
    made = panels(fig, len(names), shared_y=True, gap=0.04)
    kinds = [w for w in WHAT_NAMES if w in set(table["what"])]
    for number, (selector, panel) in enumerate(zip(names, made)):
        for place, kind in enumerate(kinds):
            own = where(table, selector=selector, what=kind)
            drawn = _by_share(own)
            interval = (numbers(drawn, "change_low"), numbers(drawn, "change_high"))
            if n > 1:
                interval = range_by(own, "fraction", "change")
            beside = 0.9 * (place - (len(kinds) - 1) / 2)  # percent, so that bars stay apart
            add_series(
                fig,
                panel,
                100 * numbers(drawn, "fraction") + beside,
                numbers(drawn, "change"),
                interval,
                WHAT_NAMES[kind],
                Look.of(place),
                bars=True,
                shown=number == 0,
            )
        add_level(fig, panel, 0)
        name_panel(fig, number, selector_name(selector), "foot")
    _share_axis(fig, table)
    bottom_titles(fig, made, _SHARE)
    fig.update_yaxes(title_text=f"change in {what}", col=1)
    return fig


def selection_stability_figure(
    stability: pd.DataFrame, *, measure: str = "jaccard", interval_level: float = 0.95
) -> go.Figure:
    """What is left of the clean selection, one panel per hook point, a line per selector.

    Parameters
    ----------
    stability : DataFrame
        ``ContaminationResult.stability``, of one category or several.
    measure : str
        ``"jaccard"`` (channels) or ``"kernel"`` (subspaces too).
    interval_level : float

    Raises
    ------
    ConfigError
        There is no such row.
    """
    table = where(stability, measure=measure)
    kinds = [w for w in ("both", "swapped") if w in set(table["what"])]
    if table.empty or not kinds:
        raise ConfigError(f"the stability of no selection was measured by {measure}")
    n, draws = _n_categories(table), int(numbers(table, "n_draws").max())
    bars = f"; bars: {100 * interval_level:g} % over {draws} draws, of the mean"
    if n > 1:
        bars = f"; mean over {n} categories and {draws} draws, without bars"
    words = {"jaccard": "Jaccard index", "kernel": "projection kernel"}[measure]
    caption = (
        f"{words} of the selection with the clean one of the same draw, mean over draws"
        f"{bars}. Thin, open: as many images replaced by other normal ones. Grey: by chance."
    )
    points = list(dict.fromkeys(table["point"]))
    fig = new_figure(
        "Stability of the selection", caption, legend_above=True, height=_height(len(points))
    )
    made = panels(fig, len(points), shared_y=True, gap=0.04)
    for number, (point, panel) in enumerate(zip(points, made)):
        at = where(table, point=point)
        for selector in _selectors(at):
            for kind in kinds:
                _stability_line(fig, panel, at, selector, kind, shown=number == 0, bars=n == 1)
        chance = _by_share(where(at, what=kinds[0], selector=_selectors(at)[0]))
        share = 100 * numbers(chance, "fraction")
        add_series(
            fig,
            panel,
            share,
            numbers(chance, "expected"),
            None,
            "chance",
            CHANCE,
            shown=number == 0,
        )
        name_panel(fig, number, point)
    _share_axis(fig, table)
    bottom_titles(fig, made, _SHARE)
    fig.update_yaxes(range=[0, 1.12])
    fig.update_yaxes(title_text=words, col=1)
    return fig


def _stability_line(
    fig: go.Figure,
    panel: Panel,
    at: pd.DataFrame,
    selector: str,
    kind: str,
    *,
    shown: bool,
    bars: bool,
) -> None:
    drawn = _by_share(where(at, selector=selector, what=kind))
    look, name = _look(selector), selector_short(selector)
    control = kind == "swapped"
    if control:
        look, name = Look(look.colour, look.dash, look.marker + "-open"), f"{name}, swapped"
    interval = (numbers(drawn, "low"), numbers(drawn, "high")) if bars else None
    share = 100 * numbers(drawn, "fraction") + (0.5 if control else -0.5)
    add_series(
        fig,
        panel,
        share,
        numbers(drawn, "value"),
        interval,
        name,
        look,
        bars=True,
        shown=shown and not control,  # the caption names it
        width=1 if control else 2,
    )


def _look(selector: str) -> Look:
    return Look.of(_ORDER.index(selector) if selector in _ORDER else len(_ORDER))


def _selectors(table: pd.DataFrame) -> list[str]:
    present = list(dict.fromkeys(table["selector"]))
    return [s for s in _ORDER if s in present] + [s for s in present if s not in _ORDER]


def _measured(table: pd.DataFrame, shown: Metrics | None) -> list[tuple[str, str]]:
    present = list(dict.fromkeys(zip(table["level"], table["metric"])))
    found = [m for m in present if shown is None or m in [tuple(s) for s in shown]]
    if not found:
        raise ConfigError("no such metric was measured under contamination")
    return found


def _by_share(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over categories at each share; one category's rows as they are."""
    return mean_by(table, "fraction")


def _n_categories(table: pd.DataFrame) -> int:
    return len(set(table["category"]))


def _setting(table: pd.DataFrame) -> str:
    images = sorted({int(i) for i in numbers(table, "n_images")})
    tested = counted(images[0], "test image")
    if len(images) > 1:
        tested = f"{images[0]:,} to {images[-1]:,} test images"
    shots, draws = int(numbers(table, "n_fit").max()), int(numbers(table, "n_draws").max())
    n = _n_categories(table)
    over = "" if n == 1 else f", mean over {n} categories"
    return f"{shots} images fitted on, {draws} draws, {tested}{over}"


def _height(n_panels: int) -> float:
    return 60 + 255 * -(-n_panels // 3)


def _share_axis(fig: go.Figure, table: pd.DataFrame) -> None:
    shares = sorted({0.0, *(100 * numbers(table, "fraction"))})
    fig.update_xaxes(
        tickvals=shares, ticktext=[f"{s:.3g}" for s in shares], range=[-3, shares[-1] + 3]
    )
