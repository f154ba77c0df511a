"""Fit a figure to a width in print: template, sizes, legend, title and caption.

The figures of lakeviz are made for a screen. In a column of 85 mm the same picture has about
400 pixels of the layout: the legend breaks into more lines, axis titles no longer fit beside each
other, and what is only of use on a screen (sliders, hovering) has no place.
"""

from __future__ import annotations

import copy
import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lakeviz.plots.template import PRINT_FONT, TEMPLATES, caption_of, plain, print_size

Json = dict[str, Any]

_NARROW = 600
"""Below this width, in pixels of the layout, a legend beside the axes would take their place."""
_NARROW_HEIGHT = 0.9
_SMALLEST, _LARGEST = print_size(7), print_size(9)
_THINNER, _SMALLER = 0.75, 0.8
# A character is about this part of the font's size wide, a line this many times as high.
_CHARACTER, _WIDE_CHARACTER, _LINE = 0.52, 0.56, 1.3
_SYMBOL, _LEGEND_LINE = 50, 20
_GAP, _NOTE = 8, 22
_BAR = 56
_FEW_TICKS, _TICK = 200, 50


def fit_to_page(
    fig: go.Figure, width: float, height: float | None = None, template: str = "paper"
) -> go.Figure:
    """Copy a figure, laid out for a width.

    Parameters
    ----------
    fig : Figure
        Left as it is.
    width, height : float
        In pixels of the layout; without a height, one that suits the figure.
    template : str
        One of :data:`lakeviz.plots.TEMPLATES`. ``"paper"`` shows no title and no caption, which
        a paper sets in its own type, and has thinner lines and smaller markers.
    """
    spec = copy.deepcopy(fig.to_plotly_json())
    layout: Json = spec["layout"]
    narrow = width < _NARROW
    title, caption = caption_of(fig)
    content, margin = _content_height(layout, narrow=narrow), _own_margins(layout)
    _leave_out_controls(spec)
    for part in (layout, *spec["data"]):
        _clamp_fonts(part)
    if template == "paper":
        _thin(spec)
        layout["title"], top = {"text": ""}, 0.0
        margin = {"l": 12, "r": 14, "b": _below(layout)} | margin
    else:
        top = _set_title(layout, title, caption, width)
        margin = {"l": 64, "r": 24, "b": 56} | margin
    inner = width - margin["l"] - margin["r"]
    across = inner - _beside(spec)
    lift = _NOTE if _notes_above(layout) else 0
    above = _legend_above(layout, narrow=narrow)
    top += _GAP + lift + (_legend_rows(spec, inner) * _LEGEND_LINE if above else 0)
    square = _picture_height(layout, across)
    suiting = content if square is None else square + margin["b"]
    tall = top + suiting if height is None else height
    plot = max(tall - top - margin["b"], 1)
    if above:
        _set_legend_above(layout, 1 + lift / plot)
    _fit_axes(layout, across, plot)
    layout |= {"width": width, "height": tall, "autosize": False}
    layout |= {"template": TEMPLATES[template], "margin": margin | {"t": top}}
    layout["font"] = layout.get("font", {}) | {"family": PRINT_FONT}
    # Otherwise labels are cut off where they would leave less than 64 pixels to the axes.
    layout |= {"minreducedwidth": 10, "minreducedheight": 10}
    return go.Figure(spec)


# --- height and margins ---


def _content_height(layout: Json, *, narrow: bool) -> float:
    """Height of the axes and of what is below them."""
    top = layout.get("margin", {}).get("t", 96)
    content = max(float(layout.get("height") or 450) - top, 100)
    if not narrow or _has_rows(layout):
        return content
    return _NARROW_HEIGHT * content


def _has_rows(layout: Json) -> bool:
    """Whether the height goes with a number of rows, panels or pixels and so should stay."""
    axes = [axis for _, axis in _axes(layout, "y")]
    stacked = sum("domain" in axis or "matches" in axis for axis in axes) > 2
    return stacked or any(
        axis.get("tickvals") is not None
        or axis.get("type") == "category"
        or axis.get("autorange") == "reversed"
        or axis.get("scaleanchor")
        for axis in axes
    )


def _picture_height(layout: Json, across: float) -> float | None:
    """Height of axes whose units are equally long in both directions; None where they are not."""
    x, y = layout.get("xaxis", {}), layout.get("yaxis", {})
    if not (y.get("scaleanchor") and x.get("range") and y.get("range")):
        return None
    (left, right), (low, high) = x["range"], y["range"]
    return across * abs(high - low) / abs(right - left)


def _own_margins(layout: Json) -> Json:
    """Margins that the figure sets itself, as they hold something; with a slider: the slider."""
    kept = () if layout.get("sliders") else ("l", "r", "b")
    return {side: layout["margin"][side] for side in kept if side in layout.get("margin", {})}


def _below(layout: Json) -> float:
    """Room for tick labels and the title of the lowest x axis."""
    titled = any(axis.get("title", {}).get("text") for _, axis in _axes(layout, "x"))
    return 46 if titled else 26


def _beside(spec: Json) -> float:
    """About what labels of the y axis and a colour bar take from the width."""
    axis = spec["layout"].get("yaxis", {})
    said = [str(text) for text in _entries(axis.get("ticktext"))]
    for trace in spec["data"]:
        said += [y for y in _entries(trace.get("y")) if isinstance(y, str)]
    labels = _CHARACTER * _SMALLEST * max(map(len, said), default=4)
    title = 22 if axis.get("title", {}).get("text") else 0
    bars = any(
        trace.get("type") == "heatmap" and trace.get("showscale", True) for trace in spec["data"]
    )
    return labels + title + bars * _BAR


