"""A decomposition as pictures: blocks, heads, neurons and source patches, and random directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate, estimate
from lakeviz.plots.captions import only, tested
from lakeviz.plots.forest import OWN, ForestRow, forest_figure
from lakeviz.plots.matrix import matrix_trace
from lakeviz.plots.panels import Look, error_bars, name_panel, panels, room_for_names
from lakeviz.plots.template import NEUTRAL, PALETTE, faded, new_figure
from lakeviz.tables import numbers, records, rows, where
from lakeviz.wording import counted, percent

_BRANCHES = {
    "embedding": ("embedding", PALETTE[4], "square"),
    "attention": ("attention", PALETTE[0], "circle"),
    "mlp": ("MLP", PALETTE[1], "diamond"),
    "bias": ("final bias", PALETTE[2], "x"),
}
_OUT = "anomalous minus normal (cosine along the direction)"
_NUMBERS_UP_TO = 16  # heads that have room for their number


def _controls(table: pd.DataFrame, controls: str) -> str:
    n = counted(int(numbers(table, "n_random_sets")[0]), "random direction")
    return f"{n} ({controls}), each turned so that anomalous images lie higher along it"


def _ends(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences, with the ends of their intervals."""
    value, low, high = (numbers(table, f"difference{end}") for end in ("", "_low", "_high"))
    return value, low, high


