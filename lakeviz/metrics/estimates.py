"""Numbers with intervals, means of them over categories, and p-values.

How an :class:`Estimate` is made from measurements stands in :mod:`lakeviz.metrics.contrasts`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

SOURCES = ("images", "draws", "sets")
"""What an interval may be over: test images, draws of the normal images, random sets of neurons."""

_EQUAL_DIGITS = 9
_MINUS_AND_DASH = {"plain": ("-", "–"), "html": ("−", "—"), "latex": ("$-$", "--")}


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; ``low`` and ``high`` are NaN where there is none.

    ``variances`` holds the variance of the number by its sources (:data:`SOURCES`), where known.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    variances: Mapping[str, float] = field(
        default_factory=dict, compare=False, repr=False, kw_only=True
    )

    def __neg__(self) -> Estimate:
        """The same difference, the other way round."""
        return replace(self, value=0.0 - self.value, low=0.0 - self.high, high=0.0 - self.low)

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

    def share_columns(self) -> dict[str, float]:
        """Share of each source in the variance, as columns; NaN for one that was not varied."""
        total = sum(self.variances.values())
        return {
            f"share_{source}": self.variances[source] / total
            if source in self.variances and total > 0
            else math.nan
            for source in SOURCES
        }

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


def estimate(row: Any, name: str = "value") -> Estimate:
    """Read an estimate from a row (mapping or Series); the inverse of :meth:`Estimate.columns`."""
    low, high = ("low", "high") if name in ("", "value") else (f"{name}_low", f"{name}_high")
    value, low, high = (float(row[column]) for column in (name or "value", low, high))
    return Estimate(value, low, high)


def quantile_interval(
    draws: Float[np.ndarray, " resample"], confidence: float
) -> tuple[float, float]:
    """Percentile interval of values on resamples; NaN where one is NaN."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def student_reach(
    values: Float[np.ndarray, " unit"], confidence: float, *, one_more: bool = False
) -> float:
    """Half width of Student's interval of the mean of independent units, or of one more unit.

    The standard error of the mean of ``n`` units is ``s / sqrt(n)``; one more unit lies around that
    mean with ``s sqrt(1 + 1/n)``.
    """
    from scipy.special import stdtrit  # slow to load

    values = np.asarray(values, dtype=np.float64)
    t = float(stdtrit(len(values) - 1, (1 + confidence) / 2))
    return t * math.sqrt(variance_of_mean(values, one_more=one_more))


def variance_of_mean(values: Float[np.ndarray, " unit"], *, one_more: bool = False) -> float:
    """Squared standard error of the mean of independent units, or of one more around it."""
    return float(values.var(ddof=1)) * (one_more + 1 / len(values))


def joint_reach(
    parts: Sequence[tuple[Any, float]], others: Sequence[tuple[Any, float]], confidence: float
) -> Any:
    """Half width that some sources of variance add to the interval of a sum of independent ones.

    Each source is a squared standard error (a number or an array) with its degrees of freedom.
    Student's quantile is taken at the degrees of freedom of the whole sum (Welch and Satterthwaite:
    Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", Biometrics
    Bulletin 1946): a source of few units that hardly matters costs hardly anything.

    Parameters
    ----------
    parts
        Sources that the half width is of.
    others
        Further sources of the sum, whose half width is known otherwise.
    """
    from scipy.special import stdtrit  # slow to load

    own = np.asarray(sum(variance for variance, _ in parts), dtype=np.float64)
    everything = [*parts, *others]
    total = np.asarray(sum(variance for variance, _ in everything), dtype=np.float64)
    squares = np.asarray(sum(np.square(variance) / df for variance, df in everything))
    df = np.square(total) / np.where(squares > 0, squares, 1.0)
    t = stdtrit(np.where(squares > 0, df, 1.0), (1 + confidence) / 2)
    return np.where(own > 0, t * np.sqrt(own), 0.0)


def mean_over_categories(
    parts: Iterable[float] | Iterable[Estimate],
    confidence: float,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Mean over categories (or other independent units) with Student's interval over them.

    There are few categories as a rule, and a percentile bootstrap of few is far too narrow: of two,
    it excludes zero in half of all cases in which there is no effect. A single category has no
    interval: it is NaN.

    Where half of the parts or more are equal, as at the best value, and have intervals of their
    own, the result is no narrower than these make it: such categories do not make the mean certain.
    ``bounds`` are the least and largest value there can be.
    """
    given = [p if isinstance(p, Estimate) else Estimate(float(p)) for p in parts]
    values = np.array([p.value for p in given], dtype=np.float64)
    if len(values) < 2:
        return Estimate(float(values.mean())) if len(values) else NOT_MEASURED
    mean, reach = float(values.mean()), student_reach(values, confidence)
    below, above = (
        math.sqrt(sum(side**2 for side in sides)) / len(given)
        for sides in ([p.value - p.low for p in given], [p.high - p.value for p in given])
    )
    most_equal = np.unique(values.round(_EQUAL_DIGITS), return_counts=True)[1].max()
    if math.isnan(below + above) or most_equal < max(2, len(values) / 2):
        # Equal values without intervals of their own would make an interval of no width.
        if reach == 0:
            return Estimate(mean)
        below = above = 0.0
    low, high = mean - max(reach, below), mean + max(reach, above)
    return Estimate(mean, max(low, bounds[0]), min(high, bounds[1]))


def over_categories(
    parts: Sequence[Estimate],
    confidence: float,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Estimate of one category as it is, of several their mean (:func:`mean_over_categories`)."""
    return parts[0] if len(parts) == 1 else mean_over_categories(parts, confidence, bounds)


def mean_over_draws(parts: Sequence[Estimate], confidence: float) -> Estimate:
    """Mean over draws of the normal images, each measured on the same test images.

    The same images make the errors of the draws one: the mean half width of their intervals stays,
    and Student's interval of the mean over the draws is added to it in squares. NaN where the
    number is NaN on one draw.
    """
    values = np.array([part.value for part in parts], dtype=np.float64)
    mean = float(values.mean())
    if len(parts) == 1 or math.isnan(mean):
        return parts[0] if len(parts) == 1 else NOT_MEASURED
    reach = student_reach(values, confidence)
    below = float(np.mean([part.value - part.low for part in parts]))
    above = float(np.mean([part.high - part.value for part in parts]))
    return Estimate(mean, mean - math.hypot(below, reach), mean + math.hypot(above, reach))


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
