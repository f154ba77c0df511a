"""Panels of a figure in print: gaps wide enough for their labels, titles no wider than a panel.

Domains of axes are shares of the figure. On a screen a gap of 5 % holds the labels of an axis; in a
column of a paper it does not.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Json = dict[str, Any]
Span = tuple[float, float]

_GAP, _TITLE, _TICKS, _LINE = 10, 20, 26, 17
_NARROWEST = 40


def axes(layout: Json, letter: str) -> Iterator[tuple[str, Json]]:
    """All axes of a letter with their ids, such as ``"x2"``."""
    for name, axis in layout.items():
        if name.startswith(f"{letter}axis") and isinstance(axis, dict):
            yield letter + name.removeprefix(f"{letter}axis"), axis


def title_of(axis: Json) -> str:
    """Title of an axis, or an empty string."""
    return (axis.get("title") or {}).get("text") or ""


def columns(layout: Json) -> list[Span]:
    """Spans of the columns of panels; none where panels overlap."""
    return _spans(layout, "x")


def spread_columns(layout: Json, width: float, label_width: float) -> None:
    """Widen gaps between panels until labels and titles of the y axes have their place.

    Parameters
    ----------
    layout : dict
        Changed in place.
    width : float
        Of all panels, in pixels.
    label_width : float
        Of the longest label of a y axis that has its own.
    """
    found = _spans(layout, "x")
    gaps = []
    for span in found[1:]:
        beside = [y for _, y in axes(layout, "y") if _span_of(layout, y, "x") == span]
        need = max((_beside(y, label_width) for y in beside), default=0)
        gaps.append(need / width)
    _spread(layout, "x", found, gaps, _NARROWEST / width)


def spread_rows(layout: Json, height: float) -> float:
    """Add height until tick labels, titles of x axes and titles of panels have their place.

    Parameters
    ----------
    layout : dict
        Changed in place.
    height : float
        Of all panels, in pixels.

    Returns
    -------
    float
        The height the panels now need; their own heights stay.
    """
    found = _spans(layout, "y")
    if len(found) < 2:
        return height
    needs = []
    for lower, upper in pairwise(found):
        below = [x for _, x in axes(layout, "x") if _span_of(layout, x, "y") == upper]
        need = max((_below(x) for x in below), default=0)
        titles = [n for n in layout.get("annotations", []) if _row_titled(layout, n) == lower]
        need += max((_LINE * _lines(n) for n in titles), default=0)
        needs.append(need)
    own = [(b[0] - a[1]) * height for a, b in pairwise(found)]
    missing = sum(max(need - gap, 0) for need, gap in zip(needs, own))
    if not missing:
        return height
    total = height + missing
    gaps = [max(need, gap) / total for need, gap in zip(needs, own)]
    _spread(layout, "y", found, gaps, 0)
    return total


def wrap_notes(layout: Json, width: float, character: float) -> None:
    """Break titles and notes of panels that are wider than their panel."""
    for note in layout.get("annotations", []):
        span = _column_of(layout, note)
        text = note.get("text") or ""
        if span is not None and text and "<" not in text and not note.get("textangle"):
            fitting = max(8, int(width * (span[1] - span[0]) / character))
            note["text"] = "<br>".join(textwrap.wrap(text, fitting)) or text


def height_of_titles(layout: Json) -> float:
    """Height of the titles that stand above the uppermost panels, in pixels."""
    top = max((end for _, end in _spans(layout, "y")), default=1.0)
    above = [
        _LINE * _lines(note) + 4
        for note in layout.get("annotations", [])
        if note.get("yanchor") == "bottom" and _paper_y(layout, note) >= min(top, 0.98) > 0.85
    ]
    return max(above, default=0)


# --- reading ---


def _spans(layout: Json, letter: str) -> list[Span]:
    """Columns (of x axes) or rows (of y axes), or none where they overlap."""
    found = sorted(
        {_domain(axis) for _, axis in axes(layout, letter) if not axis.get("overlaying")}
    )
    apart = all(a[1] < b[0] for a, b in pairwise(found))
    return found if apart else []


def _domain(axis: Json) -> Span:
    start, end = axis.get("domain") or (0, 1)
    return round(float(start), 6), round(float(end), 6)


def _span_of(layout: Json, axis: Json, letter: str) -> Span | None:
    """Span of the axis that another one is anchored to."""
    anchor = axis.get("anchor") or letter
    return next((_domain(a) for name, a in axes(layout, letter) if name == anchor), None)


def _beside(axis: Json, label_width: float) -> float:
    if axis.get("visible") is False:
        return 0
    own = axis.get("showticklabels") is not False
    labels = (label_width if axis.get("tickvals") is not None else _TICKS) if own else 0
    return _GAP + labels + _TITLE * bool(title_of(axis))


def _below(axis: Json) -> float:
    if axis.get("visible") is False:
        return 0
    labels = 20 if axis.get("showticklabels") is not False else 0
    title = title_of(axis)
    return 6 + labels + (8 + _LINE * (title.count("<br>") + 1) if title else 0)


def _lines(note: Json) -> int:
    return (note.get("text") or "").count("<br>") + 1


def _named_axis(layout: Json, reference: str) -> Json | None:
    """Axis of a reference such as ``"x2 domain"``."""
    name = reference.removesuffix(" domain")
    return next((axis for found, axis in axes(layout, name[:1]) if found == name), None)


def _column_of(layout: Json, note: Json) -> Span | None:
    reference = str(note.get("xref", ""))
    if reference.endswith(" domain"):
        axis = _named_axis(layout, reference)
        return None if axis is None else _domain(axis)
    if reference == "paper" and note.get("yanchor") == "bottom":
        columns, x = _spans(layout, "x"), float(note.get("x", 0))
        return next((s for s in columns if len(columns) > 1 and s[0] <= x <= s[1]), None)
    return None


def _paper_y(layout: Json, note: Json) -> float:
    """Height of a note as a share of the figure; -1 where it goes with the data."""
    reference, y = str(note.get("yref", "")), note.get("y")
    if not isinstance(y, (int, float)):
        return -1
    if reference == "paper":
        return float(y)
    axis = _named_axis(layout, reference) if reference.endswith(" domain") else None
    if axis is None:
        return -1
    start, end = _domain(axis)
    return start + y * (end - start)


def _row_titled(layout: Json, note: Json) -> Span | None:
    """Row that a note is the title of."""
    if note.get("yanchor") != "bottom":
        return None
    y = _paper_y(layout, note)
    return next((span for span in _spans(layout, "y") if abs(span[1] - y) < 0.02), None)


# --- moving ---


@dataclass(frozen=True)
class _Move:
    """New places of the edges of spans."""

    old: list[float]
    new: list[float]

    def __call__(self, place: float) -> float:
        if not self.old[0] <= place <= self.old[-1]:
            return place
        return float(np.interp(place, self.old, self.new))


def _spread(
    layout: Json, letter: str, found: list[Span], needed: list[float], narrowest: float
) -> None:
    """Move panels so that gaps are at least as wide as needed."""
    if len(found) < 2:
        return
    own = [b[0] - a[1] for a, b in pairwise(found)]
    gaps = [max(pair) for pair in zip(own, needed, strict=True)]
    before = sum(end - start for start, end in found)
    after = found[-1][1] - found[0][0] - sum(gaps)
    sizes = [(end - start) * after / before for start, end in found]
    if gaps == own or min(sizes) < max(narrowest, 0.01):
        return
    new = [found[0][0]]
    for size, gap in zip(sizes, [*gaps, 0.0], strict=True):
        new += [new[-1] + size, new[-1] + size + gap]
    move = _Move([edge for span in found for edge in span], new[:-1])
    for _, axis in axes(layout, letter):
        start, end = axis.get("domain") or (0, 1)
        axis["domain"] = [move(round(start, 6)), move(round(end, 6))]
    for name in ("annotations", "shapes", "images"):
        for item in layout.get(name, []):
            if item.get(f"{letter}ref") == "paper":
                for key in (letter, f"{letter}0", f"{letter}1"):
                    if isinstance(item.get(key), (int, float)):
                        item[key] = move(float(item[key]))
