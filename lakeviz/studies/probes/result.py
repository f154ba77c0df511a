"""Settings and result of the study ``probes``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.studies.base import settings
from lakeviz.studies.base.findings import HEADLINE_METRICS, Finding, finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import option
from lakeviz.studies.probes.words import CHOSEN, NAMES, RANDOM, SHUFFLED, VARIANCE
from lakeviz.tables import mean_of, records


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Train sparse linear probes for defect patches.

    They are trained on RUN's test images, with few and with all neurons. Every image is scored by a
    probe that was trained without it. Is the information in few neurons, and are these the ones of
    high variance?
    """

    sizes: tuple[int, ...] = option(
        (1, 4, 16, 64), "Neurons of a sparse probe.", least=1, flag="--size"
    )
    n_folds: int = option(5, "Folds of images.", least=2, most=20, flag="--folds")
    n_random_sets: int = option(10, "Random sets of neurons of each size.", least=2)
    n_shuffles: int = option(5, "Shuffles of the labels of the images.", least=2, flag="--shuffles")
    share: float = option(
        0.25, "Part of a patch that the mask must cover for a defect.", least=0, most=1
    )
    per_image: int = option(64, "Patches of an image that train a probe, at most.", least=1)
    strength: float = option(
        1.0, "Inverse strength of the regularisation (C of scikit-learn).", least=1e-6
    )


@dataclass
class ProbesResult(StudyResult):
    """Cross-fitted linear probes, measured as detectors are.

    Attributes
    ----------
    metrics : DataFrame
        One row per category, hook point, ``neurons`` (how they were chosen), ``size``, ``control``
        and metric: the probe's value with interval, the control's, and the paired difference.
        Controls: random neurons of the same number, and the same probe trained on shuffled labels
        (selectivity: Hewitt and Liang, EMNLP 2019). ``size`` is the mean number of neurons in use
        for an L1 probe.
    overlap : DataFrame
        Per category, hook point and size: how many of the neurons that a probe chose are among the
        top by variance (mean over folds), how many chance would give, and the hypergeometric
        p-value of so many or more.
    """

    name: ClassVar[str] = "probes"
    title: ClassVar[str] = "Sparse probes"

    metrics: pd.DataFrame
    overlap: pd.DataFrame

    @property
    def point(self) -> str:
        """Hook point that summaries speak of: the first."""
        return str(self.metrics["point"].iloc[0])

    def findings(self) -> Iterator[Finding]:
        """Yield what probes of the largest sparse size read, against their controls."""
        size = max(self.settings["sizes"])
        for neurons in (CHOSEN, VARIANCE):
            for control in (RANDOM, SHUFFLED):
                for metric in HEADLINE_METRICS:
                    own = {"point": self.point, "neurons": neurons, "size": size}
                    own |= {"control": control, "level": metric[0], "metric": metric[1]}
                    rows = records(self.metrics, **own)
                    if rows:
                        yield finding(
                            rows,
                            metric,
                            f"{NAMES[neurons]} ({size})",
                            control=NAMES[control],
                            confidence=self.confidence,
                        )

    def summary(self) -> str:
        """How many neurons a probe needs, and whether they are those of high variance."""
        said = [one.sentence() for one in self.findings() if one.control == NAMES[RANDOM]]
        rows = records(self.overlap, point=self.point)
        for row in rows[-1:]:
            same = [one for one in rows if one["size"] == row["size"]]
            share = mean_of(same, "shared") / row["size"]
            chance = mean_of(same, "expected") / row["size"]
            said.append(
                f"Of the {row['size']} neurons of {self.point} that differ most, "
                f"{100 * share:.0f} % are among the top by variance "
                f"({100 * chance:.0f} % by chance)."
            )
        return " ".join(said) or "No headline metric was measured."

    def figures(self) -> Figures:
        """Metrics by the number of neurons, per hook point."""
        from lakeviz.studies.probes.figures import sizes_figure

        points = list(dict.fromkeys(self.metrics["point"]))
        return [
            sizes_figure(self.metrics, point=point, metric=metric, confidence=self.confidence)
            for metric in HEADLINE_METRICS
            for point in points
            if np.isfinite(
                [r["value"] for r in records(self.metrics, level=metric[0], metric=metric[1])]
            ).any()
        ]


Result = ProbesResult
