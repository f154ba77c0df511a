"""Cohen's d of the scores of anomalous and normal images."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from lakeviz.metrics.image import both_classes
from lakeviz.metrics.inputs import ArrayLike
from lakeviz.metrics.registry import MetricDefinition, register_metric


def cohens_d(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean score of anomalous minus normal images, over their pooled standard deviation.

    Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988. Unlike a difference of
    raw scores it does not change when all scores are scaled, so detectors whose distances have
    other units can be compared. 0 where all scores are equal.

    Raises
    ------
    MetricError
        For a single class, or NaN or infinite scores.
    """
    checked, anomalous = both_classes(scores, labels)
    return float(weighted_cohens_d(checked, anomalous, np.ones((1, checked.size), np.int64))[0])


def weighted_cohens_d(
    scores: Float[np.ndarray, " image"],
    anomalous: np.ndarray,
    weights: Int[np.ndarray, "resample image"],
) -> Float[np.ndarray, " resample"]:
    """Cohen's d in resamples, given how often each image was drawn."""
    # Centred first: sums of squares far from zero lose their digits.
    centred = scores.astype(np.float64) - scores.mean(dtype=np.float64)
    means, squares, totals = [], [], []
    for of_class in (anomalous, ~anomalous):
        w = weights[:, of_class].astype(np.float64)
        n = w.sum(axis=1)
        mean = w @ centred[of_class] / n
        squares.append(np.maximum(w @ np.square(centred[of_class]) - n * mean**2, 0))
        means.append(mean)
        totals.append(n)
    gap = means[0] - means[1]
    pooled = np.sqrt((squares[0] + squares[1]) / np.maximum(totals[0] + totals[1] - 2, 1))
    # Where nothing varies but rounding, there is no difference.
    negligible = 1e-7 * np.abs(scores).max(initial=0.0)
    flat = (pooled <= negligible) & (np.abs(gap) <= negligible)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat, 0.0, gap / pooled)


def cohens_d_variance(d: float, n_anomalous: int, n_normal: int) -> float:
    """Variance of Cohen's d for normal scores of equal spread, in large samples.

    Hedges and Olkin, "Statistical Methods for Meta-Analysis", 1985.

    >>> cohens_d_variance(2.0, 10, 10)
    0.311...
    """
    freedom = max(n_anomalous + n_normal - 2, 1)
    return 1 / n_anomalous + 1 / n_normal + d * d / (2 * freedom)


register_metric(
    MetricDefinition(
        "cohens_d",
        "Cohen's d",
        image=lambda c, _: weighted_cohens_d(c.scores, c.anomalous, c.weights),
        best=np.inf,
        bounds=(-np.inf, np.inf),
        image_variance=cohens_d_variance,
    )
)
