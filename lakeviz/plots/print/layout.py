"""Fit a figure to a width in print: template, sizes, panels, legend, title and caption.

The figures of lakeviz are made for a screen. In a column of 85 mm the same picture has about
400 pixels of the layout: panels move into more rows, the legend breaks into more lines, and what
is only of use on a screen (sliders, hovering) has no place. A width at which texts among the data
would overlap is refused.
"""

from __future__ import annotations

import copy
import math
import textwrap
from itertools import combinations
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lakeviz.plots.print import axis_labels, panels
from lakeviz.plots.print.axis_labels import LINE, entries, text_height, text_width, wrapped
from lakeviz.plots.print.panels import TooNarrowError
from lakeviz.plots.template import PRINT_FONT, PRINT_SCALE, TEMPLATES, caption_of, plain, print_size

Json = dict[str, Any]
Box = tuple[float, float, float, float]

_NARROW = 600
"""Below this width, in pixels of the layout, a legend beside the axes would take their place."""
_NARROW_HEIGHT = 0.9
_SMALLEST, _TEXT, _LARGEST = print_size(7), print_size(8), print_size(9)
_THINNER, _SMALLER = 0.75, 0.8
_SYMBOL, _ENTRY = 50, 1.7
"""Width of a legend's symbol, and height of its entries as a part of the font's size."""
_GAP, _BAR = 8, 30
_TALLEST = 247 / 25.4 * 96 / PRINT_SCALE
"""Of what a page holds, in pixels."""
_WIDE_CHARACTER = 0.56
"""Of captions, which must not run over, as a part of the font's size."""
_MOST_NOTES = 400
"""That are compared with each other; figures with more hold small multiples of few."""


def fit_to_page(
    fig: go.Figure, width: float, height: float | None = None, template: str = "paper"
) -> go.Figure:
    """Copy a figure, laid out for a width (and a height, or one that suits it) in pixels.

    ``"paper"`` shows no title and no caption, which a paper sets in its own type, and has thinner
    lines and smaller markers. Raises TooNarrowError where it cannot be drawn at this width.
    """
    spec = copy.deepcopy(fig.to_plotly_json())
    layout: Json = spec["layout"]
    narrow = width < _NARROW
    title, caption = caption_of(fig)
    content = _content_height(layout, narrow=narrow)
    # Margins that the figure sets itself hold something; with a slider: the slider.
    kept = () if layout.get("sliders") else ("l", "r", "b")
    margin = {side: layout["margin"][side] for side in kept if side in layout.get("margin", {})}
    # What only works on a screen, and traces that wait in the legend to be shown.
    for name in ("sliders", "updatemenus"):
        layout.pop(name, None)
    spec["data"] = [trace for trace in spec["data"] if trace.get("visible", True) is True]
    if any("x" in trace or "y" in trace or "z" in trace for trace in spec["data"]):
        for name in ("xaxis", "yaxis"):
            layout.setdefault(name, {})
    for part in (layout, *spec["data"]):
        _clamp_fonts(part)
    printed = template == "paper"
    parallel = any(trace.get("type") == "parcoords" for trace in spec["data"])
    if parallel:
        margin |= {"l": 48, "r": 40}  # its labels widen none
    if printed:
        _thin(spec)
        layout["title"], top = {"text": ""}, 40.0 if parallel else 0.0
    else:
        top = _set_title(layout, title, caption, width)
    margin = {"l": 12.0, "r": 16.0} | margin
    left = _left(spec)
    across = width - margin["l"] - margin["r"] - left - _bars(spec)
    old_below = panels.below(spec)
    tall = panels.arrange(spec, across, max(content - margin.get("b", old_below), 1))
    rows = panels.grid(spec)
    lift = panels.above(layout, rows[0]) if rows else 0.0
    margin = {"b": panels.below(spec) + 6} | margin
    above = _legend_above(layout, narrow=narrow)
    legend = _legend_height(spec, width - margin["l"] - margin["r"] - left) if above else 0
    top += _GAP + lift + legend
    plot = tall if height is None else max(height - top - margin["b"], 1)
    if above:
        _set_legend_above(layout, 1 + lift / plot)
    axis_labels.wrap_y_titles(layout, plot)
    _check_texts(spec, across, plot)
    total = height or top + plot + margin["b"]
    if printed and height is None and total > _TALLEST:
        raise TooNarrowError(f"it would be {total / _TALLEST * 247:.0f} mm high, more than a page")
    layout |= {"width": width, "height": total, "autosize": False}
    margin = margin | {"l": margin["l"] + left, "t": top}
    layout |= {"template": TEMPLATES[template], "margin": margin}
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
    axes = [axis for _, axis in panels.axes(layout, "y")]
    stacked = sum("domain" in axis or "matches" in axis for axis in axes) > 2
    return stacked or any(
        axis.get("tickvals") is not None
        or axis.get("type") == "category"
        or axis.get("autorange") == "reversed"
        or axis.get("scaleanchor")
        for axis in axes
    )


def _left(spec: Json) -> float:
    """What labels and titles of the y axes at the left take from the width."""
    found = [(n, y) for n, y in panels.axes(spec["layout"], "y") if y.get("visible") is not False]
    rows = panels.grid(spec)
    first = {row[0].y_name for row in rows} or {name for name, _ in found}
    return max(
        (
            axis_labels.label_width(spec, name, y)
            + 8
            + (LINE * _TEXT + 6) * bool(panels.title_of(y))
            for name, y in found
            if name in first
        ),
        default=0.0,
    )


