"""``sweep``: a grid of settings, captured once, measured in parallel, resumed after a cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from lakeviz.activations import Loading
from lakeviz.data import Dataset
from lakeviz.errors import OutputError
from lakeviz.lake.provenance import as_plain, versions
from lakeviz.progress import Progress, expect, step
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import OnRun, Study
from lakeviz.studies.sweep.axes import AXES, read_grid
from lakeviz.studies.sweep.backends import Engine, engine
from lakeviz.studies.sweep.capture import (
    Captured,
    Draws,
    capture,
    capture_jobs,
    forget_models,
    key_of,
)
from lakeviz.studies.sweep.cells import Group, Outcome, cell_digest, measure_group, read_outcome
from lakeviz.studies.sweep.grid import REFERENCE, WITHOUT_FIRST, Cell, SweepSpec
from lakeviz.studies.sweep.marginals import marginal_means
from lakeviz.studies.sweep.result import Settings, SweepResult

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


ACTIVATIONS, CELLS = "activations", "sweep/cells"
Task = TypeVar("Task")
Made = TypeVar("Made")


class Sweep(Study):
    """The study ``sweep``: of a grid of any settings, or of one around a run."""

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        spec: SweepSpec,
        out: str | Path,
        *,
        backend: str = "loky",
        n_jobs: int = 2,
        progress: bool = True,
        address: str | None = None,
        loading: Loading | None = None,
        dataset: Dataset | None = None,
        announce: Callable[[str], None] = lambda line: None,
    ) -> SweepResult:
        """Evaluate a detector at every point of a grid of settings.

        First each image passes each model once, at all the layers of the grid; then the cells are
        measured from what was captured, without a model. Cells that are finished in ``out`` are
        read back, failed ones are tried again.

        Parameters
        ----------
        spec : SweepSpec
        out : path
            Folder for activations (``activations``) and finished cells (``sweep/cells``); on a
            cluster, one that all its machines see under this path, as the data must be. Sweeps
            that share cells or images share them here.
        backend : str
            ``"loky"`` (processes of this machine), ``"threading"``, ``"sequential"``, ``"dask"`` or
            ``"ray"`` (a cluster that runs already).
        n_jobs : int
            Tasks at a time on this machine, -1 for all processors; a cluster has its own number.
        progress : bool
            Show progress with the time left.
        address : str, optional
            Of the cluster.
        loading : Loading, optional
            How images are read.
        dataset : Dataset, optional
            The images, where some of those that the data set names are left out.
        announce : callable, optional
            Told what is measured, and the time that is left.

        Returns
        -------
        SweepResult
            A cell that failed is a row with its ``error``.

        Raises
        ------
        ConfigError
            The backend, its address or ``n_jobs`` is impossible, or its package is missing.
        DataError
            The data set cannot be read or lacks a category.
        OutputError
            The folder cannot be written.
        """
        out = Path(out).absolute()
        if dataset is None:
            dataset = spec.base.read_data()
        cells = spec.cells(dataset)
        try:
            (out / CELLS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to {out}: {error.strerror or error}") from error
        draws = Draws(dataset)
        with engine(backend, n_jobs, address) as ready:
            # Tasks may run in processes that can start none of their own.
            how = replace(loading or Loading(), workers=0, progress=False)
            jobs = capture_jobs(cells, draws, dataset, out / ACTIVATIONS, how)
            try:
                with _counted("capture", len(jobs), "captures", announce, progress):
                    captured = {one.key: one for one in _each(ready, capture, jobs, "captures")}
            finally:
                forget_models()
            found, groups, views = _plan(cells, captured, draws, spec, out / CELLS)
            outcomes: dict[str, Outcome] = {}
            done = len({one.digest for one in found if isinstance(one, Outcome)} - {""})
            total = done + len({one for one in found if isinstance(one, str)})
            with _counted("sweep", total - done, "cells", announce, progress):
                for part in _each(ready, measure_group, groups, "cells", len):
                    outcomes |= {one.digest: one for one in part}
        made = [outcomes[one] if isinstance(one, str) else one for one in found]
        return make_result(spec, cells, made, views)

    def measure_runs(self, on: OnRun, settings: Settings) -> SweepResult:
        """Evaluate a grid around the settings of a run, in its folder.

        Where top-variance neurons are compared with others, they are also compared with themselves
        without the first: one channel can make the whole difference.
        """
        run, grid = on.run, read_grid(settings.grid)
        selectors = grid.get("selector", ())
        if REFERENCE in selectors and len(selectors) > 1:
            grid["selector"] = tuple(dict.fromkeys([*selectors, WITHOUT_FIRST]))
        options = replace(run.spec.options, map_size=run.map_size)
        base = replace(run.spec, options=options, categories=tuple(run.chosen(on.categories)))
        if "model" not in grid:
            run.model  # noqa: B018 - refuses other weights than the run's
        return self(
            SweepSpec(base, grid, settings.metrics, on.bootstrap, settings.n_random_sets),
            run.folder,
            backend=settings.backend,
            n_jobs=settings.n_jobs,
            address=settings.address,
            loading=run.loading,
            dataset=run.dataset,
            announce=on.announce,
        )


STUDY = Sweep(Settings, SweepResult)


@contextmanager
def _counted(
    what: str, n: int, of: str, announce: Callable[[str], None], bar: bool
) -> Iterator[None]:
    """Count what is made inside, where there is anything to make."""
    for _ in Progress(what, [what], announce, bar=bar) if n else [what]:
        expect(n, of=of)
        yield


def _each(
    ready: Engine,
    function: Callable[[Task], Made],
    tasks: Sequence[Task],
    of: str,
    steps: Callable[[Any], int] = lambda made: 1,
) -> Iterator[Made]:
    """Yield results as they are finished, and count them."""
    with closing(ready.map(function, tasks)) as results:
        for made in results:
            yield made
            step(steps(made), of)


def _plan(
    cells: Sequence[Cell],
    captured: Mapping[tuple[str, str], Captured],
    draws: Draws,
    spec: SweepSpec,
    folder: Path,
) -> tuple[list[Outcome | str], list[Group], dict[int, StudyData]]:
    """Find which cells failed or are finished, the digests of the others, and their groups.

    Also what each cell reads, by its position.
    """
    found: list[Outcome | str] = []
    views: dict[int, StudyData] = {}
    shared: dict[tuple[Any, ...], StudyData | str] = {}
    groups: dict[tuple[Any, ...], Group] = {}
    for index, cell in enumerate(cells):
        key = tuple(value for axis, value in cell.values.items() if axis != "selector")
        if key not in shared:
            draw = draws.of(cell)
            shared[key] = draw if isinstance(draw, str) else captured[key_of(cell)].view(cell, draw)
        view = shared[key]
        if isinstance(view, str):
            found.append(Outcome("", error=view))
            continue
        views[index] = view
        own = replace(view, options=replace(view.options, selector=cell.selector))
        digest = cell_digest(cell, own, spec)
        finished = read_outcome(folder, digest)
        found.append(finished or digest)
        if finished is None:
            groups.setdefault(key, Group(spec, view, {}, folder)).digests[cell.selector] = digest
    return found, list(groups.values()), views