def _along_random(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Range of the same component along random directions."""
    low, high = (numbers(table, f"control_quantile_{end}") for end in ("low", "high"))
    return low, high


def _clear(table: pd.DataFrame, confidence: float) -> np.ndarray:
    """Beyond both controls: shuffled labels (corrected) and the range along random directions."""
    value, (low, high) = numbers(table, "difference"), _along_random(table)
    return (numbers(table, "p_corrected") < 1 - confidence) & ((value < low) | (value > high))


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
    (category,), share = only(table, "category"), percent(confidence)
    caption = (
        f"{tested(table)}. Marks: difference of mean contributions, which add up to that of the "
        f"score; bars: {share} bootstrap over images. Filled: beyond shuffled labels (corrected) "
        f"and beyond the grey boxes, the {share} range of the same branch along "
        f"{_controls(table, controls)}."
    )
    fig = new_figure(
        f"What each block adds to the score of {category}", caption, legend_above=True, height=380
    )
    names = [_short(c) for c in table["component"]]
    low, high = _along_random(table)
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
    clear = _clear(table, confidence)
    for kind, (name, colour, marker) in _BRANCHES.items():
        own = np.flatnonzero((table["kind"] == kind).to_numpy())
        if not len(own):
            continue
        part = rows(table, own)
        fig.add_trace(
            go.Scatter(
                x=[names[i] for i in own],
                y=_ends(part)[0],
                error_y=error_bars(*_ends(part)),
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
    (category,) = only(table, "category")
    block, head = (numbers(table, n).astype(int) for n in ("block", "head"))
    grid = np.full((block.max() + 1, head.max() + 1), np.nan)
    grid[block, head] = numbers(table, "difference")
    clear = np.zeros(grid.shape, dtype=bool)
    clear[block, head] = _clear(table, confidence)
    most = float(np.nanmax(np.abs(grid))) or 1.0
    caption = (
        f"{tested(table)}; difference of mean contributions, {_OUT}. Boxed and starred: "
        f"{int(clear.sum())} of {len(table)} heads beyond shuffled labels (corrected p below "
        f"{1 - confidence:.2g}) and beyond the range along {_controls(table, controls)}."
    )
    fig = new_figure(
        f"What each head adds to the score of {category}", caption, height=110 + 30 * len(grid)
    )
    few = grid.shape[1] <= _NUMBERS_UP_TO
    said = [[f"{v:+.3f}{'*' if c else ''}" for v, c in zip(*line)] for line in zip(grid, clear)]
    fig.add_trace(
        matrix_trace(
            grid,
            "anomalous minus normal",
            "block %{y}, head %{x}<br>%{z:+.5f}",
            ends=(-most, most),
            scale="RdBu_r",
            text=said if few else None,
            gap=2,
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
    (category,), share = only(table, "category"), percent(confidence)
    caption = (
        f"{tested(table)}; the {len(table)} largest differences of "
        f"{int(numbers(table, 'n_neurons')[0]):,} neurons, picked after looking, so these are "
        f"flattered. Bars: {share} bootstrap over images. Filled: beyond shuffled labels "
        f"(corrected over all neurons) and beyond the grey bars, the {share} range of the same "
        f"neuron along {_controls(table, controls)}."
    )
    lines = [
        ForestRow(
            f"block {row['block']}, {row['neuron']}",
            found := estimate(row, "difference"),
            Estimate(np.nan, row["control_quantile_low"], row["control_quantile_high"]),
            look=Look(OWN.colour, OWN.dash, OWN.marker if clear else f"{OWN.marker}-open"),
            hover=f"{found.text(5, signed=True)}, AUROC alone {row['auroc']:.3f}",
        )
        for row, clear in zip(records(table), _clear(table, confidence), strict=True)
    ]
    return forest_figure(
        {"": lines},
        title=f"Neurons that add most to the score of {category}",
        caption=caption,
        x=_OUT,
        line_height=22,
    )


_QUANTILE = 0.995


def source_patches_figure(
    patches: pd.DataFrame, *, images: Sequence[str] | None = None, columns: int = 4
) -> go.Figure:
    """Contribution of every source patch, a map per image, on one colour scale.

    Parameters
    ----------
    patches : DataFrame
        ``DecomposeResult.patches`` of one category.
    images : sequence of str, optional
        Names of images; by default half normal and half anomalous ones, evenly spaced in the order
        of the table and so not chosen by what they show.
    columns : int
        Maps in a line.

    Raises
    ------
    ConfigError
        There is no patch, no such image, or there are several categories.
    """
    if len(set(patches["category"])) != 1:
        raise ConfigError("maps of source patches are of one category with images")
    labels = dict(zip(patches["image"], patches["label"], strict=True))
    counts = [sum(bool(label) == of for label in labels.values()) for of in (False, True)]
    if images is None and all(counts):  # a line of each
        columns = min(columns, *counts)
    shown = list(images) if images is not None else _spread(labels, columns)
    missing = [name for name in shown if name not in labels]
    if missing or not shown:
        raise ConfigError(f"there is no image {missing[0] if missing else 'named'} among them")
    normal = numbers(where(patches, label=0), "contribution")
    used = normal if len(normal) else numbers(patches, "contribution")
    middle = float(np.median(used))
    reach = float(np.quantile(np.abs(used - middle), _QUANTILE)) or 1e-12
    n_normal = sum(label == 0 for label in labels.values())
    caption = (
        "Contribution of each source patch (its embedding, and its values through all heads) to "
        f"the score. White: the median over patches of {counted(n_normal, 'normal image')}; full "
        "colour: beyond 199 in 200 of these. The remainder of the score comes from class token, "
        "neurons and biases."
    )
    lines = -(-len(shown) // columns)
    category = str(patches["category"].iloc[0])
    fig = new_figure(
        f"Source patches that push towards anomalous: {category}", caption, height=30 + 185 * lines
    )
    room_for_names(fig)
    places = panels(fig, len(shown), columns=columns, gap=0.04)
    for number, (name, panel) in enumerate(zip(shown, places, strict=True)):
        own = where(patches, image=name)
        row, column = (numbers(own, n).astype(int) for n in ("row", "column"))
        grid = np.full((row.max() + 1, column.max() + 1), np.nan)
        grid[row, column] = numbers(own, "contribution")
        trace = go.Heatmap(
            z=grid,
            coloraxis="coloraxis",
            hovertemplate="row %{y}, column %{x}<br>%{z:+.5f}<extra></extra>",
        )
        fig.add_trace(trace, row=panel.row, col=panel.column)
        word = "anomalous" if labels[name] else "normal"
        name_panel(fig, number, f"{word}: {_tail(name)}")
        axis = "" if number == 0 else str(number + 1)
        fig.update_yaxes(
            autorange="reversed", scaleanchor=f"x{axis}", row=panel.row, col=panel.column
        )
    fig.update_xaxes(visible=False, constrain="domain")
    fig.update_yaxes(visible=False, constrain="domain")
    fig.update_layout(
        coloraxis={
            "colorscale": "RdBu_r",
            "cmin": middle - reach,
            "cmax": middle + reach,
            "colorbar": {"title": {"text": "contribution (cosine)", "side": "right"}},
        }
    )
    return fig


def _spread(labels: dict[str, int], columns: int) -> list[str]:
    """A line of normal and a line of anomalous images."""
    found = []
    for of in (0, 1):
        names = [name for name, label in labels.items() if bool(label) == bool(of)]
        at = np.linspace(0, len(names) - 1, min(columns, len(names)))
        found += [names[int(i)] for i in at]
    return found


def _tail(name: str) -> str:
    """The last two parts of a path: the defect and the file."""
    return "/".join(name.split("/")[-2:])
