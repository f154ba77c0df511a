"""Cohen's d of anomalous and normal image scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.metrics.image import both_classes
from lakeviz.metrics.inputs import ArrayLike


def cohens_d(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean score of anomalous minus normal images, over their pooled standard deviation.

    Cohen's d (Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988): unlike a
    difference of raw scores it does not change when all scores are scaled, so detectors whose
    distances have other units can be compared. 0 where all scores are equal.

    Raises
    ------
    MetricError
        For a single class, or NaN or infinite scores.
    """
    checked, anomalous = both_classes(scores, labels)
    ones = np.ones((1, checked.size), dtype=np.int64)
    return float(CohensDDraws(checked, anomalous).evaluate(ones)[0])


@dataclass(frozen=True)
class CohensDDraws:
    """Cohen's d of resampled images: how often each image was drawn, to one value per draw."""

    scores: Float[np.ndarray, " image"]
    anomalous: Bool[np.ndarray, " image"]

    def evaluate(self, weights: Int[np.ndarray, "draw image"]) -> Float[np.ndarray, " draw"]:
        """Value in each draw."""
        # Centred first: sums of squares far from zero lose their digits.
        scores = self.scores.astype(np.float64) - self.scores.mean(dtype=np.float64)
        means, squares, totals = [], [], []
        for of_class in (self.anomalous, ~self.anomalous):
            w = weights[:, of_class].astype(np.float64)
            n = w.sum(axis=1)
            mean = w @ scores[of_class] / n
            squares.append(np.maximum(w @ np.square(scores[of_class]) - n * mean**2, 0))
            means.append(mean)
            totals.append(n)
        gap = means[0] - means[1]
        pooled = np.sqrt((squares[0] + squares[1]) / np.maximum(totals[0] + totals[1] - 2, 1))
        # Where nothing varies but rounding, there is no difference.
        negligible = 1e-7 * np.abs(self.scores).max(initial=0.0)
        flat = (pooled <= negligible) & (np.abs(gap) <= negligible)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(flat, 0.0, gap / pooled)
