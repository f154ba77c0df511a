"""Figures of the study ``pca``: metrics at every size, the two subspaces and the covariance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.captions import difference_bars, mean_over, n_categories, span, tested
from lakeviz.plots.line_panels import Line, line_figure, line_of
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import CHANCE, Look, log_axes, selector_looks
from lakeviz.plots.template import PALETTE, faded, new_figure, plain
from lakeviz.selector_names import selector_name, selector_order, selector_short
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import percent

SIZE = "dimensions kept, K"


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
        Differences within it count as equivalent; shaded.
    confidence : float

    Raises
    ------
    ConfigError
        No such row.
    """
    table = where(metrics, level=level, metric=metric)
    table = rows(table, np.isfinite(numbers(table, "difference")))
    what = metric_title(level, metric)
    if table.empty:
        raise ConfigError(f"no difference was measured by {what}")
    bars = difference_bars(table, confidence)
    if n_categories(table) > 1:
        bars = "lowest to highest category"
    shown = {
        f"minus {selector_name(name)}": [
            line_of(
                where(table, selector=name),
                "k",
                "difference",
                selector_name(name),
                look_of(name),
                interval="range",
                bars=True,
            )
        ]
        for name in selector_order(table["selector"])
    }
    return line_figure(
        shown,
        title=f"Top-variance neurons minus others: {what}",
        caption=f"K top-variance neurons minus other selections of K (all: of every neuron), "
        f"{what}; {tested(table)}{mean_over(table)}. Bars: {bars}; above zero, top-variance "
        f"neurons are better. Shaded: within {smallest_effect:g} of zero. Each panel has its own "
        "scale.",
        x=SIZE,
        y=f"difference in {what}",
        sizes=sizes_of(table),
        level=0,
        zone=(-smallest_effect, smallest_effect),
        ends=metric_bounds(level, metric, difference=True),
    )


