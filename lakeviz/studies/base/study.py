"""A study: its settings, its result, and how it is run in Python and on the folder of a run.

The command, the section of the report, the table of settings in the docs and the entry in
``lakeviz figure`` are made from this one object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pandas as pd

from lakeviz.data import file_sha256
from lakeviz.errors import ConfigError
from lakeviz.files import settle
from lakeviz.journal import fingerprint
from lakeviz.lake.provenance import as_plain
from lakeviz.lake.selectors import name_of
from lakeviz.locks import locked
from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.progress import Progress
from lakeviz.studies.base.draws import as_draws, describe_draws
from lakeviz.studies.base.result import STUDY_FILE, StudyResult
from lakeviz.studies.base.settings import Settings

if TYPE_CHECKING:
    from lakeviz.lake.paired_evaluator import PairedEvaluator
    from lakeviz.studies.base.captured import StudyData
    from lakeviz.studies.base.draws import Draws
    from lakeviz.studies.base.study_run import StudyRun

DEFAULT_BOOTSTRAP = Bootstrap(n_resamples=1000)
_OF_SELECTORS = ("selector", "selectors")  # settings that say which neurons are in question


Table = pd.DataFrame | list[dict[str, Any]]


class Measure(Protocol):
    """The science of a study: captured tokens of one category to the tables of the result."""

    def __call__(
        self, data: Any, settings: Any, evaluator: PairedEvaluator, /
    ) -> Mapping[str, Table] | Measured:
        """Measure one category: a ``StudyData``, or a tuple of them where it is over draws."""
        ...


@dataclass(frozen=True)
class Measured:
    """Tables with more that a result is to carry.

    Attributes
    ----------
    tables : mapping of name to DataFrame, or to its rows
    notes : sequence of str
        What could not be measured, and why.
    made : mapping
        Joins the provenance of the category.
    settings : mapping, optional
        As the result carries them, where only measuring tells; else :meth:`Study.provenance`.
    """

    tables: Mapping[str, Table]
    notes: Sequence[str] = ()
    made: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class OnRun:
    """What a study on the folder of a run is given beside its settings.

    Attributes
    ----------
    runs : sequence of StudyRun
        One, or several where the study compares runs.
    categories : tuple of str
        Those named; all where empty.
    bootstrap : Bootstrap
    announce : callable
        Told how far the study is: the category that is begun, and the time that is left.
    """

    runs: Sequence[StudyRun]
    bootstrap: Bootstrap
    categories: tuple[str, ...] = ()
    announce: Callable[[str], None] = lambda line: None

    @property
    def run(self) -> StudyRun:
        """The only run, or the first."""
        return self.runs[0]

    def each_category(self, what: str) -> Iterable[str]:
        """Yield the chosen categories of the run; ``what`` is measured of each, with progress."""
        return Progress(what, self.run.chosen(self.categories), self.announce)


@dataclass(frozen=True)
class Study:
    """A study that measures one category at a time; others override :meth:`measure_runs`.

    Parameters
    ----------
    settings : type of Settings
    result : type of StudyResult
        Its ``name`` and ``title`` are those of the study.
    measure : callable
        ``measure(data, settings, evaluator)`` returns the tables of the result by name; None where
        a subclass overrides :meth:`__call__`.
    over_draws : bool
        Whether ``measure`` takes every draw of the normal images, as a tuple of data. Its settings
        are :class:`~lakeviz.studies.base.settings.DrawSettings` then.
    """

    settings: type[Settings]
    result: type[StudyResult]
    measure: Measure | None = None
    over_draws: bool = False
    on_runs: ClassVar[bool] = True
    needs_a_metric: ClassVar[bool] = True
    """Whether test images on which nothing can be measured are refused."""

    @property
    def name(self) -> str:
        """Name of the study, as on the command line."""
        return self.result.name

    def __call__(
        self,
        data: StudyData | Draws,
        settings: Settings | None = None,
        *,
        bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
        neurons: Mapping[str, Sequence[int]] | None = None,
        progress: bool = False,
        **changes: Any,
    ) -> Any:
        """Run the study on one category.

        Parameters
        ----------
        data : StudyData or sequence of StudyData
            One draw of the normal images, or several where the study is over draws.
        settings : Settings, optional
        bootstrap : Bootstrap
            Over test images.
        neurons : mapping of hook point to channels, optional
            The neurons in question, in place of those that a selector chooses.
        progress : bool
            Show the conditions that are measured, and the time left.
        **changes
            Single settings by name.

        Raises
        ------
        ConfigError
            A setting is unknown or impossible.
        MetricError
            No metric is defined for the test images.
        """
        if neurons is not None:
            data, changes = self._with_neurons(data, name_of(neurons), changes)
        chosen = self.settings.of(settings, changes)
        assert self.measure is not None
        return self._measured(self.measure, data, chosen, bootstrap, progress)

    def _measured(
        self,
        measure: Measure,
        data: StudyData | Draws,
        chosen: Any,
        bootstrap: Bootstrap,
        progress: bool = False,
    ) -> Any:
        """Measure one category, and make the result of its tables."""
        draws = self.draws_of(data, chosen)
        first = draws[0]
        evaluator = first.evaluator(chosen.metrics, bootstrap)
        if self.needs_a_metric:
            evaluator.require_some()
        parts = Progress(self.name, [first.category]) if progress else [first.category]
        given = draws if self.over_draws else first
        (found,) = [measure(given, chosen, evaluator) for _ in parts]
        if not isinstance(found, Measured):
            found = Measured(found)
        tables = {
            name: made if isinstance(made, pd.DataFrame) else pd.DataFrame(made)
            for name, made in found.tables.items()
        }
        for table in tables.values():
            if "category" not in table:
                table.insert(0, "category", first.category)
        said = self.provenance(chosen, first) if found.settings is None else found.settings
        provenance = describe_draws(draws, self.name, said, evaluator)
        provenance["categories"][first.category] |= found.made
        notes = dict.fromkeys((*found.notes, *first.absences(evaluator)))
        return self.result(**tables, provenance=provenance, notes=list(notes))

    def _with_neurons(
        self, data: StudyData | Draws, name: str, changes: dict[str, Any]
    ) -> tuple[StudyData | Draws, dict[str, Any]]:
        """Put neurons in the place of the selector: the study's own, or else the detector's."""
        own = next((f for f in _OF_SELECTORS if f in self.settings.options()), None)
        if own in changes:
            raise ConfigError(f"neurons are named, so there is no {own}; give one of them")
        if own is not None:
            several = self.settings.kind(own).several
            return data, changes | {own: (name,) if several else name}
        return [one.view(options=one.options.reading(name)) for one in as_draws(data)], changes

    def draws_of(self, data: StudyData | Draws, settings: Any) -> tuple[StudyData, ...]:
        """Draws that are measured, at most as many as the settings say.

        Raises
        ------
        ConfigError
            There are several, and the study measures one.
        """
        draws = as_draws(data)
        if self.over_draws:
            return draws[: settings.draws]
        if len(draws) > 1:
            raise ConfigError(
                f"{self.name} measures one draw of the normal images, got {len(draws)}; pass one"
            )
        return draws

    def load(self) -> Study:
        """Return itself, as :meth:`LazyStudy.load` returns the study it stands for."""
        return self

    def provenance(self, settings: Any, data: StudyData) -> dict[str, Any]:
        """Settings as a result carries them."""
        return settings.to_plain()

    def data(self, run: StudyRun, category: str, settings: Any) -> StudyData | Draws:
        """Capture (or read back) what the study needs of one category of a run."""
        return run.draws_of(category) if self.over_draws else run.data(category)

    def runs_the_model(self, settings: Any) -> str:
        """What the study runs the model for, which then has to see the pictures alone; or nothing.

        Asked before anything is captured.
        """
        return ""

    def on_run(self, on: OnRun, settings: Any) -> StudyResult:
        """Run the study on the chosen categories of a run's folder.

        What was measured before a kill is read back. While another command writes to the folder,
        it is waited for.
        """
        if what := self.runs_the_model(settings):
            for run in on.runs:
                run.require_pictures(what)
        with ExitStack() as stack:
            for run in {one.folder.resolve(): one for one in on.runs}.values():
                stack.enter_context(locked(run.folder))
                for category in run.finished:
                    if not on.categories or category in on.categories:
                        run.require_unchanged(category)
                run.begin(self.name)
            return self.measure_runs(on, settings)

    def measure_runs(self, on: OnRun, settings: Any) -> StudyResult:
        """Measure category by category; each is kept when it is finished."""
        made = []
        for category in on.each_category(self.name):
            files = [file_sha256(x) for x in vars(settings).values() if isinstance(x, Path)]
            asked = [settings.to_plain(), as_plain(on.bootstrap), files]
            folder = on.run.unfinished(self.name) / fingerprint(category, asked, on.run.identity)
            if not _is_whole(folder):
                data = self.data(on.run, category, settings)
                self(data, settings, bootstrap=on.bootstrap).to_parquet(folder)
            made.append(self.result.from_parquet(folder))
        return self.result.join(made)

    @property
    def __signature__(self) -> inspect.Signature:
        """Arguments with the single settings, for help and editors."""
        own = inspect.signature(type(self).__call__).parameters
        fixed = [p for name, p in own.items() if name not in ("self", "changes")]
        if "changes" not in own:
            return inspect.Signature(fixed)
        names = [p.name for p in fixed]
        return inspect.Signature(
            [
                *fixed,
                *(
                    inspect.Parameter(
                        f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type
                    )
                    for f in fields(self.settings)
                    if f.name not in names
                ),
            ]
        )


def _is_whole(folder: Path) -> bool:
    settle(folder)
    return (folder / STUDY_FILE).is_file()


class LazyStudy:
    """A study of a package of this one, loaded when it is run.

    Parameters
    ----------
    package : str
        It has ``result.py`` with ``Settings`` and ``Result``, which needs no torch, and
        ``study.py`` with ``STUDY``.
    name : str
        That of the package by default.
    on_runs : bool
        Whether it is a command of ``lakeviz study``, on the folder of a run.
    """

    def __init__(self, package: str, name: str = "", *, on_runs: bool = True):
        self.package = package
        self.name = name or package.rpartition(".")[2]
        self.on_runs = on_runs

    @property
    def settings(self) -> type[Settings]:
        """Class of its settings."""
        return import_module(f"{self.package}.result").Settings

    @property
    def result(self) -> type[StudyResult]:
        """Class of its results."""
        return import_module(f"{self.package}.result").Result

    def load(self) -> Study:
        """Load the study itself."""
        return import_module(f"{self.package}.study").STUDY

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the study; see :meth:`Study.__call__`."""
        return self.load()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.load())

    def __repr__(self) -> str:
        return f"<study {self.name!r}: {self.result.title}>"