def _bars(spec: Json) -> float:
    """What a colour bar takes from the width."""
    bars = [
        trace.get("colorbar") or {}
        for trace in spec["data"]
        if trace.get("type") == "heatmap"
        and trace.get("showscale", True)
        and not trace.get("coloraxis")
    ]
    axes = [v for k, v in spec["layout"].items() if k.startswith("coloraxis")]
    bars += [axis.get("colorbar") or {} for axis in axes if axis.get("showscale", True)]
    upright = [bar for bar in bars if bar.get("orientation") != "h"]
    return max(
        (
            _BAR
            + bar.get("thickness", 30)
            + max((text_width(t, _SMALLEST) for t in entries(bar.get("ticktext"))), default=34)
            for bar in upright
        ),
        default=0.0,
    )


# --- legend, title, axis titles ---


def _legend_above(layout: Json, *, narrow: bool) -> bool:
    if layout.get("showlegend") is False:
        return False
    legend = layout.get("legend", {})
    if legend.get("orientation") == "h":
        return legend.get("yanchor") == "bottom"
    return narrow and "x" not in legend


def _legend_height(spec: Json, inner: float) -> float:
    """Height of a legend above the axes, whose entries share a grid as wide as the widest.

    Names that are too long for a line are broken.
    """
    shown = [*spec["data"], *spec["layout"].get("shapes", [])]
    entries = [entry for entry in shown if _in_legend(entry)]
    if not entries or (len(entries) == 1 and not _explicit(spec)):
        return 0.0
    for entry in entries:
        entry["name"] = wrapped(entry["name"], inner - _SYMBOL, _SMALLEST)
    names = [entry["name"] for entry in entries]
    widths = [_SYMBOL + text_width(name, _SMALLEST) for name in names]
    highest = max(text_height(name, _SMALLEST) for name in names) + (_ENTRY - LINE) * _SMALLEST
    in_line = len(names) if sum(widths) <= inner else max(1, int(inner // max(widths)))
    return math.ceil(len(names) / in_line) * highest


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
        "pad": {"t": _GAP + (len(first) - 1) * LINE * _LARGEST},  # it is placed by its last line
    }
    return _GAP + LINE * (len(first) * _LARGEST + len(rest) * _SMALLEST) + _GAP


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


# --- texts among the data ---


def _check_texts(spec: Json, width: float, height: float) -> None:
    """Refuse a width (of all panels, in pixels) at which texts among the data overlap."""
    layout = spec["layout"]
    across, down = (dict(panels.axes(layout, letter)) for letter in "xy")
    for trace in spec["data"]:
        if trace.get("type") == "heatmap" and trace.get("texttemplate"):
            _check_cells(trace, across.get(trace.get("xaxis") or "x", {}), width)
    for x_name, x in across.items():
        y_name = x.get("anchor") or "y"
        ends = [
            axis_labels.span_of(spec, n, a)
            for n, a in ((x_name, x), (y_name, down.get(y_name, {})))
        ]
        if None in ends or not x.get("range"):
            continue
        (left, right), (low, high) = ends  # type: ignore[misc]
        scale = np.array([_share(x) * width / (right - left), _share(down[y_name]) * height])
        scale[1] /= high - low
        if down[y_name].get("scaleanchor"):
            scale[:] = scale.min()
        _check_notes(layout, (x_name, y_name), scale)


def _check_cells(trace: Json, axis: Json, width: float) -> None:
    text = [str(one) for row in np.asarray(trace["text"], dtype=object) for one in row]
    each = _share(axis) * width / np.shape(np.asarray(trace["text"], dtype=object))[1]
    if max((text_width(one, _SMALLEST) for one in text), default=0) > each:
        raise TooNarrowError("the numbers in the cells would touch")


def _check_notes(layout: Json, on: tuple[str, str], scale: np.ndarray) -> None:
    notes = [
        (note["text"], _box(note, scale))
        for note in layout.get("annotations", [])
        if (note.get("xref", "x"), note.get("yref", "y")) == on and note.get("text")
    ][:_MOST_NOTES]
    pictures = [
        (
            "a picture",
            (
                (image["x"] - image["sizex"] / 2) * scale[0],
                (image["y"] - image["sizey"] / 2) * scale[1],
                (image["x"] + image["sizex"] / 2) * scale[0],
                (image["y"] + image["sizey"] / 2) * scale[1],
            ),
        )
        for image in layout.get("images", [])
        if (image.get("xref", "x"), image.get("yref", "y")) == on
        and image.get("xanchor") == "center"
    ]
    pairs = [*combinations(notes, 2), *((n, p) for n in notes for p in pictures)]
    for (one, a), (other, b) in pairs:
        wide, high = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
        if wide > 0 and high > 3:
            raise TooNarrowError(
                f"{one.split('<br>')[0]!r} would lie on {other.split('<br>')[0]!r}"
            )


def _box(note: Json, scale: np.ndarray) -> Box:
    """Place of a note on an axis that runs down, in pixels: left, top, right, bottom."""
    x, y = float(note["x"]) * scale[0], float(note["y"]) * scale[1]
    wide, high = text_width(note["text"], _SMALLEST), text_height(note["text"], _SMALLEST)
    left = x if note.get("xanchor") == "left" else x - wide / 2
    top = {"top": y, "bottom": y - high}.get(str(note.get("yanchor")), y - high / 2)
    return left, top, left + wide, top + high


def _share(axis: Json) -> float:
    start, end = axis.get("domain") or (0, 1)
    return end - start
