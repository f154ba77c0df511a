"""Massive activations: single channels of single tokens far above all others of their token.

Sun et al., "Massive Activations in Large Language Models" (COLM 2024), call an activation massive
if its magnitude is above 100 and about 1000 times the median magnitude of its hidden state. Darcet
et al., "Vision Transformers Need Registers" (ICLR 2024), find tokens of high norm in the background
of ViTs. In small ViTs they are smaller, so the rule here has no absolute number and compares within
the token: magnitude above :data:`MASSIVE_RATIO` times the median magnitude of the token's channels.
The rule needs no other token, so it can be applied as tokens stream by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MASSIVE_RATIO = 50.0
"""How many times the median magnitude of its token an activation must be to be massive.

In ViT-Ti on four data sets, ordinary tokens reach 25 and massive ones start at 100; a token of
independent Gaussian channels stays below 10.
"""
FEWEST_CHANNELS = 16
"""With fewer channels a median says too little, and no activation is called massive."""


def massive_activations(
    tokens: Float[Tensor, "*token channel"],
) -> Bool[Tensor, "*token channel"]:
    """Find the massive activations of tokens.

    Zeros are left out of the median, or every active channel of a rectified token would be massive.
    """
    size = tokens.detach().float().abs()
    if size.shape[-1] < FEWEST_CHANNELS:
        return torch.zeros_like(size, dtype=torch.bool)
    if bool((size == 0).any()):
        median = size.masked_fill(size == 0, torch.nan).nanmedian(-1, keepdim=True).values
        median = median.nan_to_num(0)  # a token of zeros has no massive activation: 0 > 0 is false
    else:
        median = size.median(-1, keepdim=True).values
    return size > MASSIVE_RATIO * median


def massive_tokens(tokens: Float[Tensor, "*token channel"]) -> Bool[Tensor, "*token"]:
    """Find the tokens with at least one massive activation."""
    return massive_activations(tokens).any(-1)


def ordinary_tokens(tokens: Float[Tensor, "*token channel"]) -> Float[Tensor, "1 token channel"]:
    """Take the tokens without a massive activation, of all images in one row."""
    return tokens[~massive_tokens(tokens)][None]


def without_massive_tokens(
    batches: Iterable[Mapping[str, Float[Tensor, "image token channel"]]],
) -> Iterator[dict[str, Float[Tensor, "1 token channel"]]]:
    """Yield batches of tokens by hook point without their massive tokens."""
    for batch in batches:
        yield {point: ordinary_tokens(tokens) for point, tokens in batch.items()}
