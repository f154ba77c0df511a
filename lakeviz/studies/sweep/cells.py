"""Second phase of a sweep: its cells, measured from what was captured, without a model."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lakeviz.errors import StoreError
from lakeviz.files import read_json, write_json
from lakeviz.lake import get_selector
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.comparison import NO_COMPARISON, compare_with
from lakeviz.metrics.contrasts import estimate_of
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.metrics.measurement import Measurement, Metric, metric_columns
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.sweep.capture import failure, forget_models
from lakeviz.studies.sweep.grid import Cell, SweepSpec
from lakeviz.tables import Row

PROTOCOL = "lakeviz-sweep-cell/1"
# Seeds of the further random sets of a cell: apart from those that a grid names, and from those of
# its other seeds.
_FURTHER_SEEDS = 1_000_000
_OLD_METRICS = {"cohens_d": "margin"}  # as cells of this protocol call them


@dataclass(frozen=True)
class Group:
    """Cells that differ in their selector alone, so that they are compared image by image."""

    spec: SweepSpec
    data: StudyData = field(repr=False)  # normal images, points and options of the cells
    digests: dict[str, str]  # by selector, of the cells that are still to be measured
    folder: Path  # of finished cells


@dataclass(frozen=True)
class Outcome:
    """What came of one cell: a row per metric, and by how much the reference is higher."""

    digest: str
    rows: list[Row] = field(default_factory=list)
    contrasts: list[Row] = field(default_factory=list)
    seconds: float = math.nan
    error: str = ""  # why there are no rows


def cell_digest(cell: Cell, data: StudyData, spec: SweepSpec) -> str:
    """Name what a cell's numbers depend on: settings, weights, images, what it is compared with.

    Another sweep of the same folder that has the cell too reads it, whatever else its grid holds.
    The names hashed are those of the first version, so that its finished cells are read.
    """
    run = cell.spec.to_plain()
    options = {**run["options"], "layers": None, "text_weight": data.text_weight}
    compared = spec.reference if cell.selector != spec.reference else None
    counted = compared is not None and get_selector(cell.selector).is_random
    bootstrap = spec.bootstrap
    named = {
        "protocol": PROTOCOL,
        "options": options,
        "points": list(data.points),
        "model": {n: data.provenance["model"][n] for n in ("weights_hash", "preprocess")},
        "precision": cell.spec.precision,
        "class_name": data.provenance["class_name"] if data.text_weight else None,
        "category": cell.category,
        "fit": data.provenance["fit"]["sample_ids"],
        "test": data.provenance["test"]["fingerprint"],
        "metrics": [[level, _OLD_METRICS.get(name, name)] for level, name in spec.metrics],
        "bootstrap": {
            "level": bootstrap.confidence,
            "n_draws": bootstrap.n_resamples,
            "seed": bootstrap.seed,
        },
        "reference": compared,
        "random_draws": spec.n_random_sets if counted else None,
    }
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def read_outcome(folder: Path, digest: str) -> Outcome | None:
    """Read a finished cell; None where it is not finished (or its file is damaged)."""
    try:
        found = read_json(folder / f"{digest}.json")
        if found["protocol"] != PROTOCOL or found["digest"] != digest:
            return None
        rows, contrasts = ([_of_today(row) for row in found[n]] for n in ("rows", "contrasts"))
        return Outcome(digest, rows, contrasts, float(found["seconds"]))
    except (StoreError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _of_today(row: Mapping[str, Any]) -> Row:
    """A row as this version names it; the version before had other names for two things."""
    made = {"n_random_sets" if name == "n_draws" else name: value for name, value in row.items()}
    today = {old: new for new, old in _OLD_METRICS.items()}
    return made | {"metric": today.get(row["metric"], row["metric"])}


def measure_group(group: Group) -> list[Outcome]:
    """Measure the cells of a group, writing each as it is finished.

    A cell that fails is an outcome with an ``error``; it is not written, so that the next run tries
    it again.
    """
    forget_models()
    bench = _Bench(group)
    first = sorted(group.digests, key=lambda selector: selector != group.spec.reference)
    return [bench.cell(selector, group.digests[selector]) for selector in first]


# There is one draw of the normal images in a cell: draws are an axis of the grid.
_DIFFERENCE = tuple(name for name in NO_COMPARISON if name not in ("estimand", "n_draws"))


class _Bench:
    """The selectors of a group, each measured once."""

    def __init__(self, group: Group):
        self.group, self.spec = group, group.spec
        self.measured: dict[str, list[Measurement] | Exception] = {}

    @cached_property
    def evaluator(self) -> PairedEvaluator:
        """The evaluator of all of them: their draws are paired."""
        return self.group.data.evaluator(self.spec.metrics, self.spec.bootstrap)

    def cell(self, selector: str, digest: str) -> Outcome:
        """Measure, compare and write one cell."""
        against = self.spec.reference if selector != self.spec.reference else None
        # First, so that its time is not counted here.
        reference = None if against is None else self.members(against)
        began = time.perf_counter()
        try:
            members = self.members(selector)
            if isinstance(members, Exception):
                raise members
            rows, contrasts = self._rows(members), []
            if reference is not None:
                contrasts = self._contrasts(reference, members)
            outcome = Outcome(digest, rows, contrasts, time.perf_counter() - began)
            if not isinstance(reference, Exception):  # else the comparison is still owed
                named = {"protocol": PROTOCOL, "selector": selector}
                write_json(self.group.folder / f"{digest}.json", named | asdict(outcome))
        except Exception as error:
            return Outcome(digest, seconds=time.perf_counter() - began, error=failure(error))
        return outcome

    def members(self, selector: str) -> list[Measurement] | Exception:
        """Measure a selector: its own set first, then, for a random control, further ones."""
        if selector not in self.measured:
            try:
                self.measured[selector] = self._measure(selector)
            except Exception as error:
                self.measured[selector] = error
        return self.measured[selector]

    def _measure(self, selector: str) -> list[Measurement]:
        data = self.group.data
        seeds = [data.options.seed]
        if get_selector(selector).is_random and self.spec.reference not in (None, selector):
            start = _FURTHER_SEEDS * (data.options.seed + 1)
            seeds += range(start, start + self.spec.n_random_sets - 1)
        chosen = [data.select(data.options.k, selector, seed) for seed in seeds]
        maps = data.visual_maps(data.branches(chosen))
        return self.evaluator.measure_all([data.fuse(one) for one in maps])

    def _rows(self, members: Sequence[Measurement]) -> list[Row]:
        rows = []
        for metric, named in metric_columns(self.spec.metrics):
            found = NOT_MEASURED
            if metric in members[0].values:
                found = estimate_of(members[0], metric, self.spec.bootstrap)
            rows.append(named | _plain(found.columns()) | self._counted(metric))
        return rows

    def _contrasts(
        self, reference: list[Measurement] | Exception, members: Sequence[Measurement]
    ) -> list[Row]:
        rows = []
        for metric, named in metric_columns(self.spec.metrics):
            counted = self._counted(metric) | {"n_random_sets": len(members)}
            value, mean, gap = np.nan, np.nan, dict(NO_COMPARISON)
            if metric in members[0].values:
                mean = float(np.mean([m.values[metric] for m in members]))
            if isinstance(reference, Exception):
                counted["reason"] = f"{self.spec.reference}: {failure(reference)}"
            elif metric in reference[0].values:
                value = reference[0].values[metric]
                gap = compare_with(
                    reference[0], members, metric, self.spec.bootstrap
                ).difference_columns()
            counted["estimand"] = str(gap["estimand"])
            compared = {"value": value, "control_mean": mean}
            compared |= {name: float(gap[name]) for name in _DIFFERENCE}
            rows.append(named | _plain(compared) | counted)
        return rows

    def _counted(self, metric: Metric) -> Row:
        reasons = self.evaluator.reasons
        return self.evaluator.counts | {"reason": reasons.get(metric[0], "")}


def _plain(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers as JSON has them: NaN is None."""
    return {name: float(x) if np.isfinite(x) else None for name, x in numbers.items()}
