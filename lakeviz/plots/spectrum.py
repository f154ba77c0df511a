"""Variance spectrum: every neuron by rank, the chosen ones marked, and what one channel does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import estimate
from lakeviz.plots.forest import ForestRow, forest_figure
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import Look, log_axes
from lakeviz.plots.template import MARKERS, NEUTRAL, PALETTE, new_figure, plain
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import counted


def spectrum_figure(
    spectrum: pd.DataFrame, *, title: str = "Variance spectrum", n_images: int | None = None
) -> go.Figure:
    """Variance of every neuron against its rank, per hook point; chosen neurons are filled marks.

    Parameters
    ----------
    spectrum : DataFrame
        Columns ``point``, ``channel``, ``variance`` and ``selected``.
    title : str
    n_images : int, optional
        Number of normal images that the variance was taken over, for the caption.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    if spectrum.empty:
        raise ConfigError("a variance spectrum needs at least one neuron")
    points = list(dict.fromkeys(spectrum["point"]))
    fig = new_figure(title, _caption(spectrum, points, n_images), legend_above=True, height=360)
    for number, point in enumerate(points):
        of_point = where(spectrum, point=point)
        ordered = rows(of_point, np.argsort(-numbers(of_point, "variance"), kind="stable"))
        ranks = np.arange(1, len(ordered) + 1)
        shown = numbers(ordered, "variance") > 0  # a log axis has no place for zero
        chosen = ordered["selected"].to_numpy(dtype=bool)
        for kept in (False, True):
            keep = shown & (chosen == kept)
            fig.add_trace(_neurons(rows(ordered, keep), ranks[keep], point, number, chosen=kept))
    fig.update_xaxes(title_text="rank of the neuron by variance (1 = highest)")
    fig.update_yaxes(title_text="variance (squared activation)")
    log_axes(fig, "y")
    return fig


def _neurons(
    table: pd.DataFrame, ranks: np.ndarray, point: str, number: int, *, chosen: bool
) -> go.Scatter:
    colour = PALETTE[number % len(PALETTE)]
    symbol = MARKERS[number % len(MARKERS)]
    kept = f"{short_point(point)}: {counted(len(table), 'neuron')} chosen"
    return go.Scatter(
        x=ranks,
        y=numbers(table, "variance"),
        customdata=table["channel"].to_numpy(),
        mode="markers",
        marker={
            "symbol": symbol if chosen else symbol + "-open",
            "size": 7 if chosen else 4,
            "color": colour if chosen else NEUTRAL,
            "line": {"width": 0 if chosen else 1},
        },
        name=kept if chosen else f"{short_point(point)}: others",
        legendgroup=point,
        showlegend=chosen,
        hovertemplate=f"{short_point(point)}<br>channel %{{customdata}}, rank %{{x}}<br>"
        "variance %{y:.4g}<extra></extra>",
    )


def _caption(spectrum: pd.DataFrame, points: list[str], n_images: int | None) -> str:
    n = counted(len(spectrum), "neuron")
    over = f" of {counted(n_images, 'normal image')}" if n_images else ""
    said = [f"{n} of {counted(len(points), 'hook point')}; variance over the patch tokens{over}."]
    said.append("Filled: chosen. Open: not chosen.")
    dropped = int(np.count_nonzero(numbers(spectrum, "variance") <= 0))
    if dropped:
        said.append(f"{counted(dropped, 'neuron')} of zero variance cannot be shown.")
    return " ".join(said)


