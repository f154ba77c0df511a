"""Claim 7: the prompts help at a small weight and hurt at a large one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category
from lakeviz.studies.claims.effects import Effect, Pooled, over
from lakeviz.studies.claims.rules import Superiority

_HELPS, _HURTS = "helps", "hurts"
WEIGHT, HEAVY = 0.3, 0.5


def _measure(case: Case) -> Mapping[str, Effect]:
    if case.data.text is None:
        absent = Effect.absent("this model has no text branch, or it was switched off")
        return {_HELPS: absent, _HURTS: absent}
    settings = case.settings
    light, heavy = (
        case.evaluator.measure(case.data.fuse(case.top_maps, weight)) for weight in (WEIGHT, HEAVY)
    )
    room, metric, bootstrap = SMALLEST_EFFECT, settings.metric, settings.bootstrap
    return {
        _HELPS: over(light, [case.top], metric, bootstrap, headroom=room),
        _HURTS: over(light, [heavy], metric, bootstrap, headroom=room),
    }


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Fused score at the small weight minus the visual branch, and minus that at the large one."""
    return by_category(cases, _measure)


CLAIM = Claim(
    7,
    "text_helps",
    "Text helps at a weight of 0.3, and less of it is better than a weight of 0.5.",
    (
        Part(
            _HELPS,
            "text weight 0.3 minus no text",
            "the visual branch alone",
            Superiority(SMALLEST_EFFECT),
        ),
        Part(
            _HURTS,
            "text weight 0.3 minus text weight 0.5",
            "the same branches, text weight 0.5",
            Superiority(SMALLEST_EFFECT),
        ),
    ),
    measure,
)
