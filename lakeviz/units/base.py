"""Units: directions that are read at a hook point, of which neurons are one kind."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations.tokens import neurons_of
from lakeviz.errors import ActivationError, ConfigError, SelectionError
from lakeviz.journal import fingerprint

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

Tokens = Float[Tensor, "*token channel"]
Values = Float[Tensor, "*token unit"]
Chosen = Float[Tensor, "*token chosen"] | float
"""Activations of some units, in the order in which they are named."""


class Units(ABC):
    """Units of one hook point: from tokens to unit activations, and back.

    Attributes
    ----------
    point : str
        Hook point they are read at.
    name : str
        What they are, such as ``"SAE latents"``.
    source : str
        Where they come from: a file, a seed.
    made : mapping
        What they were made for, where that is known: ``model_name`` and ``weights_hash``.
    n_channels : int
        Width of the tokens they are read from.
    n_units : int
        How many there are.
    """

    point: str
    name: str
    source: str
    made: Mapping[str, Any]
    n_channels: int
    n_units: int

    @abstractmethod
    def encode(self, tokens: Tokens) -> Values:
        """Unit activations of tokens."""

    @abstractmethod
    def decode(self, values: Values) -> Tokens:
        """Tokens of unit activations.

        Raises
        ------
        ConfigError
            If unit activations alone do not make a token.
        """

    @abstractmethod
    def replace(self, tokens: Tokens, units: Sequence[int], values: Chosen) -> Tokens:
        """Give some units other activations; all else of the tokens stays as it is.

        What the units do not explain of a token (the error of an autoencoder) stays too.
        """

    def exchange(self, tokens: Tokens, source: Tokens, units: Sequence[int]) -> Tokens:
        """Give some units the activations that they have in other tokens."""
        return self.replace(tokens, units, self.encode(source)[..., list(units)])

    def ablate(self, tokens: Tokens, units: Sequence[int]) -> Tokens:
        """Set the activations of some units to 0."""
        return self.replace(tokens, units, 0.0)

    def reconstruct(self, tokens: Tokens) -> Tokens:
        """What the units hold of the tokens."""
        return self.decode(self.encode(tokens))

    @property
    @abstractmethod
    def _content(self) -> Sequence[Any]:
        """Tensors and plain settings that the activations depend on."""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the hook point and of all that the activations depend on."""
        plain = [p.cpu().numpy() if isinstance(p, Tensor) else p for p in self._content]
        return fingerprint(type(self).__name__, self.point, *plain)

    def describe(self) -> dict[str, Any]:
        """Name, source and hash, as results carry them."""
        return {
            "name": self.name,
            "source": self.source,
            "hash": self.hash,
            "n_units": self.n_units,
        }

    def check(self, model: VisionModel) -> None:
        """Refuse a model that they do not belong to.

        Raises
        ------
        UnknownHookPointError
            If it has no such hook point.
        ConfigError
            If its tokens have another width there, or they were made for another model.
        """
        width = neurons_of(model.tower, self.point)
        if width != self.n_channels:
            raise ConfigError(
                f"{self.source}: {self.name} read {self.n_channels} channels, and {self.point} of "
                f"{model.name} has {width}; take units of this model and hook point"
            )
        known = self.made.get("weights_hash")
        if known is not None:
            fits = known == model.weights_hash
        else:
            named = _plain_name(self.made.get("model_name") or "")
            own = _plain_name(model.name)
            fits = not named or own in named or named in own
        if not fits:
            raise ConfigError(
                f"{self.source}: {self.name} were made for {self.made.get('model_name')}, and this "
                f"model is {model.name} with other weights or another name; if they belong "
                "together, load them with model_name=None, weights_hash=None"
            )

    def _checked(self, tokens: Tensor) -> Tensor:
        if tokens.shape[-1] != self.n_channels:
            raise ActivationError(
                f"{self.source}: {self.name} read {self.n_channels} channels of {self.point}, and "
                f"the tokens have {tokens.shape[-1]}"
            )
        return tokens if tokens.is_floating_point() and tokens.itemsize > 2 else tokens.float()

    def _index(self, units: Sequence[int], like: Tensor) -> Tensor:
        outside = [u for u in units if not 0 <= u < self.n_units]
        if outside:
            raise SelectionError(
                f"{self.point} has {self.name} 0 to {self.n_units - 1}, not {outside[0]}"
            )
        return torch.as_tensor(list(units), dtype=torch.long, device=like.device)

    def __repr__(self) -> str:
        return f"<{self.n_units} {self.name} at {self.point}, from {self.source}>"


def _plain_name(name: str) -> str:
    """Name of a model without its owner and punctuation, to compare names of several libraries."""
    return re.sub(r"[^a-z0-9]", "", re.split(r"[/:]", name)[-1].lower())


def units_by_point(units: Units | Sequence[Units] | None) -> dict[str, Units]:
    """Units of one or several hook points, by hook point.

    Raises
    ------
    ConfigError
        If two are of the same hook point.
    """
    listed = [] if units is None else [units] if isinstance(units, Units) else list(units)
    found = {one.point: one for one in listed}
    if len(found) < len(listed):
        raise ConfigError("two sets of units are of the same hook point; give one for each")
    return found


def encoded(units: Mapping[str, Units], tokens: Mapping[str, Tokens]) -> dict[str, Values]:
    """Tokens with unit activations in place of channels, at the hook points that have units."""
    return {p: units[p].encode(t) if p in units else t for p, t in tokens.items()}
