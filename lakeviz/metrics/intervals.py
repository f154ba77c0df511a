"""Intervals of single metrics, from their value and its resamples over images."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit, ndtri, stdtrit

from lakeviz.metrics.measurement import Metric


def interval(
    metric: Metric,
    value: float,
    draws: Float[np.ndarray, " resample"],
    n_anomalous: int,
    n_normal: int,
    confidence: float,
) -> tuple[float, float]:
    """Interval of a metric over images."""
    if metric == ("image", "auroc"):
        return _newcombe(value, n_anomalous, n_normal, confidence)
    error = float(np.std(draws, ddof=1)) if draws.size > 1 else np.nan
    t = float(stdtrit(max(min(n_anomalous, n_normal) - 1, 1), (1 + confidence) / 2))
    if metric[1] == "cohens_d" or not 0 <= value <= 1:
        return value - t * error, value + t * error
    floor = 0.5 / (min(n_anomalous, n_normal) + 1)
    error = max(error, floor / 10)
    inside = min(max(value, floor / 2), 1 - floor / 2)
    reach = t * error / (inside * (1 - inside))
    low, high = expit(logit(inside) - reach), expit(logit(inside) + reach)
    return min(float(low), value), max(float(high), value)


def _newcombe(value: float, m: int, n: int, confidence: float) -> tuple[float, float]:
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    half = (m + n) / 2 - 1

    def outside(theta: float) -> float:
        spread = theta * (1 - theta) / (m * n)
        spread *= 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        return (value - theta) ** 2 - z2 * spread

    def solve(a: float, b: float) -> float:
        for _ in range(60):
            middle = (a + b) / 2
            a, b = (middle, b) if outside(middle) <= 0 else (a, middle)
        return (a + b) / 2

    return solve(value, 0.0), solve(value, 1.0)
