"""Numbers as the page shows them: what they are of, their interval, or why there is none."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, estimate, mean_over_categories
from lakeviz.metrics.registry import get_metric
from lakeviz.plots.captions import n_categories
from lakeviz.report.page_model import Page
from lakeviz.tables import over_regions, records, where
from lakeviz.wording import joined

if TYPE_CHECKING:
    import pandas as pd

    from lakeviz.studies.base.result import StudyResult

NO_REASON = "not measured in this run"


@dataclass(frozen=True)
class Number:
    """One number to show.

    A missing value is an em dash, and ``mark`` the letter of the footnote that says why; the
    interval such as "[0.918, 0.954]" and the remark in small print may be empty.
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


def layer(point: str) -> str:
    """A hook point without the words that all have."""
    return point.removesuffix(".hook_resid_post")


def branch(page: Page) -> str:
    """The score that metrics are of, unless they say another."""
    weight = page.provenance.get("text_weight")
    return f"fused score of vision and text (weight {weight:g})" if weight else "visual branch"


def channels(page: Page) -> str:
    """How many channels are read, and where."""
    table = page.evaluations[0].spectrum
    points = list(dict.fromkeys(table["point"]))
    counts = {_selected(where(table, point=point)) for point in points}
    each = "each of " if len(points) > 1 else ""
    return f"{', '.join(sorted(counts))} channels at {each}{joined([layer(p) for p in points])}"


def _selected(table: pd.DataFrame) -> str:
    n = int(np.count_nonzero(table["selected"]))
    return f"{n} of {len(table)}" if 0 < n < len(table) else f"all {len(table)}"


def map_size(page: Page) -> str:
    """Size of the pixel maps that metrics are measured on; empty where there are none."""
    return ", ".join(sorted({str(r) for r in page.table("metrics")["resolution"].dropna()}))


def of_run(page: Page) -> str:
    """The baseline of the run in one phrase."""
    size = map_size(page)
    return ", ".join([branch(page), channels(page), *([f"maps of {size} pixels"] if size else [])])


def of_study(page: Page, result: StudyResult) -> str:
    """Where a study measures another detector than the run, so that its numbers are others."""
    size = result.provenance.get("options", {}).get("map_size")
    own = f"{size[0]}x{size[1]}" if size else ""
    baseline = result.baseline()
    if not baseline and (not own or own == map_size(page)):
        return ""
    said = [*([baseline] if baseline else []), *([f"maps of {own} pixels"] if own else [])]
    return f"Measured here: {', '.join(said)}. Measured in the overview: {of_run(page)}."
