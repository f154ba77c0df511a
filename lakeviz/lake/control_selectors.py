"""Further controls: a channel exchanged, rotated streams, rescaled channels, deciles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lakeviz.errors import SelectionError
from lakeviz.lake.selection import NeuronSelection, SubspaceSelection
from lakeviz.lake.selector_registry import GROUPS, neurons, register_selector, variance_order

if TYPE_CHECKING:
    from lakeviz.activations.statistics import ChannelStatistics

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
