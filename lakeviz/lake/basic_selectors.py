"""LAKE's selector, and its plain controls: all, random, next and lowest in variance, PCA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lakeviz.lake.selection import NeuronSelection, SubspaceSelection
from lakeviz.lake.selector_registry import neurons, register_selector, variance_order

if TYPE_CHECKING:
    from lakeviz.activations.statistics import ChannelStatistics


@register_selector("variance", label="top-variance neurons", short="top variance")
def variance(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """The k channels of highest marginal variance (LAKE)."""
    return neurons(statistics, variance_order(statistics)[:k], "variance")


@register_selector("all", label="all neurons", short="all", uses_k=False)
def all_channels(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """Every channel, whatever k is."""
    return neurons(statistics, np.arange(statistics.n_channels), "all")


@register_selector("random", label="random neurons", short="random", is_random=True)
def random(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """K channels drawn uniformly without replacement."""
    return neurons(statistics, generator.permutation(statistics.n_channels)[:k], "random")


@register_selector(
    "next_variance",
    label="neurons next in variance",
    short="next variance",
    is_random=True,
)
def next_variance(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """K channels at random of those next in variance, just below the top k.

    The top ``k`` are walked in random order; each takes one at random of the five unused channels
    outside the top ``k`` whose log variance is nearest. For k = 20 these are ranks 21 to 44, so
    draws overlap a great deal. It is no matched control: no other channel has the variance of the
    very top ones, and ``provenance`` says how far off it is. Where fewer than ``k`` channels lie
    outside, the rest is filled from the top ``k`` at random.
    """
    order = variance_order(statistics)
    top, free = order[:k], list(order[k:])
    log_variance = np.log(np.maximum(statistics.variance, np.finfo(float).tiny))
    pairs: list[tuple[int, int]] = []
    for target in generator.permutation(top)[: len(free)]:
        distance = np.abs(log_variance[free] - log_variance[target])
        near = np.argsort(distance, kind="stable")[:5]
        pairs.append((target, free.pop(int(generator.choice(near)))))
    fill = generator.permutation(top)[: k - len(pairs)]
    channels = np.array([*(match for _, match in pairs), *fill], dtype=np.int64)
    gap = [log_variance[match] - log_variance[target] for target, match in pairs]
    return neurons(
        statistics,
        channels,
        "next_variance",
        overlap_with_top_k=len(fill),
        mean_log_variance_gap=float(np.mean(gap)) if gap else 0.0,
    )


@register_selector("bottom_variance", label="lowest-variance neurons", short="lowest variance")
def bottom_variance(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """The k channels of lowest marginal variance."""
    return neurons(statistics, variance_order(statistics)[::-1][:k], "bottom_variance")


@register_selector("pca", label="truncated PCA", short="PCA", needs_covariance=True)
def pca(statistics: ChannelStatistics, k: int, generator: np.random.Generator) -> SubspaceSelection:
    """The k leading principal directions of the patch tokens (truncated PCA)."""
    values, vectors = np.linalg.eigh(statistics.covariance)
    basis, scores = vectors[:, ::-1][:, :k], values[::-1][:k]
    # The sign of an eigenvector is arbitrary: make its largest entry positive, for reproducibility.
    largest = np.abs(basis).argmax(0)
    basis = basis * np.sign(basis[largest, np.arange(k)])
    scores, total = np.maximum(scores, 0.0), values.sum()
    return SubspaceSelection(
        statistics.point,
        np.ascontiguousarray(basis),
        scores,
        "pca",
        {
            "n_tokens": statistics.count,
            "retained_variance": float(scores.sum() / total) if total > 0 else 1.0,
        },
    )
