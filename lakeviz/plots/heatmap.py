"""Heat maps over images: one colour range for all images of a category, outlines of the masks."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw
from plotly.colors import sample_colorscale, sequential, unlabel_rgb

from lakeviz.errors import ConfigError, MetricError
from lakeviz.plots.outlines import mask_outlines, shrink_mask
from lakeviz.plots.template import counted, new_figure

COLOUR_SCALE = sequential.Inferno
"""Perceptually uniform, readable in grey and with colour blindness."""

_MIDDLE_QUANTILE = 0.995
_OUTLINE = "#40E0FF"
_INNER, _NARROWEST = 440, 380


@dataclass(frozen=True)
class ColourRange:
    """The scores that the two ends of the colour scale stand for.

    Attributes
    ----------
    low, high : float
        Scores at and below ``low`` have the first colour, at and above ``high`` the last.
    rule : str
        How the range was made, for the caption.
    """

    low: float
    high: float
    rule: str

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise ConfigError(f"a colour range from {self.low} to {self.high} is empty")

    def unit(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Scores as positions on the colour scale, clipped to [0, 1]."""
        return np.clip((scores - self.low) / (self.high - self.low), 0.0, 1.0)


def colour_range(
    patch_scores: Float[np.ndarray, "image row column"], labels: np.ndarray
) -> ColourRange:
    """One colour range for all images of a category, from the normal images alone.

    The scale starts at the median score of normal patches, and its middle is the score that one
    normal patch in 200 exceeds. A normal image therefore looks dark unless it is unusual, and
    colours mean the same in every image. Never scaled per image, which would make every normal
    image look defective.

    Parameters
    ----------
    patch_scores : float array [image, row, column]
    labels : int array [image]
        0 for normal images.

    Returns
    -------
    ColourRange
        From the median to the 99.5 % quantile of all patches where there is no normal image; its
        rule says so.

    Raises
    ------
    MetricError
        There is no image, or a score is not finite.
    """
    patch_scores, labels = np.asarray(patch_scores, dtype=float), np.asarray(labels)
    if not patch_scores.size or not np.isfinite(patch_scores).all():
        raise MetricError("a colour range needs at least one image and finite scores")
    normal = patch_scores[labels == 0]
    used = normal if len(normal) else patch_scores
    low, middle = (float(q) for q in np.quantile(used, [0.5, _MIDDLE_QUANTILE]))
    # Constant scores still need two ends.
    span = max(middle - low, 1e-6 * max(abs(low), 1e-6))
    if len(normal):
        images = counted(len(normal), "normal test image")
        rule = f"from the median patch of {images}; the middle is what 1 in 200 of them exceeds"
        return ColourRange(low, low + 2 * span, rule)
    images = counted(len(used), "image")
    rule = f"no normal test image: from the median to the 99.5 % quantile of patches of {images}"
    return ColourRange(low, low + span, rule)


def heat_layer(
    pixel_map: Float[np.ndarray, "height width"], colours: ColourRange
) -> UInt8[np.ndarray, "height width 3"]:
    """Colour a score map."""
    return _lookup()[np.rint(255 * colours.unit(pixel_map)).astype(np.uint8)]


def overlay(
    image: Image.Image,
    pixel_map: Float[np.ndarray, "height width"],
    colours: ColourRange,
    mask: Bool[np.ndarray, "row column"] | None = None,
    *,
    opacity: float = 0.6,
    longest: int | None = None,
) -> Image.Image:
    """Lay a score map and the outline of the mask over an image.

    The image is shown grey, so that colour means score and nothing else.

    Parameters
    ----------
    image : PIL image
    pixel_map : float array [height, width]
        Of any size; it is brought to the image's.
    colours : ColourRange
    mask : bool array, optional
        Of any size; the outline is light blue on a dark line.
    opacity : float
        Of the score map, in [0, 1].
    longest : int, optional
        Length that the longer side is reduced to, in pixels.

    Returns
    -------
    PIL image (RGB)
    """
    base = fit_within(image, longest).convert("L").convert("RGB")
    heat = Image.fromarray(heat_layer(pixel_map, colours)).resize(base.size)
    made = Image.blend(base, heat, opacity)
    if mask is not None:
        pen = ImageDraw.Draw(made)
        for outline in mask_outlines(shrink_mask(mask, (base.height, base.width))):
            closed = [tuple(corner) for corner in [*outline, outline[0]]]
            pen.line(closed, fill="#10222b", width=3)
            pen.line(closed, fill=_OUTLINE, width=1)
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
    title: str = "Patch scores",
    opacity: float = 0.6,
    longest: int = 512,
) -> go.Figure:
    """Patch scores over a grey image: a slider for the opacity, the patch grid, the mask's outline.

    Hovering a patch shows its row, column and score. Grid and outline are switched in the legend.

    Parameters
    ----------
    image : PIL image
    patch_scores : float array [row, column]
    colours : ColourRange
        Of the category, see :func:`colour_range`.
    mask : bool array [height, width], optional
        Of any size with the image's aspect.
    title : str
    opacity : float
        At the start, in [0, 1].
    longest : int
        Length that the longer side of the embedded image is reduced to, in pixels.
    """
    rows, columns = patch_scores.shape
    width, height = image.size
    caption = f"{rows} x {columns} patches on {width} x {height} pixels. Colours: {colours.rule}."
    sides = {"l": 64, "r": 96, "b": 140}
    inner = _INNER * width / max(width, height), _INNER * height / max(width, height)
    fig = new_figure(
        title, caption, legend_above=True, caption_width=64, height=inner[1] + sides["b"]
    )
    fig.add_trace(
        go.Heatmap(
            z=patch_scores,
            x0=width / columns / 2,
            dx=width / columns,
            y0=height / rows / 2,
            dy=height / rows,
            zmin=colours.low,
            zmax=colours.high,
            colorscale=COLOUR_SCALE,
            opacity=opacity,
            customdata=np.moveaxis(np.indices((rows, columns)), 0, -1),
            hovertemplate="row %{customdata[0]}, column %{customdata[1]}<br>"
            "score %{z:.4g}<extra></extra>",
            colorbar={"title": {"text": "patch score", "side": "right"}, "thickness": 12},
            name="score",
        )
    )
    fig.add_layout_image(
        source=_data_uri(fit_within(image, longest).convert("L")),
        x=0,
        y=0,
        sizex=width,
        sizey=height,
        xref="x",
        yref="y",
        xanchor="left",
        yanchor="top",
        sizing="stretch",
        layer="below",
    )
    fig.add_trace(_grid(rows, columns, width, height))
    if mask is not None:
        fig.add_trace(_outline(mask, width, height))
    axis = {"showgrid": False, "ticks": "", "title": {"text": "pixels"}, "constrain": "domain"}
    fig.update_xaxes(**axis, range=[0, width])
    fig.update_yaxes(**axis, range=[height, 0], scaleanchor="x")
    fig.update_layout(
        sliders=[_opacity_slider(opacity)],
        margin=sides,
        width=max(inner[0], _NARROWEST) + sides["l"] + sides["r"],
    )
    return fig


def _lookup() -> UInt8[np.ndarray, "256 3"]:
    sampled = sample_colorscale(COLOUR_SCALE, np.linspace(0, 1, 256).tolist())
    return np.rint([unlabel_rgb(colour) for colour in sampled]).astype(np.uint8)


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


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


def _outline(mask: Bool[np.ndarray, "height width"], width: int, height: int) -> go.Scatter:
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
