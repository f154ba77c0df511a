"""Numbers with intervals: of one condition, of differences to controls, and of means.

Measurements of one bootstrap have the same resamples of the images, so any two can be subtracted
resample by resample: intervals of differences are always paired.

A control may have several members, such as random sets of neurons. The interval of a difference to
it answers "by how much does this set differ from *one more* random set of the same size": every
resample takes one member of the control at random (:func:`difference_to`). It covers the choice of
the images and that of the random set, so a set that is itself random is called different about as
rarely as the confidence says. With M members no quantile reaches beyond the outermost member, which
a further random set exceeds with probability 1 / (M + 1) at either end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.metrics.measurement import Measurement, Metric

_MINUS_AND_DASH = {"plain": ("-", "–"), "html": ("−", "—"), "latex": ("$-$", "--")}


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; ``low`` and ``high`` are NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __neg__(self) -> Estimate:
        """The same difference, the other way round."""
        return Estimate(0.0 - self.value, 0.0 - self.high, 0.0 - self.low)

    @property
    def verdict(self) -> str:
        """``"higher"`` or ``"lower"`` where the interval leaves out zero, else ``"undecided"``."""
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "undecided"

    def columns(self, name: str = "") -> dict[str, float]:
        """Columns of a tidy table: ``value, low, high``, or ``NAME, NAME_low, NAME_high``."""
        if not name:
            return {"value": self.value, "low": self.low, "high": self.high}
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}

    def text(
        self,
        digits: int = 3,
        signed: bool = False,
        style: Literal["plain", "html", "latex"] = "plain",
    ) -> str:
        """Write ``value [low, high]``: without the interval where there is none, else a dash.

        ``style`` says how minus signs and the dash are written. ``signed`` is for differences.

        >>> Estimate(0.5, -0.25, 0.75).text(2, signed=True)
        '+0.50 [-0.25, +0.75]'
        """
        minus, dash = _MINUS_AND_DASH[style]
        if math.isnan(self.value):
            return dash
        form = f"{'+' if signed else ''}.{digits}f"
        said = f"{self.value:{form}}"
        if not math.isnan(self.low + self.high):
            said += f" [{self.low:{form}}, {self.high:{form}}]"
        return said.replace("-", minus)

    def __str__(self) -> str:
        return self.text()


NOT_MEASURED = Estimate(math.nan)


def quantile_interval(
    draws: Float[np.ndarray, " resample"], confidence: float
) -> tuple[float, float]:
    """Percentile interval of values on resamples; NaN where one is NaN."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def estimate(row: Any, name: str = "value") -> Estimate:
    """Read an estimate from a row (mapping or Series); the inverse of :meth:`Estimate.columns`."""
    low, high = ("low", "high") if name in ("", "value") else (f"{name}_low", f"{name}_high")
    return Estimate(*(float(row[column]) for column in (name or "value", low, high)))


def estimate_of(one: Measurement, metric: Metric, bootstrap: Bootstrap) -> Estimate:
    """A metric of one condition, with its interval over images."""
    return Estimate(one.values[metric], *quantile_interval(one.draws[metric], bootstrap.confidence))


def mean_estimate(members: Sequence[Measurement], metric: Metric, bootstrap: Bootstrap) -> Estimate:
    """Mean over the members of a group; its interval is that of one member, drawn at random.

    So it holds the spread between members as well as that over images: it is the band in which
    another random set would be expected.
    """
    draws = random_member(members, metric, bootstrap)
    return Estimate(_mean(members, metric), *quantile_interval(draws, bootstrap.confidence))


def difference(
    one: Measurement, other: Measurement, metric: Metric, bootstrap: Bootstrap
) -> Estimate:
    """How much higher ``one`` is than ``other``, paired over images."""
    return difference_to(one, [other], metric, bootstrap)


def difference_to(
    own: Measurement | Sequence[Measurement],
    members: Sequence[Measurement],
    metric: Metric,
    bootstrap: Bootstrap,
) -> Estimate:
    """How much higher a condition is than a control.

    Both may have several members. The value is the difference of their means; the interval is
    paired over images and takes one member at random in each resample (see the module).
    """
    own = [own] if isinstance(own, Measurement) else own
    value = _mean(own, metric) - _mean(members, metric)
    gap = difference_draws(own, members, metric, bootstrap)
    return Estimate(value, *quantile_interval(gap, bootstrap.confidence))


def difference_draws(
    own: Sequence[Measurement],
    members: Sequence[Measurement],
    metric: Metric,
    bootstrap: Bootstrap,
) -> Float[np.ndarray, " resample"]:
    """Differences on resamples, of which :func:`difference_to` takes the quantiles."""
    return random_member(own, metric, bootstrap) - random_member(members, metric, bootstrap)


def random_member(
    members: Sequence[Measurement], metric: Metric, bootstrap: Bootstrap
) -> Float[np.ndarray, " resample"]:
    """Values of a group on resamples: of one member in each, all of them equally often."""
    draws = np.stack([m.draws[metric] for m in members])
    if len(members) == 1:
        return draws[0]
    # A stream of its own, so that members and images are drawn independently. Equal shares instead
    # of independent picks: the members' part of the interval then has no noise of its own.
    generator = np.random.default_rng([bootstrap.seed, len(members)])
    picks = generator.permutation(np.arange(draws.shape[1]) % len(members))
    return np.take_along_axis(draws, picks[None], axis=0)[0]


def n_below(one: Measurement, members: Sequence[Measurement], metric: Metric) -> int:
    """Number of members that lie strictly below ``one``."""
    return sum(m.values[metric] < one.values[metric] for m in members)


def _mean(members: Sequence[Measurement], metric: Metric) -> float:
    return float(np.mean([m.values[metric] for m in members]))


def mean_over_categories(values: Float[np.ndarray, " category"], confidence: float) -> Estimate:
    """Mean over categories (or other independent units) with Student's interval over them.

    There are few categories as a rule, and a percentile bootstrap of few is far too narrow: of two,
    it excludes zero in half of all cases in which there is no effect. A single category has no
    interval: it is NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return Estimate(float(values.mean())) if len(values) else NOT_MEASURED
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    reach = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * error
    return Estimate(mean, mean - reach, mean + reach)


def benjamini_hochberg(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """P-values corrected for their number; NaN stays NaN and is not counted as a test.

    Benjamini and Hochberg, "Controlling the False Discovery Rate", JRSS B 1995.

    >>> benjamini_hochberg(np.array([0.01, 0.02, 0.04, np.nan])).round(3)
    array([0.03, 0.03, 0.04,  nan])
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(p_values.shape, np.nan)
    ascending = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    found = p_values[ascending] * (ascending.size / np.arange(1, ascending.size + 1))
    corrected[ascending] = np.minimum.accumulate(found[::-1])[::-1].clip(max=1)
    return corrected


def rank_p_value(observed: float, null: Float[np.ndarray, " sample"]) -> float:
    """One-sided p-value of a value in a sample of the null: (1 + number as high) / (1 + number).

    Phipson and Smyth, "Permutation P-values Should Never Be Zero", SAGMB 2010.

    >>> rank_p_value(3, np.array([1, 2, 3, 4]))
    0.6
    """
    null = np.asarray(null)
    return float((1 + np.count_nonzero(null >= observed)) / (1 + null.size))
