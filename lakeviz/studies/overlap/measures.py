"""Measures of how much two selections, two rankings or two subspaces have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from lakeviz.errors import SelectionError
from lakeviz.lake import NeuronSelection, Selection
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
