"""Titles and tick labels of axes in print: broken or thinned out where there is no room."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from lakeviz.plots.print import panels
from lakeviz.plots.template import print_size

Json = dict[str, Any]

CHARACTER = 0.52
"""About how wide a character is, as a part of the font's size."""

_FEW_TICKS, _TICK, _BETWEEN = 200, 50, 5
_INNER = 0.92
"""About which part of an axis lies between its first and its last tick."""


def fit_x_axes(layout: Json, across: float) -> None:
    """Break titles longer than their axis; leave out tick labels that would be turned.

    Parameters
    ----------
    layout : dict
        Changed in place.
    across : float
        Width of all panels, in pixels.
    """
    for _, axis in panels.axes(layout, "x"):
        own = share(axis) * across
        _wrap_title(axis, own)
        if axis.get("tickvals") is not None:
            _thin_labels(axis, own)
        elif own < _FEW_TICKS and not {"nticks", "dtick"} & axis.keys():
            axis["nticks"] = max(3, int(own / _TICK))


def wrap_y_titles(layout: Json, down: float) -> None:
    """Break titles longer than their axis; ``down`` is the height of all panels, in pixels."""
    for _, axis in panels.axes(layout, "y"):
        _wrap_title(axis, share(axis) * down)


def share(axis: Json) -> float:
    """Part of the figure that an axis takes."""
    start, end = axis.get("domain") or (0, 1)
    return end - start


def _wrap_title(axis: Json, length: float) -> None:
    said = panels.title_of(axis)
    if said and "<" not in said:
        fitting = max(12, int(length / (CHARACTER * print_size(8))))
        axis["title"]["text"] = "<br>".join(_balanced(said, fitting))


def _balanced(text: str, longest: int) -> list[str]:
    """Break a text into as few lines as it needs, of about equal length."""
    n_lines = len(textwrap.wrap(text, longest, break_long_words=False))
    for width in range(math.ceil(len(text) / n_lines), longest):
        lines = textwrap.wrap(text, width, break_long_words=False)
        if len(lines) == n_lines:
            return lines
    return textwrap.wrap(text, longest, break_long_words=False)


def _thin_labels(axis: Json, length: float) -> None:
    """Keep the last of the numbers at the ticks, and those before it that do not touch it."""
    values = axis["tickvals"]
    if not isinstance(values, (list, tuple)) or axis.get("tickangle"):
        return
    texts = axis.get("ticktext")
    labels = [f"{v:g}" if isinstance(v, float) else str(v) for v in values]
    labels = labels if texts is None else [str(text) for text in texts]
    places = _places(values, axis.get("type") == "log")
    if len(places) < 2 or len(labels) != len(places) or not all(map(_is_number, labels)):
        return
    width = max(places) - min(places)
    scale = _INNER * length / width if width else 0.0
    kept: list[str] = []
    free = math.inf
    for place, label in sorted(zip(places, labels, strict=True), reverse=True):
        half = CHARACTER * print_size(7) * len(label) / 2
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
        float(label.replace(",", "") or 0)
    except ValueError:
        return False
    return True
