"""The subspaces of high-variance neurons and of PCA, and how diagonal the covariance is."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.line_panels import add_series
from lakeviz.plots.panels import (
    CHANCE,
    Look,
    bottom_titles,
    name_panel,
    panels,
    size_axis,
)
from lakeviz.plots.template import PALETTE, faded, new_figure, plain
from lakeviz.studies.pca.figures import (
    SIZE,
    look_of,
    mean_by_size,
    n_categories,
    over,
    points_of,
    sizes_of,
)
from lakeviz.tables import numbers, rows, where


def nearness_figure(geometry: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Projection kernel and principal angles between channels and PCA, beside random channels.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    points = points_of(geometry)
    n, draws = n_categories(geometry), int(numbers(geometry, "n_random_sets").max())
    band = f"{100 * confidence:g} % of {draws} draws at the first hook point"
    caption = (
        f"Between the span of the K top-variance channels and that of the K leading principal "
        f"directions{over(n)}. Kernel: mean squared cosine of the principal angles, 1 for one "
        f"span; by chance K / D. Grey: random channels{f' (band: {band})' if n == 1 else ''}."
    )
    fig = new_figure("How near the two subspaces are", caption, legend_above=True, height=330)
    made = panels(fig, 3)
    columns = ("kernel", "angle_mean", "angle_largest")
    titles = ("projection kernel", "mean angle (degrees)", "largest angle (degrees)")
    for number, (column, title, panel) in enumerate(zip(columns, titles, made)):
        first = mean_by_size(where(geometry, point=points[0]))
        x = numbers(first, "k")
        interval = (
            numbers(first, f"random_{column}_low"),
            numbers(first, f"random_{column}_high"),
        )
        add_series(
            fig,
            panel,
            x,
            numbers(first, f"random_{column}"),
            interval if n == 1 else None,
            "random neurons",
            CHANCE,
            shown=number == 0,
        )
        for place, point in enumerate(points):
            table = mean_by_size(where(geometry, point=point))
            add_series(
                fig,
                panel,
                numbers(table, "k"),
                numbers(table, column),
                None,
                point,
                Look.of(place),
                shown=number == 0,
            )
        fig.update_yaxes(title_text=title, rangemode="tozero", row=panel.row, col=panel.column)
    size_axis(fig, made, sizes_of(geometry), SIZE)
    return fig


def diagonality_figure(covariance: pd.DataFrame) -> go.Figure:
    """Share of off-diagonal energy of covariance and correlation, with and without dependence.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    points = points_of(covariance)
    n = n_categories(covariance)
    draws = int(numbers(covariance, "n_permutations").max())
    tokens = sorted({int(t) for t in numbers(covariance, "n_tokens")})
    among = f"{tokens[0]:,}" if len(tokens) == 1 else f"{tokens[0]:,} to {tokens[-1]:,}"
    caption = (
        f"Sum of squared off-diagonal entries over that of all, of {among} normal patch "
        f"tokens{over(n)}. Hatched: after each channel's tokens were permuted (mean of {draws} "
        "draws), which is what independent channels show for want of tokens. 0 would be diagonal."
    )
    fig = new_figure("How diagonal the covariance is", caption, legend_above=True, height=320)
    kinds = (
        ("off_diagonal_covariance", "covariance", PALETTE[0]),
        ("off_diagonal_correlation", "correlation", PALETTE[1]),
    )
    for measure, name, colour in kinds:
        table = where(covariance, measure=measure)
        for column, pattern, said in (
            ("value", "", name),
            ("control_mean", "/", f"{name}, permuted"),
        ):
            bar = go.Bar(
                x=[plain(p) for p in points],
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
    fig.update_yaxes(title_text="share of energy off the diagonal", range=[0, 1.02])
    fig.update_xaxes(title_text="hook point")
    return fig


def eigenvalue_figure(spectrum: pd.DataFrame) -> go.Figure:
    """Eigenvalues of the covariance beside the channels' variances, both by rank.

    Raises
    ------
    ConfigError
        The table is empty, or of several categories.
    """
    points = points_of(spectrum)
    if n_categories(spectrum) > 1:
        raise ConfigError("a covariance spectrum is of one category")
    caption = (
        f"{plain(spectrum['category'].iloc[0])}: eigenvalues of the covariance of the normal patch "
        "tokens, and variances of single channels, each by falling size. They coincide where the "
        "covariance is diagonal; the more they part, the more PCA keeps in few dimensions."
    )
    fig = new_figure("Principal directions and channels", caption, legend_above=True, height=330)
    made = panels(fig, len(points), shared_y=True, gap=0.05)
    for number, (point, panel) in enumerate(zip(points, made)):
        table = where(spectrum, point=point)
        for column, name, key in (
            ("eigenvalue", "eigenvalues (PCA)", "pca"),
            ("variance", "channel variances", "variance"),
        ):
            own = rows(table, numbers(table, column) > 0)  # a log axis has no place for zero
            look = look_of(key)
            line = go.Scatter(
                x=numbers(own, "rank"),
                y=numbers(own, column),
                mode="lines",
                line={"color": look.colour, "dash": look.dash, "width": 2},
                name=name,
                legendgroup=name,
                showlegend=number == 0,
                hovertemplate=f"{name}<br>rank %{{x}}: %{{y:.4g}}<extra></extra>",
            )
            fig.add_trace(line, row=panel.row, col=panel.column)
        name_panel(fig, number, point)
    fig.update_xaxes(type="log", dtick=1)
    bottom_titles(fig, made, "rank (1 = largest)")
    fig.update_yaxes(type="log", exponentformat="power", dtick=1)
    fig.update_yaxes(title_text="variance (squared activation)", col=1)
    return fig
