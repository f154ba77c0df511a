"""Claim 5: knocking the selected neurons out hurts more than knocking as many random ones out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.lake import NeuronSelection, Selection
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category
from lakeviz.studies.claims.effects import Effect, Pooled, over
from lakeviz.studies.claims.rules import Superiority
from lakeviz.studies.knockout.ablation import Ablation, Condition
from lakeviz.studies.knockout.score_engine import ScoreEngine

_PART = "minus_random"


def _measure(case: Case) -> Mapping[str, Effect]:
    if case.k == case.n_channels:
        return {_PART: Effect.absent(f"all {case.k} channels are selected: nothing would be left")}
    engine = ScoreEngine(case.data, base="all", branches=("visual",))
    chosen = [*case.select("variance"), *case.select("random")]
    knocked = engine.run([_condition(selections) for selections in chosen])
    top, *random = (case.evaluator.measure(one.maps["visual"]) for one in knocked)
    return {_PART: over(top, random, case.settings.metric, case.settings.bootstrap).negated()}


def _condition(selections: Mapping[str, Selection]) -> Condition:
    return tuple(
        Ablation(p, tuple(s.channels.tolist()))
        for p, s in selections.items()
        if isinstance(s, NeuronSelection)
    )


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Loss without the selected neurons minus loss without random ones.

    The detector reads all other channels of its hook points: a score knock-out, see
    :mod:`lakeviz.studies.knockout.score_engine`.
    """
    return by_category(cases, _measure)


CLAIM = Claim(
    5,
    "knockout_hurts",
    "Knocking the selected neurons out hurts more than knocking out as many random ones.",
    (
        Part(
            _PART,
            "loss without top-variance neurons minus loss without random ones",
            "random neurons, same size, knocked out of the same detector",
            Superiority(SMALLEST_EFFECT),
        ),
    ),
    measure,
)