def metrics_by_size_figure(metrics: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Metrics against the size, one panel per metric, one line per selector.

    Parameters
    ----------
    metrics : DataFrame
        ``PCAResult.metrics``, of one category or several.
    confidence : float

    Raises
    ------
    ConfigError
        The table is empty.
    """
    band = (
        f" Band: {percent(confidence)} prediction interval of one more random set."
        if n_categories(metrics) == 1
        else ""
    )
    measured = list(dict.fromkeys(zip(metrics["level"], metrics["metric"])))
    shown = {
        metric_title(level, metric): [
            line_of(
                where(metrics, level=level, metric=metric, selector=name),
                "k",
                "value",
                selector_short(name),
                look_of(name),
                interval="own" if name == "random" else "",
            )
            for name in selector_order(metrics["selector"])
        ]
        for level, metric in measured
    }
    return line_figure(
        shown,
        title="Metrics at every size",
        caption=f"{tested(metrics)}{mean_over(metrics)}, visual branch alone; random selectors are "
        f"means over random sets.{band} Use the paired-difference figure to compare two curves.",
        x=SIZE,
        sizes=sizes_of(metrics),
        ends={metric_title(*m): metric_bounds(*m) for m in measured},
    )


def retained_figure(geometry: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Share of the variance that the top-variance channels, PCA and random channels keep.

    Parameters
    ----------
    geometry : DataFrame
        ``PCAResult.geometry``, of one category or several.
    confidence : float
        Of the band over random channels.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    points = points_of(geometry)
    band = f"band: {percent(confidence)} of {random_sets(geometry)} random sets"
    if n_categories(geometry) > 1:
        band = "no band"
    shown = {
        short_point(point): [
            line_of(
                where(geometry, point=point),
                "k",
                f"{kind}_retained",
                selector_name(kind),
                look_of(kind),
                interval="own" if kind == "random" else "",
            )
            for kind in ("pca", "variance", "random")
        ]
        for point in points
    }
    fig = line_figure(
        shown,
        title="Retained variance",
        caption="Share of the total variance of the normal patch tokens, at each hook point"
        f"{mean_over(geometry)}. PCA keeps the most that K dimensions can. Random neurons: mean; "
        f"{band}.",
        x=SIZE,
        y="share of variance retained",
        shared_y=True,
        sizes=sizes_of(geometry),
        ends=(0.0, 1.0),
    )
    return fig.update_yaxes(range=[0, 1])


def look_of(selector: str) -> Look:
    """The look of a selector, the same in every figure of the study."""
    return selector_looks([selector])[selector]


def points_of(table: pd.DataFrame) -> list[str]:
    """Hook points of a table, in its order."""
    if table.empty:
        raise ConfigError("the table of the study is empty")
    return list(dict.fromkeys(table["point"]))


def sizes_of(table: pd.DataFrame) -> list[int]:
    """Sizes of a table, ascending."""
    return sorted({int(k) for k in table["k"]})


def random_sets(geometry: pd.DataFrame) -> int:
    """Number of random sets behind a table."""
    return int(numbers(geometry, "n_random_sets").max())


_QUANTITIES = {
    "projection kernel": "kernel",
    "mean angle (degrees)": "angle_mean",
    "largest angle (degrees)": "angle_largest",
}


def nearness_figure(geometry: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Projection kernel and principal angles between channels and PCA, and of random channels.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    points = points_of(geometry)
    first = where(geometry, point=points[0])
    band = ""
    if n_categories(geometry) == 1:
        n = random_sets(geometry)
        band = f" (band: {percent(confidence)} of {n} random sets at the first hook point)"
    shown = {
        title: [
            line_of(first, "k", f"random_{column}", "random neurons", CHANCE, interval="own"),
            *(
                line_of(
                    where(geometry, point=point), "k", column, short_point(point), Look.of(place)
                )
                for place, point in enumerate(points)
            ),
        ]
        for title, column in _QUANTITIES.items()
    }
    fig = line_figure(
        shown,
        title="How near the two subspaces are",
        caption="Between the span of the K top-variance channels and that of the K leading "
        f"principal directions{mean_over(geometry)}. Kernel: mean squared cosine of the principal "
        f"angles, 1 for one span; by chance K / D. Grey: random channels{band}.",
        x=SIZE,
        sizes=sizes_of(geometry),
        ends={"projection kernel": (0.0, 1.0)} | dict.fromkeys(list(_QUANTITIES)[1:], (0.0, 90.0)),
    )
    return fig


def diagonality_figure(covariance: pd.DataFrame) -> go.Figure:
    """Share of off-diagonal energy of covariance and correlation, with and without dependence.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    points = points_of(covariance)
    draws = int(numbers(covariance, "n_permutations").max())
    caption = (
        "Sum of squared off-diagonal entries over that of all, of "
        f"{span(covariance, 'n_tokens')} normal patch tokens{mean_over(covariance)}. Hatched: "
        f"after each channel's tokens were permuted (mean of {draws} permutations), which is what "
        "independent channels show for want of tokens. 0 would be diagonal."
    )
    fig = new_figure("How diagonal the covariance is", caption, legend_above=True, height=320)
    for name, colour in (("covariance", PALETTE[0]), ("correlation", PALETTE[1])):
        table = where(covariance, measure=f"off_diagonal_{name}")
        for column, pattern, said in (
            ("value", "", name),
            ("control_mean", "/", f"{name}, permuted"),
        ):
            bar = go.Bar(
                x=[short_point(p) for p in points],
                y=[float(numbers(where(table, point=p), column).mean()) for p in points],
                name=said,
                marker={
                    "color": colour if not pattern else faded(colour, 0.35),
                    "pattern": {"shape": pattern, "fgcolor": colour},
                    "line": {"color": colour, "width": 1},
                },
                hovertemplate=f"{said}<br>%{{x}}: %{{y:.3f}}<extra></extra>",
            )
            fig.add_trace(bar)
    fig.update_layout(barmode="group", bargap=0.3)
    fig.update_yaxes(title_text="share of energy off the diagonal", range=[0, 1])
    fig.update_xaxes(title_text="hook point")
    return fig


def eigenvalue_figure(spectrum: pd.DataFrame) -> go.Figure:
    """Eigenvalues of the covariance and the channels' variances, both by rank.

    Raises
    ------
    ConfigError
        The table is empty, or of several categories.
    """
    points = points_of(spectrum)
    if n_categories(spectrum) > 1:
        raise ConfigError("a covariance spectrum is of one category")
    kinds = (
        ("eigenvalue", "eigenvalues (PCA)", "pca"),
        ("variance", "channel variances", "variance"),
    )
    shown = {}
    for point in points:
        table = where(spectrum, point=point)
        lines = []
        for column, name, key in kinds:
            own = rows(table, numbers(table, column) > 0)  # a log axis has no place for zero
            x, y = numbers(own, "rank"), numbers(own, column)
            lines.append(Line(name, x, y, look_of(key)))
        shown[short_point(point)] = lines
    fig = line_figure(
        shown,
        title="Principal directions and channels",
        caption=f"{plain(spectrum['category'].iloc[0])}: eigenvalues of the covariance of the "
        "normal patch tokens, and variances of single channels, each in descending order. They "
        "coincide where the covariance is diagonal; the more they part, the more PCA keeps in few "
        "dimensions.",
        x="rank (1 = largest)",
        y="variance (squared activation)",
        shared_y=True,
    )
    fig.update_traces(mode="lines")
    log_axes(fig, "x")
    log_axes(fig, "y")
    return fig