def selection_figure(neurons: pd.DataFrame, *, n_channels: int) -> go.Figure:
    """Score of every selected neuron against its place in the selection.

    Parameters
    ----------
    neurons : DataFrame
        Columns ``point``, ``rank``, ``channel``, ``score`` and ``selector``, of one hook point.
    n_channels : int
        How many channels the hook point has.

    Raises
    ------
    ConfigError
        The table is empty, or of several hook points or selectors.
    """
    named = {column: list(dict.fromkeys(neurons[column])) for column in ("point", "selector")}
    if any(len(names) != 1 for names in named.values()):
        raise ConfigError("this figure shows the neurons of one hook point by one selector")
    point, selector = named["point"][0], named["selector"][0]
    fig = new_figure(
        "Selected neurons",
        f"{len(neurons)} of the {n_channels} neurons of {short_point(point)} by {plain(selector)}.",
        height=300,
        showlegend=False,
    )
    fig.add_trace(
        go.Scatter(
            x=neurons["rank"],
            y=numbers(neurons, "score"),
            customdata=neurons["channel"],
            mode="markers",
            marker={"symbol": MARKERS[0], "size": 7, "color": PALETTE[0]},
            hovertemplate="channel %{customdata}, rank %{x}<br>score %{y:.4g}<extra></extra>",
        )
    )
    unit = " (squared activation)" if selector == "variance" else ""
    fig.update_xaxes(title_text="rank of the neuron (1 = first)")
    fig.update_yaxes(title_text=f"score by {plain(selector)}{unit}", rangemode="tozero")
    return fig


_WHOLE, _WITHOUT = Look(PALETTE[0], "solid", "diamond"), Look.of(1)
NOTHING = -1
"""In the column ``left_out``: no channel."""


def channel_effect_figure(
    effects: pd.DataFrame,
    *,
    quantity: str,
    control: str,
    title: str = "Which channel makes this effect",
    most: int = 12,
) -> go.Figure:
    """An effect with all channels, and with each channel exchanged for the next in variance.

    Parameters
    ----------
    effects : DataFrame
        Columns ``left_out`` (a channel; -1 for none) and ``difference``, ``difference_low``,
        ``difference_high``, as :func:`lakeviz.studies.base.exchange.exchange_rows` gives them, of
        one metric.
    quantity : str
        What is measured, such as ``"image AUROC"``.
    control : str
        What the effect is a difference to, such as ``"random neurons"``.
    title : str
    most : int
        Channels shown: those whose exchange changes the effect most.

    Raises
    ------
    ConfigError
        If there is no row without exchange, or there are several.
    """
    whole = where(effects, left_out=NOTHING)
    if len(whole) != 1:
        raise ConfigError(
            f"the effect without exchange needs one row (left_out = {NOTHING}), got {len(whole)}"
        )
    without = rows(effects, numbers(effects, "left_out") != NOTHING)
    own = estimate(whole.iloc[0], "difference")
    moved = np.abs(numbers(without, "difference") - own.value)
    shown = rows(without, np.argsort(-moved, kind="stable")[:most])
    lines = [ForestRow("all channels", own, look=_WHOLE)]
    lines += [
        ForestRow(f"without {row['left_out']}", estimate(row, "difference"), look=_WITHOUT)
        for _, row in shown.iterrows()
    ]
    left = len(without) - len(shown)
    caption = (
        "First line: the effect. Others: the same with one channel exchanged for the next in "
        "variance, those that change it most first."
    )
    return forest_figure(
        {"": lines},
        title=title,
        caption=caption + (f" {left} more change it less." if left else ""),
        x=f"top variance − {control}, {quantity}",
    )


def outlier_figure(spectrum: pd.DataFrame, *, n_images: int | None = None) -> go.Figure:
    """Variance of every neuron by rank, with the first channel and its share named.

    Takes what :func:`spectrum_figure` does.
    """
    fig = spectrum_figure(spectrum, title="Share of the first channel", n_images=n_images)
    for point in dict.fromkeys(spectrum["point"]):
        own = where(spectrum, point=point)
        variance = numbers(own, "variance")
        if not variance.max() > 0:
            continue
        channel = int(numbers(own, "channel")[variance.argmax()])
        share = variance.max() / variance.sum()
        said = f"{short_point(point)}: channel {channel} has {100 * share:.0f} % of the variance"
        fig.update_traces(name=said, selector={"legendgroup": point, "showlegend": True})
    return fig
