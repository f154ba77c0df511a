"""The study ``readings``: top variance against random neurons under every reading of the paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake.layers import layer_points
from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.measurement import Measurement, Metric, metric_columns
from lakeviz.metrics.registry import better
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import Draws
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.readings.exchange import Exchange, Selections, exchanges
from lakeviz.studies.readings.grid import Reading, grid
from lakeviz.studies.readings.result import CONTROL, ReadingsResult, Settings

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.studies.base.captured import StudyData


_QUICK = 10  # resamples of the exchanges that are only ranked by their exact values


def measure(
    draws: tuple[StudyData, ...], settings: Settings, evaluator: PairedEvaluator
) -> Measured:
    """Measure the top-variance neurons and random ones of the same number under every reading.

    Of several draws of the normal images all is done on each, and the rows are means over them; a
    random set is the same set in all.

    Raises
    ------
    ConfigError
        If a depth was not captured.
    """
    data = draws[0]
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
    expect(len(readings) * (1 + settings.n_random_sets + settings.n_exchanged), len(draws))
    for reading in readings:
        said = reading.columns() | {"own": _is_own(reading, data, own)}
        try:
            case = _Case(draws, reading, settings, evaluator)
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
    return Measured(rows, notes)


class ReadingsStudy(Study):
    """Captures a few depths of a run's tower besides its own; rows say what cannot be measured."""

    needs_a_metric: ClassVar[bool] = False

    def data(self, run: StudyRun, category: str, settings: Any) -> Draws:
        """Capture a category."""
        points = wanted_points(run.model, run.spec.options.layers, settings.depths)
        return run.draws_of(category, points=points)


STUDY = ReadingsStudy(Settings, ReadingsResult, measure, over_draws=True)


