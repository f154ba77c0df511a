"""The study ``knockout``: curves, controls and single neurons, for each kind and mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.errors import SelectionError
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.selectors import get_selector
from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.settings import Settings as AnySettings
from lakeviz.studies.base.study import DEFAULT_BOOTSTRAP, Study
from lakeviz.studies.knockout.ablation import Engine
from lakeviz.studies.knockout.forward_engine import ForwardEngine
from lakeviz.studies.knockout.result import VARIANCE, KnockoutResult, Settings, run_name
from lakeviz.studies.knockout.rows import (
    Measurer,
    contrast_rows,
    correlation_rows,
    curve_rows,
    measure_groups,
    single_neurons,
    single_rows,
)
from lakeviz.studies.knockout.score_engine import ScoreEngine
from lakeviz.studies.knockout.weights_engine import WeightsEngine


def measure(
    data: StudyData, settings: Settings, evaluator: PairedEvaluator
) -> dict[str, pd.DataFrame]:
    """Knock neurons out, by variance and in controls of the same size, and one at a time.

    Raises
    ------
    ConfigError
        If an engine cannot be made from these data.
    SelectionError
        If a size is 0 or above the number of neurons, or a control is no set of neurons.
    """
    controls = check_controls(settings.controls)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in KnockoutResult.table_names()}

    def add(table: str, words: dict[str, Any], found: Any) -> None:
        rows[table] += [words | row for row in found]

    for kind in dict.fromkeys(settings.kinds):
        engine = make_engine(data, kind, settings)
        sizes = check_sizes(settings.sizes, engine.n_candidates, data.options.k)
        for number, mode in enumerate(dict.fromkeys(settings.modes)):
            measurer, words = Measurer(engine, evaluator), {"kind": kind, "mode": mode}
            groups = measure_groups(measurer, sizes, mode, controls, settings)
            add("contrasts", words, contrast_rows(measurer, groups))
            add("curves", words, curve_rows(measurer, groups))
            if not settings.single or number > 0:  # they are the same whatever the mode
                continue
            for singles in single_neurons(engine, data.options.k, settings.seed):
                point = singles[0].point
                measured = measurer.singles(point, [single.channel for single in singles])
                add("neurons", {"kind": kind}, single_rows(measurer, singles, measured))
                add("correlation", {"kind": kind}, correlation_rows(measurer, singles, measured))
    return {name: pd.DataFrame(found) for name, found in rows.items()}


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


def check_controls(controls: Sequence[str]) -> tuple[str, ...]:
    """Refuse controls that are no other neurons of the same size; each is returned once.

    Raises
    ------
    SelectionError
    """
    for name in controls:
        if name == VARIANCE or not get_selector(name).uses_k:
            raise SelectionError(f"{name} is no control of a knock-out of the same size")
    return tuple(dict.fromkeys(controls))


def make_engine(data: StudyData, kind: str, settings: Settings) -> Engine:
    """Make the engine of a kind."""
    if kind == "score":
        return ScoreEngine(data, settings.base, settings.branches)
    if kind == "weights":
        return WeightsEngine(data, base=settings.base, branches=settings.branches)
    return ForwardEngine(
        data,
        base=settings.base,
        branches=settings.branches,
        tokens=settings.tokens,
        reference=settings.reference or "mean",
        point=settings.point,
        seed=settings.seed,
    )


_N_SIZES, _NEAR = 7, 1.4


class Knockout(Study):
    """The study, with its settings kept by kind and mode."""

    def __call__(
        self,
        data: StudyData,
        settings: AnySettings | str | None = None,
        *,
        kind: str | None = None,
        mode: str | None = None,
        bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
        **changes: Any,
    ) -> KnockoutResult:
        """Run the study on one category.

        Parameters
        ----------
        data : StudyData
        settings : Settings or str, optional
            A text is the ``kind``.
        kind, mode : str, optional
            One kind or mode, in place of ``kinds`` and ``modes``.
        bootstrap : Bootstrap
            Over test images.
        **changes
            Single settings by name.

        Raises
        ------
        ConfigError, SelectionError
            A setting is unknown or impossible.
        MetricError
            No metric is defined for the test images.
        """
        if isinstance(settings, str):
            settings, kind = None, settings
        for name, one in (("kinds", kind), ("modes", mode)):
            if one is not None:
                changes[name] = (one,)
        result = super().__call__(data, settings, bootstrap=bootstrap, **changes)
        result.notes += _few_others(result.neurons)
        return result

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


STUDY = Knockout(Settings, KnockoutResult, measure)


def _few_others(neurons: pd.DataFrame) -> list[str]:
    """Note hook points with fewer other neurons than those that are compared with them."""
    found = []
    if neurons.empty:
        return found
    for (category, point), table in neurons.groupby(["category", "point"], sort=False):
        chosen = {group: set(own["channel"]) for group, own in table.groupby("group")}
        n_top, n_others = (len(chosen.get(group, ())) for group in ("selected", "random"))
        if n_others < n_top:
            found.append(
                f"{category}: {point} has {n_others} other neurons to compare single ones of the "
                f"top {n_top} with"
            )
    return found
