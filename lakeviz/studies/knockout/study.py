"""The study ``knockout``: curves, controls and single neurons, for each kind and mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lakeviz.errors import SelectionError
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.selectors import neurons_named
from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import Draws
from lakeviz.studies.base.settings import Settings as AnySettings
from lakeviz.studies.base.study import DEFAULT_BOOTSTRAP, Measured, Study
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.knockout.ablation import Engine
from lakeviz.studies.knockout.forward_engine import ForwardEngine
from lakeviz.studies.knockout.groups import DrawMeasurers, Measurer, measure_groups, n_conditions
from lakeviz.studies.knockout.result import (
    OTHER_CATEGORY,
    RUNS_THE_MODEL,
    KnockoutResult,
    Settings,
    run_name,
)
from lakeviz.studies.knockout.rows import contrast_rows, curve_rows, single_rows
from lakeviz.studies.knockout.score_engine import ScoreEngine
from lakeviz.studies.knockout.weights_engine import WeightsEngine

_N_SIZES, _NEAR = 7, 1.4  # sizes by default; how near the detector's k one may be


def measure(
    draws: tuple[StudyData, ...], settings: Settings, evaluator: PairedEvaluator
) -> Measured:
    """Knock neurons out, by variance and in controls of the same size, and one at a time.

    Selections are those of each draw of the normal images; a random set is the same set in all.

    Raises
    ------
    ConfigError
        If an engine cannot be made from these data.
    SelectionError
        If a size is above the number of neurons.
    """
    k = draws[0].options.k
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in KnockoutResult.table_names()}
    notes: list[str] = []
    for kind in dict.fromkeys(settings.kinds):
        engines = [make_engine(data, kind, settings) for data in draws]
        engine = engines[0]
        fewest = min(len(each.candidates(p)) for each in engines for p in each.points)
        named = neurons_named(settings.selector)
        asked = settings.sizes if named is None else [len(n) for n in named.values()]
        sizes = check_sizes(asked, fewest, k)
        n_branches = len(engine.branches)
        expect(n_conditions(engine, sizes, settings) * n_branches, len(draws))
        for number, mode in enumerate(dict.fromkeys(settings.modes)):
            measurer = DrawMeasurers([Measurer(each, evaluator) for each in engines])
            words = {"kind": kind, "mode": mode}
            groups = measure_groups(measurer, sizes, mode, settings)
            notes += measurer.notes
            rows["contrasts"] += [
                words | row for row in contrast_rows(measurer, groups, settings.selector)
            ]
            rows["curves"] += [words | row for row in curve_rows(measurer, groups)]
            if settings.single and number == 0:  # they are the same whatever the mode
                alone, correlated = single_rows(measurer, k, settings.seed)
                rows["neurons"] += [{"kind": kind} | row for row in alone]
                rows["correlation"] += [{"kind": kind} | row for row in correlated]
                notes += _few_others(engine, k)
    return Measured(rows, list(dict.fromkeys(notes)))


def _few_others(engine: Engine, k: int) -> Iterator[str]:
    """Note hook points at which single neurons have too few others to be compared with."""
    for point, statistics in engine.ranked.items():
        n = statistics.n_channels
        if n < 2 * k:
            yield (
                f"{engine.data.category}: {point} has {max(n - k, 0)} other neurons to compare "
                f"single ones of the top {min(k, n)} with"
            )


def check_sizes(sizes: Sequence[int] | None, n_candidates: int, k: int) -> tuple[int, ...]:
    """Sizes in ascending order, by default geometric up to all candidates, with ``k`` among them.

    Raises
    ------
    SelectionError
        If a size is not between 1 and the number of candidates.
    """
    if sizes is None:
        spread = np.geomspace(1, n_candidates, _N_SIZES).round().astype(int).tolist()
        k = min(k, n_candidates)
        ends = (1, n_candidates)
        apart = [s for s in spread if s in ends or not k / _NEAR < s < k * _NEAR]
        return tuple(sorted({*apart, k}))
    for size in sizes:
        if not 1 <= size <= n_candidates:
            raise SelectionError(
                f"{n_candidates} neurons can be knocked out at each hook point, so a size must be "
                f"between 1 and {n_candidates}, not {size}"
            )
    if not sizes:
        raise SelectionError("no size of a knock-out was given")
    return tuple(sorted(set(sizes)))


def make_engine(data: StudyData, kind: str, settings: Settings) -> Engine:
    """Make the engine of a kind."""
    shared: dict[str, Any] = {"base": settings.base, "branches": settings.branches}
    if kind != "forward":
        return (ScoreEngine if kind == "score" else WeightsEngine)(data, **shared)
    shared |= {"tokens": settings.tokens, "reference": settings.reference or "mean"}
    return ForwardEngine(data, **shared, point=settings.point, seed=settings.seed)


class Knockout(Study):
    """The study, with its settings kept by kind and mode."""

    def __call__(
        self,
        data: StudyData | Draws,
        settings: AnySettings | str | None = None,
        *,
        kind: str | None = None,
        mode: str | None = None,
        bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
        **changes: Any,
    ) -> KnockoutResult:
        """Run the study on one category; see :meth:`.Study.__call__`.

        A text in place of the settings is the ``kind``; ``kind`` and ``mode`` name one each, in
        place of ``kinds`` and ``modes``.
        """
        if isinstance(settings, str):
            settings, kind = None, settings
        for name, one in (("kinds", kind), ("modes", mode)):
            if one is not None:
                changes[name] = (one,)
        return super().__call__(data, settings, bootstrap=bootstrap, **changes)

    def runs_the_model(self, settings: Settings) -> str:
        """All kinds but ``score`` do."""
        return RUNS_THE_MODEL if set(settings.kinds) - {"score"} else ""

    def data(self, run: StudyRun, category: str, settings: Settings) -> Draws:
        """Every draw of a category; with the other categories, where they are a control."""
        draws = run.draws_of(category)
        return run.with_others(draws) if OTHER_CATEGORY in settings.controls else draws

    def provenance(self, settings: Settings, data: StudyData) -> dict[str, Any]:
        """Settings by kind and mode, with what the defaults stand for."""
        made = {}
        for kind in settings.kinds:
            own = settings.to_plain() | {"k": data.options.k, "points": list(data.points)}
            for name in ("kinds", "modes", "metrics"):
                del own[name]
            if kind == "forward":
                own["reference"] = settings.reference or "mean"
                own["points"] = [settings.point or data.points[0]]
            made |= {run_name(kind, mode): own for mode in settings.modes}
        return made


STUDY = Knockout(Settings, KnockoutResult, measure, over_draws=True)
