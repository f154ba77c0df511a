"""What single neurons do: their activation on normal and defect patches, and what drives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import UInt8
from PIL import Image

from lakeviz.errors import ConfigError
from lakeviz.plots.heatmap import data_uri
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import panels
from lakeviz.plots.template import ANOMALOUS, NEUTRAL, NORMAL, faded, new_figure, plain
from lakeviz.tables import numbers, where

_CLASSES = {
    "normal": (NORMAL, "solid", "normal patches"),
    "defect": (ANOMALOUS, "dash", "defect patches"),
    "anomalous image": (ANOMALOUS, "dash", "patches of anomalous images"),
}
_CELL = 74  # pixels on the page for one picture
_LABEL_COLOURS = {"defect": ANOMALOUS, "anomalous image": ANOMALOUS, "normal": NORMAL}

Picture = UInt8[np.ndarray, "height width 3"]


def activation_figure(
    histograms: pd.DataFrame,
    neurons: pd.DataFrame,
    *,
    chosen: Sequence[tuple[str, int]] | None = None,
    title: str = "Activation of single neurons",
) -> go.Figure:
    """Density of the activation over normal and over defect patches, in a panel per neuron.

    Parameters
    ----------
    histograms, neurons : DataFrame
        Tables of a ``NeuronsResult`` of one category.
    chosen : sequence of (point, channel), optional
        Which neurons; the first six of ``neurons`` by default.
    title : str

    Raises
    ------
    ConfigError
        None of them has a histogram.
    """
    if chosen is None:
        chosen = list(zip(neurons["point"], neurons["channel"], strict=True))[:6]
    shown = [own for own in chosen if len(where(histograms, point=own[0], channel=own[1]))]
    if not shown:
        raise ConfigError("none of the neurons named has a histogram")
    first = where(histograms, point=shown[0][0], channel=shown[0][1])
    sizes = {
        label: int(numbers(where(first, label=label), "count").sum())
        for label in dict.fromkeys(first["label"])
    }
    said = " and ".join(f"{n:,} {_CLASSES[label][2]}" for label, n in sizes.items())
    caption = (
        f"Densities over {said} of the test images, in the same bins; the outermost bins also "
        "count what lies beyond them. d: Cohen's d over all these patches; matched: the same "
        "against normal patches at the positions where defects lie."
    )
    columns = 2 if len(shown) in (2, 4) else min(3, len(shown))
    fig = new_figure(title, caption, legend_above=True, height=60 + 250 * -(-len(shown) // columns))
    places = panels(fig, len(shown), columns=columns)
    for number, ((point, channel), panel) in enumerate(zip(shown, places, strict=True)):
        own = where(histograms, point=point, channel=channel)
        for label in dict.fromkeys(own["label"]):
            trace = density_trace(where(own, label=label), label, shown=number == 0)
            fig.add_trace(trace, row=panel.row, col=panel.column)
        row = where(neurons, point=point, channel=channel)
        said = f"{short_point(point)}, channel {channel}{_effect(row)}"
        fig.update_xaxes(title_text=said, row=panel.row, col=panel.column)
        if panel.column == 1:
            fig.update_yaxes(title_text="density", row=panel.row, col=1)
    fig.update_yaxes(rangemode="tozero")
    return fig


def driving_patches_figure(
    pictures: Sequence[Sequence[Picture]],
    labels: Sequence[Sequence[str]],
    names: Sequence[str],
    *,
    title: str = "Patches that drive single neurons most",
    caption: str = "",
) -> go.Figure:
    """A row of pictures per neuron, largest deviation first; the patch is the outlined middle.

    Parameters
    ----------
    pictures : per neuron, uint8 arrays [height, width, 3]
        The patch in the middle third, around it its neighbours.
    labels : per neuron, the label of each patch
        ``"defect"``, ``"normal"``, ``"partial"``, ``"clear"`` or ``"anomalous image"``.
    names : sequence of str
        What each row is called.
    title : str
    caption : str, optional
        Says what the rows are; what outlines mean is added.

    Raises
    ------
    ConfigError
        No picture, or other numbers of rows.
    """
    if not len(pictures) == len(labels) == len(names):
        raise ConfigError(
            f"{len(pictures)} rows of pictures, {len(labels)} of labels and {len(names)} names"
        )
    n_columns = max((len(row) for row in pictures), default=0)
    if n_columns == 0:
        raise ConfigError("there is no picture of a patch")
    legend = (
        "Each picture: the patch (outlined) amid its neighbours, largest deviation first, "
        "whatever its label: of a normal image, a defect, or, in a defective image, touched by the "
        "mask (partial) or not (clear). Grey lies beyond the image."
    )
    height = (_CELL + 18) * len(pictures) + 20
    fig = new_figure(title, f"{caption} {legend}".strip(), height=height)
    add_pictures(fig, pictures, labels, names)
    return fig


_ROW = 1 + 18 / _CELL  # height of a row with its label, in pictures
_LONGEST = 0.92  # of a picture, so that neighbours do not touch


def add_pictures(
    fig: go.Figure,
    pictures: Sequence[Sequence[Picture]],
    labels: Sequence[Sequence[str]],
    names: Sequence[str],
    texts: Sequence[Sequence[str]] | None = None,
    **panel: Any,
) -> None:
    """Draw rows of pictures on the first axes of a figure (in a panel, ``row=1, col=1``).

    ``labels`` decide the outline of each patch; ``texts`` stand below, the labels by default.
    """
    images, shapes, annotations = [], [], []
    for row, (own, own_labels) in enumerate(zip(pictures, labels, strict=True)):
        # There is room for one word: "anomalous image" is "anomalous".
        said = [one.split()[0] for one in own_labels] if texts is None else texts[row]
        for column, (picture, label) in enumerate(zip(own, own_labels, strict=True)):
            x, y = column + 0.5, row * _ROW
            images.append(_image(picture, x, y + 0.46))
            shapes.append(_outline(picture, x, y + 0.46, label))
            text = {"x": x, "y": y + 0.94, "xref": "x", "yref": "y", "yanchor": "top"}
            annotations.append(text | {"text": plain(said[column]), "font": {"size": 10}})
    fig.update_layout(images=images, shapes=shapes, annotations=annotations)
    fig.add_trace(_hover_grid(pictures, labels, names), **panel)
    n_columns = max((len(row) for row in pictures), default=0)
    fig.update_xaxes(
        range=[-0.05, n_columns + 0.05], visible=False, fixedrange=True, constrain="domain", **panel
    )
    fig.update_yaxes(
        range=[len(pictures) * _ROW, -0.05],
        tickvals=[row * _ROW + 0.46 for row in range(len(names))],
        ticktext=[plain(name).replace("\n", "<br>") for name in names],
        ticks="",
        showline=False,
        showgrid=False,
        fixedrange=True,
        scaleanchor="x",
        constrain="domain",
        **panel,
    )


def _size(picture: Picture) -> tuple[float, float]:
    """Width and height of a picture in the figure, in its own aspect ratio."""
    height, width = picture.shape[:2]
    return _LONGEST * width / max(width, height), _LONGEST * height / max(width, height)


def density_trace(own: pd.DataFrame, label: str, *, shown: bool) -> go.Scatter:
    """Density of one class from its rows of a table of histograms."""
    colour, dash, name = _CLASSES[label]
    low, high = numbers(own, "bin_low"), numbers(own, "bin_high")
    density = numbers(own, "density")
    return go.Scatter(
        x=np.r_[low[:1], low, high[-1:], high[-1:]],
        y=np.r_[0, density, density[-1:], 0],
        line={"color": colour, "dash": dash, "width": 1.6, "shape": "hv"},
        mode="lines",
        fill="tozeroy",
        fillcolor=faded(colour, 0.18),
        name=name,
        legendgroup=label,
        showlegend=shown,
        hovertemplate=f"{name}: density %{{y:.3g}} at %{{x:.3g}}<extra></extra>",
    )


def _effect(row: pd.DataFrame) -> str:
    if row.empty or not np.isfinite(numbers(row, "matched_d")[0]):
        return ""
    matched, d = numbers(row, "matched_d")[0], numbers(row, "cohens_d")[0]
    return f"<br>matched d {matched:+.2f}, unmatched {d:+.2f}".replace("-", "−")


def _image(picture: Picture, x: float, y: float) -> dict[str, object]:
    width, height = _size(picture)
    return {
        "source": data_uri(Image.fromarray(picture), "png", optimize=True),
        **{"x": x, "y": y, "xref": "x", "yref": "y", "xanchor": "center", "yanchor": "middle"},
        **{"sizex": width, "sizey": height, "sizing": "stretch", "layer": "below"},
    }


def _outline(picture: Picture, x: float, y: float, label: str) -> dict[str, object]:
    width, height = (size / 6 for size in _size(picture))
    dash = "solid" if label in ("defect", "anomalous image") else "dot"
    return {
        "type": "rect",
        **{"x0": x - width, "x1": x + width, "y0": y - height, "y1": y + height},
        "line": {"color": _LABEL_COLOURS.get(label, NEUTRAL), "width": 2, "dash": dash},
    }


def _hover_grid(
    pictures: Sequence[Sequence[Picture]], labels: Sequence[Sequence[str]], names: Sequence[str]
) -> go.Scatter:
    """Points that cannot be seen, so that axes are drawn and pictures can be pointed at."""
    places = [(r, c) for r, own in enumerate(pictures) for c in range(len(own))]
    said = [f"{plain(names[r])}<br>place {c + 1}" for r, c in places]
    return go.Scatter(
        x=[c + 0.5 for _, c in places],
        y=[r * _ROW + 0.46 for r, _ in places],
        mode="markers",
        marker={"size": 30, "opacity": 0},
        text=[f"{s}: {plain(labels[r][c])}" for s, (r, c) in zip(said, places, strict=True)],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
