"""Heat maps over images, with outlines of the masks: pictures and interactive figures."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.colours import HEAT, ColourRange, heat_layer
from lakeviz.plots.outlines import mask_outlines, shrink_mask
from lakeviz.plots.template import new_figure, plain
from lakeviz.tables import numbers

_OUTLINE = "#40E0FF"
_INNER, _NARROWEST = 440, 380
_COLUMNS = ("row", "column", "nearest_image", "nearest_row", "nearest_column", "distance")
_HOVER = "row %{customdata[0]}, column %{customdata[1]}<br>score %{customdata[2]:.4g}"


def overlay(
    image: Image.Image,
    pixel_map: Float[np.ndarray, "height width"],
    colours: ColourRange,
    mask: Bool[np.ndarray, "row column"] | None = None,
    *,
    opacity: float = 0.8,
    longest: int | None = None,
    line_width: int = 1,
) -> Image.Image:
    """Lay a score map and the outline of the mask over an image.

    The map is the more opaque the higher the score, so that the image shows in its own colours
    where nothing is unusual.

    Parameters
    ----------
    image : PIL image
    pixel_map : float array [height, width]
        Of any size; it is brought to the image's.
    colours : ColourRange
    mask : bool array, optional
        Of any size; the outline is light blue on a dark line.
    opacity : float
        Of the highest scores, in [0, 1].
    longest : int, optional
        Length that the longer side is reduced to, in pixels.
    line_width : int
        Of the outline, in pixels.

    Returns
    -------
    PIL image (RGB)
    """
    base = fit_within(image, longest).convert("RGB")
    heat = Image.fromarray(heat_layer(pixel_map, colours)).resize(base.size)
    shown = np.rint(255 * opacity * colours.place(pixel_map)).astype(np.uint8)
    made = Image.composite(heat, base, Image.fromarray(shown).resize(base.size))
    if mask is not None:
        pen = ImageDraw.Draw(made)
        for outline in mask_outlines(shrink_mask(mask, (base.height, base.width))):
            closed = [tuple(corner) for corner in [*outline, outline[0]]]
            pen.line(closed, fill="#10222b", width=line_width + 2)
            pen.line(closed, fill=_OUTLINE, width=line_width)
    return made


def png_bytes(image: Image.Image) -> bytes:
    """Encode an image as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def fit_within(image: Image.Image, longest: int | None) -> Image.Image:
    """Reduce an image so that its longer side is at most ``longest`` pixels; never enlarge it."""
    if longest is None or max(image.size) <= longest:
        return image
    scale = longest / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def heatmap_figure(
    image: Image.Image,
    patch_scores: Float[np.ndarray, "row column"],
    colours: ColourRange,
    mask: Bool[np.ndarray, "height width"] | None = None,
    *,
    patches: pd.DataFrame | None = None,
    title: str = "Patch scores",
    opacity: float = 0.8,
    longest: int = 512,
    beside: bool = False,
) -> go.Figure:
    """Patch scores over an image: a slider for the opacity, the patch grid, the mask's outline.

    The scores are the more opaque the higher they are; an opacity of 0 leaves the bare image.

    Hovering a patch shows its row, column and score and, where they are given, its nearest normal
    patch and the neurons that make the distance. Grid and outline are switched in the legend.

    Parameters
    ----------
    image : PIL image
    patch_scores : float array [row, column]
    colours : ColourRange
        Of the category, see :func:`lakeviz.plots.colour_range`.
    mask : bool array [height, width], optional
        Of any size with the image's aspect.
    patches : DataFrame, optional
        One row per patch, or per patch and hook point (``point``): row, column, nearest_image,
        nearest_row, nearest_column, distance, neurons (text). Such a table is made by
        :func:`lakeviz.explorer.one_image.patch_facts`.
    title : str
    opacity : float
        At the start, in [0, 1].
    longest : int
        Length that the longer side of the embedded image is reduced to, in pixels.
    beside : bool
        Show the bare image in a panel of its own, for paper.

    Raises
    ------
    ConfigError
        The table of patches lacks a column, or tells of a patch beyond the map.
    """
    rows, columns = patch_scores.shape
    width, height = image.size
    caption = f"{rows} x {columns} patches on {width} x {height} pixels. Colours: {colours.rule}."
    hover = {"hovertemplate": _HOVER + "<extra></extra>"}
    if patches is not None:
        told = patch_texts(patches, (rows, columns))
        hover = {"text": told, "hovertemplate": _HOVER + "%{text}<extra></extra>"}
        caption += (
            " Pointing at a patch names its nearest normal patch and the neurons with the largest "
            "shares of the squared distance to it."
        )
    sides = {"l": 64, "r": 96, "b": 140}
    inner = _INNER * width / max(width, height), _INNER * height / max(width, height)
    fig = new_figure(
        title, caption, legend_above=True, caption_width=64, height=inner[1] + sides["b"]
    )
    look = {"colorscale": HEAT, "colorbar": colours.bar("patch score"), "opacity": opacity} | hover
    heat = scores_over_image(
        patch_scores, colours, (width, height), zmin=0, zmax=1, name="score", **look
    )
    fig.add_trace(heat)
    photograph = fit_within(image, longest).convert("RGB")
    fig.add_layout_image(on_axes(photograph, (width, height)))
    fig.add_trace(_grid(rows, columns, width, height))
    if mask is not None:
        fig.add_trace(outline_trace(mask, width, height))
    if beside:
        make_subplots(rows=1, cols=2, horizontal_spacing=0.04, figure=fig)
        fig.add_layout_image(on_axes(photograph, (width, height), 1))
        if mask is not None:
            fig.add_trace(outline_trace(mask, width, height).update(showlegend=False), row=1, col=2)
        else:  # axes without a trace are not drawn
            fig.add_scatter(x=[0], y=[0], opacity=0, showlegend=False, row=1, col=2)
    axis = {"visible": False, "constrain": "domain"}
    fig.update_xaxes(**axis, range=[0, width])
    fig.update_yaxes(**axis, range=[height, 0], scaleanchor="x")
    if beside:
        fig.update_yaxes(scaleanchor="x2", col=2)
    fig.update_layout(
        sliders=[_opacity_slider(opacity)],
        margin=sides,
        width=max(inner[0], _NARROWEST) + sides["l"] + sides["r"],
    )
    return fig


