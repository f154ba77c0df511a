"""Exact true- and false-positive counts at every threshold that matters.

Only the scores of positives (anomalous images, defect pixels) are thresholds worth looking at:
between two of them the true positives stand still, so no area and no best F1 can hide there.
One sort of the negatives and one binary search per distinct positive score give all counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Thresholds:
    """The distinct scores of the positives, ascending, and who stands at each.

    Attributes
    ----------
    values
        Distinct scores.
    order
        Indices that sort the positives by score.
    starts
        Where each distinct score begins among the sorted positives.
    """

    values: Float[np.ndarray, " threshold"]
    order: Int[np.ndarray, " positive"]
    starts: Int[np.ndarray, " threshold"]

    @classmethod
    def of(cls, scores: Float[np.ndarray, " positive"]) -> Thresholds:
        """Group equal scores."""
        order = np.argsort(scores)
        ranked = scores[order]
        new = np.ones(ranked.size, dtype=bool)
        np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
        starts = np.flatnonzero(new)
        return cls(ranked[starts], order, starts)

    @property
    def at_least(self) -> Int[np.ndarray, " threshold"]:
        """Number of positives that score at least each threshold."""
        return self.order.size - self.starts

    @property
    def sizes(self) -> Int[np.ndarray, " threshold"]:
        """Number of positives standing at each threshold."""
        return np.diff(self.starts, append=self.order.size)

    def sums(self, weights: Float[np.ndarray, " positive"]) -> Float[np.ndarray, " threshold"]:
        """Add up ``weights`` of the positives standing at each threshold."""
        return np.add.reduceat(weights[self.order], self.starts)

    def spread(self, values: Float[np.ndarray, " threshold"]) -> Float[np.ndarray, " positive"]:
        """Give each positive, in its original place, the value of its threshold."""
        spread = np.empty(self.order.size, dtype=values.dtype)
        spread[self.order] = np.repeat(values, self.sizes)
        return spread


@dataclass(frozen=True)
class Reached:
    """How many negatives reach (>=) and how many exceed (>) each threshold."""

    reach: Int[np.ndarray, " threshold"]
    exceed: Int[np.ndarray, " threshold"]

    def __add__(self, other: Reached) -> Reached:
        return Reached(self.reach + other.reach, self.exceed + other.exceed)


def count_reached(
    sorted_scores: Float[np.ndarray, " negative"], values: Float[np.ndarray, " threshold"]
) -> Reached:
    """Count, by binary search, the scores that reach and exceed each of the ascending values."""
    below = np.searchsorted(sorted_scores, values, side="left")
    reach = sorted_scores.size - below
    exceed = reach.copy()
    # A second search is needed only where a negative has exactly the threshold's score. The
    # thresholds above all negatives, which come last, cannot.
    below = below[: np.searchsorted(below, sorted_scores.size)]
    tied = np.flatnonzero(sorted_scores[below] == values[: below.size])
    if tied.size:
        up_to = np.searchsorted(sorted_scores, values[tied], side="right")
        exceed[tied] = sorted_scores.size - up_to
    return Reached(reach, exceed)


@dataclass(frozen=True)
class RankCounts:
    """Counts at each distinct positive score, from the highest down, as a curve is drawn.

    Attributes
    ----------
    thresholds
        Distinct positive scores, descending; a sample is called positive from there up.
    tp, fp
        Positives and negatives that score at least the threshold.
    fp_above
        Negatives that score more than the threshold; ``fp - fp_above`` tie with it.
    n_positive, n_negative
        Totals.
    """

    thresholds: Float[np.ndarray, " threshold"]
    tp: Int[np.ndarray, " threshold"]
    fp: Int[np.ndarray, " threshold"]
    fp_above: Int[np.ndarray, " threshold"]
    n_positive: int
    n_negative: int

    @classmethod
    def build(
        cls,
        thresholds: Thresholds,
        reached: Reached,
        n_negative: int,
        counted: Bool[np.ndarray, " positive"] | None = None,
    ) -> RankCounts:
        """Turn ascending counts into a descending curve.

        ``counted`` says which of those standing at the thresholds are positives; all by default.
        """
        tp, n_positive = thresholds.at_least[::-1], thresholds.order.size
        if counted is not None and not counted.all():
            tp = np.cumsum(thresholds.sums(counted.astype(np.int64))[::-1])
            n_positive = int(np.count_nonzero(counted))
        return cls(
            thresholds.values[::-1],
            tp,
            reached.reach[::-1],
            reached.exceed[::-1],
            n_positive,
            n_negative,
        )


def rank_counts(
    positives: Float[np.ndarray, " positive"], negatives: Float[np.ndarray, " negative"]
) -> RankCounts:
    """Count for two plain arrays of scores."""
    thresholds = Thresholds.of(positives)
    return RankCounts.build(
        thresholds, count_reached(np.sort(negatives), thresholds.values), negatives.size
    )


def concatenate(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenate flat arrays; none at all give an empty float32 array."""
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)
