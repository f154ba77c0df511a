"""A greedy coreset: fewer normal tokens that still cover the rest."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.errors import ConfigError


def greedy_coreset(
    tokens: Float[Tensor, "token k"], size: int, *, seed: int = 0
) -> Int[Tensor, " size"]:
    """Choose tokens by farthest-point traversal.

    Each step takes the token farthest (Euclidean) from those taken, which bounds the covering
    radius by twice the best possible (Gonzalez, 1985, "Clustering to minimize the maximum
    intercluster distance"). PatchCore (Roth et al., CVPR 2022) thins its memory the same way.

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
    """
    if not 1 <= size <= len(tokens):
        raise ConfigError(f"coreset size must be between 1 and {len(tokens)}, not {size}")
    generator = torch.Generator().manual_seed(seed)
    taken = torch.empty(size, dtype=torch.long)
    current = int(torch.randint(len(tokens), (1,), generator=generator))
    nearest = torch.full((len(tokens),), torch.inf, device=tokens.device)
    for step in range(size):
        taken[step] = current
        nearest = torch.minimum(nearest, (tokens - tokens[current]).square().sum(1))
        nearest[current] = -1.0  # never twice, also among duplicates
        current = int(nearest.argmax())
    return taken