def scores_over_image(
    patch_scores: Float[np.ndarray, "row column"],
    colours: ColourRange,
    size: tuple[int, int],
    **look: Any,
) -> go.Heatmap:
    """Patch scores over an image of (width, height) pixels."""
    rows, columns = patch_scores.shape
    width, height = size
    return go.Heatmap(
        z=colours.place(patch_scores),
        x0=width / columns / 2,
        dx=width / columns,
        y0=height / rows / 2,
        dy=height / rows,
        customdata=np.stack([*np.indices((rows, columns)), patch_scores], axis=-1),
        **look,
    )


def data_uri(image: Image.Image, kind: str = "jpeg", **options: Any) -> str:
    """Encode an image (as a JPEG of quality 85 by default) for a figure or page to hold."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **({"quality": 85} if kind == "jpeg" else {}) | options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def on_axes(image: Image.Image, size: tuple[int, int], number: int = 0) -> dict[str, Any]:
    """Lay an image below the marks of the panel of a number; it takes up (width, height) there."""
    axis = str(number + 1) if number else ""
    place = {"x": 0, "y": 0, "sizex": size[0], "sizey": size[1], "sizing": "stretch"}
    axes = {"xref": f"x{axis}", "yref": f"y{axis}", "layer": "below"}
    return {"source": data_uri(image), **place, **axes}


def _grid(rows: int, columns: int, width: int, height: int) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    for column in np.linspace(0, width, columns + 1).tolist():
        x += [column, column, None]
        y += [0, height, None]
    for row in np.linspace(0, height, rows + 1).tolist():
        x += [0, width, None]
        y += [row, row, None]
    line = {"color": "rgba(255,255,255,0.35)", "width": 0.7}
    return go.Scatter(
        x=x, y=y, mode="lines", line=line, name="patch grid", hoverinfo="skip", visible="legendonly"
    )


def outline_trace(mask: Bool[np.ndarray, "height width"], width: int, height: int) -> go.Scatter:
    """Outline of a mask in the pixels of an image of another size."""
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    x: list[float | None] = []
    y: list[float | None] = []
    for corners in mask_outlines(mask):
        closed = np.vstack([corners, corners[:1]]) * scale
        x += [*closed[:, 0].tolist(), None]
        y += [*closed[:, 1].tolist(), None]
    line = {"color": _OUTLINE, "width": 1.6}
    return go.Scatter(x=x, y=y, mode="lines", line=line, name="mask outline", hoverinfo="skip")


def _opacity_slider(opacity: float) -> dict[str, object]:
    stops = sorted({round(0.1 * i, 1) for i in range(11)} | {opacity})
    return {
        "active": stops.index(opacity),
        "currentvalue": {"prefix": "opacity of the scores: "},
        "pad": {"t": 40},
        "len": 1.0,
        "steps": [
            {"label": f"{stop:g}", "method": "restyle", "args": [{"opacity": stop}, [0]]}
            for stop in stops
        ],
    }


def patch_texts(patches: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Lines for each patch of a map, one block per hook point.

    Parameters
    ----------
    patches : DataFrame
        One row per patch, or per patch and ``point``: row, column, nearest_image, nearest_row,
        nearest_column, distance, neurons (text).
    shape : (rows, columns)
        Of the map.

    Returns
    -------
    object array [row, column] of str
        Escaped for plotly; empty where the table says nothing of a patch.

    Raises
    ------
    ConfigError
        A column is missing, or a patch lies beyond the map.
    """
    missing = [c for c in (*_COLUMNS, "neurons") if c not in patches]
    if missing:
        raise ConfigError(f"the table of patches lacks the column {missing[0]!r}")
    at = numbers(patches, "row").astype(int), numbers(patches, "column").astype(int)
    beyond = (at[0] < 0) | (at[0] >= shape[0]) | (at[1] < 0) | (at[1] >= shape[1])
    if beyond.any():
        first = int(np.flatnonzero(beyond)[0])
        raise ConfigError(
            f"the table tells of patch ({at[0][first]}, {at[1][first]}); the map has "
            f"{shape[0]} x {shape[1]}, counted from 0"
        )
    made = np.full(shape, "", dtype=object)
    points = patches["point"] if "point" in patches else [""] * len(patches)
    columns = (patches[c] for c in (*_COLUMNS[2:], "neurons"))
    for row, column, point, image, near_row, near_column, distance, neurons in zip(
        *at, points, *columns, strict=True
    ):
        head = f"<br><b>{plain(point)}</b>" if point else ""
        made[row, column] += (
            f"{head}<br>nearest normal patch: {plain(image)}<br>"
            f"    row {int(near_row)}, column {int(near_column)}, distance {distance:.4g}<br>"
            f"neurons (share): {plain(neurons)}"
        )
    return made
