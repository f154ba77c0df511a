"""Settings and result of scoring another detector's maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from lakeviz.metrics.estimates import estimate
from lakeviz.metrics.registry import metric_title
from lakeviz.settings import Settings as Base
from lakeviz.settings import option
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.tables import numbers, over_regions, records, where

_SAID = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))


@dataclass(frozen=True)
class Settings(Base):
    """Measure the score maps of any detector, exactly as lakeviz measures its own.

    Writes metrics.csv, metrics.parquet, scores.parquet and study.json, which says what made them.
    """

    name: str = option("maps", "What the table calls the set, its category.")
    normal_without_mask: bool = option(
        False,
        "Images without a mask are normal; else only those in a folder called good or normal.",
    )
    smoothing: float = option(
        0.0,
        "Gaussian standard deviation on maps at their final size, in pixels.",
        least=0,
        most=1000,
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
    renamed: ClassVar[Mapping[str, str]] = {"part": "branch", "interval_level": "confidence"}

    metrics: pd.DataFrame
    scores: pd.DataFrame

    renamed: ClassVar[Mapping[str, str]] = {
        "metrics.part": "branch",
        "metrics.interval_level": "confidence",
    }

    def summary(self) -> str:
        """Say what was measured, on how many images, with which interval."""
        return " ".join(self._of(category) for category in dict.fromkeys(self.metrics["category"]))

    def _of(self, category: str) -> str:
        said = ", ".join(self._measured(category)) or "no metric is defined"
        labels = numbers(where(self.scores, category=category), "label")
        return (
            f"{category}: {said} on {len(labels)} images, {int(labels.sum())} of them defective; "
            f"intervals are {100 * self.confidence:g} % over images."
        )

    def _measured(self, category: str) -> Iterator[str]:
        for level, metric in _SAID:
            for row in records(self.metrics, category=category, level=level, metric=metric):
                if row["value"] == row["value"]:
                    over = over_regions(row, metric)
                    yield f"{metric_title(level, metric)} {estimate(row)}{over and f' ({over})'}"

    def headline(self) -> pd.DataFrame:
        """Every metric with its interval, or why there is none."""
        return pd.DataFrame(
            [
                {
                    "set": row["category"],
                    "metric": metric_title(row["level"], row["metric"]),
                    "value": estimate(row).text(),
                    "reason": row["reason"] or "",
                }
                for row in self.metrics.to_dict("records")
            ]
        )

    def figures(self) -> Figures:
        """All metrics, and of one set the distribution of image scores."""
        from lakeviz.plots import metrics_figure, score_figure

        made = [metrics_figure(self.metrics, branch="maps", confidence=self.confidence)]
        if len(self.categories) == 1:
            title = f"Image scores: {self.categories[0]}"
            made.append(score_figure(self.scores, title=title))
        return made


Result = ScoredMaps
