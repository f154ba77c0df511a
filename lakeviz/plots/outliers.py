"""Figures of channels with massive activations: their share of the variance, and their effect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import estimate
from lakeviz.plots.forest import ForestRow, forest_figure
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import Look
from lakeviz.plots.spectrum import spectrum_figure
from lakeviz.plots.template import PALETTE
from lakeviz.tables import numbers, rows, where

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

    Parameters
    ----------
    spectrum : DataFrame
        Columns ``point``, ``channel``, ``variance`` and ``selected``.
    n_images : int, optional
        Number of normal images, for the caption.
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
