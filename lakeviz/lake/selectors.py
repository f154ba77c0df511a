"""All selectors: functions ``(statistics, k, generator) -> Selection``; ``variance`` is LAKE's.

The others are controls. They are registered here in the order in which figures and tables show
them; :func:`register_selector` adds one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lakeviz.errors import SelectionError
from lakeviz.lake.selection import NeuronSelection, SubspaceSelection
from lakeviz.lake.selector_registry import (  # noqa: F401 - handed on
    GROUPS,
    SELECTORS,
    NeuronNumbers,
    Selector,
    SelectorFunction,
    check_k,
    expand_selectors,
    get_selector,
    name_of,
    neurons,
    neurons_named,
    register_selector,
    select,
    selector_of,
    variance_order,
)

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


N_DECILES = 10


def exchange(statistics: ChannelStatistics, k: int, out: int) -> NeuronSelection:
    """Take the top k channels by variance, one of them exchanged for the (k + 1)-th.

    Parameters
    ----------
    statistics : ChannelStatistics
    k : int
    out : int
        A channel of the top ``k``.

    Returns
    -------
    NeuronSelection
        Of the selector ``variance_without_OUT``.

    Raises
    ------
    SelectionError
        If ``out`` is not among the top ``k``, or there is no other channel to put in its place.
    """
    kept = statistics.kept_channels
    order = kept[variance_order(statistics.some(kept))]
    if not 1 <= k < len(order):
        raise SelectionError(
            f"{statistics.point}: a channel of the top {k} cannot be exchanged, as there are "
            f"{len(order)} channels and k + 1 are needed"
        )
    if out not in order[:k]:
        raise SelectionError(f"{statistics.point}: channel {out} is not among the top {k}")
    rest = order[: k + 1][order[: k + 1] != out]
    return neurons(
        statistics,
        rest,
        f"variance_without_{out}",
        left_out=int(out),
        in_its_place=int(order[k]),
    )


@register_selector(
    "variance_without_first", label="top-variance neurons without the first", short="without first"
)
def variance_without_first(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """The k channels of highest variance after the very first, which the (k + 1)-th replaces."""
    found = exchange(statistics, k, int(variance_order(statistics)[0]))
    return replace(found, selector="variance_without_first")


@register_selector(
    "rotated",
    label="top-variance directions of a rotated stream",
    short="rotated",
    is_random=True,
    needs_covariance=True,
)
def rotated(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> SubspaceSelection:
    """The k directions of highest variance of a uniformly random orthonormal basis.

    All channels are rotated (Haar), and the rotated ones are ranked by their variance as neurons
    are. Where it does as well as neurons, the basis of neurons is not privileged.
    """
    basis = _haar(statistics.n_channels, statistics.n_channels, generator)
    variances = _variance_along(basis, statistics)
    top = np.argsort(-variances, kind="stable")[:k]
    return SubspaceSelection(
        statistics.point,
        np.ascontiguousarray(basis[:, top]),
        variances[top],
        "rotated",
        {"n_tokens": statistics.count},
    )


@register_selector("random_rotation", is_random=True)
def random_rotation(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> SubspaceSelection:
    """A uniformly random k-dimensional subspace (Haar, by QR of a Gaussian matrix)."""
    basis = _haar(statistics.n_channels, k, generator)
    if statistics.comoment is None:
        scores = np.full(k, np.nan)
    else:
        scores = _variance_along(basis, statistics)
    return SubspaceSelection(
        statistics.point, basis, scores, "random_rotation", {"n_tokens": statistics.count}
    )


def _haar(n_channels: int, k: int, generator: np.random.Generator) -> Float[np.ndarray, "c k"]:
    """Uniformly random orthonormal columns, by QR of a Gaussian matrix."""
    basis, upper = np.linalg.qr(generator.standard_normal((n_channels, k)))
    return basis * np.sign(np.diag(upper))


def _variance_along(
    basis: Float[np.ndarray, "channel k"], statistics: ChannelStatistics
) -> Float[np.ndarray, " k"]:
    return np.sum(basis * (statistics.covariance @ basis), axis=0)


@register_selector(
    "rescaled_random",
    label="random neurons rescaled to the top variances",
    short="rescaled random",
    is_random=True,
)
def rescaled_random(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """K random channels, the i-th rescaled to the standard deviation of the i-th top channel.

    They are the channels that ``random`` draws with the same seed (constant ones left out, as they
    have no deviation to rescale); activations are multiplied by :attr:`NeuronSelection.scale`, so
    means grow in the same proportion.
    """
    drawn = generator.permutation(statistics.n_channels)
    channels = drawn[statistics.variance[drawn] > 0][:k]
    if len(channels) < k:
        raise SelectionError(
            f"{statistics.point}: only {len(channels)} channels vary over the normal tokens, so "
            f"{k} random ones cannot be rescaled"
        )
    wanted = statistics.variance[variance_order(statistics)[:k]]
    scale = np.sqrt(wanted / statistics.variance[channels])
    return neurons(statistics, channels, "rescaled_random", wanted, scale)


def _decile(
    statistics: ChannelStatistics, k: int, number: int, generator: np.random.Generator
) -> NeuronSelection:
    ascending = variance_order(statistics)[::-1]
    if len(ascending) < N_DECILES:
        raise SelectionError(
            f"{statistics.point} has {len(ascending)} channels, too few for {N_DECILES} deciles"
        )
    own = np.array_split(ascending, N_DECILES)[number - 1]
    if 2 * len(own) < k:
        raise SelectionError(
            f"{statistics.point}: a decile of variance holds {len(own)} of {len(ascending)} "
            f"channels, fewer than half of k = {k}; choose k of at most {2 * len(own)}"
        )
    channels = generator.permutation(own)[:k]
    return neurons(statistics, channels, f"decile_{number}", n_in_decile=len(own), k_wanted=k)


def _register_decile(number: int) -> None:
    end = {1: " (lowest)", N_DECILES: " (highest)"}.get(number, "")

    @register_selector(
        f"decile_{number}",
        label=f"random neurons of decile {number} of variance{end}",
        short=f"decile {number}{end}",
        is_random=True,
    )
    def decile(
        statistics: ChannelStatistics, k: int, generator: np.random.Generator
    ) -> NeuronSelection:
        """K channels at random of one tenth of the channels by variance; all where it has fewer."""
        return _decile(statistics, k, number, generator)


for _number in range(1, N_DECILES + 1):
    _register_decile(_number)
GROUPS["deciles"] = tuple(f"decile_{number}" for number in range(1, N_DECILES + 1))


TRIM = 0.1
"""Share of a channel's tokens that :func:`trimmed_variance` drops at either end."""
_NORMAL = 0.6744897501960817  # median absolute deviation of a standard normal; 1 / 1.4826


