"""Fit a figure to a width in print: template, sizes, legend, title and caption.

The figures of lakeviz are made for a screen. In a column of 85 mm the same picture has about
400 pixels of the layout: the legend breaks into more lines, axis titles no longer fit beside each
other, and what is only of use on a screen (sliders, hovering) has no place.
"""

from __future__ import annotations

import copy
import math
import textwrap
from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from lakeviz.plots.print import axis_labels, panels
from lakeviz.plots.print.axis_labels import CHARACTER
from lakeviz.plots.template import PRINT_FONT, TEMPLATES, caption_of, plain, print_size

Json = dict[str, Any]

_NARROW = 600
"""Below this width, in pixels of the layout, a legend beside the axes would take their place."""
_NARROW_HEIGHT = 0.9
_MOST_NAMES = 12
_SMALLEST, _LARGEST = print_size(7), print_size(9)
_THINNER, _SMALLER = 0.75, 0.8
# Widths and heights of text as parts of the font's size; captions must not run over.
_WIDE_CHARACTER, _LINE = 0.56, 1.3
_SYMBOL, _LEGEND_LINE = 50, 20
_GAP = 8
_BAR = 56


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
        if any(trace.get("type") == "parcoords" for trace in spec["data"]):
            # Its labels widen no margin.
            margin |= {"l": 48, "r": 40}
            top = 40.0
    else:
        top = _set_title(layout, title, caption, width)
        margin = {"l": 64, "r": 24, "b": 56} | margin
    inner = width - margin["l"] - margin["r"]
    across = inner - _beside(spec)
    panels.spread_columns(layout, across, _labels(spec))
    panels.wrap_notes(layout, across, CHARACTER * _SMALLEST)
    axis_labels.fit_x_axes(layout, across)
    lift = panels.height_of_titles(layout)
    above = _legend_above(layout, narrow=narrow)
    top += _GAP + lift + (_legend_rows(spec, inner) * _LEGEND_LINE if above else 0)
    square = _picture_height(layout, across)
    plot = max(content - margin["b"] if square is None else square, 1)
    if height is not None:
        plot = max(height - top - margin["b"], 1)
    tall = panels.spread_rows(layout, plot)
    plot = tall if height is None else plot
    if above:
        _set_legend_above(layout, 1 + lift / plot)
    axis_labels.wrap_y_titles(layout, plot)
    tall = height or top + plot + margin["b"]
    layout |= {"width": width, "height": tall, "autosize": False}
    layout |= {"template": TEMPLATES[template], "margin": margin | {"t": top}}
    layout["font"] = layout.get("font", {}) | {"family": PRINT_FONT}
    # Otherwise labels are cut off where they would leave less than 64 pixels to the axes.
    layout |= {"minreducedwidth": 10, "minreducedheight": 10}
    return go.Figure(spec)


def suiting_width(fig: go.Figure) -> Literal["column", "page"]:
    """``"page"`` for three or more panels side by side or many names along x, else ``"column"``."""
    layout = fig.to_plotly_json()["layout"]
    named = [len(_entries(axis.get("ticktext"))) for _, axis in panels.axes(layout, "x")]
    wide = len(panels.columns(layout)) > 2 or max(named, default=0) > _MOST_NAMES
    return "page" if wide else "column"


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
    axes = [axis for _, axis in panels.axes(layout, "y")]
    stacked = sum("domain" in axis or "matches" in axis for axis in axes) > 2
    return stacked or any(
        axis.get("tickvals") is not None
        or axis.get("type") == "category"
        or axis.get("autorange") == "reversed"
        or axis.get("scaleanchor")
        for axis in axes
    )


def _picture_height(layout: Json, across: float) -> float | None:
    """Height of all panels where one has equally long units in both directions, else None."""
    across_axes = dict(panels.axes(layout, "x"))
    for _, y in panels.axes(layout, "y"):
        x = across_axes.get(str(y.get("scaleanchor")), {})
        if x.get("range") and y.get("range"):
            (left, right), (low, high) = x["range"], y["range"]
            shape = abs(high - low) / abs(right - left)
            return across * axis_labels.share(x) * shape / axis_labels.share(y)
    return None


def _own_margins(layout: Json) -> Json:
    """Margins that the figure sets itself, as they hold something; with a slider: the slider."""
    kept = () if layout.get("sliders") else ("l", "r", "b")
    return {side: layout["margin"][side] for side in kept if side in layout.get("margin", {})}


def _below(layout: Json) -> float:
    """Room for tick labels and the title of the lowest x axis."""
    found = [axis for _, axis in panels.axes(layout, "x")]
    turned = [
        str(text)
        for axis in found
        if axis.get("tickangle")
        for text in _entries(axis.get("ticktext"))
    ]
    labels = 0.75 * CHARACTER * _SMALLEST * max(map(len, turned), default=0)
    return max(26, labels + 12) + (20 if any(map(panels.title_of, found)) else 0)


def _beside(spec: Json) -> float:
    """About what labels of the y axis and a colour bar take from the width."""
    title = 22 if panels.title_of(spec["layout"].get("yaxis", {})) else 0
    bars = any(t.get("type") == "heatmap" and t.get("showscale", True) for t in spec["data"])
    return _labels(spec) + title + bars * _BAR


def _labels(spec: Json) -> float:
    """About how wide the longest label of the y axes is."""
    said = [
        line
        for _, axis in panels.axes(spec["layout"], "y")
        for text in _entries(axis.get("ticktext"))
        for line in str(text).split("<br>")
    ]
    for trace in spec["data"]:
        said += [y for y in _entries(trace.get("y")) if isinstance(y, str)]
    return CHARACTER * _SMALLEST * max(map(len, said), default=4)


def _entries(values: Any) -> Collection[Any]:
    """Values of a list or an array of text; arrays of numbers come packed, as a dict."""
    return list(values) if isinstance(values, (list, tuple, np.ndarray)) else ()


def _leave_out_controls(spec: Json) -> None:
    """Take off what only works on a screen, and traces that wait in the legend to be shown."""
    for name in ("sliders", "updatemenus"):
        spec["layout"].pop(name, None)
    spec["data"] = [trace for trace in spec["data"] if trace.get("visible", True) is True]


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
    widths = [_SYMBOL + CHARACTER * _SMALLEST * len(name) for name in names]
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
    """Break title and caption for the width; return the height they take."""
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
