"""Texts among the data: whether those of cells and notes lie clear of each other at a width."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from lakeviz.plots.print import axis_labels, panels
from lakeviz.plots.print.axis_labels import text_height, text_width
from lakeviz.plots.print.panels import TooNarrowError
from lakeviz.plots.template import print_size

Json = dict[str, Any]
Box = tuple[float, float, float, float]
_SMALL = print_size(7)
_MOST = 400
"""Notes that are compared with each other; figures with more hold small multiples of few."""


def check(spec: Json, width: float, height: float) -> None:
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
    if max((text_width(one, _SMALL) for one in text), default=0) > each:
        raise TooNarrowError("the numbers in the cells would touch")


def _check_notes(layout: Json, on: tuple[str, str], scale: np.ndarray) -> None:
    notes = [
        (note["text"], _box(note, scale))
        for note in layout.get("annotations", [])
        if (note.get("xref", "x"), note.get("yref", "y")) == on and note.get("text")
    ][:_MOST]
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
            raise TooNarrowError(f"{_first(one)!r} would lie on {_first(other)!r}")


def _box(note: Json, scale: np.ndarray) -> Box:
    """Place of a note on an axis that runs down, in pixels: left, top, right, bottom."""
    x, y = float(note["x"]) * scale[0], float(note["y"]) * scale[1]
    wide, high = text_width(note["text"], _SMALL), text_height(note["text"], _SMALL)
    left = x if note.get("xanchor") == "left" else x - wide / 2
    top = {"top": y, "bottom": y - high}.get(str(note.get("yanchor")), y - high / 2)
    return left, top, left + wide, top + high


def _share(axis: Json) -> float:
    start, end = axis.get("domain") or (0, 1)
    return end - start


def _first(text: str) -> str:
    return text.split("<br>")[0]
