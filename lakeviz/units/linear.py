"""Units that are linear in the channels: neurons, other bases, directions; and attention heads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations.tokens import neurons_of
from lakeviz.errors import ConfigError
from lakeviz.units.base import Chosen, Tokens, Units, Values

if TYPE_CHECKING:
    from lakeviz.activations.statistics import ChannelStatistics
    from lakeviz.models import VisionModel


@dataclass(frozen=True, repr=False)
class ChannelUnits(Units):
    """The channels themselves: neurons."""

    point: str
    n_channels: int
    name: str = "neurons"
    source: str = "channels"
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_units(self) -> int:  # type: ignore[override]
        """As many as there are channels."""
        return self.n_channels

    @property
    def _content(self) -> Sequence[Any]:
        return [self.n_channels]

    def encode(self, tokens: Tokens) -> Values:
        """Return the tokens themselves."""
        return self._checked(tokens)

    def decode(self, values: Values) -> Tokens:
        """Return the activations themselves."""
        return values

    def replace(self, tokens: Tokens, units: Sequence[int], values: Chosen) -> Tokens:
        """Give some channels other values."""
        changed = self._checked(tokens).clone()
        changed[..., self._index(units, tokens)] = torch.as_tensor(values).to(changed)
        return changed


@dataclass(frozen=True, repr=False)
class LinearUnits(Units):
    """Directions in the space of channels; the activation is the inner product.

    Several are replaced together along the shortest change that gives each of them its value
    (their pseudo-inverse): ablated ones are projected out.

    Parameters
    ----------
    point : str
    rows : float tensor [unit, channel]
    name, source : str
    made : mapping, optional
    """

    point: str
    rows: Float[Tensor, "unit channel"]
    name: str
    source: str
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_channels(self) -> int:  # type: ignore[override]
        """Width of the tokens."""
        return self.rows.shape[1]

    @property
    def n_units(self) -> int:  # type: ignore[override]
        """Number of directions."""
        return self.rows.shape[0]

    @property
    def _content(self) -> Sequence[Any]:
        return [self.rows]

    def encode(self, tokens: Tokens) -> Values:
        """Inner product of every token with every direction."""
        tokens = self._checked(tokens)
        return tokens @ self.rows.to(tokens).T

    def decode(self, values: Values) -> Tokens:
        """Shortest tokens of these activations."""
        return values @ torch.linalg.pinv(self.rows.double()).to(values).T

    def replace(self, tokens: Tokens, units: Sequence[int], values: Chosen) -> Tokens:
        """Give some directions other values; what is orthogonal to them stays."""
        tokens = self._checked(tokens)
        rows = self.rows[self._index(units, self.rows)]
        change = torch.as_tensor(values).to(tokens) - tokens @ rows.to(tokens).T
        return tokens + change @ torch.linalg.pinv(rows.double()).to(tokens).T


@dataclass(frozen=True, repr=False)
class HeadUnits(Units):
    """Attention heads: a head is a group of channels, and its activation their length.

    Parameters
    ----------
    point : str
    n_units : int
        Number of heads.
    n_channels : int
        Of all heads together, side by side.
    """

    point: str
    n_units: int
    n_channels: int
    name: str = "attention heads"
    source: str = "heads"
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def _content(self) -> Sequence[Any]:
        return [self.n_units, self.n_channels]

    def encode(self, tokens: Tokens) -> Values:
        """Length of what each head gives a token."""
        return self._checked(tokens).unflatten(-1, (self.n_units, -1)).norm(dim=-1)

    def decode(self, values: Values) -> Tokens:
        """Not defined: a length has no direction."""
        raise ConfigError(f"{self.point}: the length of what a head gives does not make a token")

    def reconstruct(self, tokens: Tokens) -> Tokens:
        """All of the tokens: the heads together hold every channel."""
        return self._checked(tokens)

    def replace(self, tokens: Tokens, units: Sequence[int], values: Chosen) -> Tokens:
        """Scale what some heads give to other lengths."""
        parts = self._checked(tokens).unflatten(-1, (self.n_units, -1)).clone()
        index = self._index(units, parts)
        own = parts[..., index, :]
        wanted = torch.as_tensor(values).to(own).expand(own.shape[:-1])
        parts[..., index, :] = torch.nn.functional.normalize(own, dim=-1) * wanted[..., None]
        return parts.flatten(-2)

    def exchange(self, tokens: Tokens, source: Tokens, units: Sequence[int]) -> Tokens:
        """Give some heads all that they give in other tokens, not its length alone."""
        parts, others = (
            self._checked(one).unflatten(-1, (self.n_units, -1)).clone() for one in (tokens, source)
        )
        index = self._index(units, parts)
        parts[..., index, :] = others[..., index, :].to(parts)
        return parts.flatten(-2)


def channels(model: VisionModel, point: str) -> ChannelUnits:
    """Neurons of a hook point."""
    (point,) = model.tower.resolve(point)
    return ChannelUnits(point, neurons_of(model.tower, point))


def heads(model: VisionModel, point: str) -> HeadUnits:
    """Attention heads of a hook point with an axis of heads, such as ``attn.hook_z``.

    Raises
    ------
    ConfigError
        If the hook point has no heads.
    """
    (point,) = model.tower.resolve(point)
    found = model.tower.points[point]
    sizes = dict(zip(found.axes[1:], found.sizes, strict=True))
    if list(sizes)[:2] != ["token", "head"]:
        raise ConfigError(f"{point} has no heads; take blocks.L.attn.hook_z or hook_result")
    return HeadUnits(point, sizes["head"], math.prod(found.sizes[1:]))


def rotated(model: VisionModel, point: str, seed: int = 0) -> LinearUnits:
    """A uniformly random orthonormal basis: neurons of a rotated stream."""
    from scipy.stats import ortho_group

    (point,) = model.tower.resolve(point)
    basis = ortho_group.rvs(neurons_of(model.tower, point), random_state=seed)
    return LinearUnits(point, torch.from_numpy(basis).float(), "rotated units", f"seed {seed}")


def principal_components(statistics: ChannelStatistics, n: int | None = None) -> LinearUnits:
    """Principal components of the tokens that were seen, the largest first.

    Tokens are projected as they are, not centred.

    Parameters
    ----------
    statistics : ChannelStatistics
        With covariance.
    n : int, optional
        All by default.
    """
    _, vectors = np.linalg.eigh(statistics.covariance)
    rows = torch.from_numpy(np.ascontiguousarray(vectors[:, ::-1].T[:n])).float()
    source = f"covariance of {statistics.count} tokens"
    return LinearUnits(statistics.point, rows, "principal components", source)


def directions(
    point: str, vectors: Float[Tensor, "unit channel"], source: str, name: str = "directions"
) -> LinearUnits:
    """Directions that are given, such as rows of a class head or text directions, at unit length.

    Raises
    ------
    ConfigError
        If they are no matrix, or one of them has no length or is not finite.
    """
    rows = torch.as_tensor(vectors).detach().float()
    if rows.ndim != 2:
        raise ConfigError(f"{source}: directions are [unit, channel], not {list(rows.shape)}")
    length = rows.norm(dim=1, keepdim=True)
    bad = ~(torch.isfinite(length) & (length > 0))
    if bad.any():
        raise ConfigError(f"{source}: direction {int(bad.nonzero()[0, 0])} has no length")
    return LinearUnits(point, rows / length, name, source)
