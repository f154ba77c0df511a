"""Settings and result of the study ``contamination``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from lakeviz.metrics.measurement import Metric
from lakeviz.selector_names import selector_name
from lakeviz.studies.base import settings
from lakeviz.studies.base.findings import HEADLINE_METRICS, Finding, finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import option
from lakeviz.tables import mean_of, records

MINOR = 0.125
WHAT = ("both", "selection", "gallery", "swapped", "fewer")


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Replace normal images by defective ones, step by step.

    All else is as in RUN. The defective images are test images that are set aside and never tested
    on.
    """

    shots: int = option(8, "Images fitted on.", least=1)
    fractions: tuple[float, ...] = option(
        (0.0, 0.125, 0.25, 0.375, 0.5),
        "Shares of them that are defective, rounded to whole images; 0 is always among them.",
        flag="--fraction",
        least=0,
        most=0.5,
    )
    n_repeats: int = option(
        10, "Repeated draws of fitted images and contaminants.", least=2, was="n_draws"
    )
    pool: int = option(32, "Normal images of a run that the repeats are drawn from.", least=1)
    selectors: tuple[str, ...] = option(
        ("variance", "mad", "trimmed_variance"),
        "Selectors; variance is always among them.",
        flag="--selector",
    )
    controls: tuple[str, ...] = option(
        ("variance_without_first", "random", "pca", "all"),
        "Selectors they are compared with.",
        flag="--control",
    )
    what: tuple[str, ...] = option(
        ("both", "swapped"),
        "What is contaminated: both selection and gallery, or one of them; controls: swapped "
        "(replaced by other normal images), fewer (taken away).",
        choices=WHAT,
    )

    @property
    def kinds(self) -> list[str]:
        """What is contaminated, the main one first."""
        return list(dict.fromkeys(("both", *self.what)))

    @property
    def names(self) -> list[str]:
        """All selectors, the one in question first."""
        return list(dict.fromkeys(("variance", *self.selectors, *self.controls)))


@dataclass
class ContaminationResult(StudyResult):
    """Metrics and selections while defective images take the place of normal ones.

    Attributes
    ----------
    metrics : DataFrame
        One row per category, selector, ``what`` is contaminated, degree and metric: ``value`` is
        the mean over repeats; ``change`` (against the clean fit of the same repeat), ``difference``
        (variance minus this selector, same repeat) and ``change_difference`` (variance's change
        minus this one's). Intervals are over test images and repeats, of the mean over repeats.
        ``n_lower`` of ``n_repeats`` are below their clean fit.
    stability : DataFrame
        One row per category, selector, ``what``, hook point, degree and measure (``jaccard`` of
        the channels, ``kernel``: projection kernel): what is left of the clean selection of the
        same repeat, mean over repeats with an interval of that mean, the lowest repeat, and what a
        random set would have (``expected``).
    """

    name: ClassVar[str] = "contamination"
    title: ClassVar[str] = "Defective images among the normal ones"
    renamed: ClassVar[Mapping[str, str]] = {"n_draws": "n_repeats"}
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {"what": {"memory": "gallery"}}

    metrics: pd.DataFrame
    stability: pd.DataFrame

    @property
    def shots(self) -> int:
        """Images fitted on."""
        return int(self.settings["shots"])

    @property
    def read_at(self) -> list[int]:
        """Degrees the summary reads: the one nearest to an eighth of the images, and the most."""
        counts = sorted({int(n) for n in self.metrics["n_contaminated"]} - {0})
        minor = min(counts, key=lambda n: (abs(n / self.shots - MINOR), n))
        return list(dict.fromkeys((minor, max(counts))))

    def change(
        self, selector: str, what: str, n: int, metric: Metric, difference: str = "change"
    ) -> Finding | None:
        """Read a change at one degree; None if it was not measured."""
        level, name = metric
        rows = records(
            self.metrics, selector=selector, what=what, n_contaminated=n, level=level, metric=name
        )
        if not rows:
            return None
        subject = f"{selector_name(selector)} with {n} of {self.shots} images {_HOW[what]}"
        return finding(
            rows,
            metric,
            subject,
            control="the clean fit",
            difference=difference,
            confidence=self.confidence,
        )

    def findings(self) -> Iterator[Finding]:
        """Yield changes of top-variance neurons and of their controls, degree by degree."""
        for n in self.read_at:
            for metric in HEADLINE_METRICS:
                for selector, what in _SUMMARY:
                    found = self.change(selector, what, n, metric)
                    if found is not None:
                        yield found

    def summary(self) -> str:
        """Changes at a minor and at the greatest degree, and what is left of the selection."""
        said = super().summary() or "Neither image AUROC nor AUPRO was measured."
        kept = [self._kept(n) for n in self.read_at] if len(self.stability) else []
        repeats = self.settings["n_repeats"]
        return " ".join([f"Mean changes over {repeats} repeats.", said, *kept])

    def _kept(self, n: int) -> str:
        keys = {"selector": "variance", "measure": "jaccard", "n_contaminated": n}
        dirty, swapped = (records(self.stability, what=w, **keys) for w in ("both", "swapped"))
        control = ""
        if swapped:
            control = f"{mean_of(swapped, 'value'):.2f} if swapped for normal images, "
        return (
            f"With {n} of {self.shots} defective the selection keeps a Jaccard index of "
            f"{mean_of(dirty, 'value'):.2f} with the clean one ({control}"
            f"{mean_of(dirty, 'expected'):.2f} by chance)."
        )

    def headline(self) -> pd.DataFrame:
        """Each selector clean and at the two degrees of the summary; means over categories."""
        rows = []
        for metric in HEADLINE_METRICS:
            for selector in dict.fromkeys(self.metrics["selector"]):
                clean = self.change(selector, "both", 0, metric)
                if clean is None:
                    continue
                row = {
                    "metric": clean.quantity,
                    "selection": selector_name(selector),
                    "clean": f"{clean.value.value:.3f}",
                }
                for n in self.read_at:
                    found = self.change(selector, "both", n, metric)
                    text = found.difference.text(signed=True) if found else ""
                    row[f"change, {n} of {self.shots} defective"] = text
                rows.append(row)
        return pd.DataFrame(rows)

    def figures(self) -> Figures:
        """Changes with their controls, then values, then the selections."""
        from lakeviz.studies.contamination import figures as draw

        made = [
            draw.contamination_changes_figure(
                self.metrics, level=level, metric=metric, confidence=self.confidence
            )
            for level, metric in HEADLINE_METRICS
            if records(self.metrics, level=level, metric=metric)
        ]
        made.append(draw.contamination_figure(self.metrics, confidence=self.confidence))
        if not self.stability.empty:
            made.append(draw.selection_stability_figure(self.stability, confidence=self.confidence))
        return made


_SUMMARY = (("variance", "both"), ("variance", "swapped"), ("random", "both"))
_HOW = {
    "both": "defective",
    "selection": "defective for the selection alone",
    "gallery": "defective in the gallery alone",
    "swapped": "swapped for other normal ones",
    "fewer": "taken away",
}
Result = ContaminationResult
