"""High-variance neurons against truncated PCA: variance kept, metrics, paired differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.difference_plot import CONTROL_NAMES, SHORT_NAMES, metric_title
from lakeviz.plots.line_panels import add_series
from lakeviz.plots.panels import (
    Look,
    add_level,
    add_zone,
    name_panel,
    panels,
    size_axis,
)
from lakeviz.plots.template import counted, new_figure
from lakeviz.tables import mean_by, numbers, range_by, rows, where

NAMES = {"variance": "top-variance neurons", **CONTROL_NAMES}
_ORDER = ("variance", "pca", "random", "random_rotation", "bottom_variance", "all")
SIZE = "dimensions kept, K"


def retained_figure(geometry: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Share of the variance that the top-variance channels, PCA and random channels keep.

    Parameters
    ----------
    geometry : DataFrame
        ``PCAResult.geometry``, of one category or several.
    confidence : float
        Of the draws of random channels.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    points = points_of(geometry)
    n, draws = n_categories(geometry), int(numbers(geometry, "n_random_sets").max())
    band = f"band: {100 * confidence:g} % of {draws} draws" if n == 1 else "no band"
    caption = (
        f"Share of the total variance of the normal patch tokens, at each hook point{over(n)}. "
        f"PCA keeps the most that K dimensions can. Random neurons: mean; {band}."
    )
    fig = new_figure("Retained variance", caption, legend_above=True, height=330)
    made = panels(fig, len(points), shared_y=True, gap=0.05)
    for number, (point, panel) in enumerate(zip(points, made)):
        table = mean_by_size(where(geometry, point=point))
        x = numbers(table, "k")
        drawn = (numbers(table, "random_retained_low"), numbers(table, "random_retained_high"))
        for place, (column, name) in enumerate(
            (
                ("pca_retained", NAMES["pca"]),
                ("variance_retained", NAMES["variance"]),
                ("random_retained", NAMES["random"]),
            )
        ):
            interval = drawn if column == "random_retained" and n == 1 else None
            look = look_of(("pca", "variance", "random")[place])
            add_series(
                fig, panel, x, numbers(table, column), interval, name, look, shown=number == 0
            )
        name_panel(fig, number, point)
    size_axis(fig, made, sizes_of(geometry), SIZE)
    fig.update_yaxes(range=[0, 1.04])
    fig.update_yaxes(title_text="share of variance retained", col=1)
    return fig


def metrics_by_size_figure(
    metrics: pd.DataFrame, *, confidence: float = 0.95, banded: Sequence[str] = ("random",)
) -> go.Figure:
    """Metrics against the size, one panel per metric, one line per selector.

    Parameters
    ----------
    metrics : DataFrame
        ``PCAResult.metrics``, of one category or several.
    confidence : float
    banded : sequence of str
        Selectors drawn with their interval, where there is one category.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    measured = _metrics(metrics)
    n = n_categories(metrics)
    images = _images(metrics)
    band = (
        f" Band: {100 * confidence:g} % bootstrap over images and draws of random neurons."
        if n == 1
        else ""
    )
    caption = (
        f"{images}{over(n)}, visual branch alone; random selectors are means over draws.{band} "
        "Whether two lines differ is for the paired differences to say, not for these values."
    )
    fig = new_figure("Metrics at every size", caption, legend_above=True, height=_height(measured))
    made = panels(fig, len(measured))
    for number, ((level, metric), panel) in enumerate(zip(measured, made)):
        of_metric = where(metrics, level=level, metric=metric)
        for name in _selectors(metrics):
            table = mean_by_size(where(of_metric, selector=name))
            interval = (numbers(table, "low"), numbers(table, "high"))
            add_series(
                fig,
                panel,
                numbers(table, "k"),
                numbers(table, "value"),
                interval if name in banded and n == 1 else None,
                SHORT_NAMES.get(name, name),
                look_of(name),
                shown=number == 0,
            )
        fig.update_yaxes(title_text=metric_title(level, metric), row=panel.row, col=panel.column)
    size_axis(fig, made, sizes_of(metrics), SIZE)
    return fig


