"""LAKE's neurons beside other neurons: the controls of the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lakeviz.metrics.estimates import mean_over_categories
from lakeviz.metrics.registry import metric_title
from lakeviz.plots import controls_figure, controls_overview_figure
from lakeviz.plots.html import EmbeddedFigure, embed
from lakeviz.report.numbers import Footnotes, Number, show
from lakeviz.report.page_model import Page, Section
from lakeviz.selector_names import selector_name, selector_order
from lakeviz.tables import numbers, rows, where

_MEASURES = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))
_DRAWN = (("image", "auroc"), ("pixel", "aupro"))


@dataclass(frozen=True)
class Comparison:
    """One control by one metric.

    Attributes
    ----------
    value : Number
        The control's, with its lowest and highest draw.
    difference : Number
        LAKE minus control, with its interval.
    verdict : str
        What the interval says; over several categories, in how many.
    """

    value: Number
    difference: Number
    verdict: str


@dataclass(frozen=True)
class ControlRow:
    """One control; a cell is None where the metric was not measured for it."""

    name: str
    draws: str
    cells: list[Comparison | None]


def controls(page: Page) -> list[Section]:
    """Make the section on controls; a sentence where the run has none."""
    table = page.table("controls")
    notes = Footnotes()
    measures = [m for m in _MEASURES if not where(table, level=m[0], metric=m[1]).empty]
    context = {
        "titles": [metric_title(level, name) for level, name in measures],
        "lake": [show(_lake_value(table, *measure), notes=notes) for measure in measures],
        "rows": [_row(table, c, measures, notes) for c in selector_order(table["control"])],
        "notes": notes,
        "figures": figures(table, page.confidence),
        "n_categories": len(page.evaluations),
        "k": page.settings.get("k"),
    }
    return [Section("controls", "Controls", "controls.html", context)]


def figures(table: pd.DataFrame, confidence: float) -> list[EmbeddedFigure]:
    """One figure per metric: values and differences, or differences over many categories."""
    made = []
    for level, name in _DRAWN:
        found = where(table, level=level, metric=name)
        if found.empty or not np.isfinite(numbers(found, "difference")).any():
            continue
        if len(set(found["category"])) > 1:
            fig = controls_overview_figure(table, level=level, metric=name)
        else:
            fig = controls_figure(
                table, level=level, metric=name, confidence=confidence, stacked=True
            )
        made.append(embed(fig))
    return made


def _lake_value(table: pd.DataFrame, level: str, name: str) -> float:
    found = where(table, level=level, metric=name)
    own = found.drop_duplicates("category")  # the same beside every control
    return float(np.mean(numbers(own, "value")))


def _row(
    table: pd.DataFrame, control: str, measures: list[tuple[str, str]], notes: Footnotes
) -> ControlRow:
    of_control = where(table, control=control)
    members = sorted({int(n) for n in of_control["n_members"]})
    draws = " to ".join(str(n) for n in dict.fromkeys(members[:1] + members[-1:]))
    cells = [
        _comparison(where(of_control, level=level, metric=name), notes) for level, name in measures
    ]
    return ControlRow(selector_name(control), draws, cells)


def _comparison(table: pd.DataFrame, notes: Footnotes) -> Comparison | None:
    table = rows(table, np.isfinite(numbers(table, "difference")))
    if table.empty:
        return None
    low, high = numbers(table, "difference_low"), numbers(table, "difference_high")
    better, worse = int(np.count_nonzero(low > 0)), int(np.count_nonzero(high < 0))
    mean = float(np.mean(numbers(table, "control_mean")))
    differences = numbers(table, "difference")
    if len(table) > 1:
        gap = mean_over_categories(differences, 0.95)
        return Comparison(
            show(mean, notes=notes),
            show(gap.value, gap.low, gap.high, notes=notes, signed=True),
            f"better {better} · worse {worse} of {len(table)}",
        )
    spread = (numbers(table, "control_min")[0], numbers(table, "control_max")[0])
    several = int(numbers(table, "n_members")[0]) > 1
    return Comparison(
        show(mean, *(spread if several else ()), notes=notes),
        show(differences[0], low[0], high[0], notes=notes, signed=True),
        "LAKE better" if better else "LAKE worse" if worse else "undecided",
    )