def _entries(values: Any) -> Iterable[Any]:
    """Values of a list or an array of text; arrays of numbers come packed, as a dict."""
    return values if isinstance(values, (list, tuple, np.ndarray)) else ()


def _leave_out_controls(spec: Json) -> None:
    """Take off what only works on a screen, and traces that wait in the legend to be shown."""
    for name in ("sliders", "updatemenus"):
        spec["layout"].pop(name, None)
    spec["data"] = [trace for trace in spec["data"] if trace.get("visible", True) is True]


def _axes(layout: Json, letter: str) -> Iterator[tuple[str, Json]]:
    for name, axis in layout.items():
        if name.startswith(f"{letter}axis"):
            yield name, axis


def _notes_above(layout: Json) -> bool:
    """Whether titles of panels (or values) stand above the axes."""
    return any(
        note.get("yanchor") == "bottom" and note.get("yref") == "paper" and note.get("y", 0) > 0.98
        for note in layout.get("annotations", [])
    )


# --- legend, title, axis titles ---


def _legend_above(layout: Json, *, narrow: bool) -> bool:
    if layout.get("showlegend") is False:
        return False
    legend = layout.get("legend", {})
    if legend.get("orientation") == "h":
        return legend.get("yanchor") == "bottom"
    return narrow and "x" not in legend


def _legend_rows(spec: Json, inner: float) -> int:
    """Lines of a legend above the axes: its entries share a grid as wide as the widest."""
    shown = [*spec["data"], *spec["layout"].get("shapes", [])]
    names = [entry["name"] for entry in shown if _in_legend(entry)]
    if not names or (len(names) == 1 and not _explicit(spec)):
        return 0
    widths = [_SYMBOL + _CHARACTER * _SMALLEST * len(name) for name in names]
    if sum(widths) <= inner:
        return 1
    return math.ceil(len(names) / max(1, int(inner // max(widths))))


def _in_legend(entry: Json) -> bool:
    is_shape = "x0" in entry and "type" in entry and "y0" in entry and "x1" in entry
    if is_shape and not entry.get("showlegend"):
        return False
    return bool(entry.get("name")) and entry.get("showlegend", True) is not False


def _explicit(spec: Json) -> bool:
    return spec["layout"].get("showlegend") is True or any(
        entry.get("showlegend") is True for entry in spec["data"]
    )


def _set_title(layout: Json, title: str, caption: str, width: float) -> float:
    """Break title and caption anew for the width; return the height they take."""
    if not title and not caption:
        return 24.0 if layout.get("title", {}).get("text") else 0.0
    space = width - 2 * _GAP
    first = textwrap.wrap(title, int(space / (_WIDE_CHARACTER * _LARGEST)))
    rest = textwrap.wrap(caption, int(space / (_WIDE_CHARACTER * _SMALLEST)))
    layout["title"] = {
        "text": "<br>".join(map(plain, first)),
        "font": {"size": _LARGEST},
        "subtitle": {"text": "<br>".join(map(plain, rest)), "font": {"size": _SMALLEST}},
        "x": _GAP / width,
        "xref": "container",
        "pad": {"t": _GAP},
    }
    return _GAP + _LINE * (len(first) * _LARGEST + len(rest) * _SMALLEST) + _GAP


def _set_legend_above(layout: Json, y: float) -> None:
    layout["legend"] = layout.get("legend", {}) | {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": y,
        "yanchor": "bottom",
        "tracegroupgap": 0,
    }


def _fit_axes(layout: Json, across: float, down: float) -> None:
    """Break titles that are longer than their axis; fewer ticks where labels would be turned."""
    for letter, length in (("x", across), ("y", down)):
        for _, axis in _axes(layout, letter):
            start, end = axis.get("domain", (0, 1))
            own = length * (end - start)
            said = axis.get("title", {}).get("text")
            if said and "<" not in said:
                fitting = max(12, int(own / (_CHARACTER * print_size(8))))
                axis["title"]["text"] = "<br>".join(_balanced(said, fitting))
            chosen = {"nticks", "tickvals", "dtick"} & axis.keys()
            if letter == "x" and own < _FEW_TICKS and not chosen:
                axis["nticks"] = max(3, int(own / _TICK))


def _balanced(text: str, longest: int) -> list[str]:
    """Break a text into as few lines as it needs, of about equal length."""
    n_lines = len(textwrap.wrap(text, longest, break_long_words=False))
    for width in range(math.ceil(len(text) / n_lines), longest):
        lines = textwrap.wrap(text, width, break_long_words=False)
        if len(lines) == n_lines:
            return lines
    return textwrap.wrap(text, longest, break_long_words=False)


# --- sizes ---


def _clamp_fonts(part: Any) -> None:
    """Bring sizes that a figure sets itself into the range that is read in print."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "template":
                continue
            if name.endswith("font") and isinstance(value, dict):
                if isinstance(value.get("size"), (int, float)):
                    value["size"] = min(max(value["size"], _SMALLEST), _LARGEST)
            else:
                _clamp_fonts(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _clamp_fonts(value)


def _thin(spec: Json) -> None:
    for trace in spec["data"]:
        for holder in (trace, trace.get("marker", {})):
            _scale(holder.get("line", {}), "width", _THINNER)
        _scale(trace.get("marker", {}), "size", _SMALLER)
        for name in ("error_x", "error_y"):
            _scale(trace.get(name, {}), "thickness", _THINNER)
            _scale(trace.get(name, {}), "width", _THINNER)
    for shape in spec["layout"].get("shapes", []):
        _scale(shape.get("line", {}), "width", _THINNER)


def _scale(holder: Json, name: str, factor: float) -> None:
    value = holder.get(name)
    if isinstance(value, (int, float)):
        holder[name] = factor * value
