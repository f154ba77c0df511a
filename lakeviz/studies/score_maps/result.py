"""What scoring another detector's maps gives: metrics with intervals, and what made them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.studies.base.result import StudyResult
from lakeviz.tables import records

_SAID = (
    ("image", "auroc", "image AUROC"),
    ("pixel", "auroc", "pixel AUROC"),
    ("pixel", "aupro", "AUPRO"),
)


@dataclass
class ScoredMaps(StudyResult):
    """Maps of another detector, measured.

    Attributes
    ----------
    metrics : DataFrame
        One row per level and metric, with the columns of ``Evaluation.metrics``; ``branch`` is
        ``"maps"``.
    scores : DataFrame
        One row per image: sample id, label, defect type (the folder it lies in), score.
    """

    name: ClassVar[str] = "score"
    title: ClassVar[str] = "Score maps of another detector"

    metrics: pd.DataFrame = field(repr=False)
    scores: pd.DataFrame = field(repr=False)

    renamed: ClassVar[dict[str, str]] = {
        "metrics.part": "branch",
        "metrics.interval_level": "confidence",
    }

    def summary(self) -> str:
        """Say what was measured, on how many images, with which interval."""
        said = []
        for category in dict.fromkeys(self.metrics["category"]):
            parts = []
            for level, metric, words in _SAID:
                for row in records(self.metrics, category=category, level=level, metric=metric):
                    if np.isfinite(row["value"]):
                        low, high = row["low"], row["high"]
                        interval = f" [{low:.3f}, {high:.3f}]" if np.isfinite(low) else ""
                        parts.append(f"{words} {row['value']:.3f}{interval}")
            images = records(self.scores, category=category)
            defective = sum(row["label"] for row in images)
            said.append(
                f"{category}: {', '.join(parts) or 'no metric is defined'} on {len(images)} "
                f"images, {defective} of them defective; intervals are {100 * self.confidence:g} % "
                "bootstrap over images."
            )
        return " ".join(said)
