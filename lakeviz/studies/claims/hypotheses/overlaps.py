"""Claim 4: categories select the same neurons more often than chance would have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from lakeviz.lake import NeuronSelection
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import Claim, Part
from lakeviz.studies.claims.effects import CATEGORIES, NOTHING, Effect, Pooled
from lakeviz.studies.claims.rules import Superiority
from lakeviz.studies.overlap.measures import jaccard
from lakeviz.studies.overlap.null_models import hypergeometric
from lakeviz.studies.overlap.pairs import pair_mean

_PART = "minus_chance"
_FEWEST = 3


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Mean Jaccard index of all pairs of categories minus that of random sets of the size.

    The interval is a jackknife over categories, which share pairs.
    """
    reason = _obstacle(cases)
    rows = {case.data.category: Effect.absent(reason) for case in cases}
    if reason:
        return {_PART: Pooled(lambda level: NOT_MEASURED, NOTHING, rows, reason)}
    chosen = [_channels(case) for case in cases]
    sides = np.array(list(combinations(range(len(cases)), 2)))
    gaps = np.array([_gap(chosen[a], chosen[b], cases[0]) for a, b in sides])
    for i, case in enumerate(cases):
        own = gaps[(sides == i).any(1)]
        rows[case.data.category] = Effect(float(own.mean()))

    def at(level: float) -> Estimate:
        return pair_mean(gaps, sides, level)

    return {_PART: Pooled(at, CATEGORIES, rows)}


def _obstacle(cases: Sequence[Case]) -> str:
    if len(cases) < _FEWEST:
        return f"it needs {_FEWEST} categories, and there are {len(cases)}"
    if cases[0].k == cases[0].n_channels:
        return f"all {cases[0].k} channels are selected: every category shares all"
    return ""


def _channels(case: Case) -> dict[str, set[int]]:
    selections = case.select("variance")[0]
    return {
        p: set(s.channels.tolist()) for p, s in selections.items() if isinstance(s, NeuronSelection)
    }


def _gap(one: Mapping[str, set[int]], other: Mapping[str, set[int]], case: Case) -> float:
    """Jaccard index of two categories minus its expectation by chance, mean over hook points."""
    gaps = []
    for point, channels in one.items():
        k = len(channels)
        expected = hypergeometric(case.data.n_channels(point), k).expected_jaccard
        gaps.append(float(jaccard(len(channels & other[point]), k)) - expected)
    return float(np.mean(gaps))


CLAIM = Claim(
    4,
    "overlaps",
    "The selected neurons of different categories overlap beyond chance.",
    (
        Part(
            _PART,
            "Jaccard index of two categories minus that of random sets",
            "random sets, same size (exact)",
            Superiority(0.05),
            "Jaccard index",
        ),
    ),
    measure,
)
