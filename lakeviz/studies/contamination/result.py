"""What the study ``contamination`` found: tables, and sentences that say no more than they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate, mean_over_categories
from lakeviz.studies.base.result import StudyResult
from lakeviz.tables import Row, mean_of, records

MINOR = 0.125
SUMMARY_METRICS = (("image", "auroc", "image AUROC"), ("pixel", "aupro", "AUPRO"))


@dataclass
class ContaminationResult(StudyResult):
    """Metrics and selections while defective images take the place of normal ones.

    Attributes
    ----------
    metrics : DataFrame
        One row per category, selector, ``what`` is contaminated, degree and metric: ``value`` is
        the mean over draws; ``change`` (against the clean fit of the same draw), ``difference``
        (variance minus this selector, same draw) and ``change_difference`` (variance's change
        minus this one's). Every interval is that of one draw: each resample takes the test images
        anew and one of the draws at random, so that it covers which images were fitted on as well.
        ``n_lower`` draws of ``n_draws`` fell below their clean fit.
    stability : DataFrame
        One row per category, selector, ``what``, hook point, degree and measure (``jaccard`` of
        the channels, ``kernel``: projection kernel): what is left of the clean selection of the
        same draw, mean over draws with an interval of that mean, the lowest draw, and what a
        random set would have (``expected``).
    """

    name: ClassVar[str] = "contamination"
    title: ClassVar[str] = "Defective images among the normal ones"

    metrics: pd.DataFrame = field(repr=False)
    stability: pd.DataFrame = field(repr=False)

    @property
    def shots(self) -> int:
        """Images fitted on."""
        return int(self.provenance["settings"]["shots"])

    @property
    def counts(self) -> list[int]:
        """Numbers of contaminated images, without 0."""
        return sorted({int(n) for n in self.metrics["n_contaminated"]} - {0})

    @property
    def read_at(self) -> list[int]:
        """Degrees the summary reads: the one nearest to an eighth of the images, and the most."""
        minor = min(self.counts, key=lambda n: (abs(n / self.shots - MINOR), n))
        return list(dict.fromkeys((minor, max(self.counts))))

    def at(self, selector: str, what: str, n: int, level: str, metric: str) -> list[Row]:
        """Rows of one selector at one degree, one per category."""
        return records(
            self.metrics,
            selector=selector,
            what=what,
            n_contaminated=n,
            level=level,
            metric=metric,
        )

    def mean(self, rows: Sequence[Row], column: str) -> Estimate:
        """One row's estimate as it is; of several categories their mean, with its interval."""
        if len(rows) == 1:
            return Estimate(*(rows[0][f"{column}{end}"] for end in ("", "_low", "_high")))
        return mean_over_categories(
            np.array([row[column] for row in rows], dtype=float), self.confidence
        )

    def summary(self) -> str:
        """Changes at a minor and at the greatest degree, of LAKE and of its controls."""
        said = [sentence for n in self.read_at if (sentence := self._degree(n))]
        if not said:
            said = ["Neither image AUROC nor AUPRO was measured."]
        return " ".join([self._setting(), *said])

    def _setting(self) -> str:
        n, draws = len(self.categories), self.provenance["settings"]["n_draws"]
        who = self.categories[0] if n == 1 else f"{n} categories"
        percent = f"{100 * self.confidence:g} %"
        over = "of one draw and its test images" if n == 1 else "over categories"
        tested = " to ".join(str(i) for i in sorted({int(n) for n in self.metrics["n_images"]}))
        return (
            f"{who}, {self.shots} images fitted on, {draws} draws, {tested} test images; mean "
            f"changes against the clean fit, {percent} intervals {over}."
        )

    def _degree(self, n: int) -> str:
        parts = [
            part
            for level, metric, words in SUMMARY_METRICS
            if (part := self._changes(n, level, metric, words))
        ]
        if not parts:
            return ""
        return f"With {n} of {self.shots} defective: {'; '.join(parts)}{self._kept(n)}."

    def _changes(self, n: int, level: str, metric: str, words: str) -> str:
        own = self.at("variance", "both", n, level, metric)
        if not own:
            return ""
        change = self.mean(own, "change")
        said = f"{words} of top-variance neurons {change.text(signed=True)} ({_reading(change)})"
        swapped = self.at("variance", "swapped", n, level, metric)
        if swapped:
            said += (
                f", {self.mean(swapped, 'change').text(signed=True)} if swapped for normal images"
            )
        random = self.at("random", "both", n, level, metric)
        if random:
            more = self.mean(random, "change_difference")
            said += (
                f", of random neurons {self.mean(random, 'change').text(signed=True)}; neurons' "
                f"change minus random's {more.text(signed=True)} ({_apart(more)})"
            )
        return said

    def _kept(self, n: int) -> str:
        keys = {"selector": "variance", "measure": "jaccard", "n_contaminated": n}
        dirty, swapped = (records(self.stability, what=w, **keys) for w in ("both", "swapped"))
        beside = (
            f"{mean_of(swapped, 'value'):.2f} if swapped for normal images, " if swapped else ""
        )
        return (
            f"; the selection keeps a Jaccard index of {mean_of(dirty, 'value'):.2f} with the "
            f"clean one ({beside}{mean_of(dirty, 'expected'):.2f} by chance)"
        )

    def _bootstrap(self) -> Bootstrap:
        return Bootstrap(confidence=self.confidence, seed=int(self.provenance["settings"]["seed"]))


def _reading(change: Estimate) -> str:
    if not np.isfinite(change.low):
        return "no interval"
    return change.verdict


def _apart(change: Estimate) -> str:
    if not np.isfinite(change.low):
        return "no interval"
    readings = {"higher": "random suffers more", "lower": "random suffers less"}
    return readings.get(change.verdict, "undecided")
