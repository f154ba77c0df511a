"""Figures of the study ``pca``: the two subspaces, and how diagonal the covariance is."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.captions import mean_over, n_categories, span
from lakeviz.plots.line_panels import Line, line_figure, line_of
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import CHANCE, Look, log_axes
from lakeviz.plots.template import PALETTE, faded, new_figure, plain
from lakeviz.studies.pca.figures import SIZE, look_of, points_of, random_sets, sizes_of
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import percent

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
