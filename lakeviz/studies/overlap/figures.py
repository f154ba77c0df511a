"""Figures of the study ``overlap``: the matrix of all pairs, and pairs with their ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.plots.line_panels import Line, line_figure
from lakeviz.plots.matrix import matrix_trace
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import REFERENCE, Look, Panel, add_level
from lakeviz.plots.template import NEUTRAL, new_figure, plain
from lakeviz.tables import is_measured, numbers, rows
from lakeviz.wording import counted

_NUMBERS_UP_TO = 25
_CELL, _TREE, _NARROWEST = 22, 64, 280
# Zero (chance) is grey on both pages; blue is more than chance, orange less.
_SCALE = ((0.0, "#D55E00"), (0.5, "#d5d9de"), (0.75, "#3A9BD9"), (1.0, "#003f6b"))

Matrix = Float[np.ndarray, "item item"]


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
    tree = None
    names = list(dict.fromkeys([*map(str, pairs["a"]), *map(str, pairs["b"])]))
    if clusters is not None and leaves is not None and not clusters.empty:
        tree = _tree(clusters, leaves)
        names = [str(name) for name in leaves.sort_values("position")["name"]]
    k, n_channels = int(numbers(pairs, "k")[0]), int(numbers(pairs, "n_channels")[0])
    n = len(names)
    side = max(_NARROWEST, _CELL * n)
    shown = n <= _NUMBERS_UP_TO
    caption = (
        f"{n} {of}, {counted(k, 'neuron')} each of {n_channels:,}. Colour: share of what chance "
        "leaves open, 0 as random sets, 1 equal sets."
        + (" Numbers: shared neurons." if shown else "")
        + (" Tree: average linkage of 1 - Jaccard." if tree else "")
    )
    height = side + 130 + (_TREE if tree else 0)
    fig = new_figure(title, caption, height=height, caption_width=min(96, side // 7 + 30))
    above, counts = (_square(pairs, column, names) for column in ("above_chance", "n_shared"))
    fig.add_trace(_cells(above, counts, names, shown))
    ticks = {"tickvals": list(range(n)), "ticktext": [plain(name) for name in names], "ticks": ""}
    # Equal scales keep the cells square at every width of a page.
    square = {"showgrid": False, "constrain": "domain", **ticks}
    fig.update_xaxes(**square, range=[-0.5, n - 0.5], constraintoward="left")
    down = {"range": [n - 0.5, -0.5], "scaleanchor": "x", "constraintoward": "top", **square}
    if tree:
        share = side / (side + _TREE)
        fig.data[0].update(xaxis="x", yaxis="y2")
        fig.add_trace(tree)
        fig.update_layout(
            xaxis={"anchor": "y2"},
            yaxis={
                "title": {"text": "1 - Jaccard"},
                "rangemode": "tozero",
                "nticks": 3,
                "showgrid": False,
                "domain": [share, 1],
            },
            yaxis2={"domain": [0, share - 0.01], **down},
        )
    else:
        fig.update_yaxes(**down)
    fig.update_layout(width=side + 240, showlegend=False)
    return fig


def overlap_ceiling_figure(
    pairs: pd.DataFrame, *, title: str = "Overlap of pairs, and of a category with itself"
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
    points = kept.groupby("point" if "point" in kept else "point_a", sort=False)
    lines = []
    for number, (point, own) in enumerate(points):
        look, name = Look.of(number), short_point(str(point))
        said = [f"{plain(a)} and {plain(b)}" for a, b in zip(own["a"], own["b"])]
        x, y = numbers(own, "ceiling"), numbers(own, "jaccard")
        hover = [f"{s}<br>Jaccard {b:.3f}, ceiling {a:.3f}" for s, a, b in zip(said, x, y)]
        lines.append(Line(name, x, y, look, mode="markers", hover=hover))
        if is_measured(own, "permutation_jaccard"):
            middle = np.array([np.nanmean(numbers(own, "permutation_jaccard"))])
            said = [f"{plain(name)}: {middle[0]:.3f} explained by the common ranking"]
            cross = Look(look.colour, "solid", "cross-open")
            mean = Line(name, x.mean(keepdims=True), middle, cross, mode="markers", size=14)
            lines.append(replace(mean, in_legend=False, hover=said))
    fig = line_figure(
        {"": lines},
        title=title,
        caption=f"{counted(len(kept), 'pair')}; ceiling: mean Jaccard index of each side with "
        f"itself under {how}. Solid line: as alike as one category with itself. Dotted: random "
        f"sets ({chance:.3f}). Crosses, where there are any: what the other items' common ranking "
        "explains, on average.",
        x="overlap with itself (Jaccard index)",
        y="overlap of the pair (Jaccard index)",
        row_height=320,
        ends=(0.0, 1.0),
    )
    top = max(numbers(kept, "ceiling").max(), numbers(kept, "jaccard").max())
    end = min(1.0, float(top) * 1.05)
    diagonal = {"x0": 0, "y0": 0, "x1": end, "y1": end, "line": REFERENCE | {"dash": "solid"}}
    fig.add_shape(type="line", **diagonal)
    add_level(fig, Panel(1, 1), chance)
    lowest = float(numbers(kept, "ceiling").min())
    fig.update_xaxes(range=[max(0.0, lowest - 0.1), min(1.0, end + 0.03)])
    fig.update_yaxes(range=[0, end])
    return fig


def _square(pairs: pd.DataFrame, column: str, names: Sequence[str]) -> Matrix:
    """Symmetric matrix of a column's means; NaN on the diagonal and where there is no pair."""
    means = pairs.groupby(["a", "b"])[column].agg(["sum", "count"])
    total, count = np.zeros((2, len(names), len(names)))
    for (a, b), (value, n) in zip(means.index, means.to_numpy(dtype=float)):
        i, j = names.index(str(a)), names.index(str(b))
        for place in ((i, j), (j, i)):
            total[place] += value
            count[place] += n
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _cells(above: Matrix, shared: Matrix, names: Sequence[str], shown: bool) -> go.Heatmap:
    whole = shared[np.isfinite(shared)]
    digits = 0 if np.allclose(whole, np.round(whole)) else 1
    text = [[f"{v:.{digits}f}" if v == v else "" for v in row] for row in shared]
    labels = [[[plain(a), plain(b)] for b in names] for a in names]
    return matrix_trace(
        above,
        "above chance",
        "%{customdata[0]} and %{customdata[1]}<br>%{customdata[2]} shared, %{z:.2f} above chance",
        ends=(-1, 1),
        scale=_SCALE,
        text=text if shown else None,
        ticks={at: f"{at:g}" for at in (-1, -0.5, 0, 0.5, 1)},
        gap=1,
        textfont={"size": 10},
        customdata=np.concatenate([np.array(labels), np.array(text)[..., None]], axis=2),
        hoverongaps=False,
    )


def _tree(clusters: pd.DataFrame, leaves: pd.DataFrame) -> go.Scatter:
    """Draw each merge as a bracket; the lines are one trace, with gaps."""
    place = dict(zip(numbers(leaves, "leaf"), numbers(leaves, "position")))
    height = dict.fromkeys(place, 0.0)
    x: list[Any] = []
    y: list[Any] = []
    columns = (numbers(clusters, name) for name in ("step", "left", "right", "distance"))
    for step, a, b, distance in zip(*columns):
        x += [place[a], place[a], place[b], place[b], None]
        y += [height[a], distance, distance, height[b], None]
        place[len(leaves) + step] = (place[a] + place[b]) / 2
        height[len(leaves) + step] = distance
    line = {"color": NEUTRAL, "width": 1.4}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name="average linkage")