def pca_differences_figure(
    metrics: pd.DataFrame,
    *,
    level: str,
    metric: str,
    smallest_effect: float = 0.01,
    confidence: float = 0.95,
) -> go.Figure:
    """Top-variance minus each other selector against the size, one panel per selector.

    Parameters
    ----------
    metrics : DataFrame
        ``PCAResult.metrics`` of one category, or of several: then the mean, with the lowest and
        highest category as bars.
    level, metric : str
    smallest_effect : float
        Differences below it do not matter; shaded.
    confidence : float

    Raises
    ------
    ConfigError
        No such row.
    """
    table = where(metrics, level=level, metric=metric)
    table = rows(table, np.isfinite(numbers(table, "difference")))
    if table.empty:
        raise ConfigError(f"no difference was measured by {metric_title(level, metric)}")
    n = n_categories(table)
    bars = f"{100 * confidence:g} % paired bootstrap over images (and draws of random ones)"
    if n > 1:
        bars = "lowest to highest category"
    what = metric_title(level, metric)
    caption = (
        f"K top-variance neurons minus other selections of K (all: of every neuron), {what}; "
        f"{_images(table)}{over(n)}. Bars: {bars}; above zero, top-variance neurons are better. "
        f"Shaded: within {smallest_effect:g} of zero, which does not matter. Each panel has its "
        "own scale."
    )
    names = [s for s in _selectors(table) if s != "variance"]
    title = f"Top-variance neurons minus others: {what}"
    fig = new_figure(title, caption, height=30 + 240 * -(-len(names) // 3))
    made = panels(fig, len(names), gap=0.075)
    for number, (name, panel) in enumerate(zip(names, made)):
        own = where(table, selector=name)
        shown = mean_by_size(own)
        interval = (numbers(shown, "difference_low"), numbers(shown, "difference_high"))
        if n > 1:
            interval = range_by(own, "k", "difference")
        add_series(
            fig,
            panel,
            numbers(shown, "k"),
            numbers(shown, "difference"),
            interval,
            NAMES.get(name, name),
            look_of(name),
            bars=True,
            shown=False,
        )
        add_zone(fig, panel, -smallest_effect, smallest_effect)
        add_level(fig, panel, 0)
        name_panel(fig, number, f"minus {NAMES.get(name, name)}", "above")
    size_axis(fig, made, sizes_of(table), SIZE)
    fig.update_yaxes(title_text=f"difference in {what}", col=1)
    return fig


def look_of(selector: str) -> Look:
    """The look of a selector, the same in every figure of the study."""
    return Look.of(_ORDER.index(selector) if selector in _ORDER else len(_ORDER))


def _selectors(metrics: pd.DataFrame) -> list[str]:
    present = list(dict.fromkeys(metrics["selector"]))
    return [s for s in _ORDER if s in present] + [s for s in present if s not in _ORDER]


def _metrics(metrics: pd.DataFrame) -> list[tuple[str, str]]:
    found = list(dict.fromkeys(zip(metrics["level"], metrics["metric"])))
    if not found:
        raise ConfigError("no metric was measured")
    return found


def points_of(table: pd.DataFrame) -> list[str]:
    """Hook points of a table, in its order.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    if table.empty:
        raise ConfigError("the table of the study is empty")
    return list(dict.fromkeys(table["point"]))


def sizes_of(table: pd.DataFrame) -> list[int]:
    """Sizes of a table, ascending."""
    return sorted({int(k) for k in table["k"]})


def mean_by_size(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over categories at each size; one category's rows as they are."""
    return mean_by(table, "k")


def n_categories(table: pd.DataFrame) -> int:
    """Number of categories of a table."""
    return len(set(table["category"]))


def over(n: int) -> str:
    """Words for captions where a figure shows means over categories."""
    return "" if n == 1 else f", mean over {n} categories"


def _images(metrics: pd.DataFrame) -> str:
    found = sorted({int(i) for i in numbers(metrics, "n_images")})
    if len(found) == 1:
        return counted(found[0], "test image")
    return f"{found[0]:,} to {found[-1]:,} test images"


def _height(measured: Sequence[object]) -> float:
    return 50 + 250 * -(-len(measured) // 3)
