"""Overlap of selections as pictures: the matrix of all pairs, and pairs beside their ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.plots.template import MARKERS, NEUTRAL, PALETTE, counted, new_figure, plain
from lakeviz.tables import numbers, rows

_NUMBERS_UP_TO = 25
_CELL, _TREE, _NARROWEST = 22, 64, 280
# Zero (chance) is grey on both pages; blue is more than chance, orange less.
_SCALE = ((0.0, "#D55E00"), (0.5, "#d5d9de"), (0.75, "#3A9BD9"), (1.0, "#003f6b"))


def overlap_matrix_figure(
    pairs: pd.DataFrame,
    clusters: pd.DataFrame | None = None,
    leaves: pd.DataFrame | None = None,
    *,
    title: str = "Overlap of selected neurons",
    of: str = "categories",
) -> go.Figure:
    """Matrix of all pairs in the order of the clustering, chance subtracted, with its tree.

    Pairs that occur several times (other seeds, other categories) are averaged. Cells hold the
    number of shared neurons where there are few enough of them.

    Parameters
    ----------
    pairs : DataFrame
        ``OverlapResult.pairs``, of one hook point.
    clusters, leaves : DataFrame, optional
        Of the same group; without them there is no tree and the order is that of the table.
    title : str
    of : str
        What is compared, for the caption.

    Raises
    ------
    ConfigError
        There is no pair.
    """
    if pairs.empty:
        raise ConfigError("an overlap matrix needs at least one pair")
    tree = clusters is not None and leaves is not None and not clusters.empty
    names = _names(pairs)
    if tree:
        assert leaves is not None
        places = np.argsort(numbers(leaves, "position"))
        names = [str(n) for n in leaves["name"].to_numpy()[places]]
    above, shared = _square(pairs, "above_chance", names), _square(pairs, "n_shared", names)
    k, n_channels = int(numbers(pairs, "k")[0]), int(numbers(pairs, "n_channels")[0])
    n = len(names)
    side = max(_NARROWEST, _CELL * n)
    shown = n <= _NUMBERS_UP_TO
    caption = (
        f"{n} {of}, {counted(k, 'neuron')} each of {n_channels:,}. Colour: "
        "share of what chance leaves open, 0 as random sets, 1 equal sets."
        + (" Numbers: shared neurons." if shown else "")
        + (" Tree: average linkage of 1 - Jaccard." if tree else "")
    )
    height = side + 130 + (_TREE if tree else 0)
    fig = new_figure(title, caption, height=height, caption_width=min(96, side // 7 + 30))
    fig.add_trace(_cells(above, shared, names, shown=shown))
    ticks = {"tickvals": list(range(n)), "ticktext": [plain(s) for s in names], "ticks": ""}
    # Equal scales keep the cells square at every width of a page.
    square = {"showgrid": False, "constrain": "domain", **ticks}
    fig.update_xaxes(**square, tickangle=-45, range=[-0.5, n - 0.5], constraintoward="left")
    cells = {"range": [n - 0.5, -0.5], "scaleanchor": "x", "constraintoward": "top", **square}
    if tree:
        assert clusters is not None
        assert leaves is not None
        fig.data[0].update(xaxis="x", yaxis="y2")
        fig.add_trace(_tree(clusters, leaves))
        share = side / (side + _TREE)
        fig.update_layout(xaxis={"anchor": "y2"}, yaxis2={"domain": [0, share - 0.01], **cells})
        fig.update_yaxes(
            title_text="1 - Jaccard",
            rangemode="tozero",
            nticks=3,
            showgrid=False,
            domain=[share, 1],
            selector={"domain": None},
        )
    else:
        fig.update_yaxes(**cells)
    fig.update_layout(width=side + 240, showlegend=False)
    return fig


def overlap_ceiling_figure(
    pairs: pd.DataFrame, *, title: str = "Overlap beside that of a category with itself"
) -> go.Figure:
    """Jaccard index of every pair against the mean overlap of its two sides with themselves.

    On the diagonal a pair agrees as well as another draw of normal images of one side would.

    Raises
    ------
    ConfigError
        No pair has a ceiling.
    """
    kept = rows(pairs, np.isfinite(numbers(pairs, "ceiling")))
    if kept.empty:
        raise ConfigError("no pair has a ceiling: one normal image cannot be resampled")
    kinds = {"redraw": "other draws of images", "bootstrap_pair": "resampled images"}
    how = " or ".join(kinds[kind] for kind in kinds if kind in set(kept["ceiling_kind"]))
    chance = float(numbers(kept, "expected_jaccard")[0])
    caption = (
        f"{counted(len(kept), 'pair')}; ceiling: mean Jaccard index of each side with itself "
        f"under {how}. Solid line: as alike as one category with itself. Dotted: random sets "
        f"({chance:.3f}). Crosses, where there are any: what the other items' common ranking "
        "explains, on average."
    )
    fig = new_figure(title, caption, legend_above=True, height=380)
    name = "point" if "point" in kept else "point_a"
    for number, (point, of_point) in enumerate(kept.groupby(name, sort=False)):
        fig.add_trace(_dots(of_point, str(point), number))
        explained = numbers(of_point, "permutation_jaccard")
        if np.isfinite(explained).any():
            fig.add_trace(_explained(of_point, str(point), number))
    top = float(max(numbers(kept, "ceiling").max(), numbers(kept, "jaccard").max()))
    end = min(1.0, top * 1.05)
    line = {"color": NEUTRAL, "width": 1.4}
    fig.add_shape(type="line", x0=0, y0=0, x1=end, y1=end, line=line)
    fig.add_hline(y=chance, line={**line, "dash": "dot"})
    lowest = float(numbers(kept, "ceiling").min())
    fig.update_xaxes(title_text="overlap with itself (Jaccard index)")
    fig.update_xaxes(range=[max(0.0, lowest - 0.1), min(1.02, end + 0.03)])
    fig.update_yaxes(title_text="overlap of the pair (Jaccard index)", range=[0, end])
    return fig


def _names(pairs: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys([*map(str, pairs["a"]), *map(str, pairs["b"])]))


def _square(
    pairs: pd.DataFrame, column: str, names: Sequence[str]
) -> Float[np.ndarray, "item item"]:
    """Symmetric matrix of a column; NaN on the diagonal and where there is no pair."""
    place = {name: i for i, name in enumerate(names)}
    total, count = np.zeros((2, len(names), len(names)))
    for a, b, value in zip(pairs["a"], pairs["b"], numbers(pairs, column)):
        for i, j in ((place[str(a)], place[str(b)]), (place[str(b)], place[str(a)])):
            total[i, j] += value
            count[i, j] += 1
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _cells(
    above: Float[np.ndarray, "item item"],
    shared: Float[np.ndarray, "item item"],
    names: Sequence[str],
    *,
    shown: bool,
) -> go.Heatmap:
    whole = np.isfinite(shared)
    digits = 0 if np.allclose(shared[whole], np.round(shared[whole])) else 1
    text = [[f"{v:.{digits}f}" if v == v else "" for v in row] for row in shared]
    escaped = [plain(name) for name in names]
    labels = np.array([[[a, b] for b in escaped] for a in escaped])
    return go.Heatmap(
        z=above,
        text=text if shown else None,
        texttemplate="%{text}" if shown else None,
        textfont={"size": 10},
        customdata=np.concatenate([labels, np.array(text)[..., None]], axis=2),
        zmin=-1,
        zmax=1,
        colorscale=_SCALE,
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate="%{customdata[0]} and %{customdata[1]}<br>%{customdata[2]} shared, "
        "%{z:.2f} above chance<extra></extra>",
        colorbar={
            "title": {"text": "above chance", "side": "right"},
            "thickness": 12,
            "len": 0.6,
            "tickvals": [-1, -0.5, 0, 0.5, 1],
        },
        name="overlap",
    )


def _tree(clusters: pd.DataFrame, leaves: pd.DataFrame) -> go.Scatter:
    """Draw each merge as a bracket; the lines are one trace, with gaps."""
    place: dict[int, float] = dict(
        zip(numbers(leaves, "leaf").astype(int).tolist(), numbers(leaves, "position").tolist())
    )
    height: dict[int, float] = dict.fromkeys(place, 0.0)
    n = len(place)
    x: list[Any] = []
    y: list[Any] = []
    for step, left, right, distance in zip(
        *(numbers(clusters, c) for c in ("step", "left", "right", "distance"))
    ):
        a, b = int(left), int(right)
        x += [place[a], place[a], place[b], place[b], None]
        y += [height[a], distance, distance, height[b], None]
        new = n + int(step)
        place[new], height[new] = (place[a] + place[b]) / 2, float(distance)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": NEUTRAL, "width": 1.4},
        hoverinfo="skip",
        name="average linkage",
    )


def _dots(pairs: pd.DataFrame, point: str, number: int) -> go.Scatter:
    return go.Scatter(
        x=numbers(pairs, "ceiling"),
        y=numbers(pairs, "jaccard"),
        mode="markers",
        marker={
            "symbol": MARKERS[number % len(MARKERS)],
            "size": 7,
            "color": PALETTE[number % len(PALETTE)],
            "opacity": 0.65,
        },
        text=[f"{plain(a)} and {plain(b)}" for a, b in zip(pairs["a"], pairs["b"])],
        hovertemplate="%{text}<br>Jaccard %{y:.3f}, ceiling %{x:.3f}<extra></extra>",
        name=plain(point),
    )


def _explained(pairs: pd.DataFrame, point: str, number: int) -> go.Scatter:
    return go.Scatter(
        x=[numbers(pairs, "ceiling").mean()],
        y=[np.nanmean(numbers(pairs, "permutation_jaccard"))],
        mode="markers",
        marker={
            "symbol": "cross-thin",
            "size": 15,
            "line": {"width": 3, "color": PALETTE[number % len(PALETTE)]},
        },
        hovertemplate=f"{plain(point)}: %{{y:.3f}} explained by the common ranking<extra></extra>",
        name=f"{plain(point)}: explained",
        showlegend=False,
    )
