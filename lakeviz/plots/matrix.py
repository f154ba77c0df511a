"""Neurons in a matrix: their variance rank in every category, their activation in every patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int

from lakeviz.errors import ConfigError
from lakeviz.plots.forest import name_lines
from lakeviz.plots.template import NEUTRAL, new_figure, plain
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import counted

_SCALE = "Cividis"
"""Of steadily rising brightness: read in grey and with every colour blindness."""

_NARROWEST, _WIDEST = 2, 6
_MOST_NAMES = 40


def matrix_trace(
    z: Float[np.ndarray, "row column"],
    title: str,
    hover: str,
    *,
    ends: tuple[float, float] | None = None,
    scale: Any = _SCALE,
    text: Sequence[Sequence[str]] | None = None,
    ticks: Mapping[float, str] | None = None,
    gap: int = 0,
    **heatmap: Any,
) -> go.Heatmap:
    """Cells of a matrix with their colour bar.

    Parameters
    ----------
    z : float array [row, column]
    title : str
        Of the colour bar.
    hover : str
        Template of what a cell says, such as ``"block %{y}: %{z:.3f}"``.
    ends : pair of floats, optional
        Values at the ends of the colour scale.
    scale
        A colour scale of plotly.
    text : per cell, str, optional
        Written into the cells.
    ticks : mapping of value to label, optional
        Of the colour bar.
    gap : int
        Between cells, in pixels.
    **heatmap
        Further attributes of the trace, such as ``x``, ``y`` and ``customdata``.
    """
    low, high = ends or (None, None)
    bar: dict[str, Any] = {"title": {"text": title, "side": "right"}, "thickness": 12}
    if ticks is not None:
        bar |= {"tickvals": list(ticks), "ticktext": list(ticks.values())}
    return go.Heatmap(
        z=z,
        zmin=low,
        zmax=high,
        colorscale=scale,
        text=text,
        texttemplate=None if text is None else "%{text}",
        hovertemplate=f"{hover}<extra></extra>",
        colorbar=bar,
        xgap=gap,
        ygap=gap,
        **heatmap,
    )


def neuron_category_figure(
    spectrum: pd.DataFrame, *, point: str | None = None, title: str | None = None
) -> go.Figure:
    """Variance rank of neurons in every category; those that are selected have a dot.

    Columns are the neurons that any category selects, at most the 40 that most select. Both orders
    are those of average linkage: categories by the neurons they share (1 - Jaccard), neurons by
    their ranks.

    Parameters
    ----------
    spectrum : DataFrame
        Tables of several categories, one below the other: category, point, channel, variance,
        selected.
    point : str, optional
        Hook point; the first by default.
    title : str, optional

    Raises
    ------
    ConfigError
        No category selects neurons at the point.
    """
    point = point or (str(spectrum["point"].iloc[0]) if len(spectrum) else "")
    table = where(spectrum, point=point)
    names = [str(name) for name in dict.fromkeys(table["category"])]
    if table.empty or not table["selected"].to_numpy(dtype=bool).any():
        raise ConfigError(f"no category selects neurons at {point!r}")
    ranks, selected = _ranks(table, names)
    columns = np.flatnonzero(selected.any(axis=0))
    n_any = len(columns)
    if n_any > _MOST_NAMES:
        often = np.argsort(-selected[:, columns].sum(axis=0), kind="stable")[:_MOST_NAMES]
        columns = columns[np.sort(often)]
    ranks, selected = ranks[:, columns], selected[:, columns]
    down = _order(selected, "jaccard")
    across = _order(np.log(ranks).T, "euclidean")
    ranks, selected = ranks[np.ix_(down, across)], selected[np.ix_(down, across)]
    names, channels = [names[i] for i in down], columns[across]
    every = int(selected.all(axis=0).sum())
    caption = (
        f"{counted(len(names), 'category', 'categories')}, {counted(n_any, 'neuron')} that "
        f"any of them selects, of {table['channel'].nunique():,} at {point}"
        f"{f'; the {len(channels)} that most of them select' if len(channels) < n_any else ''}. "
        "Colour: rank by variance on the normal images (1 = highest). Dots: selected; "
        f"{every} by all of them. "
        "Categories in the order of average linkage of 1 - Jaccard, neurons in that of their ranks."
    )
    fig = new_figure(
        title or "Variance rank of neurons by category", caption, height=110 + 20 * len(names)
    )
    n = len(set(table["channel"]))
    place = np.broadcast_to(channels, ranks.shape), ranks
    said = np.broadcast_to(np.array([plain(name) for name in names])[:, None], ranks.shape)
    rank = matrix_trace(
        np.log10(ranks),
        "variance rank",
        "%{customdata[2]}, channel %{customdata[0]}<br>rank %{customdata[1]:.0f}",
        ends=(0, float(np.log10(n))),
        ticks={float(np.log10(t)): str(t) for t in (1, 3, 10, 30, 100, 300, 1000) if t <= n},
        customdata=np.stack([*place, said.astype(object)], axis=-1),
        name="rank",
    )
    fig.add_trace(rank)
    y, x = np.nonzero(selected)
    fig.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            marker={
                "symbol": "circle",
                "size": 6,
                "color": "#ffffff",
                "line": {"color": "#000000", "width": 0.8},
            },
            hoverinfo="skip",
            name="selected",
        )
    )
    labels = [str(channel) for channel in channels]
    fig.update_xaxes(
        title_text="neuron (channel), clustered",
        tickvals=list(range(len(labels))),
        ticktext=labels,
        ticks="",
        tickangle=-90,
        range=[-0.5, len(channels) - 0.5],
        showgrid=False,
    )
    name_lines(fig, names)
    fig.update_yaxes(showgrid=False)
    fig.update_layout(showlegend=False)
    return fig


def neuron_patch_figure(
    activations: pd.DataFrame,
    *,
    point: str | None = None,
    defect: np.ndarray | None = None,
    limit: int = 40,
    title: str = "Activation of the selected neurons in every patch",
) -> go.Figure:
    """Neurons of one image in rows, by rank; its patches in columns, in reading order.

    Parameters
    ----------
    activations : DataFrame
        Of one image: point, rank, channel, row, column, z (standard deviations of the normal
        patches); see :func:`lakeviz.explorer.one_image.patch_activations`.
    point : str, optional
        Hook point; the first by default.
    defect : bool array [row, column], optional
        Patches that the mask touches, marked above the matrix.
    limit : int
        Neurons drawn at most, of highest variance first.
    title : str

    Raises
    ------
    ConfigError
        There is no neuron at the point, or the mask is on another grid.
    """
    point = point or (str(activations["point"].iloc[0]) if len(activations) else "")
    table = where(activations, point=point)
    if table.empty:
        raise ConfigError(f"there is no activation at {point!r}")
    n_all = len(set(table["channel"]))
    table = rows(table, numbers(table, "rank") <= limit)
    grid = tuple(int(numbers(table, c).max()) + 1 for c in ("row", "column"))
    if defect is not None and defect.shape != grid:
        raise ConfigError(f"the mask is on {defect.shape} patches, the activations on {grid}")
    patch = (numbers(table, "row") * grid[1] + numbers(table, "column")).astype(int)
    rank = numbers(table, "rank").astype(int)
    z = np.full((rank.max(), grid[0] * grid[1]), np.nan)
    z[rank - 1, patch] = numbers(table, "z")
    channels = np.zeros(rank.max(), dtype=int)
    channels[rank - 1] = numbers(table, "channel").astype(int)
    # A few patches far out must not grey all others.
    far = np.ceil(np.nanquantile(np.abs(z), 0.995)) if np.isfinite(z).any() else _NARROWEST
    limit_z = int(np.clip(far, _NARROWEST, _WIDEST))
    shown = f"{counted(n_all, 'selected neuron')} at {point}"
    caption = (
        f"{shown}{f', the {len(z)} of highest variance shown' if len(z) < n_all else ''}; one "
        f"image of {grid[0]} x {grid[1]} patches, row by row from the top. Colour: activation in "
        "standard deviations from the mean of the normal patches, bright above it and dark below, "
        f"cut at {limit_z}."
    )
    if defect is not None:
        n_defect = counted(int(defect.sum()), "patch", "patches")
        caption += f" Triangles above: the {n_defect} that the mask touches."
    fig = new_figure(title, caption, height=110 + 11 * len(z))
    at = np.arange(z.shape[1])
    place = (channels[:, None], at // grid[1], at % grid[1])
    activation = matrix_trace(
        z,
        "activation (sd)",
        "channel %{customdata[0]}<br>row %{customdata[1]}, column %{customdata[2]}<br>%{z:+.2f} sd",
        ends=(-limit_z, limit_z),
        customdata=np.stack([np.broadcast_to(one, z.shape) for one in place], axis=-1),
        name="activation",
    )
    fig.add_trace(activation)
    if defect is not None:
        at = np.flatnonzero(defect.ravel())
        mark = {"symbol": "triangle-down", "size": 7, "color": NEUTRAL}
        fig.add_trace(
            go.Scatter(
                x=at,
                y=np.full(len(at), -1.2),
                mode="markers",
                marker=mark,
                name="mask",
                hoverinfo="skip",
                cliponaxis=False,
            )
        )
    starts = list(range(0, z.shape[1], grid[1]))
    fig.update_xaxes(
        title_text="patch, in reading order (labels: its row starts)",
        tickvals=starts,
        ticktext=[str(start) for start in starts],
        showgrid=False,
    )
    step = 1 if len(z) <= 15 else 5
    fig.update_yaxes(
        title_text="neuron, by rank of variance",
        tickvals=list(range(0, len(z), step)),
        ticktext=[str(i + 1) for i in range(0, len(z), step)],
        range=[len(z) - 0.5, -2.0 if defect is not None else -0.5],
        showgrid=False,
    )
    fig.update_layout(showlegend=False)
    return fig


def _ranks(
    table: pd.DataFrame, names: list[str]
) -> tuple[Float[np.ndarray, "category channel"], np.ndarray]:
    n = int(numbers(table, "channel").max()) + 1
    ranks, selected = np.full((len(names), n), float(n)), np.zeros((len(names), n), dtype=bool)
    for row, name in enumerate(names):
        own = where(table, category=name)
        channel = numbers(own, "channel").astype(int)
        ranks[row, channel] = own["variance"].rank(ascending=False, method="min").to_numpy()
        selected[row, channel] = own["selected"].to_numpy(dtype=bool)
    return ranks, selected


def _order(values: np.ndarray, metric: str) -> Int[np.ndarray, " item"]:
    """Order of the leaves of average linkage."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(values) < 3:
        return np.arange(len(values))
    tree = linkage(values, "average", metric=metric, optimal_ordering=len(values) <= 200)
    return leaves_list(tree)
