"""The tables of a sweep: its cells and contrasts, put together from what came of each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lakeviz.lake.provenance import as_plain, versions
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.sweep.axes import AXES
from lakeviz.studies.sweep.cells import Outcome
from lakeviz.studies.sweep.grid import Cell, SweepSpec
from lakeviz.studies.sweep.marginals import marginal_means
from lakeviz.studies.sweep.result import SweepResult

_SHOWN_REASONS = 5
_CELL = (
    *("level", "metric", "value", "low", "high", "n_images", "n_regions"),
    *("seconds", "reason", "error"),
)
_CONTRAST = (
    *("control", "level", "metric", "value", "control_mean", "difference", "difference_low"),
    *("difference_high", "estimand", "difference_to_mean_low", "difference_to_mean_high"),
    *("p_value", "share_images", "share_draws", "share_sets"),
    *("n_random_sets", "n_images", "n_regions", "reason"),
)
_NUMBERS = (
    *("value", "low", "high", "seconds", "control_mean", "text_weight", "coreset"),
    *("difference", "difference_low", "difference_high"),
    *("difference_to_mean_low", "difference_to_mean_high", "p_value"),
    *("share_images", "share_draws", "share_sets"),
)
_COUNTS = ("n_images", "n_regions", "n_random_sets")
_EMPTY = {"level": "", "metric": "", "reason": ""}


def make_result(
    spec: SweepSpec,
    cells: Sequence[Cell],
    outcomes: Sequence[Outcome],
    views: Mapping[int, StudyData],
) -> SweepResult:
    """Put the outcomes of the cells (in their order) into tables.

    ``views`` is what each cell was measured from, by its position.
    """
    rows, contrasts = [], []
    for axes, outcome in zip(_axis_columns(cells, views), outcomes, strict=True):
        shared = axes | {"seconds": outcome.seconds, "error": outcome.error}
        rows += [shared | row for row in outcome.rows or [_EMPTY]]
        contrasts += [axes | {"control": axes["selector"]} | row for row in outcome.contrasts]
    table = _table(rows, [*AXES, *_CELL])
    provenance = _provenance(spec, cells, views)
    several = {*spec.varied, *(["category"] if len(provenance["categories"]) > 1 else [])}
    varied = [axis for axis in AXES if axis in several]
    return SweepResult(
        cells=table,
        marginals=marginal_means(table, varied, list(AXES), spec.bootstrap.confidence),
        contrasts=_table(contrasts, [*(a for a in AXES if a != "selector"), *_CONTRAST]),
        provenance=provenance,
        notes=_notes(outcomes, views, spec),
    )


def _axis_columns(cells: Sequence[Cell], views: Mapping[int, StudyData]) -> list[dict[str, Any]]:
    """Values of all axes of each cell, one type a column: text where not all are numbers."""
    rows = [dict(cell.values) for cell in cells]
    for index, view in views.items():
        rows[index]["text_weight"] = view.text_weight  # the one in use, where none was named
    for axis in AXES:
        if any(isinstance(row[axis], str) for row in rows):
            for row in rows:
                row[axis] = str(row[axis])
    return rows


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    types = dict.fromkeys(_NUMBERS, "float64") | dict.fromkeys(_COUNTS, "Int64")
    table = pd.DataFrame(list(rows), columns=pd.Index(columns))
    return table.astype({name: kind for name, kind in types.items() if name in columns})


def _provenance(
    spec: SweepSpec, cells: Sequence[Cell], views: Mapping[int, StudyData]
) -> dict[str, Any]:
    settings = {
        "grid": spec.grid,
        "n_cells": len(cells),
        "metrics": spec.metrics,
        "reference": spec.reference,
        "n_random_sets": spec.n_random_sets,
        "shots": spec.base.shots,
        "seed": spec.base.seed,
    }
    models: dict[str, Any] = {}
    fitted: dict[str, dict[str, Any]] = {cell.category: {} for cell in cells}
    conventions: dict[str, Any] = {}
    for index, view in views.items():
        values, own = cells[index].values, fitted[cells[index].category]
        models.setdefault(str(values["model"]), view.provenance["model"])
        own["test"] = view.provenance["test"]
        ids = view.provenance["fit"]["sample_ids"]
        own.setdefault("fit", {})[f"shots={values['shots']}, seed={values['seed']}"] = ids
        if not conventions:
            conventions["conventions"] = view.evaluator(spec.metrics).conventions.to_dict()
    made = {
        "study": SweepResult.name,
        "settings": settings,
        "digest": spec.digest,
        "versions": versions(),
        "options": spec.base.options,
        "bootstrap": spec.bootstrap,
        **conventions,
        "model": next(iter(models.values()), None),
        "models": models,
        "categories": fitted,
    }
    return as_plain(made)


def _notes(
    outcomes: Sequence[Outcome], views: Mapping[int, StudyData], spec: SweepSpec
) -> list[str]:
    """Visible absences: what could not be measured, and why."""
    errors = [outcome.error for outcome in outcomes if outcome.error]
    reasons = list(dict.fromkeys(errors))
    notes = [
        f"{errors.count(reason)} of {len(outcomes)} cells failed: {reason}"
        for reason in reasons[:_SHOWN_REASONS]
    ]
    if len(reasons) > _SHOWN_REASONS:
        notes.append(f"{len(reasons) - _SHOWN_REASONS} more reasons are in the table of cells")
    for view in {view.category: view for view in views.values()}.values():
        notes += view.absences(view.evaluator(spec.metrics))
    if spec.reference is None:
        notes.append("no controls: the axis selector does not hold variance and others")
    return notes
