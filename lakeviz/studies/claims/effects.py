"""Effects of single categories, and what they come to over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import (
    NOT_MEASURED,
    Estimate,
    mean_over_categories,
    quantile_interval,
    random_member,
)
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.metrics.registry import at_best, better, room

IMAGES, CATEGORIES, EXACT, NOTHING = "images", "categories", "exact", "nothing"
_EXACT: Float[np.ndarray, " draw"] = np.empty(0)


@dataclass(frozen=True)
class Effect:
    """One effect in one category.

    Attributes
    ----------
    value : float
        NaN where it could not be measured; ``reason`` says why.
    draws : float array [draw]
        On resamples of the images (and members of a random control, or draws of normal images);
        empty for a number that the data fix exactly.
    n_images : int
        Test images it rests on.
    n_random_sets : int
        Members of the random control, or draws of normal images; 1 where nothing is random.
    reason : str
    """

    value: float
    draws: Float[np.ndarray, " draw"] = field(default_factory=lambda: _EXACT, repr=False)
    n_images: int = 0
    n_random_sets: int = 1
    reason: str = ""

    @classmethod
    def absent(cls, reason: str) -> Effect:
        """An effect that cannot be measured here, and why."""
        return cls(np.nan, reason=reason)

    def negated(self) -> Effect:
        """The same effect, counted the other way round."""
        return replace(self, value=-self.value, draws=-self.draws)

    def at(self, confidence: float) -> Estimate:
        """The effect with its interval."""
        if np.isnan(self.value):
            return NOT_MEASURED
        if not self.draws.size:
            return Estimate(self.value, self.value, self.value)
        return Estimate(self.value, *quantile_interval(self.draws, confidence))


def over(
    one: Measurement,
    members: Sequence[Measurement],
    metric: Metric,
    bootstrap: Bootstrap,
    *,
    headroom: float = 0.0,
) -> Effect:
    """How much better ``one`` is than a control: draws take the images anew, and one member.

    Where both are at the ceiling of the metric, or a control leaves less than ``headroom`` up to
    it, the effect cannot be told: all resamples agree there, and an interval of no width would
    pass for certainty.
    """
    if metric not in one.values:
        return Effect.absent(f"no {metric[0]} {metric[1]} is defined for these images")
    control = float(np.mean([m.values[metric] for m in members]))
    if all(at_best(metric, m.values[metric]) for m in (one, *members)):
        return Effect.absent("both are at the ceiling of the metric on these images")
    if room(metric, control) < headroom:
        return Effect.absent(
            f"the control is at {control:.3f}: these images leave an effect of {headroom:g} no room"
        )
    gap = one.draws[metric] - random_member(members, metric, bootstrap)
    value = one.values[metric] - control
    return Effect(better(metric, value), better(metric, gap), n_random_sets=len(members))


@dataclass(frozen=True)
class Pooled:
    """One effect over all categories.

    Attributes
    ----------
    at : callable
        Level to estimate.
    over : str
        What the interval is over: ``"images"`` of the one category, ``"categories"``,
        ``"exact"``, or ``"nothing"`` where it was not measured.
    rows : dict of category to Effect
    reason : str
        Why there is no number, or no interval.
    note : callable, optional
        Corrected level to a sentence on what else was found.
    """

    at: Callable[[float], Estimate]
    over: str
    rows: Mapping[str, Effect] = field(default_factory=dict)
    reason: str = ""
    note: Callable[[float], str] | None = None

    @property
    def measured(self) -> dict[str, Effect]:
        """Categories in which it was measured."""
        return {name: e for name, e in self.rows.items() if not np.isnan(e.value)}


def pool(rows: Mapping[str, Effect], note: Callable[[float], str] | None = None) -> Pooled:
    """Put the categories together.

    Of one category the interval is that over its images; of several it is Student's over the
    categories, for the claim is about categories, not about these.
    """
    found = {name: e for name, e in rows.items() if not np.isnan(e.value)}
    reasons = "; ".join(dict.fromkeys(e.reason for e in rows.values() if e.reason))
    if not found:
        return Pooled(lambda level: NOT_MEASURED, NOTHING, rows, reasons or "nothing was measured")
    if len(found) == 1:
        (only,) = found.values()
        return Pooled(only.at, IMAGES if only.draws.size else EXACT, rows, "", note)
    values = np.array([e.value for e in found.values()])
    return Pooled(lambda level: mean_over_categories(values, level), CATEGORIES, rows, "", note)
