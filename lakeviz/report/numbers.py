"""Numbers as the page shows them: with their interval, or with the reason why there is none."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass, field, replace

import pandas as pd

from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, estimate, mean_over_categories
from lakeviz.metrics.registry import get_metric
from lakeviz.plots.captions import n_categories
from lakeviz.tables import over_regions, records

NO_REASON = "not measured in this run"


@dataclass(frozen=True)
class Number:
    """One number to show.

    Attributes
    ----------
    text : str
        The value, or an em dash.
    interval : str
        "[0.918, 0.954]", or empty.
    mark : str
        Letter of the footnote that says why something is missing, or empty.
    remark : str
        Small print below, or empty.
    """

    text: str
    interval: str = ""
    mark: str = ""
    remark: str = ""

    @property
    def missing(self) -> bool:
        """Whether there is no value."""
        return self.text == "—"


@dataclass
class Footnotes:
    """Reasons below a table, each said once and marked by a letter."""

    marks: dict[str, str] = field(default_factory=dict)

    def mark(self, reason: str) -> str:
        """Letter of a reason: a to z, then aa, ab, ..."""
        if reason not in self.marks:
            number, letters = len(self.marks), string.ascii_lowercase
            first = letters[number // 26 - 1] if number >= 26 else ""
            self.marks[reason] = first + letters[number % 26]
        return self.marks[reason]

    def __iter__(self):
        return iter((mark, reason) for reason, mark in self.marks.items())

    def __len__(self) -> int:
        return len(self.marks)


def show(estimate: Estimate, *, notes: Footnotes, reason: str = "", signed: bool = False) -> Number:
    """Format an estimate; a missing value becomes a dash and a footnote."""
    text, _, interval = estimate.text(signed=signed, style="html").partition(" ")
    reason = reason or ("" if math.isfinite(estimate.value) else NO_REASON)
    return Number(text, interval, notes.mark(reason) if reason else "")


def metric(
    metrics: pd.DataFrame, level: str, name: str, notes: Footnotes, branch: str = "lake"
) -> Number:
    """Look a metric of one category up and format it."""
    found = records(metrics, level=level, metric=name, branch=branch)
    if not found:
        return show(NOT_MEASURED, notes=notes)
    reason = found[0]["reason"]
    reason = reason if isinstance(reason, str) else ""
    number = show(estimate(found[0]), notes=notes, reason=reason)
    return number if number.missing else replace(number, remark=over_regions(found[0], name))


def over_categories(
    table: pd.DataFrame, level: str, name: str, confidence: float, branch: str = "lake"
) -> tuple[Estimate, int]:
    """A metric over categories, and how many of them have it.

    Of one category its own value and interval, of several their mean with Student's interval.
    """
    found = [
        estimate(row)
        for row in records(table, level=level, metric=name, branch=branch)
        if math.isfinite(row["value"])
    ]
    if len(found) < 2:
        return (found[0] if found else NOT_MEASURED), len(found)
    bounds = get_metric(level, name).bounds
    return mean_over_categories(found, confidence, bounds), len(found)


def mean_metric(
    table: pd.DataFrame,
    level: str,
    name: str,
    notes: Footnotes,
    confidence: float,
    branch: str = "lake",
) -> Number:
    """Mean of a metric over the categories that have it; a footnote says where some have not."""
    mean, n = over_categories(table, level, name, confidence, branch)
    if not n:
        return show(NOT_MEASURED, notes=notes, reason="no category has a value")
    every = n_categories(table)
    reason = f"mean of the {n} of {every} that have a value" if n < every else ""
    # The interval of one category is not one of a mean over them.
    return show(mean if n > 1 else Estimate(mean.value), notes=notes, reason=reason)
