"""How a verdict is reached: fixed here, before any data are seen.

Each rule looks at one effect with its interval, and at the smallest effect of interest, which the
claim sets. The intervals of all parts of all claims hold together with the stated confidence
(Bonferroni), so sixteen looks do not make a finding.

An effect against random sets must pass twice to be supported: the interval of the difference to the
mean of random sets, over images and draws, and a test whether a random set could do the same
(:func:`p_against_sets`). Only the second makes it "better than random sets", and because both must
hold, its error bounds that of the verdict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr

from lakeviz.metrics.estimates import Estimate

SUPPORTED, CONTRADICTED = "supported", "contradicted"
INCONCLUSIVE, NOT_MEASURED = "inconclusive", "not measured"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_MEASURED)


@dataclass(frozen=True)
class Rule(ABC):
    """What makes a part of a claim supported, and what contradicts it.

    Parameters
    ----------
    smallest_effect : float
        Smallest effect of interest, in units of the effect.
    """

    smallest_effect: float
    name: ClassVar[str]
    """One word for tables."""

    def judge(self, effect: Estimate, beyond_sets: bool = True) -> str:
        """Verdict on an effect with its corrected interval.

        ``beyond_sets`` says whether the test against random sets was passed, where there are any.
        """
        if not np.isfinite([effect.value, effect.low, effect.high]).all():
            return NOT_MEASURED
        if self._contradicts(effect):
            return CONTRADICTED
        return SUPPORTED if self._supports(effect) and beyond_sets else INCONCLUSIVE

    @abstractmethod
    def _supports(self, effect: Estimate) -> bool: ...

    @abstractmethod
    def _contradicts(self, effect: Estimate) -> bool: ...

    @abstractmethod
    def describe(self) -> str:
        """The rule in words."""


class Superiority(Rule):
    """The effect is there, and large enough to matter.

    Supported: clear of zero and as large as asked. Contradicted: surely smaller.
    """

    name = "superiority"

    def _supports(self, effect: Estimate) -> bool:
        return effect.low > 0 and effect.value >= self.smallest_effect

    def _contradicts(self, effect: Estimate) -> bool:
        return effect.high < self.smallest_effect

    def describe(self) -> str:
        """The rule in words."""
        d = self.smallest_effect
        return f"supported: interval above 0 and effect at least {d:g}; contradicted: below {d:g}"


class NonInferiority(Rule):
    """The effect is no loss that matters.

    Supported: surely no worse than minus the margin. Contradicted: surely worse than it.
    """

    name = "non-inferiority"

    def _supports(self, effect: Estimate) -> bool:
        return effect.low > -self.smallest_effect

    def _contradicts(self, effect: Estimate) -> bool:
        return effect.high < -self.smallest_effect

    def describe(self) -> str:
        """The rule in words."""
        margin = f"{-self.smallest_effect:g}" if self.smallest_effect else "0"
        return f"supported: interval above {margin}; contradicted: below {margin}"


class Equivalence(Rule):
    """The effect is too small to matter, in either direction.

    Supported: surely within both margins. Contradicted: surely outside one of them.
    """

    name = "equivalence"

    def _supports(self, effect: Estimate) -> bool:
        return -self.smallest_effect < effect.low and effect.high < self.smallest_effect

    def _contradicts(self, effect: Estimate) -> bool:
        return effect.low > self.smallest_effect or effect.high < -self.smallest_effect

    def describe(self) -> str:
        """The rule in words."""
        d = self.smallest_effect
        return f"supported: interval within -{d:g} to {d:g}; contradicted: outside"


def joint_verdict(parts: Sequence[str]) -> str:
    """Verdict on a claim: all of its parts must be supported, and one contradicted is enough.

    A claim of which a part could not be measured was not measured, unless another contradicts it.
    """
    for verdict in (CONTRADICTED, NOT_MEASURED, INCONCLUSIVE):
        if verdict in parts:
            return verdict
    return SUPPORTED if parts else NOT_MEASURED


def corrected_confidence(confidence: float, n_parts: int) -> float:
    """Confidence of each interval so that all hold together with ``confidence`` (Bonferroni)."""
    return 1 - (1 - confidence) / n_parts


def sets_for_ranks(confidence: float) -> int:
    """Random sets with which a rank p-value can reach one tail of an interval of ``confidence``."""
    return int(np.ceil(2 / (1 - confidence) - 1 - 1e-9))


def p_against_sets(
    gaps: Float[np.ndarray, "*world set"], confidence: float
) -> Float[np.ndarray, "*world"]:
    """One-sided p-value of "a random set would do as well".

    Parameters
    ----------
    gaps
        How much better the condition is than each random set.
    confidence
        Of the interval that the verdict also looks at. Where there are enough sets for a rank to
        reach its tail (:func:`sets_for_ranks`), this is the rank p-value, which supposes nothing of
        how sets vary. Otherwise it is the tail of Student's prediction of one more set, which
        supposes normal values, and never less than the rank allows if a set did as well.
    """
    gaps = np.asarray(gaps, dtype=np.float64)
    n = gaps.shape[-1]
    rank = (1 + np.count_nonzero(gaps <= 0, axis=-1)) / (1 + n)
    if n >= sets_for_ranks(confidence) or n < 2:
        return np.asarray(rank)
    deviation = gaps.std(axis=-1, ddof=1)
    varied = deviation > 1e-12
    t = gaps.mean(axis=-1) / np.where(varied, deviation * np.sqrt(1 + 1 / n), 1.0)
    student = stdtr(n - 1, -t)
    best = (gaps > 0).all(axis=-1)
    return np.where(varied, np.where(best, student, np.maximum(student, rank)), rank)