@register_selector("mad", label="median absolute deviation", short="MAD", needs_tokens=True)
def mad(statistics: ChannelStatistics, k: int, generator: np.random.Generator) -> NeuronSelection:
    """The k channels of highest (1.4826 x median absolute deviation)^2 (robust variance).

    The factor makes it the variance where the tokens are normally distributed (Rousseeuw and Croux,
    "Alternatives to the Median Absolute Deviation", JASA 1993). Up to half of the tokens may be
    moved without the estimate leaving all bounds. It is robust against few tokens only: a channel
    with a wide bulk stays first, as channel 41 of ViT-Ti does.
    """
    from scipy.stats import median_abs_deviation

    deviation = median_abs_deviation(statistics.tokens, axis=0, scale=_NORMAL)
    return _highest(statistics, np.square(deviation, dtype=np.float64), k, "mad")


@register_selector("trimmed_variance", needs_tokens=True)
def trimmed_variance(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """The k channels of highest variance without each one's lowest and highest 10 % of tokens.

    The numbers of tokens dropped are rounded down. It is smaller than the variance even without
    outliers, by the same factor in all channels of one shape of distribution.
    """
    from scipy.stats import trimboth

    kept = trimboth(statistics.tokens, TRIM, axis=0)
    return _highest(statistics, kept.var(axis=0, dtype=np.float64), k, "trimmed_variance")


def _highest(
    statistics: ChannelStatistics, scores: Float[np.ndarray, " channel"], k: int, selector: str
) -> NeuronSelection:
    """Channels by descending score; equal scores keep the order of their index."""
    channels = np.argsort(-scores, kind="stable")[:k]
    return neurons(statistics, channels, selector, scores[channels])
