"""How a verdict is reached: fixed here, before any data are seen.

Each rule looks at one effect with its interval, and at the smallest effect of interest, which the
claim sets. The intervals of all parts of all claims hold together with the stated confidence
(Bonferroni), so ten looks do not make a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lakeviz.metrics.estimates import Estimate

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE)


class Rule(Protocol):
    """What makes a part of a claim supported, and what contradicts it."""

    @property
    def name(self) -> str:
        """One word for tables."""
        ...

    @property
    def smallest_effect(self) -> float:
        """Smallest effect of interest, in units of the effect."""
        ...

    def judge(self, effect: Estimate) -> str:
        """Verdict on an effect with its corrected interval."""
        ...

    def describe(self) -> str:
        """The rule in words."""
        ...


@dataclass(frozen=True)
class Superiority:
    """The effect is there, and large enough to matter."""

    smallest_effect: float
    name = "superiority"

    def judge(self, effect: Estimate) -> str:
        """Supported: clear of zero and as large as asked. Contradicted: surely smaller."""
        if not _measured(effect):
            return INCONCLUSIVE
        if effect.low > 0 and effect.value >= self.smallest_effect:
            return SUPPORTED
        return CONTRADICTED if effect.high < self.smallest_effect else INCONCLUSIVE

    def describe(self) -> str:
        """The rule in words."""
        d = self.smallest_effect
        return f"supported: interval above 0 and effect at least {d:g}; contradicted: below {d:g}"


@dataclass(frozen=True)
class NonInferiority:
    """The effect is no loss that matters."""

    smallest_effect: float
    name = "non-inferiority"

    def judge(self, effect: Estimate) -> str:
        """Supported: surely no worse than minus the margin. Contradicted: surely worse than it."""
        if not _measured(effect):
            return INCONCLUSIVE
        if effect.low > -self.smallest_effect:
            return SUPPORTED
        return CONTRADICTED if effect.high < -self.smallest_effect else INCONCLUSIVE

    def describe(self) -> str:
        """The rule in words."""
        d = self.smallest_effect
        return f"supported: interval above -{d:g}; contradicted: below -{d:g}"


@dataclass(frozen=True)
class Equivalence:
    """The effect is too small to matter, in either direction."""

    smallest_effect: float
    name = "equivalence"

    def judge(self, effect: Estimate) -> str:
        """Supported: surely within both margins. Contradicted: surely outside one of them."""
        if not _measured(effect):
            return INCONCLUSIVE
        if -self.smallest_effect < effect.low and effect.high < self.smallest_effect:
            return SUPPORTED
        outside = effect.low > self.smallest_effect or effect.high < -self.smallest_effect
        return CONTRADICTED if outside else INCONCLUSIVE

    def describe(self) -> str:
        """The rule in words."""
        d = self.smallest_effect
        return f"supported: interval within -{d:g} to {d:g}; contradicted: outside"


def joint_verdict(parts: Sequence[str]) -> str:
    """Verdict on a claim: all of its parts must be supported, and one contradicted is enough."""
    if CONTRADICTED in parts:
        return CONTRADICTED
    return SUPPORTED if parts and set(parts) == {SUPPORTED} else INCONCLUSIVE


def corrected_confidence(confidence: float, n_parts: int) -> float:
    """Confidence of each interval so that all hold together with ``confidence`` (Bonferroni)."""
    return 1 - (1 - confidence) / n_parts


def _measured(effect: Estimate) -> bool:
    return bool(np.isfinite([effect.value, effect.low, effect.high]).all())
