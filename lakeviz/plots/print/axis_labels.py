"""Texts of axes in print: how wide they are, broken, thinned out or upright for want of room."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lakeviz.plots.panels import data_range, unpacked
from lakeviz.plots.template import print_size

_WIDTHS = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 "
    "556 556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 "
    "722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 "
    "556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 "
    "260 334 584"
)
_EM = {chr(32 + i): int(width) / 1000 for i, width in enumerate(_WIDTHS.split())}
_OTHER = 0.6
LINE = 1.3
"""Height of a line as a part of the font's size."""

_BREAKS = re.compile(r"(?<=[\s/_,.:-])(?=[^\s\d])")


def text_width(text: object, size: float) -> float:
    """Width of a text of plotly (its widest line) at a font size, in the unit of the size."""
    lines = re.split(r"<br ?/?>", str(text))
    return size * max(map(_in_em, lines))


def text_height(text: object, size: float) -> float:
    """Height of a text of plotly at a font size."""
    return LINE * size * (len(re.findall(r"<br ?/?>", str(text))) + 1)


def wrapped(text: str, width: float, size: float) -> str:
    """Break a text into as few lines as it needs, of about equal length; a word stays whole."""
    if "<br>" in text:
        return "<br>".join(wrapped(line, width, size) for line in text.split("<br>"))
    parts = _BREAKS.split(text)
    found = _lines(parts, width, size)
    trial = width
    while trial > 1:
        trial -= size / 2
        narrower = _lines(parts, trial, size)
        if len(narrower) > len(found) or text_width("<br>".join(narrower), size) > width:
            break
        found = narrower
    return "<br>".join(found)


def _lines(parts: list[str], width: float, size: float) -> list[str]:
    lines = [""]
    for part in parts:
        if lines[-1] and text_width((lines[-1] + part).rstrip(), size) > width:
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines]


def _in_em(line: str) -> float:
    said = html.unescape(re.sub(r"<[^>]*>", "", line))
    return sum(_EM.get(letter, _OTHER) for letter in said)


Json = dict[str, Any]

_SMALL, _TITLE = print_size(7), print_size(8)
_BETWEEN, _TICK, _MOST_TICKS = 6, 8, 7
_INNER = 0.92
"""About which part of an axis lies between its first and its last tick."""


def fit_x_axis(spec: Json, name: str, axis: Json, width: float) -> None:
    """Break a title longer than its axis (``width`` pixels); choose labels that lie side by side.

    Names that do not fit beside each other stand upright; numbers are thinned out.
    """
    _wrap_title(axis, width)
    named = names_of(spec, name, axis)
    if named:
        upright = max(text_width(n, _SMALL) for n in named) + 4 > width / len(named)
        axis["tickangle"] = -90 if upright else 0
        return
    axis["tickangle"] = 0
    if axis.get("tickvals") is not None:
        _thin_labels(axis, width)
    elif "dtick" in axis and axis.get("type") != "log":
        while _too_many(spec, name, axis, width):
            axis["dtick"] = _rounded_up(2 * axis["dtick"])
    elif not {"nticks", "dtick"} & axis.keys() or width < 250:
        axis.pop("dtick", None)
        label = label_width(spec, name, axis)
        least = 3 if 3 * label < width else 2
        axis["nticks"] = min(_MOST_TICKS, max(least, int(width / (label + 2 * _BETWEEN))))
        if axis.get("type") != "log":
            _at_least_two(axis, span_of(spec, name, axis), width)


def crowded(spec: Json, name: str, axis: Json, width: float) -> str:
    """Say what does not fit below an axis, in words; empty where all does."""
    named = names_of(spec, name, axis)
    if named and len(named) * LINE * _SMALL > width:
        return f"the {len(named)} names below it would touch"
    return ""


def wrap_y_titles(layout: Json, height: float) -> None:
    """Break titles longer than their axis; ``height`` is that of all panels, in pixels."""
    for name, axis in layout.items():
        if name.startswith("yaxis") and isinstance(axis, dict):
            start, end = axis.get("domain") or (0, 1)
            _wrap_title(axis, (end - start) * height)


def label_width(spec: Json, name: str, axis: Json) -> float:
    """About how wide the widest tick label of an axis is, in pixels."""
    if axis.get("visible") is False or axis.get("showticklabels") is False:
        return 0.0
    said = axis.get("ticktext")
    if said is None and axis.get("tickvals") is not None:
        said = [f"{v:g}" if isinstance(v, (int, float)) else v for v in entries(axis["tickvals"])]
    if said is None:
        said = names_of(spec, name, axis) or _numbers(span_of(spec, name, axis), axis)
    return max((text_width(text, _SMALL) for text in entries(said)), default=0.0)


def height_below(spec: Json, name: str, axis: Json) -> float:
    """Height of the tick labels below an axis."""
    if axis.get("visible") is False:
        return 0.0
    if axis.get("showticklabels") is False:
        return float(_TICK)
    named = names_of(spec, name, axis) if axis.get("tickangle") == -90 else []
    return _TICK + max((text_width(n, _SMALL) for n in named), default=LINE * _SMALL)


