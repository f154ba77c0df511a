"""Settings and result of the study ``readings``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.lake.options import KINDS, REFERENCES, SCOPES
from lakeviz.metrics.estimates import Estimate, estimate, over_categories, rank_p_value
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import better, metric_title
from lakeviz.studies.base.findings import HEADLINE_METRICS, Finding, finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import DrawSettings, option
from lakeviz.studies.readings.grid import COMPARISONS
from lakeviz.tables import Row, mean_by, mean_of, numbers, records, where

CONTROL = "random"
PAPER: dict[Metric, tuple[float, float]] = {
    ("image", "auroc"): (0.947, 0.816),
    ("pixel", "aupro"): (0.889, 0.458),
}
"""Top 100 and 100 random neurons in the paper, as third parties report it."""
NO_CHANNEL = "none of those exchanged"


@dataclass(frozen=True)
class Settings(DrawSettings):
    """Compare top-variance and random neurons by every reading.

    The grid is of depths, distances, gallery or prototype, and selection per layer or of all layers
    jointly. Each gap comes with its rank among random sets, and with what is left of it when the
    channel that carries most of it is exchanged for the next in variance.
    """

    metrics: tuple[tuple[str, str], ...] = option(
        HEADLINE_METRICS, "Metrics measured: (level, name).", command=False
    )
    depths: tuple[str, ...] | None = option(
        None,
        "Layers of a reading, such as 2 or 5+6; by default the detector's own together, and the "
        "blocks at each quarter of the depth.",
        flag="--depth",
    )
    sizes: tuple[int, ...] | None = option(
        None, "Neurons per layer; the detector's k by default.", least=1, flag="--size"
    )
    comparisons: tuple[str, ...] = option(
        COMPARISONS, "Distances of the grid.", choices=COMPARISONS, flag="--grid-distance"
    )
    references: tuple[str, ...] = option(
        REFERENCES, "What normal tokens become.", choices=REFERENCES, flag="--grid-reference"
    )
    scopes: tuple[str, ...] = option(
        SCOPES, "k at each layer, or as many of all jointly.", choices=SCOPES, flag="--grid-scope"
    )
    normalisations: tuple[str, ...] = option(
        ("none",), "Normalisations of the grid.", choices=KINDS, flag="--grid-normalisation"
    )
    n_random_sets: int = option(20, "Random sets of each reading.", least=2)
    n_exchanged: int = option(
        5, "Channels of highest variance exchanged, one at a time.", least=1, flag="--exchanged"
    )


@dataclass
class ReadingsResult(StudyResult):
    """Top-variance against random neurons, one reading of the paper at a time.

    Attributes
    ----------
    readings : DataFrame
        One row per category, reading and metric: value of the top-variance neurons, mean and range
        of the random sets, the difference with its interval and ``p_value`` (see
        :func:`~lakeviz.lake.paired_evaluator.compare`), means over ``n_draws`` draws, ``share`` of
        the variance that the top set holds, ``own`` (whether it is the detector's own reading) and,
        where a reading is not defined or could not be measured, the ``reason``.
    random_sets : DataFrame
        Value of every random set; equal seeds are equal channels in all categories.
    channels : DataFrame
        One row per category, reading, metric and channel of the top set that was exchanged for the
        (k+1)-th in variance, each draw its own of that rank (``n_draws_with_it``: draws in which it
        is the one named): the gap without it, the ``change``, and ``carries`` for the one that
        takes most away, which alone has an interval.
    """

    name: ClassVar[str] = "readings"
    title: ClassVar[str] = "Readings of the paper"

    readings: pd.DataFrame
    random_sets: pd.DataFrame
    channels: pd.DataFrame

    @property
    def measured(self) -> list[Metric]:
        """Metrics of the table."""
        return list(dict.fromkeys(zip(self.readings["level"], self.readings["metric"])))

    def names(self) -> list[str]:
        """Readings in the order of the grid."""
        return list(dict.fromkeys(self.readings["reading"]))

    def overview(self) -> pd.DataFrame:
        """One row per reading and metric, over the categories in which it was measured.

        ``gap`` is top minus random: of one category with its own interval, of several their mean
        with Student's interval. ``p_value`` is the rank of the top set among the random sets, of
        several categories by the means over them. ``paper`` is the paper's gap. ``channel`` is the
        one that carries most of the gap in most categories, and ``gap_without`` the gap when each
        category's own is exchanged.
        """
        return pd.DataFrame(
            [self._overall(name, metric) for name in self.names() for metric in self.measured]
        )

    def _overall(self, name: str, metric: Metric) -> dict[str, Any]:
        chosen = {"reading": name, "level": metric[0], "metric": metric[1]}
        every = records(self.readings, **chosen)
        rows = [row for row in every if np.isfinite(row["value"])]
        top, random = PAPER.get(metric, (np.nan, np.nan))
        found = {**chosen, "n_categories": len(rows), "paper": top - random, "own": every[0]["own"]}
        if not rows:
            return found | {"reason": every[0]["reason"]}
        gap = over_categories([estimate(row, "difference") for row in rows], self.confidence)
        carriers = records(self.channels, **chosen, carries=True) if len(self.channels) else []
        return {
            **found,
            "top": mean_of(rows, "value"),
            "random": mean_of(rows, "control_mean"),
            **gap.columns("gap"),
            "p_value": self._p_value(rows, chosen),
            "reaches": bool(gap.value >= top - random),
            **self._without(carriers),
            "reason": "",
        }

    def _p_value(self, rows: list[Row], chosen: dict[str, Any]) -> float:
        if len(rows) == 1:
            return float(rows[0]["p_value"])
        metric = (chosen["level"], chosen["metric"])
        means = numbers(mean_by(where(self.random_sets, **chosen), "seed"), "value")
        return rank_p_value(better(metric, mean_of(rows, "value")), better(metric, means))

    def _without(self, carriers: list[Row]) -> dict[str, Any]:
        if not carriers:
            return {"channel": "", **Estimate(np.nan).columns("gap_without"), "survives": False}
        left = over_categories([estimate(row, "gap_without") for row in carriers], self.confidence)
        metric = (carriers[0]["level"], carriers[0]["metric"])
        names = [
            f"{row['channel']} of {_layer(row['point'])}"
            for row in carriers
            if better(metric, row["change"]) < 0
        ] or [NO_CHANNEL]
        return {
            "channel": max(dict.fromkeys(names), key=names.count),
            **left.columns("gap_without"),
            "survives": bool(left.low > 0),
        }

    # --- what it says ---

    def findings(self) -> Iterator[Finding]:
        """Yield, by each metric, the detector's own reading and the one of the largest gap."""
        table = self.overview()
        for metric in self.measured:
            of_metric = where(table, level=metric[0], metric=metric[1])
            names = of_metric[of_metric["own"]]["reading"].tolist()
            if (numbers(of_metric, "n_categories") > 0).any():
                largest = int(np.nanargmax(better(metric, numbers(of_metric, "gap"))))
                names.append(of_metric["reading"].iloc[largest])
            for name in dict.fromkeys(names or of_metric["reading"][:1]):
                chosen = {"reading": name, "level": metric[0], "metric": metric[1]}
                yield finding(
                    records(self.readings, **chosen),
                    metric,
                    f"top-variance neurons ({name})",
                    control="random neurons",
                    confidence=self.confidence,
                )

    def summary(self) -> str:
        """How many readings show the paper's gap, the largest, and the channel behind it."""
        table = self.overview()
        return " ".join(_sentence(where(table, level=m[0], metric=m[1]), m) for m in self.measured)

    def headline(self) -> pd.DataFrame:
        """A row per reading and metric."""
        return pd.DataFrame([_shown(row) for row in records(self.overview())])

    def figures(self) -> Figures:
        """The gap of every reading, with and without the channel that carries most of it."""
        from lakeviz.studies.readings.figures import gaps_figure

        return [gaps_figure(self.overview(), self.readings, confidence=self.confidence)]


Result = ReadingsResult


def _layer(point: str) -> str:
    return point.removesuffix(".hook_resid_post")


def _sentence(table: pd.DataFrame, metric: Metric) -> str:
    title = metric_title(*metric)
    found = [row for row in records(table) if row["n_categories"]]
    if not found:
        reason = records(table)[0]["reason"]
        return f"{title} was not measured under any reading ({reason})."
    absent = len(table) - len(found)
    best = max(found, key=lambda row: better(metric, row["gap"]))
    n = best["n_categories"]
    said = f"{title}, {n} {'category' if n == 1 else 'categories'}: "
    if np.isfinite(best["paper"]):
        reach = [row for row in found if row["reaches"]]
        said += f"{len(reach)} of {len(found)} readings show the paper's gap ({best['paper']:+.3f})"
        if reach:
            kept = sum(row["gap_without"] >= row["paper"] for row in reach)
            said += f", {kept} of them also without the channel that carries most"
        said += "; "
    said += (
        f"the largest gap is {estimate(best, 'gap').text(signed=True)} (p = {best['p_value']:.3f}"
        f" among random sets), {best['reading']}"
    )
    if best["channel"] not in ("", NO_CHANNEL):
        left = estimate(best, "gap_without").text(signed=True)
        said += f"; without channel {best['channel']} it is {left}"
    return said + "." + (f" {absent} readings were not measured." if absent else "")


def _shown(row: Row) -> dict[str, str]:
    metric = (row["level"], row["metric"])
    shown = {"reading": row["reading"], "metric": metric_title(*metric)}
    if not row["n_categories"]:
        blank = dict.fromkeys(_COLUMNS, "")
        return shown | blank | {"top minus random": "not measured: " + row["reason"]}
    said = (
        f"{row['top']:.3f}",
        f"{row['random']:.3f}",
        estimate(row, "gap").text(signed=True),
        f"{row['p_value']:.3f}",
        f"{row['paper']:+.3f}" if np.isfinite(row["paper"]) else "",
        str(row["channel"]),
        estimate(row, "gap_without").text(signed=True),
    )
    return shown | dict(zip(_COLUMNS, said, strict=True))


_COLUMNS = (
    "top variance",
    "random",
    "top minus random",
    "p among random sets",
    "paper's gap",
    "channel that carries most",
    "gap without it",
)
