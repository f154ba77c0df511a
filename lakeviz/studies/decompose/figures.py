"""A decomposition as pictures: what blocks, heads and neurons add, and random directions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.template import NEUTRAL, PALETTE, faded, new_figure, plain
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import counted

_BRANCHES = {
    "embedding": ("embedding", PALETTE[4], "square"),
    "attention": ("attention", PALETTE[0], "circle"),
    "mlp": ("MLP", PALETTE[1], "diamond"),
    "bias": ("final bias", PALETTE[2], "x"),
}
_OUT = "anomalous minus normal (cosine along the direction)"


def _only(table: pd.DataFrame) -> str:
    found = list(dict.fromkeys(table["category"]))
    if len(found) != 1:
        raise ConfigError(f"one category can be drawn at a time, not {len(found)}")
    return str(found[0])


def _images(table: pd.DataFrame) -> str:
    return counted(int(numbers(table, "n_images")[0]), "test image")


def _controls(table: pd.DataFrame, controls: str) -> str:
    n = counted(int(numbers(table, "n_random_sets")[0]), "random direction")
    return f"{n} ({controls}), each turned so that anomalous images lie higher along it"


def _clear(table: pd.DataFrame, confidence: float) -> np.ndarray:
    """Beyond both controls: shuffled labels (corrected) and the range along random directions."""
    value = numbers(table, "difference")
    low, high = numbers(table, "control_quantile_low"), numbers(table, "control_quantile_high")
    return (numbers(table, "p_corrected") < 1 - confidence) & ((value < low) | (value > high))


def _bars(table: pd.DataFrame) -> dict[str, object]:
    y = numbers(table, "difference")
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers(table, "difference_high") - y,
        "arrayminus": y - numbers(table, "difference_low"),
        "thickness": 1.4,
        "width": 3,
    }


def block_contributions_figure(
    components: pd.DataFrame, *, controls: str = "random directions", confidence: float = 0.95
) -> go.Figure:
    """Difference between anomalous and normal images of every branch, from embedding to output.

    Parameters
    ----------
    components : DataFrame
        ``DecomposeResult.components`` of one category.
    controls : str
        What the random directions are.
    confidence : float

    Raises
    ------
    ConfigError
        There is no row at the level of blocks, or there are several categories.
    """
    table = where(components, level="blocks")
    if table.empty:
        raise ConfigError("there is no component at the level of blocks")
    category = _only(table)
    percent = f"{100 * confidence:g} %"
    caption = (
        f"{_images(table)}. Marks: difference of mean contributions, which add up to that of the "
        f"score; bars: {percent} bootstrap over images. Filled: beyond shuffled labels (corrected) "
        f"and beyond the grey boxes, the {percent} range of the same branch along "
        f"{_controls(table, controls)}."
    )
    fig = new_figure(
        f"What each block adds to the score of {category}", caption, legend_above=True, height=380
    )
    names = [_short(c) for c in table["component"]]
    _add_boxes(fig, names, table)
    clear = _clear(table, confidence)
    for kind, (name, colour, marker) in _BRANCHES.items():
        own = np.flatnonzero((table["kind"] == kind).to_numpy())
        if not len(own):
            continue
        part = rows(table, own)
        fig.add_trace(
            go.Scatter(
                x=[names[i] for i in own],
                y=numbers(part, "difference"),
                error_y=_bars(part),
                mode="markers",
                name=name,
                marker={
                    "color": colour,
                    "size": 8,
                    "symbol": [marker if clear[i] else f"{marker}-open" for i in own],
                    "line": {"width": 1.6, "color": colour},
                },
                hovertemplate="%{x}<br>%{y:+.4f}<extra></extra>",
            )
        )
    fig.add_hline(y=0, line={"color": NEUTRAL, "dash": "dot", "width": 1.4})
    fig.update_xaxes(title_text="term", categoryorder="array", categoryarray=names)
    fig.update_yaxes(title_text="anomalous minus normal (cosine)")
    return fig


def _add_boxes(fig: go.Figure, names: list[str], table: pd.DataFrame) -> None:
    low, high = numbers(table, "control_quantile_low"), numbers(table, "control_quantile_high")
    fig.add_trace(
        go.Bar(
            x=names,
            y=high - low,
            base=low,
            width=0.7,
            name="random directions",
            marker={"color": faded(NEUTRAL, 0.35), "line": {"width": 0}},
            hovertemplate="random directions<br>%{x}: %{base:.4f} to %{y:.4f}<extra></extra>",
        )
    )


def _short(component: str) -> str:
    """``3 MLP`` for ``blocks.3.mlp``."""
    known = {"embedding": "embedding", "final.bias": "final bias", "pool.mlp": "pool MLP"}
    if component in known:
        return known[component]
    _, block, branch = component.split(".")
    return f"{block} {'attn' if branch == 'attn' else 'MLP'}"


def head_map_figure(
    components: pd.DataFrame, *, controls: str = "random directions", confidence: float = 0.95
) -> go.Figure:
    """Difference between anomalous and normal images of every head, layers by heads.

    Parameters
    ----------
    components, controls, confidence
        As for :func:`block_contributions_figure`.

    Raises
    ------
    ConfigError
        There is no head, or there are several categories.
    """
    table = where(components, level="heads", kind="head")
    if table.empty:
        raise ConfigError("there is no head")
    category = _only(table)
    block, head = (numbers(table, n).astype(int) for n in ("block", "head"))
    grid = np.full((block.max() + 1, head.max() + 1), np.nan)
    grid[block, head] = numbers(table, "difference")
    clear = np.zeros(grid.shape, dtype=bool)
    clear[block, head] = _clear(table, confidence)
    most = float(np.nanmax(np.abs(grid))) or 1.0
    caption = (
        f"{_images(table)}; difference of mean contributions, {_OUT}. Boxed and starred: "
        f"{int(clear.sum())} of {len(table)} heads beyond shuffled labels (corrected p below "
        f"{1 - confidence:.2g}) and beyond the range along {_controls(table, controls)}."
    )
    fig = new_figure(
        f"What each head adds to the score of {category}",
        caption,
        height=110 + 30 * len(grid),
    )
    fig.add_trace(
        go.Heatmap(
            z=grid,
            zmin=-most,
            zmax=most,
            colorscale="RdBu_r",
            text=[
                [f"{v:+.3f}{'*' if c else ''}" for v, c in zip(*line)] for line in zip(grid, clear)
            ]
            if grid.shape[1] <= 16
            else None,
            texttemplate="%{text}" if grid.shape[1] <= 16 else None,
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": "anomalous minus normal", "side": "right"}},
            hovertemplate="block %{y}, head %{x}<br>%{z:+.5f}<extra></extra>",
        )
    )
    for i, j in np.argwhere(clear):
        fig.add_shape(
            type="rect",
            **{"x0": j - 0.46, "x1": j + 0.46, "y0": i - 0.46, "y1": i + 0.46},
            line={"width": 1.8, "color": NEUTRAL},
        )
    fig.update_xaxes(title_text="head", dtick=1, ticks="", showgrid=False)
    fig.update_yaxes(title_text="block", dtick=1, autorange="reversed", ticks="", showgrid=False)
    return fig


def top_neurons_figure(
    neurons: pd.DataFrame,
    *,
    shown: int = 15,
    controls: str = "random directions",
    confidence: float = 0.95,
) -> go.Figure:
    """The neurons of the largest differences, with intervals and what they do at random.

    Parameters
    ----------
    neurons : DataFrame
        ``DecomposeResult.neurons`` of one category.
    shown : int
    controls, confidence
        As for :func:`block_contributions_figure`.

    Raises
    ------
    ConfigError
        There is no neuron, or there are several categories.
    """
    table = rows(neurons, np.arange(min(shown, len(neurons))))
    if table.empty:
        raise ConfigError("there is no neuron")
    category = _only(table)
    names = [f"block {b}, {n}" for b, n in zip(table["block"], table["neuron"], strict=True)]
    percent = f"{100 * confidence:g} %"
    caption = (
        f"{_images(table)}; the {len(table)} largest differences of "
        f"{int(numbers(table, 'n_neurons')[0]):,} neurons, picked after looking, so these are "
        f"flattered. Bars: {percent} bootstrap over images. Filled: beyond shuffled labels "
        f"(corrected over all neurons) and beyond the grey boxes, the {percent} range of the same "
        f"neuron along {_controls(table, controls)}."
    )
    fig = new_figure(
        f"Neurons that add most to the score of {category}",
        caption,
        legend_above=True,
        height=120 + 22 * len(table),
    )
    low, high = numbers(table, "control_quantile_low"), numbers(table, "control_quantile_high")
    fig.add_trace(
        go.Bar(
            y=names,
            x=high - low,
            base=low,
            orientation="h",
            width=0.7,
            name="random directions",
            marker={"color": faded(NEUTRAL, 0.35), "line": {"width": 0}},
            hoverinfo="skip",
        )
    )
    clear = _clear(table, confidence)
    fig.add_trace(
        go.Scatter(
            x=numbers(table, "difference"),
            y=names,
            error_x=_bars(table),
            mode="markers",
            name="anomaly direction",
            marker={
                "color": PALETTE[0],
                "size": 8,
                "symbol": ["circle" if c else "circle-open" for c in clear],
            },
            customdata=numbers(table, "auroc"),
            hovertemplate="%{y}<br>%{x:+.5f}, AUROC alone %{customdata:.3f}<extra></extra>",
        )
    )
    fig.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot", "width": 1.4})
    fig.update_xaxes(title_text="anomalous minus normal (cosine along the direction)")
    fig.update_yaxes(autorange="reversed", title_text=plain("neuron"))
    return fig
