"""Single neurons as detectors: each with its interval, by variance, and by category."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.captions import percent, sampled, tested
from lakeviz.plots.data_range import end_axes
from lakeviz.plots.names import measure_bounds, measure_title, short_point
from lakeviz.plots.panels import Look, error_bars
from lakeviz.plots.template import NEUTRAL, new_figure, plain
from lakeviz.studies.neurons.neuron_looks import (
    LOOKS,
    MEAN_POINT,
    mark_chance,
    measured,
    one_category,
)
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import counted


def neuron_detectors_figure(
    neurons: pd.DataFrame,
    *,
    measure: str = "image_auroc",
    title: str | None = None,
    confidence: float = 0.95,
) -> go.Figure:
    """Every tested neuron of one category with its interval, best first, in a panel per point.

    Selected and random neurons stand in their own order, first beside first, so that the two
    groups can be compared place by place.

    Parameters
    ----------
    neurons : DataFrame
        ``NeuronsResult.neurons`` of one category.
    measure : str
        A column with ``_low`` and ``_high``.
    title : str, optional
    confidence : float
        For the caption.

    Raises
    ------
    ConfigError
        Several categories, or a measure without numbers.
    """
    table = measured(neurons, measure)
    one_category(table)
    points = list(dict.fromkeys(table["point"]))
    n_selected, n_random = (len(where(table, group=g)) for g in LOOKS)
    n_images = int(numbers(table, "n_images")[0])
    caption = (
        f"{counted(n_selected, 'selected neuron')} and {counted(n_random, 'random neuron')} of "
        f"{counted(len(points), 'hook point')}, each alone as a detector, over "
        f"{counted(n_images, 'test image')}. Bars: {100 * confidence:g} % bootstrap over "
        "images, of each neuron by itself. Each group is sorted by the measure itself, so its "
        "first places are high by chance too: compare first with first."
    )
    what = measure_title(measure)
    fig = new_figure(
        title or f"Single neurons as detectors: {what}",
        caption,
        legend_above=True,
        height=70 + 240 * len(points),
    )
    fig = _stack(fig, points)
    for row, point in enumerate(points, start=1):
        for shift, (group, look) in zip((-0.17, 0.17), LOOKS.items()):
            own = where(table, point=point, group=group)
            if len(own):
                own = rows(own, np.argsort(-numbers(own, measure), kind="stable"))
                trace = _ranked(own, measure, group, look, shift, shown=row == 1)
                fig.add_trace(trace, row=row, col=1)
        mark_chance(fig, measure, row, 1, along="y")
    fig.update_yaxes(title_text=what)
    end_axes(fig, "y", measure_bounds(measure))
    n_places = max(len(where(table, point=p, group=g)) for p in points for g in LOOKS)
    fig.update_xaxes(range=[0.4, n_places + 0.6])
    fig.update_xaxes(title_text="place in the group (1 = highest)", row=len(points), col=1)
    return fig


def neuron_differences_figure(
    groups: pd.DataFrame,
    *,
    measure: str = "image_auroc",
    title: str | None = None,
    confidence: float = 0.95,
) -> go.Figure:
    """Selected minus random neurons in every category, with intervals.

    Parameters
    ----------
    groups : DataFrame
        Of one or more categories. Where points were averaged, their mean is shown.
    measure : str
    title : str, optional
    confidence : float
        For the caption.

    Raises
    ------
    ConfigError
        There is no difference of this measure.
    """
    table = where(groups, measure=measure)
    means = where(table, point=MEAN_POINT)
    table = means if len(means) else table
    table = rows(table, np.isfinite(numbers(table, "difference")))
    if table.empty:
        raise ConfigError(f"no difference between selected and random neurons in {measure}")
    what = measure_title(measure)
    caption = (
        f"Mean {what} of the selected neurons minus that of as many random ones; "
        f"{counted(len(table), 'category', 'categories')} of {tested(table)}. Bars: "
        f"{percent(confidence)} intervals over {sampled(table)} and neurons. Right of zero, "
        "selected neurons are better; diamonds have their whole interval on one side."
    )
    fig = new_figure(
        title or f"Selected minus random: {what}", caption, height=90 + 26 * len(table)
    )
    order = rows(table, np.argsort(numbers(table, "difference"), kind="stable"))
    gap, low, high = (
        numbers(order, c) for c in ("difference", "difference_low", "difference_high")
    )
    clear = (low > 0) | (high < 0)
    look = LOOKS["selected"]
    fig.add_trace(
        go.Scatter(
            x=gap,
            y=[plain(c) for c in order["category"]],
            error_x=error_bars(gap, low, high),
            mode="markers",
            marker={
                "symbol": np.where(clear, "diamond", "circle-open"),
                "size": 9,
                "color": look.colour,
            },
            customdata=np.stack([low, high], axis=1),
            hovertemplate="%{y}: %{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}]"
            "<extra></extra>",
            name=what,
        )
    )
    fig.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot", "width": 1.4})
    fig.update_xaxes(title_text=f"selected − random, {what}")
    end_axes(fig, "x", measure_bounds(measure, difference=True))
    fig.update_yaxes(ticks="", showline=False)
    return fig


def variance_auroc_figure(
    channels: pd.DataFrame,
    trend: pd.DataFrame,
    *,
    title: str = "Variance and single-neuron detection",
    confidence: float = 0.95,
) -> go.Figure:
    """Image AUROC of every channel against its rank by variance, in a panel per point.

    Parameters
    ----------
    channels, trend : DataFrame
        Tables of a ``NeuronsResult`` of one category.
    title : str
    confidence : float
        For the caption.

    Raises
    ------
    ConfigError
        Several categories, or no image AUROC.
    """
    table = measured(channels, "image_auroc")
    one_category(table)
    points = list(dict.fromkeys(table["point"]))
    said = []
    for point in points:
        own = where(trend, point=point)
        value, low, high = (float(numbers(own, c)[0]) for c in ("value", "low", "high"))
        if np.isfinite(value):
            said.append(f"{short_point(point)} {value:+.2f} [{low:+.2f}, {high:+.2f}]")
    n_draws = int(numbers(trend, "n_draws").max()) if "n_draws" in trend else 1
    draws = f", mean of {n_draws} draws" if n_draws > 1 else ""
    caption = (
        f"Every channel alone as a detector, over {tested(table)}. Rank "
        f"correlation of variance and AUROC{draws}, with {percent(confidence)} intervals over "
        f"images and channels: {'; '.join(said) or 'undefined'}. Above zero, channels that vary "
        "more on normal images detect better."
    )
    fig = new_figure(title, caption, legend_above=True, height=70 + 240 * len(points))
    fig = _stack(fig, points)
    symbols = {"other": "circle-open", "random": "diamond", "selected": "circle"}
    for row, point in enumerate(points, start=1):
        for group, symbol in symbols.items():
            own = where(table, point=point, group=group)
            if own.empty:
                continue
            colour = LOOKS[group].colour if group in LOOKS else NEUTRAL
            size = 5 if group == "other" else 8
            fig.add_trace(
                go.Scatter(
                    x=numbers(own, "variance_rank"),
                    y=numbers(own, "image_auroc"),
                    mode="markers",
                    marker={"symbol": symbol, "size": size, "color": colour},
                    customdata=own["channel"].to_numpy(),
                    hovertemplate=f"{group}, channel %{{customdata}}<br>rank %{{x}}, AUROC "
                    "%{y:.3f}<extra></extra>",
                    name=group,
                    legendgroup=group,
                    showlegend=row == 1,
                ),
                row=row,
                col=1,
            )
        mark_chance(fig, "image_auroc", row, 1, along="y")
    fig.update_yaxes(title_text="image AUROC")
    end_axes(fig, "y", measure_bounds("image_auroc"))
    n_channels = numbers(table, "variance_rank").max()
    fig.update_xaxes(range=[-0.01 * n_channels, 1.02 * n_channels])
    fig.update_xaxes(title_text="rank by variance (1 = highest)", row=len(points), col=1)
    return fig


def _stack(fig: go.Figure, points: list[str]) -> go.Figure:
    """One panel per point, its name above."""
    make_subplots(
        rows=len(points),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.16 / len(points) if len(points) > 1 else 0,
        figure=fig,
    )
    for row, point in enumerate(points, start=1):
        fig.add_annotation(
            x=1,
            y=1,
            xref="x domain" if row == 1 else f"x{row} domain",
            yref="y domain" if row == 1 else f"y{row} domain",
            xanchor="right",
            yanchor="bottom",
            text=short_point(point),
        )
    return fig


def _ranked(
    own: pd.DataFrame, measure: str, group: str, look: Look, shift: float, *, shown: bool
) -> go.Scatter:
    value = numbers(own, measure)
    low, high = numbers(own, f"{measure}_low"), numbers(own, f"{measure}_high")
    return go.Scatter(
        x=np.arange(1, len(own) + 1) + shift,
        y=value,
        error_y=error_bars(value, low, high),
        mode="markers",
        marker={"symbol": look.marker, "size": 7, "color": look.colour},
        customdata=np.stack([numbers(own, "channel"), low, high], axis=1),
        hovertemplate=f"{group}, channel %{{customdata[0]:.0f}}<br>%{{y:.3f}} "
        "[%{customdata[1]:.3f}, %{customdata[2]:.3f}]<extra></extra>",
        name=f"{group} neurons",
        legendgroup=group,
        showlegend=shown,
    )
