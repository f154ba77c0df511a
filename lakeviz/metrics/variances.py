"""Sampling variances that theory knows: of the image AUROC and of Cohen's d.

They take the true value and the numbers of images, and no scores: at a value of 1 a bootstrap sees
no error and no variance, these formulas still do.
"""

from __future__ import annotations

from collections.abc import Callable

Variance = Callable[[float, int, int], float]
"""True value, anomalous images, normal images to the sampling variance of a metric."""


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


def cohens_d_variance(d: float, n_anomalous: int, n_normal: int) -> float:
    """Variance of Cohen's d for normal scores of equal spread, in large samples.

    Hedges and Olkin, "Statistical Methods for Meta-Analysis", 1985.

    >>> cohens_d_variance(2.0, 10, 10)
    0.311...
    """
    freedom = max(n_anomalous + n_normal - 2, 1)
    return 1 / n_anomalous + 1 / n_normal + d * d / (2 * freedom)
