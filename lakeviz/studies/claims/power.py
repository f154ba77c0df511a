"""Power: how often a true effect would be declared supported, by the very rule and at this n.

Estimates are simulated with the effect in question, the numbers of images, draws, random sets and
categories of the data, and the spread that was measured between images, draws, sets and categories.
The spread over images is brought from the measured image AUROCs to the assumed ones as binormal
scores would have it, to the approximation of Hanley and McNeil. Each simulated estimate is judged
by the rule of the part, at the corrected confidence. The seed is fixed, so equal data have equal
power. What the interval adds for few differing images is left out: near the ceiling and with few
images the power is rather lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from lakeviz.metrics.estimates import Estimate, joint_reach
from lakeviz.metrics.measurement import Metric
from lakeviz.studies.claims.claim import Part
from lakeviz.studies.claims.effects import Pooled, Spread
from lakeviz.studies.claims.rules import SUPPORTED, Superiority, p_against_sets

WORLDS = 1000
_IMAGE_AUROC: Metric = ("image", "auroc")
_SEED = 20
_MOST = 0.999  # a true AUROC of 1 has no spread to simulate

Worlds = Float[np.ndarray, " world"]


@dataclass(frozen=True)
class Assumed:
    """The true effect that a power is worked out for.

    Attributes
    ----------
    effect : float
        Own minus control.
    control : float
        NaN: as measured in each category.
    said : str
        In words.
    """

    effect: float
    control: float
    said: str


def assumed(part: Part, metric: Metric) -> Assumed:
    """The paper's own effect where it is known; else twice the smallest effect, or no difference.

    Rules that ask for no loss that matters are asked how often they see that there is none.
    """
    if metric in part.paper and not part.unit:
        own, control = part.paper[metric]
        return Assumed(own - control, control, f"the paper's {own:g} against {control:g}")
    if isinstance(part.rule, Superiority):
        d = 2 * part.rule.smallest_effect
        return Assumed(d, np.nan, f"twice the smallest effect ({d:g})")
    if part.rule.smallest_effect == 0:
        return Assumed(0.05, np.nan, "0.05 above what is asked")
    return Assumed(0.0, np.nan, "no difference")


def power(part: Part, found: Pooled, metric: Metric, confidence: float) -> float:
    """How often the part would be supported if the assumed effect were the true one.

    NaN where nothing was measured.
    """
    measured = list(found.measured.values())
    if not measured:
        return np.nan
    if part.unit:
        metric = _IMAGE_AUROC if part.unit == "image auroc" else ("", "")
    truth = assumed(part, metric)
    generator = np.random.default_rng(_SEED)
    if found.units is not None:
        between = float(found.units.std(ddof=1))
        made = [Simulated.of(Spread(), truth, metric, confidence, generator) for _ in found.units]
    else:
        between = _between([e.value for e in measured], [e.spread for e in measured])
        made = [Simulated.of(e.spread, truth, metric, confidence, generator) for e in measured]
    if not part.against_sets:
        made = [Simulated(one.value, one.below, one.above, None) for one in made]
    worlds = _pooled(made, between, found.gaps, confidence, generator)
    beyond = np.ones(WORLDS, dtype=bool)
    if worlds.gaps is not None:
        beyond = p_against_sets(worlds.gaps, confidence) <= (1 - confidence) / 2
    low, high = worlds.value - worlds.below, worlds.value + worlds.above
    verdicts = [
        part.rule.judge(Estimate(*ends), bool(passed))
        for *ends, passed in zip(worlds.value, low, high, beyond, strict=True)
    ]
    return verdicts.count(SUPPORTED) / WORLDS


@dataclass(frozen=True)
class Simulated:
    """Estimates of one category in all worlds.

    Attributes
    ----------
    value : float array [world]
    below, above : float array [world]
        How far the interval reaches.
    gaps : float array [world, set], optional
    """

    value: Worlds
    below: Worlds
    above: Worlds
    gaps: Float[np.ndarray, "world set"] | None

    @classmethod
    def of(
        cls,
        spread: Spread,
        truth: Assumed,
        metric: Metric,
        confidence: float,
        generator: np.random.Generator,
    ) -> Simulated:
        """Simulate one category."""
        least = max(min(spread.n_anomalous, spread.n_normal), 2)
        images = _deviation(spread, truth, metric) * np.sqrt(least / (least - 1))
        value = truth.effect + images * generator.standard_normal(WORLDS)
        below = above = np.full(WORLDS, stdtrit(least, (1 + confidence) / 2) * images)
        sources, gaps = [], None
        if spread.n_draws > 1:
            draws = spread.draws * generator.standard_normal((WORLDS, spread.n_draws))
            value = value + draws.mean(axis=1)
            sources.append((_variance_of_mean(draws), spread.n_draws - 1))
        if spread.n_sets > 1:
            sets = spread.sets * generator.standard_normal((WORLDS, spread.n_sets))
            gaps = value[:, None] - sets
            value = value - sets.mean(axis=1)
            sources.append((_variance_of_mean(sets), spread.n_sets - 1))
        few = np.zeros(WORLDS)
        if sources:
            own = (spread.images**2, max(spread.n_anomalous + spread.n_normal - 2, 1))
            few = joint_reach(sources, [own], confidence)
        return cls(value, np.hypot(below, few), np.hypot(above, few), gaps)


def _deviation(spread: Spread, truth: Assumed, metric: Metric) -> float:
    """Deviation of the difference over images, at the assumed values instead of the measured."""
    control = spread.control if np.isnan(truth.control) else truth.control
    if metric != _IMAGE_AUROC or not np.isfinite(control + spread.own):
        return spread.images

    def apart(*aurocs: float) -> float:
        inside = [min(max(v, 0.01), _MOST) for v in aurocs]
        return sum(_hanley_mcneil(v, spread.n_anomalous, spread.n_normal) for v in inside)

    ratio = apart(control + truth.effect, control) / apart(spread.own, spread.control)
    return spread.images * float(np.sqrt(ratio))


def _hanley_mcneil(auroc: float, n_anomalous: int, n_normal: int) -> float:
    """Variance of an AUROC (Hanley and McNeil, Radiology 1982)."""
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    own = auroc * (1 - auroc)
    own += (n_anomalous - 1) * (q1 - auroc**2) + (n_normal - 1) * (q2 - auroc**2)
    return own / (n_anomalous * n_normal)


def _variance_of_mean(units: Float[np.ndarray, "world unit"]) -> Worlds:
    return units.var(axis=1, ddof=1) / units.shape[1]


def _between(values: Sequence[float], spreads: Sequence[Spread]) -> float:
    """Deviation between categories beyond what images, draws and sets explain."""
    if len(values) < 2:
        return 0.0
    own = [s.images**2 + s.draws**2 / s.n_draws + s.sets**2 / s.n_sets for s in spreads]
    return float(np.sqrt(max(0.0, np.var(values, ddof=1) - np.mean(own))))


def _pooled(
    made: Sequence[Simulated],
    between: float,
    sets: Float[np.ndarray, " set"] | None,
    confidence: float,
    generator: np.random.Generator,
) -> Simulated:
    """Mean over categories, as the claims take it; ``sets`` are the gaps to random sets."""
    if len(made) == 1:
        return made[0]
    apart = between * generator.standard_normal((len(made), WORLDS))
    values = np.array([one.value for one in made]) + apart
    t = float(stdtrit(len(made) - 1, (1 + confidence) / 2))
    reach = t * np.sqrt(_variance_of_mean(values.T))
    below, above = (
        np.sqrt(sum(side**2 for side in sides)) / len(made)
        for sides in ([one.below for one in made], [one.above for one in made])
    )
    gaps, found = None, [one.gaps for one in made if one.gaps is not None]
    if sets is not None and len(found) == len(made):
        # Sets of equal seeds are the same channels in every category, and vary together.
        middle = np.mean([one.mean(axis=1) for one in found], axis=0) + apart.mean(axis=0)
        deviates = generator.standard_normal((WORLDS, sets.size))
        gaps = middle[:, None] - float(sets.std(ddof=1)) * deviates
    return Simulated(values.mean(axis=0), np.maximum(reach, below), np.maximum(reach, above), gaps)
