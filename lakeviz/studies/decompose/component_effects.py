"""Differences of means between anomalous and normal images: intervals, shuffles, corrections."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from lakeviz.metrics import Bootstrap

_BLOCK = 2**24  # values of shuffled means held at a time


def mean_difference(
    terms: Float[np.ndarray, "image term"], labels: Int[np.ndarray, " image"]
) -> Float[np.ndarray, " term"]:
    """Mean over anomalous minus mean over normal images."""
    anomalous = np.asarray(labels) != 0
    return terms[anomalous].mean(0) - terms[~anomalous].mean(0)


def difference_draws(
    terms: Float[np.ndarray, "image term"], labels: Int[np.ndarray, " image"], bootstrap: Bootstrap
) -> Float[np.ndarray, "draw term"]:
    """The same on every resample of the images, of which both classes keep their size."""
    anomalous = np.asarray(labels) != 0
    sign = np.where(anomalous, 1 / anomalous.sum(), -1 / (~anomalous).sum())
    draws = np.empty((bootstrap.n_resamples, terms.shape[1]))
    for rows, weights in bootstrap.blocks(anomalous, terms.shape[1]):
        draws[rows] = (weights * sign) @ terms
    return draws


def shuffled_p_values(
    terms: Float[np.ndarray, "image term"],
    labels: Int[np.ndarray, " image"],
    n_shuffles: int,
    seed: int,
    *,
    pooled: bool = False,
) -> Float[np.ndarray, " term"]:
    """Two-sided p-values of Welch's statistic among those of shuffled labels.

    Parameters
    ----------
    terms, labels
        Of the images.
    n_shuffles : int
    seed : int
    pooled : bool
        Rank each statistic among the shuffled ones of all terms instead of its own: for thousands
        of terms, where too few shuffles could be made for each.
    """
    generator = np.random.default_rng(seed)
    anomalous = np.asarray(labels) != 0
    shuffles = np.stack([generator.permutation(anomalous) for _ in range(n_shuffles)])
    observed = np.abs(_welch(terms, anomalous[None]))[0]
    step = max(1, _BLOCK // n_shuffles)
    higher = np.zeros(len(observed))
    null = []
    for start in range(0, terms.shape[1], step):
        own = slice(start, start + step)
        shuffled = np.abs(_welch(terms[:, own], shuffles))
        higher[own] = (shuffled >= observed[own] - 1e-12).sum(0)
        if pooled:
            null.append(np.sort(shuffled, axis=None))
    if not pooled:
        return (1 + higher) / (1 + n_shuffles)
    every = np.sort(np.concatenate(null))
    above = len(every) - np.searchsorted(every, observed - 1e-12, side="left")
    return (1 + above) / (1 + len(every))


def _welch(
    terms: Float[np.ndarray, "image term"], anomalous: np.ndarray
) -> Float[np.ndarray, "shuffle term"]:
    """Difference of means over its standard error; 0 where nothing varies."""
    # Centred, so that the sums of squares lose no digits.
    centred = np.asarray(terms, dtype=np.float64) - terms.mean(0)
    squares = centred**2
    means, errors = [], 0.0
    for group in (anomalous, ~anomalous):
        n = group.sum(1, keepdims=True)
        weights = group / n
        mean = weights @ centred
        variance = np.maximum(weights @ squares - mean**2, 0) * n / np.maximum(n - 1, 1)
        means.append(mean)
        errors = errors + variance / n
    gap = means[0] - means[1]
    scale = np.sqrt(errors)
    # What rounding leaves of a constant is no difference.
    tiny = scale <= 1e-12 * np.maximum(np.abs(terms).max(0), 1e-30)
    return np.where(tiny, 0.0, gap / np.where(tiny, 1.0, scale))
