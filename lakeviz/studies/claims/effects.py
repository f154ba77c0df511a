"""Effects of single categories, and what they come to over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from lakeviz.metrics.contrasts import Group, Replicates, contrast
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, mean_over_categories
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import better, get_metric, room
from lakeviz.studies.claims.rules import p_against_sets

IMAGES, CATEGORIES, NOTHING = "images", "categories", "nothing"
DRAWS, PAIRS = "draws", "pairs"
_AT_BEST = 1e-9


@dataclass(frozen=True)
class Spread:
    """How much the two sides of an effect vary, and by what: what a power is worked out from.

    Attributes
    ----------
    own, control : float
        Values of the two sides; NaN where the effect is no difference of a metric.
    n_anomalous, n_normal : int
        Test images.
    images : float
        Standard deviation of the effect over resamples of the images.
    draws, sets : float
        Standard deviation of the effect between draws of the normal images, and between sets.
    n_draws, n_sets : int
    """

    own: float = np.nan
    control: float = np.nan
    n_anomalous: int = 0
    n_normal: int = 0
    images: float = 0.0
    draws: float = 0.0
    sets: float = 0.0
    n_draws: int = 1
    n_sets: int = 1


@dataclass(frozen=True)
class Effect:
    """One effect in one category.

    Attributes
    ----------
    value : float
        NaN where it could not be measured; ``reason`` says why.
    interval : callable, optional
        Confidence to estimate, over images and draws of normal images; None for a number that one
        category alone gives no interval for.
    n_images : int
        Test images it rests on.
    n_random_sets : int
        Members of the random control; 1 where nothing is random.
    n_draws : int
        Draws of the normal images.
    reason : str
    gaps : float array [set], optional
        Against random sets: how much better than each of them, as means over the draws.
    spread : Spread
    over : str
        What its interval is over, besides the draws.
    """

    value: float
    interval: Callable[[float], Estimate] | None = field(default=None, repr=False)
    n_images: int = 0
    n_random_sets: int = 1
    n_draws: int = 1
    reason: str = ""
    gaps: Float[np.ndarray, " set"] | None = field(default=None, repr=False)
    spread: Spread = Spread()
    over: str = IMAGES

    @classmethod
    def absent(cls, reason: str) -> Effect:
        """An effect that cannot be measured here, and why."""
        return cls(np.nan, reason=reason)

    @classmethod
    def of(
        cls, terms: Sequence[tuple[float, Group]], metric: Metric, *, n_images: int = 0
    ) -> Effect:
        """A contrast of conditions, see :func:`lakeviz.metrics.contrasts.contrast`.

        Random conditions stand for the mean of random sets.
        """
        sign = 1 if better(metric, 1.0) > 0 else -1
        groups = [(sign * weight, Replicates.of(group)) for weight, group in terms]

        def at(confidence: float) -> Estimate:
            return contrast(groups, metric, confidence, one_more=False, joint=True)  # type: ignore[arg-type]

        return cls(
            at(0.95).value,
            at,
            n_images,
            max(group.n_members for _, group in groups),
            max(group.n_draws for _, group in groups),
            spread=_spread(groups, metric),
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
    smallest: float,
    *,
    headroom: float = 0.0,
    against_sets: bool = False,
) -> Effect:
    """How much better ``one`` is than a control.

    Where both are at the ceiling of the metric, up to the smallest effect of interest or a single
    misordered pair of images, or a control leaves less than ``headroom`` up to it, the effect
    cannot be told. ``against_sets`` asks whether ``one`` is better than a random set.
    """
    one, members = Replicates.of(one), Replicates.of(members)
    if metric not in one.first.values:
        return Effect.absent(f"no {metric[0]} {metric[1]} is defined for these images")
    control = float(members.values(metric).mean())
    reason = at_ceiling([one, members], metric, smallest)
    if not reason and room(metric, control) < headroom:
        reason = (
            f"the control is at {control:.3f}: these images leave an effect of {headroom:g} no room"
        )
    if reason:
        return Effect.absent(reason)
    made = Effect.of([(1, one), (-1, members)], metric)
    if not against_sets:
        return made
    gaps = one.values(metric).mean() - members.values(metric).mean(axis=0)
    return replace(made, gaps=better(metric, gaps))


def at_ceiling(groups: Sequence[Group], metric: Metric, smallest: float) -> str:
    """Say that the conditions are all at the best value, if they are: no effect shows there.

    A condition counts as there if its mean is within the smallest effect of interest of it, or
    within one misordered pair of images.
    """
    found = [Replicates.of(group) for group in groups]
    n_anomalous, n_normal = found[0].first.n_images.get(metric[0], (0, 0))
    pair = 1 / max(1, n_anomalous * n_normal) if metric == ("image", "auroc") else 0.0
    near = max(smallest, pair) + _AT_BEST
    rooms = [room(metric, float(group.values(metric).mean())) for group in found]
    if max(rooms) > near:
        return ""
    best = get_metric(*metric).best
    return f"all conditions are at the ceiling of the metric on these images ({best:g})"


def _spread(groups: Sequence[tuple[float, Replicates]], metric: Metric) -> Spread:
    first = groups[0]
    values = [(w, g.values(metric)) for w, g in groups]
    resampled = np.asarray(sum(w * g.mean_resampled(metric) for w, g in groups))
    n_anomalous, n_normal = first[1].first.n_images.get(metric[0], (0, 0))
    per_draw = np.asarray(sum(w * v.mean(axis=1) for w, v in values))
    sets = [float((w * v.mean(axis=0)).std(ddof=1)) for w, v in values if v.shape[1] > 1]
    return Spread(
        float(abs(values[0][0] * values[0][1].mean())),
        float(abs(sum(w * v.mean() for w, v in values[1:]))),
        n_anomalous,
        n_normal,
        float(resampled.std(ddof=1)) if resampled.size > 1 else 0.0,
        float(per_draw.std(ddof=1)) if per_draw.size > 1 else 0.0,
        float(np.hypot.reduce(sets)) if sets else 0.0,
        per_draw.size,
        max(v.shape[1] for _, v in values),
    )


@dataclass(frozen=True)
class Pooled:
    """One effect over all categories.

    Attributes
    ----------
    at : callable
        Confidence to estimate.
    over : str
        What the interval is over: ``"images"`` or ``"pairs"`` (with the draws) of the one category,
        ``"draws"`` alone, ``"categories"``, or ``"nothing"`` where it was not measured.
    rows : dict of category to Effect
    reason : str
        Why there is no number, or no interval.
    note : callable, optional
        Corrected confidence to a sentence on what else was found.
    units : float array [category], optional
        What Student's interval is of, where it is not of the values of the rows.
    """

    at: Callable[[float], Estimate]
    over: str
    rows: Mapping[str, Effect] = field(default_factory=dict)
    reason: str = ""
    note: Callable[[float], str] | None = None
    units: Float[np.ndarray, " category"] | None = None

    @property
    def measured(self) -> dict[str, Effect]:
        """Categories in which it was measured."""
        return {name: e for name, e in self.rows.items() if not np.isnan(e.value)}

    @property
    def gaps(self) -> Float[np.ndarray, " set"] | None:
        """How much better than each random set, as means over the categories."""
        found = [e.gaps for e in self.measured.values()]
        return np.mean(found, axis=0) if found and found[0] is not None else None  # type: ignore

    def p_value(self, confidence: float) -> float:
        """P-value against one more random set; NaN where there are none."""
        gaps = self.gaps
        return np.nan if gaps is None else float(p_against_sets(gaps, confidence))

    def beyond_sets(self, confidence: float) -> bool:
        """Whether the test against random sets is passed; true where there are none."""
        return not self.p_value(confidence) > (1 - confidence) / 2


def pool(rows: Mapping[str, Effect], note: Callable[[float], str] | None = None) -> Pooled:
    """Put the categories together.

    Of one category the interval is over its images and draws; of several it is Student's over the
    categories, for the claim is about categories, and no narrower than their own intervals make it.
    """
    found = {name: e for name, e in rows.items() if not np.isnan(e.value)}
    reasons = "; ".join(dict.fromkeys(e.reason for e in rows.values() if e.reason))
    if not found:
        return unmeasured(rows, reasons or "nothing was measured")
    if len(found) == 1:
        (only,) = found.values()
        if only.interval is None:
            return unmeasured(rows, "one draw of one category gives no interval")
        return Pooled(only.at, only.over if only.spread.n_anomalous else DRAWS, rows, "", note)
    effects = list(found.values())

    def mean(confidence: float) -> Estimate:
        return mean_over_categories([e.at(confidence) for e in effects], confidence)

    return Pooled(mean, CATEGORIES, rows, "", note)


def unmeasured(rows: Mapping[str, Effect], reason: str) -> Pooled:
    """What could be measured in no category, and why."""
    empty = {name: e if np.isnan(e.value) else Effect.absent(reason) for name, e in rows.items()}
    return Pooled(lambda confidence: NOT_MEASURED, NOTHING, empty, reason)