def span_of(spec: Json, name: str, axis: Json) -> tuple[float, float] | None:
    """What an axis spans: the range it is given, or that of its data."""
    given = axis.get("range")
    if given and all(isinstance(end, (int, float)) for end in given):
        low, high = sorted(given)
        return (10**low, 10**high) if axis.get("type") == "log" else (low, high)
    found = data_range(spec, name)
    if found is None:
        heat = [t for t in spec["data"] if t.get("type") == "heatmap"]
        letter = name[0]
        for trace in heat:
            if (trace.get(f"{letter}axis") or letter) == name and trace.get("z") is not None:
                shape = _shape(trace["z"])
                return (0.0, float(shape[1 if letter == "x" else 0]))
    return found


def names_of(spec: Json, name: str, axis: Json) -> list[str]:
    """Names along an axis, where its labels are no numbers."""
    said = axis.get("ticktext")
    if said is not None:
        labels = [str(text) for text in entries(said)]
        # Numbers that the figure has upright are names, such as those of channels.
        return [] if all(map(_is_number, labels)) and axis.get("tickangle") != -90 else labels
    if axis.get("tickvals") is not None:
        return []
    letter = name[0]
    found: dict[str, None] = {}
    for trace in spec["data"]:
        if (trace.get(f"{letter}axis") or letter) == name:
            found |= {v: None for v in entries(trace.get(letter)) if isinstance(v, str)}
    return list(found)


def _wrap_title(axis: Json, length: float) -> None:
    said = (axis.get("title") or {}).get("text") or ""
    if said and "<" not in said.replace("<br>", ""):
        axis["title"]["text"] = wrapped(said, length, _TITLE)


def _numbers(span: tuple[float, float] | None, axis: Json) -> list[str]:
    """About the labels that plotly writes along a span."""
    if span is None:
        return ["0.0"]
    if axis.get("type") == "log":
        return [f"{end:.3g}" for end in span if end > 0] or ["0.0"]
    step = max(span[1] - span[0], 1e-12) / 4
    digits = max(0, math.ceil(-math.log10(step) - 0.3))
    return [f"{end:.{digits}f}" for end in span]


def _too_many(spec: Json, name: str, axis: Json, width: float) -> bool:
    """Whether labels at the steps that an axis is given would touch."""
    span = span_of(spec, name, axis)
    if span is None or span[1] - span[0] <= axis["dtick"]:
        return False
    steps = (span[1] - span[0]) / axis["dtick"]
    return steps * (label_width(spec, name, axis) + _BETWEEN) > _INNER * width


def _at_least_two(axis: Json, span: tuple[float, float] | None, length: float) -> None:
    """Label an axis twice, where plotly would by ``nticks`` label zero alone."""
    if span is None or span[0] >= span[1]:
        return
    step = _rounded_up((span[1] - span[0]) / axis["nticks"])
    if len(_multiples(step, span)) >= 2:
        return
    while len(_multiples(step, span)) < 2:
        step = _rounded_up(step / 2.5)  # 10, 5, 2, 1
    axis["tickvals"] = _multiples(step, span)
    axis["ticktext"] = [f"{v:.12g}".replace("-", "\u2212") for v in axis["tickvals"]]
    _thin_labels(axis, length, span)


def _rounded_up(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten, as plotly takes it."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-12)))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= step * (1 - 1e-9))


def _multiples(step: float, span: tuple[float, float]) -> list[float]:
    low, high = (round(end / step, 9) for end in span)
    return [n * step for n in range(math.ceil(low), math.floor(high) + 1)]


def _thin_labels(axis: Json, length: float, span: tuple[float, float] | None = None) -> None:
    """Keep the last of the numbers at the ticks, and those before it that do not touch it.

    ``span`` is that of the axis, where it is wider than the ticks.
    """
    values = list(entries(axis["tickvals"]))
    texts = axis.get("ticktext")
    labels = [f"{v:g}" if isinstance(v, float) else str(v) for v in values]
    labels = labels if texts is None else [str(text) for text in texts]
    log = axis.get("type") == "log"
    places = _places(values, log)
    if len(places) < 2 or len(labels) != len(places) or not all(map(_is_number, labels)):
        return
    ends = axis.get("range") or span or (min(places), max(places))
    width = abs(ends[1] - ends[0])
    scale = _INNER * length / width if width else 0.0
    kept: list[str] = []
    free = math.inf
    for place, label in sorted(zip(places, labels, strict=True), reverse=True):
        half = text_width(label, _SMALL) / 2
        fits = bool(label) and place * scale + half + _BETWEEN <= free
        free = place * scale - half if fits else free
        kept.append(label if fits else "")
    order = sorted(range(len(places)), key=lambda i: (places[i], labels[i]), reverse=True)
    axis["ticktext"] = [kept[order.index(i)] for i in range(len(places))]


def _places(values: Sequence[Any], log: bool) -> list[float]:
    if not all(isinstance(v, (int, float)) and (v > 0 or not log) for v in values):
        return []
    return [math.log10(v) if log else float(v) for v in values]


def _is_number(label: str) -> bool:
    """Whether a label is a number, or empty."""
    try:
        float(label.replace(",", "").replace("−", "-") or 0)
    except ValueError:
        return False
    return True


def entries(values: Any) -> Sequence[Any]:
    """Values of a list or an array; arrays of numbers come packed, as a dict."""
    if isinstance(values, dict):
        return unpacked(values).tolist()
    return list(values) if isinstance(values, (list, tuple, np.ndarray)) else ()


def _shape(z: Any) -> tuple[int, int]:
    rows = np.asarray(entries(z)) if isinstance(z, dict) else np.asarray(z)
    return rows.shape[0], rows.shape[1]
