"""The study ``readings``: top variance against random neurons under every reading of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.metrics.measurement import Measurement, Metric, metric_columns
from lakeviz.metrics.registry import better
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.readings.depths import depth_points, own_points, wanted_points
from lakeviz.studies.readings.exchange import Exchange, Selections, exchanges
from lakeviz.studies.readings.grid import Reading, grid
from lakeviz.studies.readings.result import CONTROL, ReadingsResult, Settings

_QUICK = 10  # resamples of the exchanges that are only ranked by their exact values


def measure(data: StudyData, settings: Settings, evaluator: PairedEvaluator) -> Measured:
    """Measure the top-variance neurons and random ones of the same number under every reading.

    Raises
    ------
    ConfigError
        If a depth was not captured.
    """
    own = own_points(data)
    k = data.options.k
    if data.options.selection_scope == "joint":
        k = max(1, k // len(own))
    readings = list(
        grid(
            depth_points(data, settings.depths),
            settings.comparisons,
            settings.references,
            settings.normalisations,
            settings.scopes,
            settings.sizes or (k,),
        )
    )
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ReadingsResult.table_names()}
    expect(len(readings) * (1 + settings.n_random_sets + settings.n_exchanged))
    for reading in readings:
        said = reading.columns() | {"own": _is_own(reading, data, own)}
        try:
            case = _Case(data, reading, settings, evaluator)
            found = case.rows()
        except (ConfigError, SelectionError) as error:
            found = {"readings": _absent(evaluator.metrics, str(error))}
        for name, of_table in found.items():
            rows[name] += [said | row for row in of_table]
        reasons = evaluator.reasons
        missing = [m for m in evaluator.metrics if m[0] in reasons and "channels" in found]
        rows["readings"] += [
            said | row for m in missing for row in _absent([m], reasons[m[0]], evaluator.n_images)
        ]
    notes = []
    if "joint" in settings.scopes and not any(row["scope"] == "joint" for row in rows["readings"]):
        notes.append(
            f"{data.category}: no joint selection, which needs a depth of several hook points"
        )
    return Measured({name: pd.DataFrame(found) for name, found in rows.items()}, notes)


class ReadingsStudy(Study):
    """Captures a few depths of a run's tower besides its own; rows say what cannot be measured."""

    needs_a_metric: ClassVar[bool] = False

    def data(self, run: StudyRun, category: str, settings: Any) -> StudyData:
        """Capture a category."""
        points = wanted_points(run.model, run.spec.options.layers, settings.depths)
        return run.data(category, points=points)


STUDY = ReadingsStudy(Settings, ReadingsResult, measure)


@dataclass(frozen=True)
class _Case:
    """One reading of one category."""

    data: StudyData
    reading: Reading
    settings: Settings
    evaluator: PairedEvaluator

    @cached_property
    def view(self) -> StudyData:
        """The captured tokens under this reading."""
        options = self.reading.options(self.data.options)
        return self.data.view(points=self.reading.points, options=options)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of every table."""
        top = self._select("variance")
        random = [
            self._select("random", self.settings.seed + n)
            for n in range(self.settings.n_random_sets)
        ]
        swaps = self._exchanges(top)
        maps = self.view.visual_maps(
            self.view.branches([top, *random, *(swap.selections for swap in swaps)])
        )
        n = 1 + len(random)
        own, *sets = [self.evaluator.measure(one) for one in maps[:n]]
        quick = replace(
            self.evaluator, bootstrap=replace(self.evaluator.bootstrap, n_resamples=_QUICK)
        )
        without = [quick.measure(one) for one in maps[n:]]
        shares = {"share": self._share(top), "n_channels": self._n_channels}
        compared = compare(own, {CONTROL: sets}, self.evaluator)
        return {
            "readings": [row | shares | {"reason": ""} for row in compared],
            "random_sets": self._set_rows(sets),
            "channels": self._channel_rows(swaps, own, sets, without, maps[n:]),
        }

    def _select(self, selector: str, seed: int = 0) -> Selections:
        return self.view.select(self.reading.asked, selector, seed)

    @property
    def _n_channels(self) -> int:
        return sum(self.view.n_channels(point) for point in self.reading.points)

    def _exchanges(self, top: Selections) -> list[Exchange]:
        kept = [len(self.view.statistics[p].kept_channels) for p in self.reading.points]
        scope, k = self.reading.scope, self.reading.asked
        if k >= (sum(kept) if scope == "joint" else min(kept)):
            return []  # no channel is left to take a place
        statistics = {p: self.view.statistics[p] for p in self.reading.points}
        return list(exchanges(top, statistics, k, self.settings.n_exchanged, scope))

    def _share(self, top: Selections) -> float:
        """Share of the variance that the top set holds, mean over its hook points."""
        shares = [s.scores.sum() / self._total(point) for point, s in top.items()]
        return float(np.mean(shares))

    def _total(self, point: str) -> float:
        return float(self.view.statistics[point].variance.sum())

    def _set_rows(self, sets: Sequence[Measurement]) -> list[dict[str, Any]]:
        return [
            {"seed": self.settings.seed + number, **columns, "value": one.values[metric]}
            for metric, columns in metric_columns(self.evaluator.measured)
            for number, one in enumerate(sets)
        ]

    def _channel_rows(
        self,
        swaps: Sequence[Exchange],
        own: Measurement,
        sets: Sequence[Measurement],
        without: Sequence[Measurement],
        maps: Sequence[np.ndarray],
    ) -> list[dict[str, Any]]:
        """A row per metric and exchange; the one that takes most away has its interval."""
        found = []
        for metric, columns in metric_columns(self.evaluator.measured):
            if not swaps:
                continue
            values = np.array([one.values[metric] for one in without])
            strongest = int(better(metric, values).argmin())
            whole = self.evaluator.measure(maps[strongest])
            (compared,) = [
                row
                for row in compare(whole, {CONTROL: sets}, self.evaluator)
                if (row["level"], row["metric"]) == metric
            ]
            for number, swap in enumerate(swaps):
                row = compared if number == strongest else {}
                found.append(
                    {
                        **columns,
                        "point": swap.point,
                        "channel": swap.channel,
                        "rank": swap.rank,
                        "variance_share": swap.variance / self._total(swap.point),
                        "replaced_by": swap.replacement,
                        "replaced_at": swap.replacement_point,
                        "value_without": float(values[number]),
                        "change": float(values[number] - own.values[metric]),
                        "gap_without": float(
                            values[number] - np.mean([one.values[metric] for one in sets])
                        ),
                        "gap_without_low": row.get("difference_low", np.nan),
                        "gap_without_high": row.get("difference_high", np.nan),
                        "p_without": row.get("p_value", np.nan),
                        "carries": number == strongest,
                        "n_images": self.evaluator.n_images,
                    }
                )
        return found


def _is_own(reading: Reading, data: StudyData, own: tuple[str, ...]) -> bool:
    """Whether a reading is the detector itself."""
    if reading.points != own:
        return False
    try:
        return reading.options(data.options) == data.options
    except ConfigError:
        return False


def _absent(metrics: Sequence[Metric], reason: str, n_images: int = 0) -> list[dict[str, Any]]:
    """Rows of what was not measured, and why."""
    blank = dict.fromkeys(
        (
            *("value", "low", "high", "control_mean", "control_min", "control_max"),
            *("difference", "difference_low", "difference_high", "p_value"),
        ),
        np.nan,
    )
    return [
        {"control": CONTROL, **columns, **blank, "n_images": n_images, "reason": reason}
        for _, columns in metric_columns(metrics)
    ]
