"""Shares of an effect over pairs: how much of a difference an intervention moves.

A pair has a full difference ``f`` (its two sides apart) and what an intervention moves of it,
``m``. The share is the ratio of sums ``r = sum(m) / sum(f)``, not the mean of single ratios, which
a pair with hardly a difference would decide. Its interval is Student's of the linearised ratio
``(m - r f) / mean(f)`` (Cochran, Sampling Techniques, 3rd ed., 6.4) over the pairs; draws of the
normal images and random sets add theirs in squares, as in :mod:`lakeviz.metrics.contrasts`.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, rank_p_value, student_reach

Pairs = Float[np.ndarray, "draw pair"]
Members = Float[np.ndarray, "draw member pair"]

FEWEST = 3
"""Pairs below which no interval is given."""


def share_estimate(moved: Pairs, full: Pairs, confidence: float = 0.95) -> Estimate:
    """Share of the full difference that was moved.

    Parameters
    ----------
    moved, full
        Of each pair, on each draw of the normal images.
    confidence : float

    Returns
    -------
    Estimate
        Without an interval for fewer than :data:`FEWEST` pairs; not measured where the full
        differences do not add up to more than 0, so that there is nothing to share.
    """
    return _estimate(moved[:, None], full, confidence)


def share_difference(
    moved: Pairs,
    members: Members,
    full: Pairs,
    confidence: float = 0.95,
    *,
    one_more: bool = True,
) -> tuple[Estimate, float]:
    """How much higher a share is than that of a control, and the rank among random members.

    The interval is to *one more* random set where the control has several members (or, without
    ``one_more``, to their mean), and that of the paired difference where it has one; the rank
    p-value is NaN then.
    """
    apart = moved[:, None] - members
    found = _estimate(apart, full, confidence, one_more=one_more)
    sets = shares_of(members, full).mean(0)
    if len(sets) < 2 or math.isnan(found.value):
        return found, math.nan
    return found, rank_p_value(float(shares_of(moved[:, None], full).mean()), sets)


def shares_of(moved: Members, full: Pairs) -> Float[np.ndarray, "draw member"]:
    """Share of each set on each draw; NaN where there is nothing to share."""
    total = full.sum(-1, keepdims=True)
    return np.divide(moved.sum(-1), total, out=np.full(moved.shape[:2], np.nan), where=total > 0)


def linearised(moved: Members, full: Pairs) -> Members:
    """What each pair adds to the error of a share; the standard error is that of their mean."""
    shares = shares_of(moved, full)
    return (moved - shares[..., None] * full[:, None]) / full.mean(-1)[:, None, None]


def _estimate(moved: Members, full: Pairs, confidence: float, one_more: bool = False) -> Estimate:
    shares = shares_of(moved, full)
    if not np.isfinite(shares).all():
        return NOT_MEASURED
    value, n_pairs = float(shares.mean()), full.shape[-1]
    if n_pairs < FEWEST:
        return Estimate(value)
    residuals = linearised(moved, full)
    # A zero deviation, as of a share of exactly 1, is known up to one pair that differs.
    over_pairs = max(student_reach(residuals.mean((0, 1)), confidence), 1e-9)
    reaches = [over_pairs]
    if len(shares) > 1:
        reaches.append(student_reach(shares.mean(1), confidence))
    if shares.shape[1] > 1:
        reaches.append(student_reach(shares.mean(0), confidence, one_more=one_more))
    reach = math.hypot(*reaches)
    return Estimate(value, value - reach, value + reach)
