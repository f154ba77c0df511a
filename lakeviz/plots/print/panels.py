"""Panels of a figure in print: as many side by side as there is room for, each with its labels.

Domains of axes are shares of the figure. On a screen a gap of 5 % holds the labels of an axis; in a
column of a paper it does not, and three panels are too narrow to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lakeviz.plots.print import axis_labels
from lakeviz.plots.print.axis_labels import text_height, wrapped
from lakeviz.plots.template import print_size

Json = dict[str, Any]
Span = tuple[float, float]

_SMALL, _TITLE = print_size(7), print_size(8)
_GAP, _TICKS, _NOTE = 14, 8, 4
_WHOLE = 0.9
"""A panel that takes more of the width than this has a row of its own."""
_NARROWEST, _NARROWEST_PICTURE = 88, 64
_COMMON = "title of all x axes"
_NEAR, _FLAT = 0.02, 0.8
"""Height over width of panels that were moved into other rows."""


class TooNarrowError(Exception):
    """A width at which the figure cannot be drawn, with what does not fit."""


@dataclass
class Panel:
    """A panel, by its axes."""

    x_name: str
    y_name: str
    x: Json
    y: Json

    @property
    def across(self) -> Span:
        """Its place across the figure."""
        return _domain(self.x)

    @property
    def down(self) -> Span:
        """Its place from the bottom up."""
        return _domain(self.y)

    @property
    def wide(self) -> bool:
        """Whether it has a row of its own."""
        return self.across[1] - self.across[0] > _WHOLE

    @property
    def pictured(self) -> bool:
        """Whether both axes have equally long units, without labels."""
        return bool(self.y.get("scaleanchor")) and self.x.get("visible") is False


def axes(layout: Json, letter: str) -> Iterator[tuple[str, Json]]:
    """All axes of a letter with their ids, such as ``"x2"``."""
    for name, axis in layout.items():
        if name.startswith(f"{letter}axis") and isinstance(axis, dict):
            yield letter + name.removeprefix(f"{letter}axis"), axis


def title_of(axis: Json) -> str:
    """Title of an axis, or an empty string."""
    return (axis.get("title") or {}).get("text") or ""


def grid(spec: Json) -> list[list[Panel]]:
    """Rows of panels from the top; empty where they are no rows, or share an axis."""
    across, down = (
        {name: axis for name, axis in axes(spec["layout"], letter) if _used(spec, name)}
        for letter in "xy"
    )
    found = []
    for name, x in across.items():
        y_name = x.get("anchor") or "y"
        if y_name not in down or (down[y_name].get("anchor") or "x") != name:
            return []
        found.append(Panel(name, y_name, x, down[y_name]))
    if len(found) != len(down) or not found:
        return []
    spans = sorted({panel.down for panel in found}, reverse=True)
    rows = [sorted((p for p in found if p.down == s), key=lambda p: p.across) for s in spans]
    apart = all(upper[0] >= lower[1] for upper, lower in pairwise(spans))
    beside = all(a.across[1] <= b.across[0] for row in rows for a, b in pairwise(row))
    return rows if apart and beside else []


def arrange(spec: Json, width: float, height: float) -> float:
    """Place the panels in ``spec``: as many in a row as their labels leave room for.

    Width (without the labels at their left) and height are those of all panels, in pixels; returned
    is the height that they need.
    """
    layout = spec["layout"]
    rows = grid(spec)
    if not rows:
        for name, axis in axes(layout, "x"):
            start, end = _domain(axis)
            crowded = axis_labels.crowded(spec, name, axis, (end - start) * width)
            if crowded:
                raise TooNarrowError(crowded)
            axis_labels.fit_x_axis(spec, name, axis, (end - start) * width)
        return _of_pictures(spec, width) or height
    _tie_names(layout, [panel for row in rows for panel in row])
    heights = [height * (row[0].down[1] - row[0].down[0]) for row in rows]
    made: list[tuple[list[Panel], float]] = []
    blocks = _blocks(rows)
    for block in blocks:
        own, high = [rows[i] for i in block], [heights[i] for i in block]
        made += _flow(spec, own, high, width, alone=len(blocks) == 1)
    if len(made) == 1 and len(made[0][0]) == 1:
        _fit_texts(spec, made[0][0][0], width)
        return made[0][1] if made[0][0][0].pictured else height
    placed = [row for row, _ in made]
    gaps = [_below(spec, upper) + above(layout, lower) + _NOTE for upper, lower in pairwise(placed)]
    total = sum(high for _, high in made) + sum(gaps)
    top = total
    for (row, high), gap in zip(made, [*gaps, 0.0], strict=True):
        for panel in row:
            panel.y["domain"] = [max((top - high) / total, 0.0), top / total]
        top -= high + gap
    return total


def _of_pictures(spec: Json, width: float) -> float | None:
    """Height of all panels where one has equally long units in both directions, else None."""
    across = dict(axes(spec["layout"], "x"))
    for name, y in axes(spec["layout"], "y"):
        x_name = str(y.get("scaleanchor"))
        if x_name in across:
            panel = Panel(x_name, name, across[x_name], y)
            (left, right), (low, high) = panel.across, panel.down
            return _ratio(spec, panel) * width * (right - left) / (high - low)
    return None


def above(layout: Json, row: Sequence[Panel]) -> float:
    """Height of the names that stand above a row of panels."""
    names = {f"{panel.y_name} domain" for panel in row}
    return max((_NOTE + _height(n) for n in _notes(layout) if n.get("yref") in names), default=0.0)


def below(spec: Json) -> float:
    """Height of tick labels and titles below the lowest panels."""
    rows, notes = grid(spec), spec["layout"].get("annotations", [])
    common = sum(4 + text_height(n["text"], _TITLE) for n in notes if n.get("name") == _COMMON)
    if rows:
        return common + _below(spec, rows[-1])
    return 26 + max((_title_height(x) for _, x in axes(spec["layout"], "x")), default=0.0)


# --- rows ---


def _blocks(rows: list[list[Panel]]) -> list[list[int]]:
    """Rows that can share their panels: those between panels that have a row of their own."""
    made: list[list[int]] = []
    for i, row in enumerate(rows):
        alone = len(row) == 1 and row[0].wide
        if made and not alone and not (len(rows[made[-1][0]]) == 1 and rows[made[-1][0]][0].wide):
            made[-1].append(i)
        else:
            made.append([i])
    return made


def _flow(
    spec: Json, rows: list[list[Panel]], heights: list[float], width: float, *, alone: bool
) -> list[tuple[list[Panel], float]]:
    """Rows of a block with their heights, with as many panels in a row as fit."""
    found = [panel for row in rows for panel in row]
    if len(found) == 1:
        width *= found[0].across[1] - found[0].across[0]
    most, problem, own, gap, each = max(map(len, rows)), "", rows, 0.0, width
    titles = {letter: _taken_title(found, letter) for letter in "xy"} if len(found) > 1 else {}
    full = len(rows) > 1 and len(found) == most * len(rows) and found[0].pictured
    for n in range(most, 0, -1):
        if full and most % n:  # rows of pictures stay apart, such as normal and anomalous ones
            continue
        own = [found[i : i + n] for i in range(0, len(found), n)]
        gap = _gap(spec, own)
        each = (width - (n - 1) * gap) / n
        problem = _problem(spec, found, each)
        if not problem:
            break
    if problem:
        raise TooNarrowError(problem)
    shared = _shared(found)
    for row in own:
        for i, panel in enumerate(row):
            if len(found) > 1:
                left = i * (each + gap)
                panel.x["domain"] = [left / width, min((left + each) / width, 1.0)]
            if shared:
                panel.y["showticklabels"] = i == 0
    if (
        shared
        and len({str(panel.x.get("range")) for panel in found}) == 1
        and found[0].x.get("range")
    ):
        for number, row in enumerate(own):
            for i, panel in enumerate(row):
                panel.x["showticklabels"] = not any(len(low) > i for low in own[number + 1 :])
    _give_titles(spec, own, titles, alone=alone)
    for panel in found:
        _fit_texts(spec, panel, each)
    if found[0].pictured:
        return [(row, max(_ratio(spec, panel) for panel in row) * each) for row in own]
    if len(own[0]) == most:
        return list(zip(own, heights, strict=True))
    numeric = not any(_names(panel.y) for panel in found)
    high = min(max(heights), max(_FLAT * each, 0.9 * _NARROWEST)) if numeric else max(heights)
    return [(row, high) for row in own]


def _gap(spec: Json, rows: list[list[Panel]]) -> float:
    """Between panels side by side: what labels and titles of the right ones need."""
    shared = _shared([panel for row in rows for panel in row])
    need: list[float] = [_GAP]
    for row in rows:
        ends = [axis_labels.label_width(spec, panel.x_name, panel.x) for panel in row]
        need += [(left + right) / 2 for left, right in pairwise(ends)]
        for panel in row[1:]:
            if panel.y.get("visible") is False:
                continue
            labels = 0 if shared else axis_labels.label_width(spec, panel.y_name, panel.y) + _TICKS
            title = text_height(title_of(panel.y), _TITLE) + 4 if title_of(panel.y) else 0
            need.append(_GAP + labels + title)
    return max(need)


def _problem(spec: Json, found: list[Panel], width: float) -> str:
    """What does not fit into panels of a width, in words; empty where all does."""
    for panel in found:
        if width < (_NARROWEST_PICTURE if panel.pictured else _NARROWEST):
            return f"panels would be {0.6 * width / 72 * 25.4:.0f} mm wide"
        crowded = axis_labels.crowded(spec, panel.x_name, panel.x, width)
        if crowded:
            return crowded
    return ""


def _taken_title(found: list[Panel], letter: str) -> Json | None:
    """Take a title that all panels share off their axes."""
    titled = [a for a in (getattr(panel, letter) for panel in found) if title_of(a)]
    if len({title_of(axis) for axis in titled}) != 1:
        return None
    found_titles = [axis.pop("title") for axis in titled]
    return found_titles[0]


def _give_titles(
    spec: Json, rows: list[list[Panel]], titles: dict[str, Json | None], *, alone: bool
) -> None:
    """Write shared titles once, in the middle; ``alone``: there are no other panels."""
    notes = spec["layout"].setdefault("annotations", [])
    common = {"xref": "paper", "yref": "paper", "showarrow": False, "font": {"size": _TITLE}}
    if alone and titles.get("x") and len(rows[0]) > 1:
        said = (titles.pop("x") or {})["text"]
        shift = max(axis_labels.height_below(spec, p.x_name, p.x) for p in rows[-1])
        place = {"x": 0.5, "y": 0, "xanchor": "center", "yanchor": "top", "yshift": -shift}
        notes.append(common | place | {"text": said, "name": _COMMON})
    if alone and titles.get("y") and len(rows) > 1:
        said = (titles.pop("y") or {})["text"]
        labels = max(axis_labels.label_width(spec, r[0].y_name, r[0].y) for r in rows)
        place = {"x": 0, "y": 0.5, "xanchor": "right", "yanchor": "middle", "textangle": -90}
        notes.append(common | place | {"text": said, "xshift": -labels - 10})
    for number, row in enumerate(rows):
        for i, panel in enumerate(row):
            lowest = not any(len(lower) > i for lower in rows[number + 1 :])
            if titles.get("x") and lowest:
                panel.x["title"] = dict(titles["x"] or {})
            if titles.get("y") and i == 0:
                panel.y["title"] = dict(titles["y"] or {})


def _shared(found: list[Panel]) -> bool:
    """Whether one scale holds for all, labelled at the first panel of a row."""
    return any(panel.y.get("showticklabels") is False for panel in found)


def _ratio(spec: Json, panel: Panel) -> float:
    """Height over width of a picture."""
    both = (panel.x_name, panel.x), (panel.y_name, panel.y)
    ends = [axis_labels.span_of(spec, name, axis) for name, axis in both]
    across, down = (1.0 if one is None else abs(one[1] - one[0]) for one in ends)
    return down / across if across else 1.0


def _fit_texts(spec: Json, panel: Panel, width: float) -> None:
    """Break names and titles that are wider than their panel."""
    for note in _notes(spec["layout"]):
        if note.get("yref") == f"{panel.y_name} domain" and not note.get("textangle"):
            note["text"] = wrapped(note.get("text") or "", width, _SMALL)
    axis_labels.fit_x_axis(spec, panel.x_name, panel.x, width)


def _tie_names(layout: Json, found: list[Panel]) -> None:
    """Tie names that stand at a place of the figure to the panel below them, to move with it."""
    for note in layout.get("annotations", []) if len(found) > 1 else []:
        if (note.get("xref"), note.get("yref"), note.get("yanchor")) != (
            "paper",
            "paper",
            "bottom",
        ):
            continue
        for panel in found:
            (left, right), (_, top) = panel.across, panel.down
            if left <= note.get("x", -1) <= right and abs(note.get("y", -1) - top) < _NEAR:
                note |= {"xref": f"{panel.x_name} domain", "yref": f"{panel.y_name} domain"}
                note |= {"x": (note["x"] - left) / (right - left), "y": 1}
                break


def _used(spec: Json, axis: str) -> bool:
    """Whether an axis has a trace: others are not drawn."""
    letter = axis[0]
    return any((trace.get(f"{letter}axis") or letter) == axis for trace in spec["data"])


# --- heights ---


def _below(spec: Json, row: Sequence[Panel]) -> float:
    return max(
        axis_labels.height_below(spec, panel.x_name, panel.x) + _title_height(panel.x)
        for panel in row
    )


def _title_height(axis: Json) -> float:
    said = title_of(axis)
    return 6 + text_height(said, _TITLE) if said and axis.get("visible") is not False else 0.0


def _height(note: Json) -> float:
    return text_height(note.get("text") or "", _SMALL)


def _notes(layout: Json) -> list[Json]:
    """Names that stand above panels."""
    return [
        note
        for note in layout.get("annotations", [])
        if note.get("yanchor") == "bottom" and str(note.get("yref")).endswith(" domain")
    ]


def _names(axis: Json) -> bool:
    return axis.get("tickvals") is not None or axis.get("type") == "category"


def _domain(axis: Json) -> Span:
    start, end = axis.get("domain") or (0, 1)
    return round(float(start), 6), round(float(end), 6)
