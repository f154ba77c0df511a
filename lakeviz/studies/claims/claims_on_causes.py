"""Claims 13, 14 and 15: what the selected neurons carry of a defect, by exchange within pairs.

A pair is a defect image and its twin without the defect, see :mod:`lakeviz.studies.patching`. What
an exchange moves is the score of the defect patches by a detector that reads all channels, so that
it favours no neurons; effects are shares of its difference between the two sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lakeviz.metrics.estimates import Estimate, student_reach
from lakeviz.metrics.pair_shares import FEWEST, linearised, share_difference, shares_of
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import CAUSES, Claim, Part, each
from lakeviz.studies.claims.effects import PAIRS, Effect, Spread
from lakeviz.studies.claims.rules import Superiority
from lakeviz.studies.patching.concentration import area
from lakeviz.studies.patching.effects import Members
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import CONTROL, DEFECT, DENOISING, FAITHFULNESS, NOISING

SMALLEST_SHARE = 0.05
"""A share of the difference within pairs that matters."""
_RULE, _UNIT, _SELECTED = Superiority(SMALLEST_SHARE), "share", "variance"
_SAME_SIZE = "random neurons, same size"


def share_effect(own: Members, control: Members, sets: UnitSets) -> Effect:
    """How much larger a share is than the mean share of the members of a control.

    The interval is over pairs, draws of the normal images and members.
    """
    full, mine = sets.full[DEFECT], own.mean(1)
    n_draws, n_members, n_pairs = control.shape

    def at(confidence: float) -> Estimate:
        return share_difference(mine, control, full, confidence, one_more=False)[0]

    if not np.isfinite(shares_of(mine[:, None], full)).all():
        return _absent("on one draw the defect patches score no less without the defect")
    gaps = shares_of(mine[:, None] - control, full)
    errors = linearised(mine[:, None] - control, full).mean((0, 1))
    spread = Spread(
        n_anomalous=n_pairs,
        n_normal=n_pairs,
        images=float(errors.std(ddof=1) / np.sqrt(n_pairs)),
        draws=float(gaps.mean(1).std(ddof=1)) if n_draws > 1 else 0.0,
        sets=float(gaps.mean(0).std(ddof=1)) if n_members > 1 else 0.0,
        n_draws=n_draws,
        n_sets=n_members,
    )
    found = Effect(float(gaps.mean()), at, n_pairs, n_members, n_draws, spread=spread, over=PAIRS)
    return found if n_members == 1 else replace(found, gaps=gaps.mean(0))


def _sets(case: Case) -> UnitSets | Effect:
    """Sets of neurons to exchange, or why nothing is tested."""
    if reason := case.all_selected("there are no others") or case.crowded:
        return _absent(reason)
    sets = case.exchanged
    if isinstance(sets, str):
        return _absent(sets)
    full = sets.full[DEFECT].mean(0)
    if len(full) < FEWEST:
        return _absent(f"there are {len(full)} pairs, and an interval needs {FEWEST}")
    value = float(full.mean())
    if not value - student_reach(full, case.settings.confidence) > 0:
        return _absent(
            f"without the defect its patches score {value:.3g} less, not clear of zero: there is "
            "nothing to share"
        )
    return sets


def _absent(reason: str) -> Effect:
    return Effect.absent(f"not tested, because {reason}")


# --- claim 13: exchanging the selected neurons moves the score ---


def _causes_score(case: Case) -> Mapping[str, Effect]:
    """Share that the selected neurons move, minus that of random ones, in either direction."""
    sets = _sets(case)
    if isinstance(sets, Effect):
        return dict.fromkeys((DENOISING, NOISING), sets)
    return {
        way: share_effect(
            sets.moved(_SELECTED, way)[DEFECT], sets.moved(CONTROL, way)[DEFECT], sets
        )
        for way in (DENOISING, NOISING)
    }


CAUSES_SCORE = Claim(
    13,
    "causes_score",
    "The selected neurons cause the score of a defect: exchanged with a twin without it, they move "
    "more of it than as many random ones.",
    (
        Part(
            DENOISING,
            "share that goes with the twin's values of top-variance minus random neurons",
            _SAME_SIZE,
            _RULE,
            _UNIT,
            against_sets=True,
        ),
        Part(
            NOISING,
            "share that comes with the defect's values of top-variance minus random neurons",
            _SAME_SIZE,
            _RULE,
            _UNIT,
            against_sets=True,
        ),
    ),
    each(_causes_score),
    CAUSES,
)


# --- claim 14: few of them are enough ---


def _effect_concentrated(case: Case) -> Mapping[str, Effect]:
    """Area under the faithfulness curve of the neurons by variance minus that of random orders."""
    sets = _sets(case)
    if isinstance(sets, Effect):
        return {FAITHFULNESS: sets}
    own, random = (area(sets, order, FAITHFULNESS) for order in (_SELECTED, CONTROL))
    return {FAITHFULNESS: share_effect(own, random, sets)}


EFFECT_CONCENTRATED = Claim(
    14,
    "effect_concentrated",
    "What a defect does to the score is concentrated in the neurons of highest variance.",
    (
        Part(
            FAITHFULNESS,
            "area under the faithfulness curve of top-variance minus random neurons",
            "random neurons, same sizes",
            _RULE,
            _UNIT,
            against_sets=True,
        ),
    ),
    each(_effect_concentrated),
    CAUSES,
)


# --- claim 15: neurons carry more than other units ---

_ROTATED, _LATENTS = "minus_rotated", "minus_latents"


def _basis_privileged(case: Case) -> Mapping[str, Effect]:
    """Share that the selected neurons move, minus that of units of another basis."""
    sets = _sets(case)
    if isinstance(sets, Effect):
        return dict.fromkeys((_ROTATED, _LATENTS), sets)
    own, latents = sets.moved(_SELECTED, DENOISING)[DEFECT], case.exchanged_latents
    if isinstance(latents, str):
        against = _absent(latents)
    else:
        against = share_effect(own, latents.moved(_SELECTED, DENOISING)[DEFECT], sets)
    rotated = sets.moved("rotated", DENOISING)[DEFECT]
    return {_ROTATED: share_effect(own, rotated, sets), _LATENTS: against}


BASIS_PRIVILEGED = Claim(
    15,
    "basis_privileged",
    "The basis of neurons is privileged: the neurons of highest variance carry more of a defect "
    "than as many units of another basis, chosen alike.",
    (
        Part(
            _ROTATED,
            "share that goes with top-variance neurons minus top-variance axes of rotated streams",
            "top-variance axes of randomly rotated streams, same size",
            _RULE,
            _UNIT,
            against_sets=True,
        ),
        Part(
            _LATENTS,
            "share that goes with top-variance neurons minus top-variance latents",
            "latents of the sparse autoencoder that was given, same number",
            _RULE,
            _UNIT,
            is_optional=True,
        ),
    ),
    each(_basis_privileged),
    CAUSES,
)
