"""``Decomposition``: what every part of a tower adds to its output, along given directions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError

LEVELS: tuple[str, ...] = ("blocks", "heads")


@dataclass(frozen=True)
class Decomposition:
    """Contributions of every term to the output of some images, along K directions.

    Their sum is the output itself: the model's embedding (or one projected patch token) dotted with
    each direction. With the unit vectors as directions, a contribution is a vector in that space.

    Attributes
    ----------
    embedding : Tensor [image, token, direction]
        Residual stream before the first block, token by token.
    heads : Tensor [image, block, head, direction]
        What each head writes; the bias of its values is part of it, as a pattern sums to one.
    neurons : list of Tensor [image, neuron, direction]
        Per block, what each neuron of the MLP writes, summed over tokens.
    attention_bias, mlp_bias : Tensor [image, block, direction]
        Biases of the output layers.
    pool : Tensor [image, neuron, direction]
        Neurons of an MLP in the attention pool; of width 0 where there is none.
    final_bias : Tensor [image, direction]
        Biases after the last block: final normalisation, pooling, projection.
    output : Tensor [image, direction]
        The model's output along the directions.
    norm : Tensor [image]
        Length of the output.
    sources : Tensor [image, block, head, token, direction] or None
        ``heads`` by the token whose value was moved.
    """

    embedding: Float[Tensor, "image token direction"]
    heads: Float[Tensor, "image block head direction"]
    neurons: list[Float[Tensor, "image neuron direction"]]
    attention_bias: Float[Tensor, "image block direction"]
    mlp_bias: Float[Tensor, "image block direction"]
    pool: Float[Tensor, "image neuron direction"]
    final_bias: Float[Tensor, "image direction"]
    output: Float[Tensor, "image direction"]
    norm: Float[Tensor, " image"]
    sources: Float[Tensor, "image block head token direction"] | None = None

    @property
    def attention(self) -> Float[Tensor, "image block direction"]:
        """All heads and the bias of every block."""
        return self.heads.sum(2) + self.attention_bias

    @property
    def mlp(self) -> Float[Tensor, "image block direction"]:
        """All neurons and the bias of every block."""
        return torch.stack([n.sum(1) for n in self.neurons], dim=1) + self.mlp_bias

    @property
    def total(self) -> Float[Tensor, "image direction"]:
        """Sum of all terms: the model's output, but for rounding."""
        first = self.embedding.sum(1) + self.pool.sum(1) + self.final_bias
        return first + self.attention.sum(1) + self.mlp.sum(1)

    @property
    def by_source(self) -> Float[Tensor, "image token direction"]:
        """What reaches the output from each token: its own embedding, and its values by all heads.

        Raises
        ------
        ConfigError
            If the decomposition was made without sources.
        """
        if self.sources is None:
            raise ConfigError("decompose with sources=True to see source patches")
        return self.embedding + self.sources.sum((1, 2))

    def level(self, name: str) -> dict[str, Float[Tensor, "image direction"]]:
        """All terms at ``"blocks"`` or ``"heads"`` by name; either way they sum to the output.

        Raises
        ------
        ConfigError
            On another name.
        """
        if name not in LEVELS:
            raise ConfigError(f"a level of detail is one of {', '.join(LEVELS)}, not {name!r}")
        found = {"embedding": self.embedding.sum(1)}
        attention, mlp = self.attention, self.mlp
        for block in range(self.heads.shape[1]):
            if name == "blocks":
                found[f"blocks.{block}.attn"] = attention[:, block]
            else:
                for head in range(self.heads.shape[2]):
                    found[f"blocks.{block}.attn.head.{head}"] = self.heads[:, block, head]
                found[f"blocks.{block}.attn.bias"] = self.attention_bias[:, block]
            found[f"blocks.{block}.mlp"] = mlp[:, block]
        if self.pool.shape[1]:
            found["pool.mlp"] = self.pool.sum(1)
        return found | {"final.bias": self.final_bias}

    def unit(self) -> Decomposition:
        """Divide all by the output's length: contributions to the unit vector that cosines use.

        The length is frozen like the deviations of the normalisations.
        """

        def scaled(tensor: Tensor) -> Tensor:
            return tensor / self.norm.reshape(-1, *[1] * (tensor.ndim - 1))

        made: dict[str, Any] = {
            name: scaled(own) for name, own in vars(self).items() if isinstance(own, Tensor)
        }
        made |= {"neurons": [scaled(n) for n in self.neurons], "norm": torch.ones_like(self.norm)}
        return replace(self, **made)
