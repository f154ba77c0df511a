"""Normalisations of patch tokens before they are compared (the paper does not specify one)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations.statistics import ChannelStatistics
from lakeviz.errors import ConfigError
from lakeviz.lake.options import KINDS
from lakeviz.settings import check_choice

_EPSILON = 1e-6


def standardiser(statistics: ChannelStatistics) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel as tensors; constant channels get deviation 1."""
    deviation = torch.from_numpy(statistics.variance).sqrt()
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    return torch.from_numpy(statistics.mean).float(), deviation.float()


def normalise(
    tokens: Float[Tensor, "*token channel"],
    kind: str,
    standard: tuple[Tensor, Tensor] | None = None,
) -> Float[Tensor, "*token channel"]:
    """Apply one kind of normalisation along the last axis.

    Parameters
    ----------
    tokens : Tensor [..., channel]
    kind : str
        One of :data:`~lakeviz.lake.options.KINDS`; ``"layernorm"`` adds 1e-6 to the variance.
    standard : (mean, deviation), optional
        Needed by ``"zscore"``.

    Raises
    ------
    ConfigError
        On an unknown kind, or a z-score without mean and deviation.
    """
    if kind == "layernorm":
        return torch.nn.functional.layer_norm(tokens, tokens.shape[-1:], eps=_EPSILON)
    if kind == "l2":
        return torch.nn.functional.normalize(tokens, dim=-1, eps=1e-12)
    if kind == "zscore":
        if standard is None:
            raise ConfigError("zscore needs the mean and deviation of the normal tokens")
        mean, deviation = (t.to(tokens.device, tokens.dtype) for t in standard)
        return (tokens - mean) / deviation
    check_choice("normalisation", kind, KINDS)
    return tokens
