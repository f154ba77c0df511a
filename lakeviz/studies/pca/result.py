"""What the study ``pca`` found: tables, and sentences that say no more than they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate, mean_over_categories
from lakeviz.studies.base.result import StudyResult
from lakeviz.tables import Row, mean_of, records

SMALLEST_EFFECT = 0.01
"""Differences of a metric below this are taken as no difference that matters."""

SUMMARY_METRICS = (("image", "auroc", "image AUROC"), ("pixel", "aupro", "AUPRO"))
_CEILING = 1 - 1e-9


def equivalence(row: Row, smallest: float) -> str:
    """Read one row of ``metrics``: equivalent, higher, lower, undecided, or at the ceiling.

    Equivalent only if the whole interval of the difference lies within ``smallest`` of zero (the
    interval form of two one-sided tests, Schuirmann 1987). Where variance and the other are both
    perfect, the metric has no room to tell them apart: ``ceiling``.
    """
    low, high, other = row["difference_low"], row["difference_high"], row["value"]
    if other >= _CEILING and other + row["difference"] >= _CEILING:
        return "ceiling"
    if -smallest <= low and high <= smallest:
        return "equivalent"
    if low > 0:
        return "higher"
    return "lower" if high < 0 else "undecided"


@dataclass
class PCAResult(StudyResult):
    """High-variance neurons against truncated PCA and controls, at every size K.

    Attributes
    ----------
    metrics : DataFrame
        One row per category, selector, K and metric: value with interval (over images, and draws
        for random selectors), ``retained_variance`` (share of the total, mean over hook points),
        ``difference`` (variance minus this selector, paired over images) with interval, and what
        it costs: ``gallery_bytes`` and ``seconds`` (restriction and search of all test images, as
        measured on the machine at hand with whatever else it was doing).
    geometry : DataFrame
        One row per category, hook point and K: variance retained by the channels, by PCA and by
        random channels; principal angles (degrees) and normalised projection kernel between the
        channels and PCA, and between random channels and PCA; ``kernel_expected`` is K / D.
    covariance : DataFrame
        One row per category, hook point and measure of how diagonal the covariance is, beside the
        same after each channel's tokens were permuted.
    spectrum : DataFrame
        Eigenvalues and channel variances by rank; they agree where the covariance is diagonal.
    """

    name: ClassVar[str] = "pca"
    title: ClassVar[str] = "Neurons against truncated PCA"

    metrics: pd.DataFrame = field(repr=False)
    geometry: pd.DataFrame = field(repr=False)
    covariance: pd.DataFrame = field(repr=False)
    spectrum: pd.DataFrame = field(repr=False)

    @property
    def k(self) -> int:
        """The detector's own size, at which the summary reads the tables."""
        return int(self.provenance["options"]["k"])

    @property
    def smallest_effect(self) -> float:
        """Smallest difference that counts."""
        return float(self.provenance["settings"]["smallest_effect"])

    def against_pca(self, level: str, metric: str) -> list[Row]:
        """Rows of PCA at the detector's own size, one per category, with their ``verdict``."""
        found = records(self.metrics, selector="pca", k=self.k, level=level, metric=metric)
        return [row | {"verdict": equivalence(row, self.smallest_effect)} for row in found]

    def summary(self) -> str:
        """Variance minus PCA at the detector's own size, and how diagonal the covariance is."""
        said = [
            sentence
            for level, metric, words in SUMMARY_METRICS
            if (sentence := self._difference(self.against_pca(level, metric), words))
        ]
        if not said:
            said = ["Truncated PCA was not compared by image AUROC or AUPRO."]
        return " ".join([*said, self._retained(), self._diagonality()])

    def _difference(self, rows: Sequence[Row], words: str) -> str:
        if not rows:
            return ""
        percent, small = f"{100 * self.level:g} %", self.smallest_effect
        if len(rows) == 1:
            row = rows[0]
            gap = Estimate(row["difference"], row["difference_low"], row["difference_high"])
            return (
                f"{row['category']}: top-variance neurons minus truncated PCA at K = {self.k}, "
                f"{words} {gap.text(signed=True)} ({percent} paired over {row['n_images']} test "
                f"images): {_READING[row['verdict']].format(small=small)}."
            )
        mean = mean_over_categories(np.array([row["difference"] for row in rows]), self.level)
        counts = Counter(row["verdict"] for row in rows)
        split = ", ".join(f"{_COUNTED[v].format(small=small)} in {n}" for v, n in counts.items())
        return (
            f"Top-variance neurons minus truncated PCA at K = {self.k}, {words} "
            f"{mean.text(signed=True)} (mean over {len(rows)} categories, {percent} over "
            f"categories); by category: {split}."
        )

    def _retained(self) -> str:
        rows = records(self.geometry, k=self.k)
        kept, most, random = (
            100 * mean_of(rows, f"{kind}_retained") for kind in ("variance", "pca", "random")
        )
        return (
            f"At that size the neurons retain {kept:.1f} % of the variance, PCA {most:.1f} %, "
            f"random neurons {random:.1f} %; their projection kernel with PCA is "
            f"{mean_of(rows, 'kernel'):.3f} (1 if equal, {mean_of(rows, 'kernel_expected'):.3f} by "
            "chance)."
        )

    def _diagonality(self) -> str:
        rows = records(self.covariance, measure="off_diagonal_covariance")
        rows = [row for row in rows if np.isfinite(row["value"])]
        if not rows:
            return "No channel varies, so nothing can be said of the covariance."
        share, chance = (100 * mean_of(rows, column) for column in ("value", "control_mean"))
        return (
            f"{share:.1f} % of the covariance's energy lies off its diagonal ({chance:.1f} % if "
            "the channels were independent); the two methods are one and the same only where "
            "nothing does."
        )

    def _bootstrap(self) -> Bootstrap:
        return Bootstrap(confidence=self.level, seed=int(self.provenance["settings"]["seed"]))


_READING = {
    "equivalent": "equivalent to within {small:g}",
    "higher": "different, the neurons are higher",
    "lower": "different, PCA is higher",
    "undecided": "undecided, neither different nor equivalent to within {small:g}",
    "ceiling": "both are perfect here, so these images cannot tell them apart",
}
_COUNTED = {
    "equivalent": "equivalent to within {small:g}",
    "higher": "higher",
    "lower": "lower",
    "undecided": "undecided",
    "ceiling": "both perfect, so not to be told apart,",
}