@dataclass(frozen=True)
class _Case:
    """One reading of one category."""

    draws: tuple[StudyData, ...]
    reading: Reading
    settings: Settings
    evaluator: PairedEvaluator

    @cached_property
    def views(self) -> list[StudyData]:
        """The captured tokens under this reading, draw by draw."""
        options = self.reading.options(self.draws[0].options)
        return [one.view(points=self.reading.points, options=options) for one in self.draws]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of every table."""
        quick = replace(
            self.evaluator, bootstrap=replace(self.evaluator.bootstrap, n_resamples=_QUICK)
        )
        own, sets, without, shares = [], [], [], []
        swaps, maps_without = [], []  # [draw][exchange]
        for view in self.views:
            top = self._select(view, "variance")
            random = [
                self._select(view, "random", self.settings.seed + n)
                for n in range(self.settings.n_random_sets)
            ]
            swaps.append(self._exchanges(view, top))
            everything = [top, *random, *(swap.selections for swap in swaps[-1])]
            maps = view.visual_maps(view.branches(everything))
            n = 1 + len(random)
            first, *others = self.evaluator.measure_all(maps[:n])
            own.append([first])
            sets.append(others)
            without.append(quick.measure_all(maps[n:]))
            maps_without.append(maps[n:])
            shares.append(_share(view, top))
        one, random = Replicates.over_draws(own), Replicates.over_draws(sets)
        n_channels = sum(self.views[0].n_channels(point) for point in self.reading.points)
        said = {"share": float(np.mean(shares)), "n_channels": n_channels}
        compared = compare(one, {CONTROL: random}, self.evaluator)
        return {
            "readings": [row | said | {"reason": ""} for row in compared],
            "random_sets": self._set_rows(random),
            "channels": self._channel_rows(swaps, one, random, without, maps_without),
        }

    def _select(self, view: StudyData, selector: str, seed: int = 0) -> Selections:
        return view.select(self.reading.asked, selector, seed)

    def _exchanges(self, view: StudyData, top: Selections) -> list[Exchange]:
        kept = [len(view.statistics[p].kept_channels) for p in self.reading.points]
        scope, k = self.reading.scope, self.reading.asked
        if k >= (sum(kept) if scope == "joint" else min(kept)):
            return []  # no channel is left to take a place
        statistics = {p: view.statistics[p] for p in self.reading.points}
        return list(exchanges(top, statistics, k, self.settings.n_exchanged, scope))

    def _set_rows(self, sets: Replicates) -> list[dict[str, Any]]:
        return [
            {"seed": self.settings.seed + number, **columns, "value": float(value)}
            for metric, columns in metric_columns(self.evaluator.measured)
            for number, value in enumerate(sets.values(metric).mean(axis=0))
        ]

    def _channel_rows(
        self,
        swaps: Sequence[Sequence[Exchange]],
        own: Replicates,
        sets: Replicates,
        without: Sequence[Sequence[Measurement]],
        maps: Sequence[Sequence[np.ndarray]],
    ) -> list[dict[str, Any]]:
        """A row per metric and exchange; the one that takes most away has its interval.

        Every draw exchanges its own channel of the rank; the row names that of most draws.
        """
        found = []
        for metric, columns in metric_columns(self.evaluator.measured):
            if not swaps[0]:
                continue
            values = np.mean([[one.values[metric] for one in part] for part in without], axis=0)
            strongest = int(better(metric, values).argmin())
            whole = Replicates.over_draws(
                [[self.evaluator.measure(part[strongest])] for part in maps]
            )
            (compared,) = [
                row
                for row in compare(whole, {CONTROL: sets}, self.evaluator)
                if (row["level"], row["metric"]) == metric
            ]
            intact, random = own.values(metric).mean(), sets.values(metric).mean()
            for number, of_rank in enumerate(zip(*swaps, strict=True)):
                row = compared if number == strongest else {}
                found.append(
                    {
                        **columns,
                        **self._exchanged(of_rank),
                        "value_without": float(values[number]),
                        "change": float(values[number] - intact),
                        "gap_without": float(values[number] - random),
                        "gap_without_low": row.get("difference_low", np.nan),
                        "gap_without_high": row.get("difference_high", np.nan),
                        "p_without": row.get("p_value", np.nan),
                        "carries": number == strongest,
                        "n_images": self.evaluator.n_images,
                    }
                )
        return found

    def _exchanged(self, swaps: Sequence[Exchange]) -> dict[str, Any]:
        """Columns of the exchange of one rank, one for each draw."""
        (point, channel), n = Counter((one.point, one.channel) for one in swaps).most_common(1)[0]
        named = next(one for one in swaps if (one.point, one.channel) == (point, channel))
        shares = [
            one.variance / _total(view, one.point)
            for one, view in zip(swaps, self.views, strict=True)
        ]
        return {
            "point": point,
            "channel": channel,
            "n_draws_with_it": n,
            "rank": named.rank,
            "variance_share": float(np.mean(shares)),
            "replaced_by": named.replacement,
            "replaced_at": named.replacement_point,
        }


def _share(view: StudyData, top: Selections) -> float:
    """Share of the variance that the top set holds, mean over its hook points."""
    return float(np.mean([s.scores.sum() / _total(view, point) for point, s in top.items()]))


def _total(view: StudyData, point: str) -> float:
    return float(view.statistics[point].variance.sum())


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


_SHARES = (1 / 4, 1 / 2, 3 / 4, 1)


def wanted_points(
    model: VisionModel, own: Sequence[int | str] | None, depths: Sequence[str] | None
) -> tuple[str, ...]:
    """Hook points to capture: the detector's own, and those of the depths named.

    By default blocks at each quarter of the depth, from shallow to deep.
    """
    if depths is not None:
        asked = [part for depth in depths for part in depth.split("+")]
    else:
        asked = [str(max(0, round(model.n_blocks * share) - 1)) for share in _SHARES]
    found = (*layer_points(model, own), *layer_points(model, asked))
    order = {point: number for number, point in enumerate(model.tower.points)}
    return tuple(sorted(dict.fromkeys(found), key=lambda point: order[point]))


def depth_points(data: StudyData, depths: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Hook points of each depth; by default the detector's own together, every other one alone.

    Raises
    ------
    ConfigError
        If a depth was not captured.
    """
    own = own_points(data)
    if depths is None:
        apart = [(point,) for point in data.points if point not in own]
        return sorted([own, *apart], key=lambda points: data.points.index(points[0]))
    return [_captured(data, depth) for depth in dict.fromkeys(depths)]


def own_points(data: StudyData) -> tuple[str, ...]:
    """Hook points of the detector, of those captured: all where nothing says which."""
    if data.model is None:
        return data.points
    own = layer_points(data.model, data.options.layers, data.options.streams)
    return tuple(p for p in own if p in data.points)


def _captured(data: StudyData, depth: str) -> tuple[str, ...]:
    parts = [p if not p.isdecimal() else f"blocks.{p}.hook_resid_post" for p in depth.split("+")]
    return data.view(points=list(dict.fromkeys(parts))).points
