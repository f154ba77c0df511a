"""Claim 8: a few defective images among the normal ones do no harm that matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lakeviz.errors import DataError
from lakeviz.metrics.estimates import random_member
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import SMALLEST_EFFECT, Claim, Part, by_category
from lakeviz.studies.claims.effects import Effect, Pooled
from lakeviz.studies.claims.rules import NonInferiority
from lakeviz.studies.contamination.fitting import Condition, DrawFits, kept_images
from lakeviz.studies.contamination.plan import make_plan
from lakeviz.studies.contamination.rows import gaps

_PART = "change"
SHOTS, CONTAMINATED = 8, 1


def _measure(case: Case) -> Mapping[str, Effect]:
    data, settings = case.pool, case.settings
    if data is None:
        return {_PART: Effect.absent("no further normal images were captured to fit on")}
    clean, dirty = (Condition("variance", "both", n) for n in (0, CONTAMINATED))
    try:
        plan = make_plan(
            data.normal.sample_ids,
            data.test.sample_ids,
            data.truth.labels,
            shots=SHOTS,
            counts=(0, CONTAMINATED),
            n_draws=settings.fits,
            seed=settings.seed,
            category=data.category,
        )
    except DataError as error:
        return {_PART: Effect.absent(str(error))}
    kept = kept_images(data, plan)
    keep = np.isin(np.arange(len(data.test)), kept)
    evaluator = replace(
        data.evaluator((settings.metric,), settings.bootstrap),
        truth=data.truth.where(keep),
        sizes=[data.sizes[i] for i in kept],
    )
    if settings.metric not in evaluator.measured:
        return {_PART: Effect.absent("the metric is not defined for these images")}
    fits = [
        DrawFits(data, draw, ["variance"], settings.seed + i) for i, draw in enumerate(plan.draws)
    ]
    found = [fit.measure([clean, dirty], kept, evaluator) for fit in fits]
    if min(m.values[settings.metric] for one in found for m in one.values()) > 1 - 1e-9:
        return {_PART: Effect.absent("all fits are at the ceiling of the metric on these images")}
    changes = gaps([one[dirty] for one in found], [one[clean] for one in found])
    value = float(np.mean([change.values[settings.metric] for change in changes]))
    draws = random_member(changes, settings.metric, settings.bootstrap)
    return {_PART: Effect(value, draws, len(kept), len(changes))}


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Fit with defective images among the normal ones minus the clean fit of the same draw."""
    return by_category(cases, _measure)


CLAIM = Claim(
    8,
    "withstands_contamination",
    "One defective image among eight normal ones does no harm that matters.",
    (
        Part(
            _PART,
            "contaminated fit minus clean fit",
            "the clean fit of the same draw",
            NonInferiority(SMALLEST_EFFECT),
        ),
    ),
    measure,
)
