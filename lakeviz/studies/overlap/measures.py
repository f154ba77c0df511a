"""How much two selections, rankings or subspaces have in common, and what is expected by chance.

Without a common cause there are two nulls with p-values, and one comparison:

* ``hypergeometric``: two random sets of the same size. Ruled out by any common preference.
* ``permutation``: neurons that the *other* items rank alike change places. What is left then is
  shared by these two beyond what the variances of the model say for any input.
* ``matched``: other neurons of nearly the same variance, one set for each side. A comparison and
  no test: the draws of one pair all come from the few channels next to its two selections, so they
  vary less than the overlap of independent selections does (a p-value from them would call 18 % of
  independent pairs alike at a level of 5 %).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import binom, hypergeom, rankdata

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import SelectionError
from lakeviz.lake import NeuronSelection, Selection, select
from lakeviz.metrics.estimates import quantile_interval


def jaccard(n_shared: int | np.ndarray, k: int) -> float | np.ndarray:
    """Size of the intersection over that of the union, of two sets of ``k`` with so many shared."""
    return n_shared / (2 * k - n_shared)


def rank_biased_overlap(first: Sequence[int], second: Sequence[int], p: float = 0.9) -> float:
    r"""Rank-biased overlap of two top-k lists, extrapolated from depth ``k`` on (RBO_ext).

    .. math:: \frac{X_k}{k} p^k + \frac{1-p}{p} \sum_{d=1}^{k} \frac{X_d}{d} p^d

    where :math:`X_d` is the number of items that the two lists share in their first ``d`` places.
    Unlike a Jaccard index it asks whether the *highest* ranks agree: with ``p = 0.9`` the first
    ten hold 86 % of the weight.

    Webber, Moffat and Zobel, "A Similarity Measure for Indefinite Rankings", ACM TOIS 28(4), 2010.

    Parameters
    ----------
    first, second : sequence of int
        Best first, of the same length, each item once.
    p : float
        Persistence, in (0, 1).

    Examples
    --------
    >>> rank_biased_overlap([7, 3], [3, 7], p=0.5)
    0.5
    """
    k = len(first)
    if k == 0 or len(second) != k or len(set(first)) != k or len(set(second)) != k:
        raise SelectionError("rank-biased overlap needs two lists of one length without repeats")
    if not 0 < p < 1:
        raise SelectionError(f"the persistence of rank-biased overlap is in (0, 1), not {p}")
    place = {item: d for d, item in enumerate(second, start=1)}
    # An item that both lists hold is shared from the deeper of its two places on.
    deeper = [max(d, place[item]) for d, item in enumerate(first, start=1) if item in place]
    depth = np.arange(1, k + 1)
    shared = np.cumsum(np.bincount(deeper, minlength=k + 1)[1:])
    agreement = shared / depth
    return float(agreement[-1] * p**k + (1 - p) / p * (agreement * p**depth).sum())


def spearman_matrix(values: Float[np.ndarray, "item channel"]) -> Float[np.ndarray, "item item"]:
    """Spearman's rank correlation of every two rows; NaN where a row is constant."""
    ranks = rankdata(values, axis=1)
    ranks = ranks - ranks.mean(1, keepdims=True)
    norms = np.linalg.norm(ranks, axis=1)
    norms = np.where(norms > 0, norms, np.nan)
    return (ranks @ ranks.T) / np.outer(norms, norms)


