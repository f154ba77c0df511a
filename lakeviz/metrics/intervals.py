"""Confidence intervals of metrics, and of paired differences, from values on resampled images.

The percentiles of the resamples are no interval near the ceiling: where few images are misranked
the resamples hardly vary, and [1, 1] is printed. So the limits solve a score equation, as Wilson's
interval of a proportion does: ``low`` and ``high`` are the true values ``t`` that lie as far from
the value ``v`` as ``t`` itself lets one expect,

    (v - t)^2 = V(t) [(1 - w) z^2 + w q^2 S / V(v)].

``V`` is the sampling variance that the number of images alone lets one expect: theory's where the
metric has one (Hanley and McNeil for the image AUROC; with w = 0 that is method 5 of Newcombe,
Statist. Med. 2006), else that of a share of as many Bernoulli trials as there are images. ``S`` is
the variance of the resamples, z the normal and q Student's quantile. The weight ``w = e / (e + 3)``
grows with the number ``e`` of images that make up the loss: it is 0 where no resample holds an
error and goes to 1 where many images do, so that large samples get the interval of their resamples.

Measured coverage: ``benchmarks/coverage.py``, and the page on evidence in the docs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import MetricDefinition, get_metric
from lakeviz.wording import counted

Draws = Float[np.ndarray, " resample"]

_PRIOR_IMAGES = 3.0  # so many images with a loss weigh as much as the variance expected beforehand
_PRIOR_DIFFERING = 4.0  # the same for images on which two conditions differ
_HALVINGS = 40
_ROUNDING = 1e-9


def _normal_quantile(confidence: float) -> float:
    from scipy.special import ndtri  # slow to load

    return float(ndtri((1 + confidence) / 2))


@dataclass(frozen=True)
class _Clusters:
    """The independent units of a metric: images that hold positives, and those with negatives."""

    n_positive: int
    n_negative: int

    @classmethod
    def of(cls, metric: Metric, n_anomalous: int, n_normal: int) -> _Clusters:
        """Every image has pixels without defect, so all of them hold negatives of pixel metrics."""
        n_negative = n_normal + (n_anomalous if metric[0] == "pixel" else 0)
        return cls(max(n_anomalous, 1), max(n_negative, 1))

    @property
    def least(self) -> int:
        return min(self.n_positive, self.n_negative)

    @property
    def harmonic(self) -> float:
        """Harmonic mean of both numbers."""
        return 2 / (1 / self.n_positive + 1 / self.n_negative)

    @property
    def inflation(self) -> float:
        """What a resample of the smaller class lacks in variance, n / (n - 1)."""
        return max(self.least, 2) / (max(self.least, 2) - 1)

    def quantile(self, confidence: float) -> float:
        """Student's: one degree more than Welch's least, since S is not trusted alone."""
        from scipy.special import stdtrit  # slow to load

        return float(stdtrit(self.least, (1 + confidence) / 2))


def interval(
    metric: Metric, value: float, draws: Draws, n_anomalous: int, n_normal: int, confidence: float
) -> tuple[float, float]:
    """Confidence interval of a metric.

    Parameters
    ----------
    metric
        Level and name of a registered metric.
    value
        Its exact value, or the mean over the members of a group.
    draws
        Its values on resamples of the images; those that are not finite are left out.
    n_anomalous, n_normal
        Images with and without a defect; 0 is taken as 1, from which nothing can be learned.
    confidence
        Nominal coverage, in (0, 1).

    Returns
    -------
    tuple of float
        It contains the value, lies inside the bounds of the metric, and has a width if there are
        such bounds, or theory knows the variance. NaN where the value is not finite, or where
        neither bounds nor theory nor the resamples give a spread.

    Raises
    ------
    ConfigError
        Unknown metric, or a value outside its bounds.
    """
    definition = get_metric(*metric)
    if not math.isfinite(value):
        return math.nan, math.nan
    clusters = _Clusters.of(metric, n_anomalous, n_normal)
    spread = _variance(draws) * clusters.inflation
    variance = _expected(definition, metric[0], clusters)
    low, high = definition.bounds
    if not math.isfinite(high - low):
        return _unbounded(value, spread, variance, clusters, confidence, (low, high))
    if not low - _ROUNDING <= value <= high + _ROUNDING:
        raise ConfigError(
            f"{metric[0]} {metric[1]} is {value}, outside its bounds {low} and {high}; register it "
            "with MetricDefinition(bounds=...)"
        )
    value = min(max(value, low), high)
    assert variance is not None
    expected = variance(value)
    reach = _normal_quantile(confidence) ** 2
    if spread > 0 and expected > 0 and clusters.least > 1:
        # A share of n images has variance p (1 - p) / n, so these are the n and n (1 - p) for
        # which it equals that of the resamples.
        size = (value - low) * (high - value) / spread
        lossy = size * min(value - low, high - value) / (high - low)
        weight = lossy / (lossy + _PRIOR_IMAGES)
        student = clusters.quantile(confidence) ** 2
        reach = (1 - weight) * reach + weight * student * spread / expected

    def inside(true: float) -> bool:
        return (value - true) ** 2 <= reach * variance(true)

    return _limit(inside, value, low), _limit(inside, value, high)


def paired_difference_interval(
    metric: Metric,
    value_a: float,
    draws_a: Draws,
    value_b: float,
    draws_b: Draws,
    n_anomalous: int,
    n_normal: int,
    confidence: float,
) -> tuple[float, float]:
    """Confidence interval of how much higher a metric is for a than for b, on the same images.

    Two intervals, weighed by the number of images on which a and b differ. With many of them it is
    Student's, from the variance of the paired differences on resamples. With few, that variance
    says little, and the limits are recovered from those of a and of b (MOVER: Zou and Donner,
    Statist. Med. 2008): a and b move together by the share r of their variance, the correlation of
    their resamples, and apart by the rest. With n images of the smaller class r is taken as
    (1 - 1 / n) r, since equal ranks on n images do not show that the next is ranked equally.

    Parameters
    ----------
    metric, n_anomalous, n_normal, confidence
        As for :func:`interval`.
    value_a, draws_a, value_b, draws_b
        Of both conditions; equal positions of the draws are equal resamples of the images.

    Returns
    -------
    tuple of float
        It contains the difference; also of two equal conditions it has a width. NaN where one of
        the conditions has no interval.
    """
    numbers = (n_anomalous, n_normal, confidence)
    low_a, high_a = interval(metric, value_a, draws_a, *numbers)
    low_b, high_b = interval(metric, value_b, draws_b, *numbers)
    if math.isnan(low_a + low_b):
        return math.nan, math.nan
    clusters = _Clusters.of(metric, n_anomalous, n_normal)
    kept = np.isfinite(draws_a) & np.isfinite(draws_b)
    both = np.stack([draws_a[kept], draws_b[kept]]).astype(np.float64)
    down_a, up_a = value_a - low_a, high_a - value_a
    down_b, up_b = value_b - low_b, high_b - value_b
    r = _correlation(both) * (1 - 1 / clusters.least)
    together = r * max((down_a - down_b) ** 2, (up_a - up_b) ** 2)
    below = (1 - r) * (down_a**2 + up_b**2) + together
    above = (1 - r) * (up_a**2 + down_b**2) + together

    gap = both[0] - both[1]
    student = clusters.quantile(confidence) ** 2 * _variance(gap) * clusters.inflation
    differing = _effective_images(gap, n_anomalous + n_normal) if clusters.least > 1 else 0.0
    weight = differing**2 / (differing**2 + _PRIOR_DIFFERING**2)
    difference = value_a - value_b
    low, high = (
        difference + sign * math.sqrt(weight * student + (1 - weight) * recovered)
        for sign, recovered in ((-1, below), (1, above))
    )
    least, greatest = get_metric(*metric).bounds
    return max(low, least - greatest), min(high, greatest - least)


def _expected(
    definition: MetricDefinition, level: str, clusters: _Clusters
) -> Callable[[float], float] | None:
    """Sampling variance at a true value, from the numbers of images; None where it has no scale."""
    theory = definition.image_variance
    if level == "image" and theory is not None:
        return lambda true: theory(true, clusters.n_positive, clusters.n_negative)
    low, high = definition.bounds
    if not math.isfinite(high - low):
        return None
    return lambda true: (true - low) * (high - true) / clusters.harmonic


def _unbounded(
    value: float,
    spread: float,
    variance: Callable[[float], float] | None,
    clusters: _Clusters,
    confidence: float,
    bounds: tuple[float, float],
) -> tuple[float, float]:
    """Interval of a metric that has no ceiling: symmetrical, with the variance at the value."""
    student = clusters.quantile(confidence) ** 2 * spread
    if variance is not None:
        known = spread > 0 and clusters.least > 1
        weight = clusters.least / (clusters.least + _PRIOR_IMAGES) if known else 0.0
        normal = _normal_quantile(confidence) ** 2
        student = weight * student + (1 - weight) * normal * variance(value)
    if student == 0:
        return math.nan, math.nan
    reach = math.sqrt(student)
    return max(value - reach, bounds[0]), min(value + reach, bounds[1])


def _limit(inside: Callable[[float], bool], value: float, end: float) -> float:
    """Farthest true value towards the end that the score equation allows, by halving."""
    if inside(end):
        return end
    near, far = value, end
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if inside(middle) else (near, middle)
    return near


def _variance(draws: Draws) -> float:
    finite = draws[np.isfinite(draws)].astype(np.float64)
    return float(finite.var(ddof=1)) if finite.size > 1 and np.ptp(finite) > 0 else 0.0


def _correlation(both: Float[np.ndarray, "2 resample"]) -> float:
    """Correlation, 0 where it is negative or one does not vary."""
    if both.shape[1] < 2 or not (np.ptp(both, axis=1) > 0).all():
        return 0.0
    return float(np.clip(np.corrcoef(both)[0, 1], 0, 1))


def _effective_images(gap: Draws, n_images: int) -> float:
    """On how many images two conditions differ, from the resamples of their difference.

    A resample counts each image about a Poisson number of times, all of whose cumulants are 1. The
    difference is a sum over images, of contributions c, so its excess kurtosis is
    sum(c^4) / sum(c^2)^2: the inverse of their effective number.
    """
    if _variance(gap) == 0:
        return 0.0
    centred = gap - gap.mean()
    excess = np.mean(centred**4) / np.mean(centred**2) ** 2 - 3
    return 1 / max(float(excess), 1 / n_images)


_FEWEST_IMAGES = 3
_ENOUGH_IMAGES = 20
_WEAKER = frozenset([("image", "auroc"), ("pixel", "average_precision"), ("pixel", "f1_max")])
_MEASURED = frozenset(
    [
        *(("image", name) for name in ("auroc", "average_precision", "f1_max", "cohens_d")),
        *(("pixel", n) for n in ("auroc", "average_precision", "f1_max", "aupro", "aupimo")),
    ]
)


def coverage_note(metric: Metric, n_anomalous: int, n_normal: int) -> str:
    """Say where a 95 % interval was not measured to cover 93 %; empty where it was.

    The rule stands by the table of ``benchmarks/coverage.py``: fewer than three images of a class
    miss the aim, but for the image AUROC; so does the best F1 over image scores at any number of
    images, since that of a sample exceeds that of the population. Below 20 images of a class the
    image AUROC and two pixel metrics were measured at 90 to 93 %. Nothing was measured with a
    single image of a class, nor of metrics that users register.
    """
    fewest = min(n_anomalous, n_normal)
    least = _FEWEST_IMAGES - 1 if metric == ("image", "auroc") else _FEWEST_IMAGES
    if metric not in _MEASURED:
        return "coverage not measured for this metric"
    if fewest < least:
        return f"covers less than stated: {counted(fewest, 'image')} of one class"
    if metric == ("image", "f1_max"):
        return "may cover less than stated: the best F1 of a sample exceeds the population's"
    if metric in _WEAKER and fewest < _ENOUGH_IMAGES:
        return f"may cover 90 to 93 %: fewer than {_ENOUGH_IMAGES} images of one class"
    return ""
