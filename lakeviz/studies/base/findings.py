"""Findings: what a study says of one number, rendered as a sentence, a row and a cell.

A finding is read from the rows of a tidy table: of one category as they are, of several as the mean
over categories with Student's interval. Summaries, headline tables, the closing page of the report,
hover texts and LaTeX cells are made of findings, so that a verdict has the same words everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from lakeviz.metrics.comparison import ONE_MORE
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, estimate, mean_over_categories
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import at_best, metric_bounds, metric_title
from lakeviz.tables import Row, records

HEADLINE_METRICS: tuple[Metric, ...] = (("image", "auroc"), ("pixel", "aupro"))
"""Metrics that summaries, headline tables and first figures speak of."""

VERDICTS = {
    "higher": "higher",
    "lower": "lower",
    "equivalent": "equivalent to within {smallest:g}",
    "undecided": "cannot tell: the interval includes zero",
    "ceiling": "both at the best value: these images cannot tell",
    "no interval": "no interval, for there are too few",
    "not measured": "not measured",
}
"""The words of every verdict. ``higher`` and ``lower`` are of the value, better or worse is of the
metric: :attr:`Finding.better`."""


@dataclass(frozen=True)
class Finding:
    """A quantity of a subject, and its difference to a control.

    Attributes
    ----------
    subject : str
        What was measured, such as ``"top-variance neurons"``.
    metric : (level, name) or str
        A registered metric, or another quantity by its name for people.
    where : str
        A category, or ``"Mean over 4 categories"``.
    difference : Estimate
        Subject minus control.
    control : str
        Name of the control for people; empty where there is none.
    n : int
        Number of units that the interval is over.
    over : str
        What these are: ``"test images"`` or ``"categories"``.
    value : Estimate
        Of the subject.
    smallest_effect : float, optional
        A difference whose whole interval lies within it counts as equivalent (two one-sided tests,
        Schuirmann 1987).
    by_category : mapping of verdict to int
        Verdicts of the single categories, where this is their mean.
    confidence : float
        Of the intervals.
    reason : str
        Why it was not measured.
    digits : int
        After the point, in words.
    n_draws : int
        Draws of the normal images that value and difference are means over.
    estimand : str
        What the interval of the difference is of, as tables have it.
    p_value : float
        Rank of the subject among random sets; NaN where the control is not random.
    at_best : bool
        The quantity is a change of a metric that is at its best value with the change and without.
    """

    subject: str
    metric: Metric | str
    where: str
    difference: Estimate = NOT_MEASURED
    control: str = ""
    n: int = 0
    over: str = "test images"
    value: Estimate = NOT_MEASURED
    smallest_effect: float | None = None
    by_category: Mapping[str, int] = field(default_factory=dict)
    confidence: float = 0.95
    reason: str = ""
    digits: int = 3
    n_draws: int = 1
    estimand: str = ""
    p_value: float = np.nan
    at_best: bool = False

    @property
    def verdict(self) -> str:
        """A key of :data:`VERDICTS`."""
        gap, smallest = self.difference, self.smallest_effect
        if not np.isfinite(gap.value):
            return "not measured"
        if self._is_at_best:
            return "ceiling"
        if not np.isfinite(gap.low):
            return "no interval"
        if smallest is not None and -smallest <= gap.low and gap.high <= smallest:
            return "equivalent"
        return gap.verdict

    @property
    def _is_at_best(self) -> bool:
        if isinstance(self.metric, str) or not np.isfinite(self.value.value):
            return self.at_best
        other = self.value.value - self.difference.value
        return at_best(self.metric, self.value.value) and at_best(self.metric, other)

    @property
    def quantity(self) -> str:
        """Name of the metric for people."""
        return self.metric if isinstance(self.metric, str) else metric_title(*self.metric)

    @property
    def words(self) -> str:
        """The verdict in words."""
        said = self._say(self.verdict)
        return f"{said}; by category: {self.counts}" if self.counts else said

    @property
    def short(self) -> str:
        """The verdict in few words."""
        return self._say(self.verdict).split(":")[0]

    @property
    def counts(self) -> str:
        """Verdicts of the single categories, as "higher in 3, lower in 1"."""
        said = [f"{self._say(one).split(':')[0]} in {n}" for one, n in self.by_category.items()]
        return ", ".join(said)

    def _say(self, verdict: str) -> str:
        return VERDICTS[verdict].format(smallest=self.smallest_effect)

    def sentence(self) -> str:
        """Subject, value, control, difference with its interval, n, and the verdict."""
        measured = np.isfinite(self.value.value)
        if self.verdict == "not measured":
            reason = f" ({self.reason})." if self.reason else "."
            if measured and self.control:
                said = f"{self.quantity} {self.value.text(self.digits)}; the difference to"
                return (
                    f"{self.where}: {self.subject}, {said} {self.control} was not measured{reason}"
                )
            return f"{self.where}: {self.quantity} of {self.subject} was not measured{reason}"
        value = f"{self.value.value:.{self.digits}f}, " if measured else ""
        against = f"minus {self.control} " if self.control else ""
        over = f"{self.n:,} {self.over}" if self.verdict == "no interval" else self.interval
        return (
            f"{self.where}: {self.subject}, {self.quantity} {value}{against}"
            f"{self.difference.text(self.digits, signed=True)} ({over}): {self.words}."
        )

    @property
    def interval(self) -> str:
        """What the interval is: confidence, of what, units and their number."""
        said = f"{100 * self.confidence:g} %"
        if self.estimand == ONE_MORE and self.over == "test images":
            said += " prediction interval of one more random set"
        said += f" over {self.n:,} {self.over}"
        if self.n_draws > 1:
            said += f" and {self.n_draws} draws of the normal images"
        return said

    def row(self) -> dict[str, str]:
        """A row of a small table for people."""
        return {
            "where": self.where,
            "subject": self.subject,
            "metric": self.quantity,
            "value": self.value.text(self.digits) if np.isfinite(self.value.value) else "",
            "control": self.control,
            "difference": self.difference.text(self.digits, signed=True),
            "n": f"{self.n:,} {self.over}" + (f", {self.n_draws} draws" * (self.n_draws > 1)),
            "reading": self._say(self.verdict) + (f": {self.reason}" if self.reason else ""),
        }


def finding(
    rows: Sequence[Row],
    metric: Metric | str,
    subject: str,
    *,
    control: str = "",
    difference: str = "difference",
    value: str | None = "value",
    control_value: str | None = None,
    smallest_effect: float | None = None,
    confidence: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> Finding:
    """Read a finding from rows of a tidy table, one row per category.

    Parameters
    ----------
    rows : sequence of mappings
        Each with ``category``, ``n_images`` and the columns named here.
    metric, subject, control, smallest_effect, confidence
        As :class:`Finding`.
    difference : str
        Name of the columns of the difference (with ``_low`` and ``_high``).
    value : str, optional
        Name of the columns of the subject's value, where the table has them.
    control_value : str, optional
        Name of the column of the control's value, where the table has that alone.
    bounds : (float, float), optional
        Least and largest difference that there can be; by default those of the metric.
    """
    single = [
        Finding(
            subject,
            metric,
            str(row.get("category", "")),
            difference=(gap := estimate(row, difference)),
            control=control,
            n=_whole(row.get("n_images"), 0),
            value=_value(row, gap, value, control_value),
            smallest_effect=smallest_effect,
            confidence=confidence,
            reason=_reason_of_none(row, difference),
            n_draws=_whole(row.get("n_draws"), 1),
            estimand=str(row.get("estimand") or ""),
            p_value=float(row.get("p_value", np.nan)),
        )
        for row in rows
    ]
    if len(single) == 1:
        return single[0]
    measured = [one for one in single if one.verdict != "not measured"] or single
    # Of another quantity than a registered metric the ends are not known.
    ends = reach = (-np.inf, np.inf)
    if not isinstance(metric, str):
        ends, reach = metric_bounds(*metric), metric_bounds(*metric, difference=True)
    return replace(
        measured[0],
        where=f"Mean over {len(measured)} categories",
        difference=mean_over_categories(
            [one.difference for one in measured], confidence, bounds or reach
        ),
        n=len(measured),
        over="categories",
        value=mean_over_categories([one.value for one in measured], confidence, ends),
        p_value=np.nan,
        by_category=Counter(one.verdict for one in single),
    )


def findings(
    table: pd.DataFrame,
    subject: str,
    *,
    metrics: Iterable[Metric] = HEADLINE_METRICS,
    where: Mapping[str, object] | None = None,
    **said: object,
) -> Iterator[Finding]:
    """Read a finding of each headline metric that a table has.

    ``where`` chooses rows by column; the other arguments are those of :func:`finding`.
    """
    for level, name in metrics:
        rows = records(table, level=level, metric=name, **(where or {}))
        if rows:
            yield finding(rows, (level, name), subject, **said)  # type: ignore[arg-type]


def _reason_of_none(row: Row, difference: str) -> str:
    """Why a difference was not measured; empty where it was."""
    return "" if np.isfinite(row[difference]) else str(row.get("reason") or "")


def _whole(number: float | None, default: int) -> int:
    return default if number is None or not np.isfinite(number) else int(number)


def _value(row: Row, gap: Estimate, value: str | None, control_value: str | None) -> Estimate:
    if control_value is not None:
        return Estimate(row[control_value] + gap.value, np.nan, np.nan)
    return NOT_MEASURED if value is None else estimate(row, value)
