"""Distributions of image scores, normal against anomalous, with the threshold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.template import ANOMALOUS, NEUTRAL, NORMAL, faded, new_figure, plain
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import counted

_CLASSES = ((0, "normal", NORMAL, "circle"), (1, "anomalous", ANOMALOUS, "diamond"))


def f1_max_threshold(metrics: pd.DataFrame) -> float:
    """Threshold of the image F1-max in a table of metrics; NaN where it was not measured."""
    found = numbers(where(metrics, branch="lake", level="image", metric="f1_max"), "threshold")
    return float(found[0]) if found.size else math.nan


def verdict(label: int, score: float, threshold: float) -> str:
    """Say "missed" or "false alarm" of an image at a threshold; empty where it is right."""
    if not np.isfinite(threshold) or (score >= threshold) == bool(label):
        return ""
    return "missed" if label else "false alarm"


def score_figure(
    scores: pd.DataFrame,
    *,
    threshold: float | None = None,
    column: str = "score",
    title: str = "Image scores",
    n_bins: int | None = None,
) -> go.Figure:
    """Histogram of image scores per class, every image as a mark below, the threshold as a line.

    Bars are shares of the class, so that classes of different sizes can be compared; both classes
    have the same bins.

    Parameters
    ----------
    scores : DataFrame
        Columns ``sample_id``, ``label`` (0 normal, 1 anomalous), ``defect_type`` and ``column``.
    threshold : float, optional
        Usually that of F1-max.
    column : str
        Which score.
    title : str
    n_bins : int, optional
        About the square root of the number of images by default, between 8 and 40.

    Raises
    ------
    ConfigError
        There is no image.
    """
    values = numbers(scores, column)
    if not values.size:
        raise ConfigError("a distribution needs at least one image")
    labels = scores["label"].to_numpy()
    n_bins = n_bins or int(np.clip(np.sqrt(values.size) * 1.5, 8, 40))
    edges = np.histogram_bin_edges(values, bins=n_bins)
    fig = new_figure(
        title,
        _caption(labels, threshold),
        legend_above=True,
        height=360,
        barmode="overlay",
        bargap=0,
    )
    for row, (label, name, colour, symbol) in enumerate(_CLASSES):
        of_class = rows(scores, labels == label)
        if of_class.empty:
            continue
        counts, _ = np.histogram(of_class[column], bins=edges)
        fig.add_trace(_bars(counts, edges, name, colour, row))
        fig.add_trace(_marks(of_class, column, name, colour, symbol, row))
    if threshold is not None and np.isfinite(threshold):
        fig.add_shape(
            type="line",
            x0=threshold,
            x1=threshold,
            y0=0,
            y1=1,
            yref="paper",
            line={"dash": "dash", "width": 1.6, "color": NEUTRAL},
            name=f"F1-max threshold {threshold:.4g}",
            showlegend=True,
        )
    fig.update_xaxes(title_text="image score")
    fig.update_layout(
        yaxis={
            "domain": [0.2, 1],
            "title": {"text": "share of the class (%)"},
            "rangemode": "tozero",
        },
        yaxis2={"domain": [0, 0.14], "range": [1.6, -0.6], "visible": False, "fixedrange": True},
        xaxis={"anchor": "y2"},
    )
    return fig


def _bars(counts: np.ndarray, edges: np.ndarray, name: str, colour: str, row: int) -> go.Bar:
    total = int(counts.sum())
    return go.Bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=100 * counts / total,
        width=np.diff(edges),
        customdata=np.stack([edges[:-1], edges[1:], counts], axis=1),
        marker={
            "color": faded(colour, 0.42),
            "line": {"color": colour, "width": 1.2},
            # Hatching distinguishes the classes without their colour.
            "pattern": {"shape": "/" if row else "", "fgcolor": colour, "size": 6},
        },
        name=f"{name} (n = {total:,})",
        legendgroup=name,
        hovertemplate=f"{name}: %{{customdata[2]}} of {total} images<br>"
        "score %{customdata[0]:.4g} to %{customdata[1]:.4g}<extra></extra>",
    )


def _marks(
    rows: pd.DataFrame, column: str, name: str, colour: str, symbol: str, row: int
) -> go.Scatter:
    said = [
        f"{plain(sample)}<br>{plain(kind)}"
        for sample, kind in zip(rows["sample_id"], rows["defect_type"], strict=True)
    ]
    return go.Scatter(
        x=rows[column].to_numpy(),
        y=np.full(len(rows), row),
        yaxis="y2",
        mode="markers",
        marker={"symbol": symbol, "size": 7, "color": faded(colour, 0.55)},
        text=said,
        name=name,
        legendgroup=name,
        showlegend=False,
        hovertemplate="%{text}<br>score %{x:.4g}<extra></extra>",
    )


def _caption(labels: np.ndarray, threshold: float | None) -> str:
    normal, anomalous = int((labels == 0).sum()), int((labels == 1).sum())
    said = [
        f"{counted(normal, 'normal image')}, {counted(anomalous, 'anomalous image')};"
        " one mark per image below the bars."
    ]
    if threshold is not None and np.isfinite(threshold):
        said.append(
            "The threshold is chosen on these same images, so F1-max is an upper bound of what "
            "a threshold fixed beforehand reaches."
        )
    if not normal or not anomalous:
        said.append(f"There is no {'normal' if not normal else 'anomalous'} image.")
    return " ".join(said)
