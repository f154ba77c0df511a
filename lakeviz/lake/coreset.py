"""A greedy coreset: fewer normal tokens that still cover the rest."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.activations.statistics import check_finite
from lakeviz.errors import ConfigError


def greedy_coreset(
    tokens: Float[Tensor, "token k"], size: int, *, seed: int = 0
) -> Int[Tensor, " size"]:
    """Choose tokens by farthest-point traversal.

    Each step takes the token farthest (Euclidean) from those taken, which bounds the covering
    radius by twice the best possible (Gonzalez, 1985, "Clustering to minimize the maximum
    intercluster distance"). PatchCore (Roth et al., CVPR 2022) thins its memory bank the same way.

    Parameters
    ----------
    tokens : Tensor [token, k]
    size : int
        How many to keep.
    seed : int
        Chooses the first token.

    Returns
    -------
    int Tensor [size]
        Indices in the order taken.

    Raises
    ------
    ConfigError
        If ``size`` is not between 1 and the number of tokens.
    ActivationError
        On NaN or infinite values.
    """
    if not 1 <= size <= len(tokens):
        raise ConfigError(f"coreset size must be between 1 and {len(tokens)}, not {size}")
    check_finite(tokens, "coreset")
    generator = torch.Generator().manual_seed(seed)
    current = torch.randint(len(tokens), (1,), generator=generator).to(tokens.device)
    # |x|^2 - 2 x.c + |c|^2 takes one pass over the tokens; centred, it keeps its digits.
    centred = tokens.float() - tokens.float().mean(0)
    squares = centred.square().sum(1)
    nearest = torch.full_like(squares, torch.inf)
    taken = []
    for _ in range(size):
        taken.append(current)
        distance = torch.addmv(squares, centred, centred[current][0], alpha=-2) + squares[current]
        nearest = torch.minimum(nearest, distance)
        nearest[current] = -torch.inf  # never twice, also among duplicates
        current = nearest.argmax(0, keepdim=True)
    return torch.cat(taken).cpu()
