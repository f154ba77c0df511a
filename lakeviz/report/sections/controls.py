"""LAKE's neurons compared with other neurons: the controls of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import metric_title
from lakeviz.plots import controls_figure, controls_overview_figure
from lakeviz.plots.captions import difference_bars
from lakeviz.plots.html import EmbeddedFigure, embed
from lakeviz.report.numbers import Footnotes, Number, channels, map_size, show
from lakeviz.report.page_model import Page, Section
from lakeviz.selector_names import selector_name, selector_order
from lakeviz.studies.base.findings import HEADLINE_METRICS, Finding, finding
from lakeviz.tables import mean_of, n_draws, numbers, records, rows, where
from lakeviz.wording import joined

UNDECIDED = "are not shown to differ from"


@dataclass(frozen=True)
class Comparison:
    """One control by one metric: its value with its lowest and highest set, LAKE minus it.

    The verdict is what the interval of the difference says; over several categories, in how many.
    """

    value: Number
    difference: Number
    verdict: str


@dataclass(frozen=True)
class ControlRow:
    """One control; a cell is None where the metric was not measured for it."""

    name: str
    n_sets: str
    cells: list[Comparison | None]


def controls(page: Page) -> list[Section]:
    """Make the section on controls; a sentence where the run has none."""
    table = page.table("controls")
    notes = Footnotes()
    size = [f"maps of {map_size(page)} pixels"] if map_size(page) else []
    metrics = list(dict.fromkeys(zip(table["level"], table["metric"], strict=True)))
    context = {
        "comparisons": list(_comparisons(table)),
        "titles": [metric_title(*metric) for metric in metrics],
        "lake": [show(Estimate(_lake_value(table, metric)), notes=notes) for metric in metrics],
        "rows": [_row(table, c, metrics, notes) for c in selector_order(table["control"])],
        "notes": notes,
        "figures": figures(table, page.confidence),
        "n_categories": len(page.evaluations),
        "baseline": ", ".join(["visual branch", channels(page), *size]),
        "bars": difference_bars(measured_rows(table), page.confidence),
        "n_draws": n_draws(measured_rows(table)),
        "most_sets": (sets := _ranked_among(table)),
        "least_p": f"{1 / (1 + sets):.2g}" if sets else "",
    }
    return [Section("controls", "Controls", "controls.html", context)]


def control_finding(table: pd.DataFrame, control: str, metric: Metric) -> Finding | None:
    """LAKE's neurons minus a control by one metric; None where that was not measured."""
    level, name = metric
    rows = records(table, control=control, level=level, metric=name)
    if not rows:
        return None
    # Tables of protocol 1 have no interval of the value.
    subject, mean = "LAKE's neurons", "control_mean"
    found = finding(rows, metric, subject, control=selector_name(control), control_value=mean)
    return None if found.verdict == "not measured" else found


def against(found: Finding) -> str:
    """How LAKE's neurons did, before the name of the control."""
    words = {"higher": "beat", "lower": "do worse than"}
    return words.get(found.verdict, UNDECIDED)


def _comparisons(table: pd.DataFrame) -> Iterator[str]:
    """One sentence per metric: controls by what the interval of the difference says."""
    for metric in HEADLINE_METRICS:
        said: dict[str, list[str]] = {}
        for control in selector_order(table["control"]):
            found = control_finding(table, control, metric)
            if found is not None:
                said.setdefault(against(found), []).append(found.control)
        if said:
            groups = "; ".join(f"{verdict} {joined(names)}" for verdict, names in said.items())
            yield f"In {metric_title(*metric)}, LAKE's neurons {groups}."


def figures(table: pd.DataFrame, confidence: float) -> list[EmbeddedFigure]:
    """One figure per metric: values and differences, or differences over many categories."""
    several = len(set(table["category"])) > 1
    draw = controls_overview_figure if several else partial(controls_figure, stacked=True)
    made = []
    for level, name in HEADLINE_METRICS:
        try:
            made.append(embed(draw(table, level=level, metric=name, confidence=confidence)))
        except ConfigError:  # not measured, as the table says
            continue
    return made


def measured_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of controls that could be made."""
    return rows(table, np.isfinite(numbers(table, "difference")))


def _ranked_among(table: pd.DataFrame) -> int:
    """Most sets of a control that LAKE's neurons are ranked among; 0 where there is no such."""
    if "p_value" not in table:
        return 0
    ranked = rows(table, np.isfinite(numbers(table, "p_value")))
    return int(np.nanmax(numbers(ranked, "n_members"), initial=0))


def _lake_value(table: pd.DataFrame, metric: Metric) -> float:
    # The same value in the row of every control.
    own = records(measured_rows(table), level=metric[0], metric=metric[1])
    return mean_of(list({row["category"]: row for row in own}.values()), "value")


def _row(table: pd.DataFrame, control: str, metrics: list[Metric], notes: Footnotes) -> ControlRow:
    members = sorted({int(n) for n in where(table, control=control)["n_members"].dropna()})
    n_sets = " to ".join(str(n) for n in dict.fromkeys(members[:1] + members[-1:]))
    cells = [_comparison(table, control, metric, notes) for metric in metrics]
    return ControlRow(selector_name(control), n_sets, cells)


def _comparison(
    table: pd.DataFrame, control: str, metric: Metric, notes: Footnotes
) -> Comparison | None:
    found = control_finding(table, control, metric)
    own = records(table, control=control, level=metric[0], metric=metric[1])
    if found is None:
        reasons = [str(row["reason"]) for row in own if row.get("reason")]
        nothing = show(NOT_MEASURED, notes=notes, reason=reasons[0]) if reasons else None
        return None if nothing is None else Comparison(nothing, nothing, "not measured")
    own = records(measured_rows(table), control=control, level=metric[0], metric=metric[1])
    drawn = Estimate(mean_of(own, "control_mean"))
    if len(own) == 1 and own[0]["n_members"] > 1:
        drawn = Estimate(drawn.value, own[0]["control_min"], own[0]["control_max"])
    gap = show(found.difference, notes=notes, signed=True)
    rank = f"; p = {found.p_value:.2g}" if np.isfinite(found.p_value) else ""
    return Comparison(show(drawn, notes=notes), gap, found.counts or f"{found.short}{rank}")
