"""Power: how often a true effect would be declared supported, by the very rule and at this n.

Worlds are simulated with the effect in question, the images, draws, random sets and categories of
the data, and the spread that was measured between images, draws, sets and categories. Image AUROC
is simulated from binormal scores, and the difference brought to the deviation that it had over
resamples; other metrics vary normally. Each world is judged by the rule of the part, at the
corrected confidence. The seed is fixed, so equal data have equal power.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

from lakeviz.metrics.estimates import Estimate, joint_reach
from lakeviz.metrics.intervals import interval
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
    worlds = _pooled(made, between, confidence, generator)
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
        if metric == _IMAGE_AUROC and spread.n_anomalous and spread.n_normal:
            value, below, above = _of_images(spread, truth, confidence, generator)
        else:
            few = max(min(spread.n_anomalous, spread.n_normal) - 1, 1)
            t = float(stdtrit(few, (1 + confidence) / 2)) if spread.images else 0.0
            value = truth.effect + spread.images * generator.standard_normal(WORLDS)
            below = above = np.full(WORLDS, t * spread.images)
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
            images = (spread.images**2, max(spread.n_anomalous + spread.n_normal - 2, 1))
            few = joint_reach(sources, [images], confidence)
        return cls(value, np.hypot(below, few), np.hypot(above, few), gaps)


def _of_images(
    spread: Spread, truth: Assumed, confidence: float, generator: np.random.Generator
) -> tuple[Worlds, Worlds, Worlds]:
    """Difference of two AUROCs of binormal scores, and its reach by the rule of a contrast."""
    level = spread.control if np.isnan(truth.control) else truth.control
    control = min(max(level, 0.01), _MOST)
    own = min(max(control + truth.effect, 0.01), _MOST)
    if np.isnan(truth.control):  # the effect stays what was assumed, also near the ceiling
        control = own - truth.effect
    values = _aurocs(spread, own, control, generator)
    of_own, of_control = values
    value = of_own - of_control
    apart = float(of_own.var() + of_control.var())
    deviation = _deviation(spread, own, control)
    value = value.mean() + (value - value.mean()) * deviation / max(float(value.std()), 1e-12)
    saved = deviation / np.sqrt(apart) if apart > 0 else 1.0
    pair = 1 / (spread.n_anomalous * spread.n_normal)
    (own_low, own_high), (low, high) = (
        _ends(v, spread.n_anomalous, spread.n_normal, confidence) for v in values
    )
    below = np.maximum(pair, saved * np.hypot(of_own - own_low, high - of_control))
    above = np.maximum(pair, saved * np.hypot(own_high - of_own, of_control - low))
    return value, below, above


def _aurocs(
    spread: Spread, own: float, control: float, generator: np.random.Generator
) -> tuple[Worlds, Worlds]:
    """AUROC of two detectors that see the same images."""
    n, m = spread.n_normal, spread.n_anomalous
    common = generator.standard_normal((WORLDS, n + m))
    found = []
    for auroc in (own, control):
        scores = np.sqrt(0.5) * common
        scores += np.sqrt(0.5) * generator.standard_normal((WORLDS, n + m))
        scores[:, n:] += np.sqrt(2) * ndtri(auroc)
        ranks = rankdata(scores, axis=1)[:, n:].sum(axis=1)
        found.append((ranks - m * (m + 1) / 2) / (n * m))
    return found[0], found[1]


def _deviation(spread: Spread, own: float, control: float) -> float:
    """Deviation of the difference over images at other AUROCs than those it was measured at."""

    def apart(*aurocs: float) -> float:
        inside = [min(max(v, 0.01), _MOST) for v in aurocs]
        return sum(_hanley_mcneil(v, spread.n_anomalous, spread.n_normal) for v in inside)

    return spread.images * float(np.sqrt(apart(own, control) / apart(spread.own, spread.control)))


def _hanley_mcneil(auroc: float, n_anomalous: int, n_normal: int) -> float:
    """Variance of an AUROC (Hanley and McNeil, Radiology 1982)."""
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    own = auroc * (1 - auroc)
    own += (n_anomalous - 1) * (q1 - auroc**2) + (n_normal - 1) * (q2 - auroc**2)
    return own / (n_anomalous * n_normal)


def _ends(
    values: Worlds, n_anomalous: int, n_normal: int, confidence: float
) -> tuple[Worlds, Worlds]:
    """Newcombe's interval of many AUROCs, from a table of it."""
    grid, lows, highs = _table(n_anomalous, n_normal, confidence)
    return np.interp(values, grid, lows), np.interp(values, grid, highs)


@cache
def _table(n_anomalous: int, n_normal: int, confidence: float) -> tuple[np.ndarray, ...]:
    grid = 1 - np.linspace(0, 1, 101) ** 2  # closer near 1
    grid = grid[::-1]
    none = np.empty(0)
    ends = [interval(_IMAGE_AUROC, float(v), none, n_anomalous, n_normal, confidence) for v in grid]
    return grid, *np.array(ends).T


def _variance_of_mean(units: Float[np.ndarray, "world unit"]) -> Worlds:
    return units.var(axis=1, ddof=1) / units.shape[1]


def _between(values: Sequence[float], spreads: Sequence[Spread]) -> float:
    """Deviation between categories beyond what images, draws and sets explain."""
    if len(values) < 2:
        return 0.0
    own = [s.images**2 + s.draws**2 / s.n_draws + s.sets**2 / s.n_sets for s in spreads]
    return float(np.sqrt(max(0.0, np.var(values, ddof=1) - np.mean(own))))


def _pooled(
    made: Sequence[Simulated], between: float, confidence: float, generator: np.random.Generator
) -> Simulated:
    """Mean over categories, as the claims take it."""
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
    if len(found) == len(made) and len({one.shape for one in found}) == 1:
        gaps = np.mean(found, axis=0) + apart.mean(axis=0)[:, None]
    return Simulated(values.mean(axis=0), np.maximum(reach, below), np.maximum(reach, above), gaps)
