"""``SweepResult``: every cell, what each axis does on average, and the controls of each setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.lake.provenance import as_plain, versions
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.sweep.axes import AXES
from lakeviz.studies.sweep.cells import Outcome
from lakeviz.studies.sweep.grid import Cell, SweepSpec
from lakeviz.studies.sweep.marginals import contrast_means, marginal_means

_SHOWN_REASONS = 5
_CELL = ("level", "metric", "value", "low", "high", "n_images", "seconds", "reason", "error")
_CONTRAST = (
    *("control", "level", "metric", "value", "control_mean", "difference", "difference_low"),
    *("difference_high", "n_draws", "n_images", "reason"),
)


@dataclass
class SweepResult(StudyResult):
    """What a sweep found.

    Attributes
    ----------
    cells : DataFrame
        One row per cell and metric: all axes, ``level``, ``metric``, ``value`` with its interval
        over images (``low``, ``high``), ``n_images``, ``seconds`` (of the whole cell), ``reason``
        where a metric is not defined. A cell that failed is one row with ``error``.
    marginals : DataFrame
        Means at each value of each varied axis: see :func:`.marginals.marginal_means`.
    contrasts : DataFrame
        Where the grid has the selector ``variance`` and others: by how much it is higher than each
        at the same settings, paired over images (and over ``n_draws`` random sets).
    """

    name: ClassVar[str] = "sweep"
    title: ClassVar[str] = "Sweeps"

    cells: pd.DataFrame
    marginals: pd.DataFrame
    contrasts: pd.DataFrame

    @property
    def settings(self) -> dict[str, Any]:
        """The grid and what else it was made with."""
        return self.provenance["settings"]

    @property
    def varied(self) -> list[str]:
        """Axes with more than one value."""
        several = {axis for axis, values in self.settings["grid"].items() if len(values) > 1}
        if len(self.categories) > 1:
            several.add("category")
        return [axis for axis in AXES if axis in several]

    @property
    def failures(self) -> pd.DataFrame:
        """One row per cell that failed: its axes and ``error``."""
        failed = (self.cells["error"] != "").to_numpy()
        return self.cells.loc[failed, [*AXES, "error"]].reset_index(drop=True)

    @property
    def bootstrap(self) -> Bootstrap:
        """Settings of the intervals."""
        return Bootstrap.from_plain(self.provenance["bootstrap"])

    @property
    def main_metric(self) -> tuple[str, str] | None:
        """The first metric of the spec that was measured."""
        measured = self.cells["value"].notna()
        known = set(
            self.cells.loc[measured, ["level", "metric"]].itertuples(index=False, name=None)
        )
        asked = [tuple(metric) for metric in self.settings["metrics"]]
        return next(((m[0], m[1]) for m in asked if m in known), None)

    def summary(self) -> str:
        """Say how many cells there are, what each axis does, and what may not be concluded."""
        n, failed = self.settings["n_cells"], len(self.failures)
        grid = ", ".join(f"{len(v)} of {a}" for a, v in self.settings["grid"].items())
        said = [f"{n} cells ({grid}; {', '.join(self.categories)})"]
        said[0] += f", {failed} of which failed." if failed else ", none of which failed."
        if failed:
            said.append(f"First reason: {self.failures['error'].iloc[0]}.")
        metric = self.main_metric
        if metric is None:
            return " ".join([*said, "No metric was measured."])
        return " ".join([*said, self._range(metric), *self._axes(metric), *self._controls(metric)])

    def _range(self, metric: tuple[str, str]) -> str:
        values = _of(self.cells, metric)["value"].to_numpy(dtype=float)
        return (
            f"{' '.join(metric)} lies between {np.nanmin(values):.3f} and "
            f"{np.nanmax(values):.3f}. All "
            "numbers are of the same test images: a cell that is picked because it is the highest "
            "looks better than it is (winner's curse); confirm a choice on other images."
        )

    def _axes(self, metric: tuple[str, str]) -> list[str]:
        rows = _of(self.marginals, metric).to_dict("records")
        said = []
        for axis in self.varied:
            own = [row for row in rows if row["axis"] == axis and np.isfinite(row["value"])]
            if len(own) < 2:
                continue
            low, *_, high = sorted(own, key=lambda row: row["value"])
            first, last = own[0], own[-1]
            gap = Estimate(last["difference"], last["difference_low"], last["difference_high"])
            said.append(
                f"By {axis}: mean {low['value']:.3f} ({low['at']}) to {high['value']:.3f} "
                f"({high['at']}), {last['at']} minus {first['at']} {_signed(gap)}."
            )
        if said:
            said.insert(0, "Means over all other axes, intervals over categories and seeds.")
        return said

    def _controls(self, metric: tuple[str, str]) -> list[str]:
        reference = self.settings["reference"]
        if reference is None:
            return ["The grid holds no controls (selector=variance,random,...)."]
        said = []
        found = contrast_means(_of(self.contrasts, metric), self.bootstrap)
        for control, one in found.items():
            said.append(
                f"{reference} minus {control}: {_signed(one['estimate'])}; of {one['n']} settings "
                f"the interval over images is above zero in {one['above']}, below in "
                f"{one['below']}."
            )
        return said


def _signed(gap: Estimate) -> str:
    if math.isnan(gap.low):
        return f"{gap.value:+.3f} (a single unit: no interval)"
    undecided = ", undecided" if gap.verdict == "undecided" else ""
    return f"{gap.text(signed=True)}{undecided}"


def _of(table: pd.DataFrame, metric: tuple[str, str]) -> pd.DataFrame:
    of_metric = (table["level"] == metric[0]) & (table["metric"] == metric[1])
    return table.loc[of_metric]


def make_result(
    spec: SweepSpec,
    cells: Sequence[Cell],
    outcomes: Sequence[Outcome],
    views: Mapping[int, StudyData],
) -> SweepResult:
    """Put the outcomes of the cells into tables.

    Parameters
    ----------
    spec : SweepSpec
    cells, outcomes : sequences
        In the same order.
    views : mapping of the position of a cell to StudyData
        What it was measured from.
    """
    named = _axis_columns(cells, views)
    rows, contrasts = [], []
    for axes, outcome in zip(named, outcomes, strict=True):
        shared = {"seconds": outcome.seconds, "error": outcome.error}
        for row in outcome.rows or [_EMPTY]:
            rows.append(axes | row | shared)
        for row in outcome.contrasts:
            control = {"control": axes["selector"]}
            contrasts.append({a: v for a, v in axes.items() if a != "selector"} | control | row)
    table = _table(rows, [*AXES, *_CELL])
    categories = list(dict.fromkeys(cell.category for cell in cells))
    varied = [axis for axis in AXES if axis in spec.varied]
    if len(categories) > 1 and "category" not in varied:
        varied.insert(0, "category")
    result = SweepResult(
        cells=table,
        marginals=marginal_means(table, varied, list(AXES), spec.bootstrap),
        contrasts=_table(contrasts, [*(a for a in AXES if a != "selector"), *_CONTRAST]),
        provenance=_provenance(spec, cells, categories, views),
    )
    result.notes = _notes(result, views, spec)
    return result


_EMPTY: dict[str, Any] = {
    **{"level": "", "metric": "", "value": None, "low": None, "high": None},
    **{"n_images": None, "reason": ""},
}


def _axis_columns(cells: Sequence[Cell], views: Mapping[int, StudyData]) -> list[dict[str, Any]]:
    """Values of all axes of each cell, one type a column: text where not all are numbers."""
    rows = [dict(cell.values) for cell in cells]
    for index, view in views.items():
        rows[index]["text_weight"] = view.text_weight  # the one in use, where none was named
    for axis in AXES:
        given = [row[axis] for row in rows]
        if any(isinstance(value, str) for value in given):
            for row in rows:
                row[axis] = str(row[axis])
    return rows


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=pd.Index(columns))
    numbers = [c for c in columns if c in _NUMBERS]
    return table.astype(
        dict.fromkeys(numbers, float) | {c: "Int64" for c in columns if c in _COUNTS}
    )


_NUMBERS = (
    *("value", "low", "high", "seconds", "control_mean", "text_weight", "coreset"),
    *("difference", "difference_low", "difference_high"),
)
_COUNTS = ("n_images", "n_draws")


def _provenance(
    spec: SweepSpec,
    cells: Sequence[Cell],
    categories: Sequence[str],
    views: Mapping[int, StudyData],
) -> dict[str, Any]:
    settings = {
        "grid": {axis: list(values) for axis, values in spec.grid.items()},
        "n_cells": len(cells),
        "metrics": [list(metric) for metric in spec.metrics],
        "reference": spec.reference,
        "random_draws": spec.random_draws,
        "shots": spec.base.shots,
        "seed": spec.base.seed,
    }
    models: dict[str, Any] = {}
    fitted: dict[str, dict[str, Any]] = {c: {} for c in categories}
    made: dict[str, Any] = {}
    for index, view in views.items():
        cell = cells[index]
        models.setdefault(str(cell.values["model"]), view.provenance["model"])
        own = fitted[cell.category]
        own["test"] = view.provenance["test"]
        ids = view.provenance["fit"]["sample_ids"]
        own.setdefault("fit", {})[f"shots={cell.values['shots']}, seed={cell.values['seed']}"] = ids
        made = made or {"conventions": view.evaluator(spec.metrics).conventions.to_dict()}
    return {
        "study": SweepResult.name,
        "settings": as_plain(settings),
        "digest": spec.digest,
        "versions": versions(),
        "options": as_plain(spec.base.options),
        "bootstrap": as_plain(spec.bootstrap),
        **made,
        "model": next(iter(models.values()), None),
        "models": as_plain(models),
        "categories": as_plain(fitted),
    }


def _notes(result: SweepResult, views: Mapping[int, StudyData], spec: SweepSpec) -> list[str]:
    notes: list[str] = []
    failed = result.failures
    if len(failed):
        reasons = list(dict.fromkeys(failed["error"]))
        for reason in reasons[:_SHOWN_REASONS]:
            count = int((failed["error"] == reason).sum())
            notes.append(f"{count} of {result.settings['n_cells']} cells failed: {reason}")
        if len(reasons) > _SHOWN_REASONS:
            notes.append(f"{len(reasons) - _SHOWN_REASONS} more reasons are in the table of cells")
    by_category = {view.category: view for view in views.values()}
    for view in by_category.values():
        notes += view.absences(view.evaluator(spec.metrics))
    if spec.reference is None:
        notes.append("no controls: the axis selector does not hold variance and others")
    return notes
