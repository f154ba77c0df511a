"""Claim 6: the largest patch score of an image tells more than the mean of its patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.studies.claims.case import IMAGE_AUROC, Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category
from lakeviz.studies.claims.effects import Effect, Pooled, over
from lakeviz.studies.claims.rules import Superiority

_PART = "minus_mean"


def _measure(case: Case) -> Mapping[str, Effect]:
    flat = case.top_maps.reshape(len(case.top_maps), -1)
    highest, mean = (case.evaluator.measure_scores(s) for s in (flat.max(1), flat.mean(1)))
    bootstrap = case.settings.bootstrap
    return {_PART: over(highest, [mean], IMAGE_AUROC, bootstrap, headroom=SMALLEST_EFFECT)}


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Image AUROC of the maximum over patches minus that of their mean, of the same maps."""
    return by_category(cases, _measure)


CLAIM = Claim(
    6,
    "max_beats_mean",
    "Pooling patch scores by their maximum detects better than by their mean.",
    (
        Part(
            _PART,
            "maximum over patches minus mean over patches",
            "the same maps, pooled by the mean",
            Superiority(SMALLEST_EFFECT),
            "image auroc",
        ),
    ),
    measure,
)
