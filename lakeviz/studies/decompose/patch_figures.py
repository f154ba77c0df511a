"""Source patches of a decomposition: which of them push an image towards "anomalous"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.panels import name_panel, panels, room_for_names
from lakeviz.plots.template import new_figure
from lakeviz.tables import numbers, where
from lakeviz.wording import counted

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
