"""From measurements to estimates: of one condition, of differences, and against random sets.

Measurements of one bootstrap have the same resamples of the images, so any two are paired. A
condition may be measured several times: with several *draws* of the normal images, and, where it is
itself random, with several *sets* of neurons (:class:`Replicates`). An estimate is the mean over
all of them. Its interval adds up what each source contributes:

* the test images, by the interval of the metric or of its paired difference
  (:mod:`lakeviz.metrics.intervals`);
* the draws, by Student's interval of their mean;
* the sets, in one of two ways. The difference *to the mean of random sets* asks how good random
  sets are on average. The difference *to one more random set* asks whether this set is something
  that a random set is not; only it may be read as "better than random sets".

The ends are added in squares (Zou and Donner, "Construction of confidence limits about effect
measures", Statistics in Medicine 2008). With few draws or sets a resampling of them is too narrow:
five draws, resampled, have 4/5 of their variance and the tails of a normal distribution.
``benchmarks/coverage.py`` measures what these intervals cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.metrics.estimates import (
    Estimate,
    joint_reach,
    rank_p_value,
    student_reach,
    variance_of_mean,
)
from lakeviz.metrics.intervals import interval, paired_difference_interval
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.metrics.registry import better, get_metric


@dataclass(frozen=True)
class Replicates:
    """Measurements of one condition: several draws of the normal images, several random sets.

    Attributes
    ----------
    cells : tuple of tuples of Measurement
        ``cells[draw][member]``; member ``i`` is the same set in every draw.
    """

    cells: tuple[tuple[Measurement, ...], ...]

    @classmethod
    def of(cls, measured: Group) -> Replicates:
        """Take one measurement, those of random sets, or replicates as they are."""
        if isinstance(measured, Replicates):
            return measured
        members = [measured] if isinstance(measured, Measurement) else measured
        return cls((tuple(members),))

    @classmethod
    def over_draws(cls, draws: Sequence[Measurement | Sequence[Measurement]]) -> Replicates:
        """Take one measurement, or the members, of every draw of the normal images."""
        return cls(tuple((d,) if isinstance(d, Measurement) else tuple(d) for d in draws))

    @property
    def n_draws(self) -> int:
        """Draws of the normal images."""
        return len(self.cells)

    @property
    def n_members(self) -> int:
        """Random sets; 1 where nothing is random."""
        return len(self.cells[0])

    @property
    def first(self) -> Measurement:
        """One of them, to ask what was measured."""
        return self.cells[0][0]

    def values(self, metric: Metric) -> Float[np.ndarray, "draw member"]:
        """Value of every draw and member."""
        return np.array([[m.values[metric] for m in row] for row in self.cells])

    def mean_resampled(self, metric: Metric) -> Float[np.ndarray, " resample"]:
        """Mean over draws and members, on each resample of the images.

        Members that were measured without resamples, as further random sets may be, are left out.
        """
        resampled = [
            m.resampled[metric] for row in self.cells for m in row if metric in m.resampled
        ]
        return np.mean(resampled, axis=0)


Group = Measurement | Sequence[Measurement] | Replicates
"""One condition: measured once, as random sets (a sequence of members), or as replicates."""


def estimate_of(one: Group, metric: Metric, bootstrap: Bootstrap) -> Estimate:
    """A metric of one condition: the mean over its draws and sets, with the interval of that mean.

    A random condition of several sets is described by :func:`mean_estimate` instead.
    """
    return contrast([(1, one)], metric, bootstrap.confidence, one_more=False)


def mean_estimate(members: Group, metric: Metric, bootstrap: Bootstrap) -> Estimate:
    """Mean over random sets; its interval is where one more random set would be expected."""
    return contrast([(1, members)], metric, bootstrap.confidence)


def difference(own: Group, other: Group, metric: Metric, bootstrap: Bootstrap) -> Estimate:
    """How much higher the mean of one condition is than that of another, paired over images."""
    terms = [(1, own), (-1, other)]
    return contrast(terms, metric, bootstrap.confidence, one_more=False)


def difference_to(own: Group, members: Group, metric: Metric, bootstrap: Bootstrap) -> Estimate:
    """How much higher a condition is than a control; the interval is to *one more* random set.

    Where neither is random it is :func:`difference`.
    """
    return contrast([(1, own), (-1, members)], metric, bootstrap.confidence)


def contrast(
    terms: Sequence[tuple[int, Group]],
    metric: Metric,
    confidence: float,
    *,
    one_more: bool = True,
    joint: bool = False,
) -> Estimate:
    """Sum of conditions, each with its sign, with an interval over images, draws and sets.

    Parameters
    ----------
    terms
        Sign (or weight) and condition. All that have several draws have the same ones.
    one_more : bool
        Whether a random condition stands for one more random set (prediction interval), or for the
        mean of random sets.
    joint : bool
        Whether draws and sets take Student's quantile at the degrees of freedom of all sources
        together (:func:`~lakeviz.metrics.estimates.joint_reach`) instead of each its own. At
        confidences near 1, where the quantile of five draws is far out, it says much more.
    """
    groups = [(sign, Replicates.of(group)) for sign, group in terms]
    values = [(sign, group.values(metric)) for sign, group in groups]
    value = float(sum(sign * v.mean() for sign, v in values))
    below, above = _over_images(groups, metric, confidence)
    resampled = np.asarray(sum(sign * group.mean_resampled(metric) for sign, group in groups))
    with np.errstate(invalid="ignore"):  # an infinite Cohen's d has no variance
        variances = {"images": float(resampled.var(ddof=1)) if resampled.size > 1 else 0.0}
    further, few = 0.0, []
    if max(group.n_draws for _, group in groups) > 1:
        per_draw = np.asarray(sum(sign * v.mean(axis=1) for sign, v in values))
        variances["draws"] = variance_of_mean(per_draw)
        further += student_reach(per_draw, confidence) ** 2
        few.append((variances["draws"], len(per_draw) - 1))
    for sign, v in values:
        if v.shape[1] > 1:
            sets = sign * v.mean(axis=0)
            own = variance_of_mean(sets, one_more=one_more)
            variances["sets"] = variances.get("sets", 0.0) + own
            further += student_reach(sets, confidence, one_more=one_more) ** 2
            few.append((own, len(sets) - 1))
    if joint and few:
        n_images = sum(groups[0][1].first.n_images.get(metric[0], (0, 0)))
        images = (variances["images"], max(n_images - 2, 1))
        further = float(joint_reach(few, [images], confidence)) ** 2
    low, high = value - math.hypot(below, further**0.5), value + math.hypot(above, further**0.5)
    ends = [[sign * end for end in get_metric(*metric).bounds] for sign, _ in terms]
    least, most = sum(map(min, ends)), sum(map(max, ends))
    low, high = max(low, min(least, value)), min(high, max(most, value))
    return Estimate(value, low, high, variances=variances)


def p_value_among(own: Group, members: Group, metric: Metric) -> float:
    """Rank p-value of a condition among random sets: ``(1 + sets at least as good) / (1 + sets)``.

    NaN where the control is not random. With M sets it is 1 / (1 + M) at the least.
    """
    sets = Replicates.of(members).values(metric).mean(axis=0)
    if len(sets) < 2:
        return math.nan
    value = float(Replicates.of(own).values(metric).mean())
    sign = better(metric, 1.0)
    return rank_p_value(sign * value, sign * sets)


def n_below(one: Group, members: Group, metric: Metric) -> int:
    """Number of members that lie strictly below ``one``, both as means over the draws."""
    value = float(Replicates.of(one).values(metric).mean())
    return int(np.count_nonzero(Replicates.of(members).values(metric).mean(axis=0) < value))


def _over_images(
    groups: Sequence[tuple[int, Replicates]], metric: Metric, confidence: float
) -> tuple[float, float]:
    """How far the interval over images reaches below and above the value.

    Of one condition and of a difference these are the measured ones of
    :mod:`lakeviz.metrics.intervals`. Of a sum of more terms, the ends of the single intervals are
    added in squares, as if they were independent, and shrunk by what pairing saves on the
    resamples.
    """
    means = [(sign, float(g.values(metric).mean()), g.mean_resampled(metric)) for sign, g in groups]
    images = groups[0][1].first.n_images.get(metric[0], (0, 0))
    if sorted(sign for sign, _ in groups) == [-1, 1]:
        if _same_detector(groups[0][1], groups[1][1]):
            # Equal on any images; what is left is a pair of images whose order rounding decides.
            least = 1 / max(1, images[0] * images[1])
            return least, least
        (_, a, draws_a), (_, b, draws_b) = sorted(means, key=lambda one: -one[0])
        ends = paired_difference_interval(metric, a, draws_a, b, draws_b, *images, confidence)
        return a - b - ends[0], ends[1] - (a - b)
    below, above = [], []
    for sign, value, draws in means:
        low, high = interval(metric, value, draws, *images, confidence)
        reach = (value - low, high - value) if sign > 0 else (high - value, value - low)
        below.append(abs(sign) * reach[0])
        above.append(abs(sign) * reach[1])
    saved = _saved_by_pairing(np.stack([sign * draws for sign, _, draws in means]))
    return saved * math.hypot(*below), saved * math.hypot(*above)


def _same_detector(one: Replicates, other: Replicates) -> bool:
    """Whether two conditions have the same image scores in every draw and member."""
    cells = zip(one.cells, other.cells, strict=False)
    return len(one.cells) == len(other.cells) and all(
        len(row) == len(other_row)
        and all(a.same_detector(b) for a, b in zip(row, other_row, strict=True))
        for row, other_row in cells
    )


def _saved_by_pairing(draws: Float[np.ndarray, "term resample"]) -> float:
    """Deviation of the sum of paired terms, as a share of that of independent ones; 1 without."""
    if len(draws) == 1 or draws.shape[1] < 2:
        return 1.0
    apart = float(draws.var(axis=1).sum())
    together = float(draws.sum(axis=0).var())
    return math.sqrt(together / apart) if apart > 1e-24 else 1.0
