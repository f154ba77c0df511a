"""The formulas: from counts at descending thresholds to one number.

Counts are of all images, or of resamples of them, which adds a leading axis; they may be weighted,
hence real-valued.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int, Num

from lakeviz.metrics.conventions import PrecisionRule

Values = Float[np.ndarray, "*resample"]
Variance = Callable[[float, int, int], float]
"""True value, anomalous images, normal images to the sampling variance of a metric."""


class Counts(Protocol):
    """True and false positives at each distinct score of a positive, from the highest down."""

    @property
    def tp(self) -> Num[np.ndarray, "*resample threshold"]:
        """Positives that score at least the threshold."""
        ...

    @property
    def fp(self) -> Num[np.ndarray, "*resample threshold"]:
        """Negatives that score at least the threshold."""
        ...

    @property
    def fp_above(self) -> Num[np.ndarray, "*resample threshold"]:
        """Negatives that score more than the threshold; ``fp - fp_above`` tie with it."""
        ...

    @property
    def n_positive(self) -> Num[np.ndarray, "*resample"] | float:
        """All positives."""
        ...

    @property
    def n_negative(self) -> Num[np.ndarray, "*resample"] | float:
        """All negatives."""
        ...


def auroc(counts: Counts) -> Values:
    """Area under the ROC curve: P(defect > normal) + P(tie) / 2 (Mann-Whitney U / PN)."""
    lost = _steps(counts.tp) * (counts.fp.astype(np.float64) + counts.fp_above)
    pairs = 2.0 * np.asarray(counts.n_positive, dtype=np.float64) * counts.n_negative
    return 1.0 - lost.sum(axis=-1) / pairs


def average_precision(counts: Counts, rule: PrecisionRule = "step") -> Values:
    """Average precision: the precision at each threshold, weighted by the recall it adds.

    ``"step"`` is scikit-learn's ``average_precision_score``. ``"trapezoid"`` takes the mean of the
    precision before and after each step, as ``auc(recall, precision)`` does; the curve starts at
    recall 0 with precision 1 when the highest score is a defect's.
    """
    tp, fp = counts.tp, counts.fp
    height = _ratio(tp, tp + fp, 0.0)
    if rule == "trapezoid":
        before = tp - _steps(tp)
        height = (height + _ratio(before, before + counts.fp_above, 1.0)) / 2
    return (_steps(tp) * height).sum(axis=-1) / np.asarray(counts.n_positive, dtype=np.float64)


def f1_max(counts: Counts) -> tuple[Values, Int[np.ndarray, "*resample"]]:
    """Best F1 over all thresholds, 2 tp / (P + tp + fp), and the index of the highest such."""
    total = np.asarray(counts.n_positive, dtype=np.float64)[..., None]
    f1 = 2.0 * counts.tp / (total + counts.tp + counts.fp)
    return f1.max(axis=-1), f1.argmax(axis=-1)


def aupro(
    counts: Counts, overlap: Float[np.ndarray, "*resample threshold"], limit: float
) -> Values:
    """Area under the PRO curve for false-positive rates up to ``limit``, divided by ``limit``.

    ``overlap`` is the mean over regions of the share of the region at or above the threshold. The
    overlap that a threshold adds is spread evenly over the false-positive rates between those of
    the normal pixels above it and those reaching it, and counts for the rates that follow.
    """
    total = np.asarray(counts.n_negative, dtype=np.float64)[..., None]
    low, high = counts.fp_above / total, counts.fp / total
    middle = limit - (low + high) / 2
    cut = _ratio(np.square(limit - low), 2 * (high - low), 0.0)
    room = np.where(high <= limit, middle, np.where(low >= limit, 0.0, cut))
    return (_steps(overlap) * room).sum(axis=-1) / limit


def log_share(rate: Float[np.ndarray, "*any"], bounds: tuple[float, float]) -> np.ndarray:
    """Return the share of ``[log low, log high]`` for which a pixel reached at ``rate`` counts.

    The mean of this over an image's defect pixels is its AUPIMO: the recall averaged over the
    logarithm of the false-positive rate.
    """
    low, high = bounds
    return np.log(high / np.clip(rate, low, high)) / np.log(high / low)


def auroc_variance(auroc: float, n_anomalous: int, n_normal: int) -> float:
    """Variance of the AUROC for exponential scores, made symmetrical in the two classes.

    Hanley and McNeil, Radiology 1982, with the mean of both sample sizes in place of each, as in
    method 5 of Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic. Part 2", Statist. Med. 2006.

    >>> auroc_variance(0.5, 10, 10)
    0.0175
    """
    size = (n_anomalous + n_normal) / 2
    spread = (1 - auroc) / (2 - auroc) + auroc / (1 + auroc)
    return auroc * (1 - auroc) * (1 + (size - 1) * spread) / (n_anomalous * n_normal)


def _steps(counts: np.ndarray) -> np.ndarray:
    return np.diff(counts, axis=-1, prepend=0)


def _ratio(top: np.ndarray, bottom: np.ndarray, empty: float) -> np.ndarray:
    """Divide, with ``empty`` where the divisor is 0."""
    out = np.full(np.broadcast_shapes(top.shape, bottom.shape), empty, dtype=np.float64)
    return np.divide(top, bottom, out=out, where=bottom != 0)
