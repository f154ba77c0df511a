"""``sweep``: a grid of settings, captured once, measured in parallel, resumed after a cut."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lakeviz.activations import Loading
from lakeviz.data import read_dataset
from lakeviz.errors import OutputError
from lakeviz.studies.base.captured import StudyData
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
from lakeviz.studies.sweep.grid import Cell, SweepSpec
from lakeviz.studies.sweep.result import SweepResult, make_result

ACTIVATIONS, CELLS = "activations", "sweep/cells"


@dataclass
class _Plan:
    """Cells sorted by what is left to do."""

    digests: dict[int, str] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    finished: dict[str, Outcome] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    views: dict[int, StudyData] = field(default_factory=dict)


def sweep(
    spec: SweepSpec,
    out: str | Path,
    *,
    backend: str = "loky",
    n_jobs: int = 2,
    progress: bool = True,
    address: str | None = None,
    loading: Loading | None = None,
) -> SweepResult:
    """Evaluate a detector at every point of a grid of settings.

    First each image passes each model once, at all the layers of the grid; then the cells are
    measured from what was captured, without a model. Cells that are finished in ``out`` are read
    back, failed ones are tried again.

    Parameters
    ----------
    spec : SweepSpec
    out : path
        Folder for activations (``activations``) and finished cells (``sweep/cells``); on a cluster,
        one that all its machines see under this path, as the data must be. Sweeps that share
        cells or images share them here.
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
    dataset = read_dataset(spec.base.dataset, spec.base.root, **spec.base.reader_options)
    cells = spec.cells(dataset)
    _make_folder(out / CELLS)
    draws = Draws(dataset)
    with engine(backend, n_jobs, address) as ready:
        # Tasks may run in processes that can start none of their own.
        how = replace(loading or Loading(), workers=0, progress=False)
        jobs = capture_jobs(cells, draws, dataset, out / ACTIVATIONS, how)
        captured = _capture_all(ready, jobs, progress)
        plan = _plan(cells, captured, draws, spec, out / CELLS)
        outcomes = _measure_all(ready, plan, progress)
    return make_result(
        spec, cells, [_found(plan, outcomes, i) for i in range(len(cells))], plan.views
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error


def _capture_all(
    ready: Engine, jobs: Sequence[Any], progress: bool
) -> dict[tuple[str, str], Captured]:
    captured = {}
    try:
        with (
            closing(ready.map(capture, jobs)) as results,
            tqdm(total=len(jobs), desc="capture", unit="category", disable=not progress) as bar,
        ):
            for one in results:
                captured[one.key] = one
                bar.update()
    finally:
        forget_models()
    return captured


def _measure_all(ready: Engine, plan: _Plan, progress: bool) -> dict[str, Outcome]:
    outcomes = dict(plan.finished)
    total = len(set(plan.digests.values()))
    with (
        closing(ready.map(measure_group, plan.groups)) as results,
        tqdm(
            total=total, initial=len(outcomes), desc="sweep", unit="cell", disable=not progress
        ) as bar,
    ):
        for part in results:
            outcomes |= {one.digest: one for one in part}
            bar.update(len(part))
    return outcomes


def _plan(
    cells: Sequence[Cell],
    captured: dict[tuple[str, str], Captured],
    draws: Draws,
    spec: SweepSpec,
    folder: Path,
) -> _Plan:
    """Find what each cell reads, which are finished, and which can be measured together."""
    plan = _Plan()
    views: dict[tuple[Any, ...], StudyData | str] = {}
    waiting: dict[tuple[Any, ...], dict[str, str]] = {}
    for index, cell in enumerate(cells):
        shared = tuple(value for axis, value in cell.values.items() if axis != "selector")
        if shared not in views:
            views[shared] = _view(cell, captured.get(key_of(cell)), draws)
        view = views[shared]
        if isinstance(view, str):
            plan.failures[index] = view
            continue
        own = replace(view, options=replace(view.options, selector=cell.selector))
        plan.views[index] = view
        digest = plan.digests[index] = cell_digest(cell, own, spec)
        done = read_outcome(folder, digest)
        if done is None:
            waiting.setdefault(shared, {})[cell.selector] = digest
        else:
            plan.finished[digest] = done
    for shared, digests in waiting.items():
        view = views[shared]
        assert isinstance(view, StudyData)
        plan.groups.append(
            Group(
                data=view,
                digests=digests,
                reference=spec.reference,
                metrics=spec.metrics,
                bootstrap=spec.bootstrap,
                random_draws=spec.random_draws,
                folder=folder,
            )
        )
    return plan


def _view(cell: Cell, captured: Captured | None, draws: Draws) -> StudyData | str:
    """What a cell reads of a capture, or why it cannot be measured."""
    draw = draws.of(cell)
    if isinstance(draw, str):
        return draw
    assert captured is not None
    options = cell.spec.options
    if captured.error or options.layers in captured.failures:
        return captured.error or captured.failures[options.layers]
    if options.text_weight and captured.no_text:
        return (
            f"TextBranchError: text_weight is {options.text_weight}, but {captured.no_text}, so "
            "there is no text branch; use text_weight=0"
        )
    assert captured.data is not None
    row = {name: i for i, name in enumerate(captured.data.provenance["fit"]["sample_ids"])}
    return captured.data.view(
        images=[row[name] for name in draw.sample_ids],
        points=captured.points[options.layers],
        options=options,
    )


def _found(plan: _Plan, outcomes: dict[str, Outcome], index: int) -> Outcome:
    if index in plan.failures:
        return Outcome("", error=plan.failures[index])
    return outcomes[plan.digests[index]]