def top_k(values: Float[np.ndarray, "row channel"], k: int) -> Bool[np.ndarray, "row channel"]:
    """Membership in the top ``k`` of each row; equal values keep the order of their index."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    members = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(members, order, True, axis=1)
    return members


def drawn_columns(
    mean: str, prefix: str, draws: np.ndarray | None, confidence: float
) -> dict[str, float]:
    """Columns of draws: ``mean``, and ``PREFIX_quantile_low`` and ``_high``; NaN without draws."""
    values = np.full(1, np.nan) if draws is None else draws.astype(float)
    low, high = quantile_interval(values, confidence)
    ends = {f"{prefix}_quantile_low": low, f"{prefix}_quantile_high": high}
    return {mean: float(values.mean()), **ends}


def projection_kernel(first: Selection, second: Selection) -> float:
    """Normalised projection kernel of two selections, neurons or subspaces alike, in [0, 1].

    The mean squared cosine of the principal angles between the spanned subspaces; for two sets of
    ``k`` neurons it is exactly the share of neurons they have in common, and for two random
    subspaces of dimension ``k`` among ``D`` channels ``k / D`` on average. Subspaces are compared
    by TransformerLens.
    """
    if isinstance(first, NeuronSelection) and isinstance(second, NeuronSelection):
        shared = set(first.channels.tolist()) & set(second.channels.tolist())
        return len(shared) / math.sqrt(first.k * second.k)
    from transformer_lens.tools.analysis import projection_kernel as kernel

    return float(kernel(_basis(first), _basis(second)).normalized)


def _basis(selection: Selection):  # the class has no public name to annotate with
    from transformer_lens.tools.analysis import neuron_basis, orthonormal_subspace

    if isinstance(selection, NeuronSelection):
        matrix = neuron_basis(selection.n_channels, selection.channels).double()
    else:
        matrix = torch.from_numpy(np.ascontiguousarray(selection.basis)).double()
    return orthonormal_subspace(matrix)


STRATUM = 4
"""Channels in a stratum of the ``permutation`` null."""
FEWEST_OTHERS = 8
"""Other items that the ``permutation`` null needs: with fewer, it calls too many pairs alike."""


@dataclass(frozen=True)
class CountNull:
    """Distribution of the number of shared neurons of two sets of ``k`` under a null."""

    probability: Float[np.ndarray, " n_shared"]  # of 0, 1, 2, ... shared neurons
    k: int

    @property
    def expected(self) -> float:
        """Expected number of shared neurons."""
        return float(self.probability @ np.arange(len(self.probability)))

    @property
    def expected_jaccard(self) -> float:
        """Expected Jaccard index (not that of the expected number: it is not linear in it)."""
        shared = np.arange(len(self.probability))
        return float(self.probability @ (shared / (2 * self.k - shared)))

    def p_value(self, n_shared: int) -> float:
        """Probability of so many shared neurons or more."""
        return float(min(self.probability[n_shared:].sum(), 1.0))


def hypergeometric(n_channels: int, k: int) -> CountNull:
    """Two random sets of ``k`` out of ``n_channels``, independent of each other."""
    return CountNull(hypergeom.pmf(np.arange(k + 1), n_channels, k, k), k)


def strata(
    mean_rank: Float[np.ndarray, " channel"], size: int = STRATUM
) -> Int[np.ndarray, " channel"]:
    """Stratum of each channel: ``size`` neighbours in the order of their mean rank."""
    order = np.argsort(mean_rank, kind="stable")
    found = np.empty(len(order), dtype=np.int64)
    # A remainder joins the last stratum, whose channels are the least likely to be selected.
    found[order] = np.minimum(np.arange(len(order)) // size, max(len(order) // size - 1, 0))
    return found


def stratified(
    first: Bool[np.ndarray, " channel"],
    second: Bool[np.ndarray, " channel"],
    stratum: Int[np.ndarray, " channel"],
) -> CountNull:
    """Channels of one stratum change places, independently for both sets: exact.

    Within each stratum the number shared is hypergeometric, and the sum over strata is their
    convolution: the exact conditional test of Mantel and Haenszel (JNCI 1959; exact form: Agresti,
    "Categorical Data Analysis").
    """
    sizes = np.bincount(stratum)
    of_first = np.bincount(stratum[first], minlength=len(sizes))
    of_second = np.bincount(stratum[second], minlength=len(sizes))
    probability = np.ones(1)
    for size, a, b in zip(sizes, of_first, of_second, strict=True):
        if a and b:
            part = hypergeom.pmf(np.arange(min(a, b) + 1), size, a, b)
            probability = np.convolve(probability, part)
    k = int(first.sum())
    return CountNull(np.pad(probability, (0, k + 1 - len(probability))), k)


def matched_draws(
    statistics: ChannelStatistics, k: int, seeds: Int[np.ndarray, " draw"]
) -> Bool[np.ndarray, "draw channel"]:
    """Membership of the ``next_variance`` selector, one draw for each seed."""
    members = np.zeros((len(seeds), statistics.n_channels), dtype=bool)
    for row, seed in zip(members, seeds, strict=True):
        chosen = select(statistics, k, "next_variance", seed=int(seed))
        assert isinstance(chosen, NeuronSelection)
        row[chosen.channels] = True
    return members


def matched_obstacle(n_channels: int, k: int) -> str:
    """Why matched sets say nothing here; empty where they do.

    Where few channels are left outside the selection, all are drawn on both sides, and overlap.
    """
    if n_channels - k >= 2 * k:
        return ""
    return (
        f"k = {k} leaves {n_channels - k} of {n_channels} channels to match from, fewer than "
        "2 k: matched sets are nearly forced"
    )


def at_least(members: Bool[np.ndarray, "item channel"]) -> Int[np.ndarray, " m"]:
    """Number of channels that ``m`` or more of the sets hold, for ``m`` = 1, 2, ..., items."""
    held = members.sum(0)
    return np.array([np.count_nonzero(held >= m) for m in range(1, len(members) + 1)])


def expected_at_least(n_channels: int, k: int, n_items: int) -> Float[np.ndarray, " m"]:
    """Expectation of :func:`at_least` for independent random sets of ``k``: exact, binomial."""
    m = np.arange(1, n_items + 1)
    return n_channels * binom.sf(m - 1, n_items, k / n_channels)


def random_at_least(
    n_channels: int, k: int, n_items: int, n_sets: int, generator: np.random.Generator
) -> Int[np.ndarray, "draw m"]:
    """Draws of :func:`at_least` for independent random sets of ``k``."""
    drawn = []
    for _ in range(n_sets):
        keys = generator.random((n_items, n_channels))
        members = np.zeros(keys.shape, dtype=bool)
        np.put_along_axis(members, np.argpartition(keys, k - 1, axis=1)[:, :k], True, axis=1)
        drawn.append(at_least(members))
    return np.array(drawn)
