"""``knockout``: curves, controls and single neurons, for any kind of knock-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.lake.paired_evaluator import DEFAULT_BOOTSTRAP, DEFAULT_METRICS
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.measurement import Metric
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.ablation import KINDS, Engine
from lakeviz.studies.knockout.conditions import (
    DEFAULT_CONTROLS,
    MODES,
    Neurons,
    check_controls,
    check_sizes,
)
from lakeviz.studies.knockout.result import KnockoutResult, run_name
from lakeviz.studies.knockout.rows import Measurer, contrast_table, curve_table, measure_orders
from lakeviz.studies.knockout.score_engine import ScoreEngine
from lakeviz.studies.knockout.single import neuron_tables

DEFAULT_DRAWS = 20
_REFERENCES = {"score": "zero", "forward": "mean", "weights": "zero"}


def knockout(
    data: StudyData,
    kind: str = "score",
    *,
    sizes: Sequence[int] | None = None,
    mode: str = "remove",
    controls: Sequence[str] = DEFAULT_CONTROLS,
    n_draws: int = DEFAULT_DRAWS,
    base: str = "all",
    tokens: str = "all",
    reference: str | None = None,
    point: str | None = None,
    parts: Sequence[str] | None = None,
    metrics: Sequence[Metric] = DEFAULT_METRICS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    single: bool = True,
    seed: int = 0,
) -> KnockoutResult:
    """Knock neurons out, by variance and in controls of the same size, and one at a time.

    Parameters
    ----------
    data : StudyData
    kind : str
        ``"score"``: neurons are dropped from gallery and query alone. ``"forward"``: their
        activations are replaced at the hook point and the rest of the network runs on.
        ``"weights"``: the weights that write them are removed.
    sizes : sequence of int, optional
        Neurons per hook point; by default a geometric range up to all that can be knocked out,
        with the detector's ``k`` among them.
    mode : str
        ``"remove"`` the top neurons, or ``"keep"`` only them.
    controls : sequence of str
        Selectors of other neurons, of the same size at each hook point.
    n_draws : int
        Draws of each random control.
    base : str
        The detector reads ``"all"`` channels of its hook points, or those it ``"selected"``.
    tokens, reference : str
        Of a forward knock-out: which tokens (``"all"``, ``"patch"``, ``"cls"``) and what replaces
        them (``"zero"``, ``"mean"``, ``"resample"``; the mean by default).
    point : str, optional
        Of a forward knock-out: the hook point; the detector's first by default. The other kinds
        knock out at every hook point of the detector.
    parts : sequence of str, optional
        Parts of the detector; all there are by default.
    metrics : sequence of (level, metric)
    bootstrap : Bootstrap
    single : bool
        Whether to knock single neurons out as well.
    seed : int
        Of the random controls, of the random neurons and of resampling.

    Returns
    -------
    KnockoutResult

    Raises
    ------
    ConfigError
        On an unknown word, or an engine that cannot be made from these data.
    SelectionError
        If a size is 0 or above the number of neurons, or a control is no set of neurons.
    MetricError
        If no metric is defined for the test images.
    """
    for name, value, known in (("kind", kind, KINDS), ("mode", mode, MODES)):
        if value not in known:
            raise ConfigError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    controls = check_controls(controls, n_draws)
    reference = _REFERENCES[kind] if reference is None else reference
    evaluator = data.evaluator(metrics, bootstrap)
    evaluator.require_some()
    engine = _engine(data, kind, base, parts, _Place(tokens, reference, point, seed))
    choices = {"tokens": tokens, "reference": reference} if kind == "forward" else {}
    neurons = Neurons.of(engine, data, choices)
    chosen = check_sizes(sizes, neurons.n_candidates, data.options.k)
    measurer = Measurer(neurons, evaluator)
    words = {"category": data.category, "kind": kind}
    orders = measure_orders(measurer, chosen, mode, controls, n_draws, seed)
    with_mode = {**words, "mode": mode}
    alone = neuron_tables(measurer, data.options.k, seed, words) if single else _EMPTY
    settings: dict[str, Any] = {
        "sizes": list(chosen),
        "k": data.options.k,
        "base": base,
        **choices,
        "points": list(engine.points),
        "controls": list(controls),
        "n_draws": n_draws,
        "single": single,
        "seed": seed,
    }
    return KnockoutResult(
        contrasts=contrast_table(measurer, orders, with_mode),
        curves=curve_table(measurer, orders, with_mode),
        neurons=alone[0],
        correlation=alone[1],
        provenance=data.describe("knockout", {run_name(kind, mode): settings}, evaluator),
        notes=[*data.absences(evaluator), *_notes(data, neurons, single)],
    )


_EMPTY = (pd.DataFrame(), pd.DataFrame())


@dataclass(frozen=True)
class _Place:
    """Choices that only a forward knock-out has, but for the seed."""

    tokens: str
    reference: str
    point: str | None
    seed: int


def _engine(
    data: StudyData, kind: str, base: str, parts: Sequence[str] | None, place: _Place
) -> Engine:
    if kind == "forward":
        from lakeviz.studies.knockout.forward_engine import ForwardEngine

        return ForwardEngine(data, base=base, parts=parts, **asdict(place))
    if (place.tokens, place.reference, place.point) != ("all", "zero", None):
        raise ConfigError(
            f"a {kind} knock-out drops its neurons from all tokens at every hook point of the "
            "detector: tokens, reference and point are choices of the forward kind"
        )
    if kind == "weights":
        from lakeviz.studies.knockout.weights_engine import WeightsEngine

        return WeightsEngine(data, base=base, parts=parts)
    return ScoreEngine(data, base=base, parts=parts)


def _notes(data: StudyData, neurons: Neurons, single: bool) -> list[str]:
    k, found = data.options.k, []
    for point, statistics in neurons.statistics.items():
        others = max(statistics.n_channels - k, 0)
        if single and others < k:
            found.append(
                f"{data.category}: {point} has {others} other neurons to compare single ones of "
                f"the top {min(k, statistics.n_channels)} with"
            )
    return found
