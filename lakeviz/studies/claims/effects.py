"""Effects of single categories, and what they come to over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lakeviz.metrics.contrasts import Group, Replicates, contrast
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, mean_over_categories
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import at_best, better, room

IMAGES, CATEGORIES, EXACT, NOTHING = "images", "categories", "exact", "nothing"


@dataclass(frozen=True)
class Effect:
    """One effect in one category.

    Attributes
    ----------
    value : float
        NaN where it could not be measured; ``reason`` says why.
    interval : callable, optional
        Confidence to estimate, over images, draws of normal images and random sets; None for a
        number that the data fix exactly.
    n_images : int
        Test images it rests on.
    n_random_sets : int
        Members of the random control; 1 where nothing is random.
    n_draws : int
        Draws of the normal images.
    reason : str
    """

    value: float
    interval: Callable[[float], Estimate] | None = field(default=None, repr=False)
    n_images: int = 0
    n_random_sets: int = 1
    n_draws: int = 1
    reason: str = ""

    @classmethod
    def absent(cls, reason: str) -> Effect:
        """An effect that cannot be measured here, and why."""
        return cls(np.nan, reason=reason)

    @classmethod
    def of(
        cls,
        terms: Sequence[tuple[int, Group]],
        metric: Metric,
        *,
        n_images: int = 0,
        one_more: bool = True,
    ) -> Effect:
        """A contrast of conditions, see :func:`lakeviz.metrics.contrasts.contrast`."""
        groups = [(sign, Replicates.of(group)) for sign, group in terms]

        def at(confidence: float) -> Estimate:
            return contrast(groups, metric, confidence, one_more=one_more)

        return cls(
            at(0.95).value,
            at,
            n_images,
            max(group.n_members for _, group in groups),
            max(group.n_draws for _, group in groups),
        )

    def negated(self) -> Effect:
        """The same effect, counted the other way round."""
        own = self.interval
        return replace(
            self,
            value=-self.value,
            interval=None if own is None else lambda confidence: -own(confidence),
        )

    def at(self, confidence: float) -> Estimate:
        """The effect with its interval."""
        if np.isnan(self.value):
            return NOT_MEASURED
        if self.interval is None:
            return Estimate(self.value, self.value, self.value)
        return self.interval(confidence)


def over(
    one: Group,
    members: Group,
    metric: Metric,
    *,
    headroom: float = 0.0,
) -> Effect:
    """How much better ``one`` is than a control; the interval is to one more random set.

    Where both are at the ceiling of the metric, or a control leaves less than ``headroom`` up to
    it, the effect cannot be told.
    """
    one, members = Replicates.of(one), Replicates.of(members)
    if metric not in one.first.values:
        return Effect.absent(f"no {metric[0]} {metric[1]} is defined for these images")
    control = float(members.values(metric).mean())
    values = [*one.values(metric).ravel(), *members.values(metric).ravel()]
    if all(at_best(metric, value) for value in values):
        return Effect.absent("both are at the ceiling of the metric on these images")
    if room(metric, control) < headroom:
        return Effect.absent(
            f"the control is at {control:.3f}: these images leave an effect of {headroom:g} no room"
        )
    sign = 1 if better(metric, 1.0) > 0 else -1
    return Effect.of([(sign, one), (-sign, members)], metric)


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
        return Pooled(only.at, EXACT if only.interval is None else IMAGES, rows, "", note)
    effects = list(found.values())

    def mean(confidence: float) -> Estimate:
        return mean_over_categories([e.at(confidence) for e in effects], confidence)

    return Pooled(mean, CATEGORIES, rows, "", note)
