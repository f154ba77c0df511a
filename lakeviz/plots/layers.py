"""The heat map of one image taken apart: fused, text, visual, and every layer of the visual one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from PIL import Image

from lakeviz.errors import ConfigError
from lakeviz.plots.colours import COLOUR_SCALE, ColourRange, colour_range
from lakeviz.plots.heatmap import fit_within, on_axes, outline_trace, scores_over_image
from lakeviz.plots.panels import Panel, name_panel, panels
from lakeviz.plots.template import new_figure, plain
from lakeviz.wording import counted

LayerMaps = Mapping[str, Float[np.ndarray, "row column"]]
FUSED, VISUAL, TEXT = "fused", "visual", "text"
_MOST_PANELS = 8
_INNER, _LONGEST = 128, 256


def layer_ranges(
    maps: Mapping[str, Float[np.ndarray, "image row column"]], labels: np.ndarray
) -> dict[str, ColourRange]:
    """One colour range per kind of map, over all images: fused, text, and visual with its layers.

    The visual map is the mean of its layers, all distances, so they share its range: a layer that
    looks dark adds little. Each range ends at the F1-max threshold of the maxima of its maps.

    Parameters
    ----------
    maps : mapping of name to float array [image, row, column]
        ``"fused"``, ``"visual"``, ``"visual/<hook point>"`` and, with a text branch, ``"text"``.
    labels : int array [image]
        0 for normal images, which the ranges are made from.
    """
    kinds = {name: np.asarray(values) for name, values in maps.items() if name == _kind(name)}
    return {
        kind: colour_range(own, labels, own.reshape(len(own), -1).max(axis=1))
        for kind, own in kinds.items()
    }


def join_error(maps: LayerMaps, text_weight: float) -> float:
    """Largest difference between the joined maps and what their parts give.

    ``visual`` is the mean of the layers, and ``fused`` is ``(1 - w) visual + w text``.
    """
    layers = [values for name, values in maps.items() if name.startswith(f"{VISUAL}/")]
    visual = np.asarray(maps[VISUAL], dtype=float)
    gaps = [np.abs(np.mean(layers, axis=0) - visual).max()] if layers else []
    if FUSED in maps:
        fused = (1 - text_weight) * visual
        if text_weight:
            fused = fused + text_weight * np.asarray(maps[TEXT], dtype=float)
        gaps.append(np.abs(fused - maps[FUSED]).max())
    return float(max(gaps, default=0.0))


def layers_figure(
    maps: LayerMaps,
    colours: Mapping[str, ColourRange],
    *,
    text_weight: float = 0.0,
    image: Image.Image | None = None,
    mask: Bool[np.ndarray, "height width"] | None = None,
    title: str = "Score map by its parts",
) -> go.Figure:
    """Small multiples of one image: the photograph, the fused map, and the parts that make it up.

    Parameters
    ----------
    maps : mapping of name to float array [row, column]
        ``"visual"``, ``"visual/<hook point>"`` for each layer and, with a text branch, ``"text"``
        and ``"fused"``; as in ``ScoreMaps.parts``. Without text the fused map is the visual one.
    colours : mapping of kind to ColourRange
        Of ``"fused"``, ``"visual"`` and ``"text"``, see :func:`layer_ranges`.
    text_weight : float
        ``w`` of the fusion.
    image : PIL image, optional
        The photograph; left out without one.
    mask : bool array [height, width], optional
        Outlined in every panel.
    title : str

    Raises
    ------
    ConfigError
        There is no visual map, text is weighed without a text map, a kind has no colours, or the
        parts do not give the map they are said to make up.
    """
    _check(maps, colours, text_weight)
    names = _order(maps, text_weight)
    shown = [*([""] if image is not None else []), *names]
    rows, columns = np.shape(maps[VISUAL])
    size = image.size if image is not None else (columns, rows)
    n_rows = -(-len(shown) // _MOST_PANELS)
    height = n_rows * (_INNER * size[1] / size[0] + 50) + 30
    fig = new_figure(
        title,
        _caption(maps, colours, names, text_weight, outlined=mask is not None),
        height=height,
        legend_above=True,
    )
    made = panels(fig, len(shown), columns=_MOST_PANELS, gap=0.015)
    for number, (name, panel) in enumerate(zip(shown, made, strict=True)):
        _add_panel(fig, panel, number, name, maps, colours, image, size)
        if mask is not None:
            trace = outline_trace(mask, *size).update(showlegend=False, line_width=1.2)
            fig.add_trace(trace, row=panel.row, col=panel.column)
        said = name.removeprefix(f"{VISUAL}/").removesuffix(".hook_resid_post") or "image"
        name_panel(fig, number, said)
        if name:
            own = colours[_kind(name)]
            fig.layout.annotations[-1].text += f"<br>{own.low:.2g}–{own.high:.2g}"
    fig.update_xaxes(range=[0, size[0]], visible=False, constrain="domain")
    fig.update_yaxes(range=[size[1], 0], visible=False, constrain="domain")
    for number in range(len(shown)):
        suffix = "" if number == 0 else str(number + 1)
        fig.layout[f"yaxis{suffix}"].scaleanchor = f"x{suffix}"
    bar = {"title": {"text": "score", "side": "right"}, "thickness": 12}
    bar |= {"tickvals": [0, 1], "ticktext": ["first", "last"]}
    fig.update_layout(
        coloraxis={"colorscale": COLOUR_SCALE, "cmin": 0, "cmax": 1, "colorbar": bar},
        showlegend=False,
        margin={"l": 12, "b": 24},
    )
    return fig


def _kind(name: str) -> str:
    return VISUAL if name.startswith(f"{VISUAL}/") else name


def _check(maps: LayerMaps, colours: Mapping[str, ColourRange], text_weight: float) -> None:
    if VISUAL not in maps:
        raise ConfigError(f"there is no visual map to take apart; maps: {', '.join(maps)}")
    if text_weight and not {TEXT, FUSED} <= maps.keys():
        raise ConfigError(f"a text weight of {text_weight:g} needs a text map and a fused one")
    for name in _order(maps, text_weight):
        if _kind(name) not in colours:
            raise ConfigError(f"no colours for {_kind(name)!r} maps; colours: {', '.join(colours)}")
    gap = join_error(maps, text_weight)
    scale = max(float(np.abs(values).max()) for values in maps.values())
    if not gap <= 1e-4 * max(scale, 1e-12):
        raise ConfigError(
            f"the parts do not make up the map: they differ by up to {gap:.3g}; are they of one "
            f"image, with a text weight of {text_weight:g}?"
        )


def _order(maps: LayerMaps, text_weight: float) -> list[str]:
    """Maps of one kind side by side, so that each kind has one colour bar below it."""
    layers = [name for name in maps if name.startswith(f"{VISUAL}/")]
    return [*([FUSED, TEXT] if text_weight else []), VISUAL, *layers]


def _caption(
    maps: LayerMaps,
    colours: Mapping[str, ColourRange],
    names: list[str],
    w: float,
    *,
    outlined: bool,
) -> str:
    n_layers = sum(name.startswith(f"{VISUAL}/") for name in names)
    rows, columns = np.shape(maps[VISUAL])
    parts = [f"One image, {rows} x {columns} patches."]
    if w:
        parts.append(f"fused = {1 - w:g} visual + {w:g} text;")
    else:
        parts.append("There is no text branch, so the fused map is the visual one;")
    gap = join_error(maps, w)
    parts.append(f"visual = mean of {counted(n_layers, 'layer')}. These sums give the joined maps")
    parts.append(f"to within {gap:.0e}." if gap else "exactly.")
    kinds = list(dict.fromkeys(_kind(name) for name in names))
    parts.append(
        "Above each map the first and the last score of its colours, which are the same for all "
        f"maps of one kind: {colours[kinds[0]].rule}."
    )
    if outlined:
        parts.append("Outline: the mask.")
    return " ".join(parts)


def _add_panel(
    fig: go.Figure,
    panel: Panel,
    number: int,
    name: str,
    maps: LayerMaps,
    colours: Mapping[str, ColourRange],
    image: Image.Image | None,
    size: tuple[int, int],
) -> None:
    if not name:
        assert image is not None
        fig.add_layout_image(on_axes(fit_within(image, _LONGEST), size, number))
        # Axes without a trace are not drawn.
        corner = go.Scatter(x=[0], y=[0], opacity=0, hoverinfo="skip", showlegend=False)
        fig.add_trace(corner, row=panel.row, col=panel.column)
        return
    trace = scores_over_image(
        np.asarray(maps[name], dtype=float),
        colours[_kind(name)],
        size,
        coloraxis="coloraxis",
        hovertemplate=f"{plain(name)}<br>row %{{customdata[0]}}, column %{{customdata[1]}}<br>"
        "%{customdata[2]:.4g}<extra></extra>",
        name=plain(name),
    )
    fig.add_trace(trace, row=panel.row, col=panel.column)
