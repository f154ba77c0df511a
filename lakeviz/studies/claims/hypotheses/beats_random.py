"""Claim 1: neurons of high variance do better than as many random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category
from lakeviz.studies.claims.effects import Effect, Pooled, over
from lakeviz.studies.claims.rules import Superiority

_PART = "minus_random"


def _measure(case: Case) -> Mapping[str, Effect]:
    if case.k == case.n_channels:
        return {_PART: Effect.absent(f"all {case.k} channels are selected: there are no others")}
    random = case.measure(case.score(case.select("random")))
    metric, bootstrap = case.settings.metric, case.settings.bootstrap
    return {_PART: over(case.top, random, metric, bootstrap, headroom=SMALLEST_EFFECT)}


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Visual branch in the selected neurons minus that in random ones."""
    return by_category(cases, _measure)


CLAIM = Claim(
    1,
    "beats_random",
    "Neurons of the highest variance detect better than as many random ones.",
    (
        Part(
            _PART,
            "top-variance minus random neurons",
            "random neurons, same size",
            Superiority(SMALLEST_EFFECT),
        ),
    ),
    measure,
)
