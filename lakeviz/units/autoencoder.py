"""Latents of a sparse autoencoder or transcoder, whoever trained it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import CheckpointError, ConfigError
from lakeviz.settings import check_choice
from lakeviz.units.base import Chosen, Tokens, Units, Values

ACTIVATIONS = ("relu", "topk", "threshold")
NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")
_EPS = 1e-5


@dataclass(frozen=True, repr=False)
class AutoencoderUnits(Units):
    """Latents ``f((x - b_dec) W_enc + b_enc)``, with reconstruction ``latents W_dec + b_dec``.

    Parameters
    ----------
    point : str
        Hook point it reads.
    w_enc : float tensor [channel, unit]
    b_enc : float tensor [unit]
    w_dec : float tensor [unit, out]
    b_dec : float tensor [out]
    activation : str
        ``"relu"``; ``"topk"``, the ``k`` largest of each token; or ``"threshold"``, those above a
        threshold of their own (JumpReLU, and BatchTopK after training).
    k : int, optional
        For ``"topk"``.
    threshold : float tensor [unit], optional
        For ``"threshold"``.
    signed : bool
        The ``k`` largest keep a negative value, as in saev; else they pass a ReLU.
    subtract : bool
        Whether ``b_dec`` is subtracted first.
    normalisation : str
        Of each token before encoding, undone after decoding: ``"none"``, ``"layer_norm"`` (zero
        mean, unit deviation) or ``"constant_norm_rescale"`` (length ``sqrt(channels)``).
    out_point : str, optional
        Hook point that a transcoder writes to.
    source : str
    made, report : mapping, optional
        What it was made for, and how well it reconstructs.
    """

    point: str
    w_enc: Float[Tensor, "channel unit"]
    b_enc: Float[Tensor, " unit"]
    w_dec: Float[Tensor, "unit out"]
    b_dec: Float[Tensor, " out"]
    activation: str = "relu"
    k: int | None = None
    threshold: Float[Tensor, " unit"] | None = None
    signed: bool = False
    subtract: bool = True
    normalisation: str = "none"
    out_point: str | None = None
    source: str = "given weights"
    made: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, m, out = *self.w_enc.shape, self.w_dec.shape[-1]
        wanted = {"b_enc": (m,), "w_dec": (m, out), "b_dec": (out,)}
        if self.threshold is not None:
            wanted["threshold"] = (m,)
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise CheckpointError(
                    f"{self.source}: {name} is {list(getattr(self, name).shape)}, not "
                    f"{list(shape)}, beside an encoder of {n} channels and {m} latents"
                )
        if self.out_point is None and out != n:
            raise CheckpointError(
                f"{self.source} reads {n} channels and writes {out}: a transcoder; say the hook "
                "point that it writes to with out_point="
            )
        kind = f"{self.source}: the activation"
        check_choice(kind, self.activation, ACTIVATIONS, CheckpointError)
        if self.activation == "topk" and not (self.k and 1 <= self.k <= m):
            raise CheckpointError(f"{self.source}: k must be 1 to {m}, not {self.k}; give k=")
        if self.activation == "threshold" and self.threshold is None:
            raise CheckpointError(f"{self.source} has no threshold; give threshold=")
        if self.normalisation not in NORMALISATIONS:
            raise CheckpointError(
                f"{self.source}: normalisation {self.normalisation!r} is none of "
                f"{', '.join(NORMALISATIONS)}; fold it into the weights"
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """What they are called."""
        return "SAE latents" if self.out_point is None else "transcoder latents"

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        """Width of the tokens it reads."""
        return self.w_enc.shape[0]

    @property
    def n_units(self) -> int:  # type: ignore[override]
        """Number of latents."""
        return self.w_enc.shape[1]

    @property
    def _content(self) -> Sequence[Any]:
        tensors = [self.w_enc, self.b_enc, self.w_dec, self.b_dec]
        tensors += [] if self.threshold is None else [self.threshold]
        plain = [self.activation, self.k, self.signed, self.subtract, self.normalisation]
        return [*tensors, [*plain, self.out_point]]

    def _normalised(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens as they are encoded, and the shift and scale that were taken out."""
        zero, one = tokens.new_zeros(()), tokens.new_ones(())
        if self.normalisation == "layer_norm":
            mean = tokens.mean(-1, keepdim=True)
            deviation = tokens.std(-1, keepdim=True)
            return (tokens - mean) / (deviation + _EPS), mean, deviation
        if self.normalisation == "constant_norm_rescale":
            length = tokens.norm(dim=-1, keepdim=True) / self.n_channels**0.5
            return tokens / length, zero, length
        return tokens, zero, one

    def _latents(self, tokens: Tensor) -> Tensor:
        if self.subtract and self.out_point is None:
            tokens = tokens - self.b_dec.to(tokens)
        before = tokens @ self.w_enc.to(tokens) + self.b_enc.to(tokens)
        if self.activation == "topk":
            assert self.k is not None
            values, index = before.topk(self.k, dim=-1)
            values = values if self.signed else values.relu()
            return torch.zeros_like(before).scatter(-1, index, values)
        if self.activation == "threshold":
            assert self.threshold is not None
            return torch.where(before > self.threshold.to(before), before.relu(), 0.0)
        return before.relu()

    def encode(self, tokens: Tokens) -> Values:
        """Latents of tokens."""
        return self._latents(self._normalised(self._checked(tokens))[0])

    def decode(self, values: Values) -> Float[Tensor, "*token out"]:
        """Tokens of latents: what a transcoder writes, or what an autoencoder reads again.

        Raises
        ------
        ConfigError
            If mean or length of each token were taken out, which latents do not know.
        """
        if self.normalisation != "none":
            raise ConfigError(
                f"{self.source} takes mean or length out of each token ({self.normalisation}), and "
                "latents do not know them; use reconstruct(tokens)"
            )
        return values @ self.w_dec.to(values) + self.b_dec.to(values)

    def reconstruct(self, tokens: Tokens) -> Float[Tensor, "*token out"]:
        """Tokens without the error of the autoencoder; of a transcoder, what it writes."""
        seen, shift, scale = self._normalised(self._checked(tokens))
        latents = self._latents(seen)
        found = latents @ self.w_dec.to(latents) + self.b_dec.to(latents)
        return found if self.out_point is not None else found * scale + shift

    def replace(self, tokens: Tokens, units: Sequence[int], values: Chosen) -> Tokens:
        """Move tokens along the decoder of some latents; the error of the autoencoder stays.

        Raises
        ------
        ConfigError
            For a transcoder, whose latents act at another hook point.
        """
        if self.out_point is not None:
            raise ConfigError(
                f"{self.source}: a transcoder reads {self.point} and writes {self.out_point}, so "
                "its latents cannot be replaced where they are read; use decode"
            )
        seen, _, scale = self._normalised(self._checked(tokens))
        index = self._index(units, tokens)
        change = torch.as_tensor(values).to(seen) - self._latents(seen)[..., index]
        return tokens + (change @ self.w_dec.to(seen)[index]) * scale
