"""The memory of normal patch tokens, and the exact nearest-neighbour distance to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.activations.statistics import channel_range
from lakeviz.errors import ConfigError, NotFittedError

DISTANCES: tuple[str, ...] = ("cosine", "euclidean")


@dataclass(frozen=True)
class Neighbours:
    """The nearest gallery tokens of each query, nearest first."""

    distances: Float[Tensor, "query neighbour"]
    indices: Int[Tensor, "query neighbour"]


class Gallery:
    """Normal patch tokens in the chosen channels, searched exactly.

    Parameters
    ----------
    tokens : Tensor [token, k]
        Normal patch tokens, already restricted to the selection. Kept as float32.
    distance : str
        ``"cosine"`` (1 - cosine similarity, in [0, 2]; a zero vector is at distance 1 from all) or
        ``"euclidean"``.
    neighbours : int
        A query's score is its mean distance to this many nearest tokens.
    memory_mb : float
        Size of the block of distances held at a time.

    Raises
    ------
    ConfigError
        On an unknown distance or ``neighbours`` out of range.
    NotFittedError
        If there is no token.
    """

    def __init__(
        self,
        tokens: Float[Tensor, "token k"],
        *,
        distance: str = "cosine",
        neighbours: int = 1,
        memory_mb: float = 32.0,
    ):
        if distance not in DISTANCES:
            raise ConfigError(f"distance must be one of {', '.join(DISTANCES)}, not {distance!r}")
        if len(tokens) == 0:
            raise NotFittedError("the gallery is empty: no normal patch token was given")
        if not 1 <= neighbours <= len(tokens):
            raise ConfigError(
                f"neighbours must be between 1 and the {len(tokens)} tokens of the gallery, "
                f"not {neighbours}"
            )
        channel_range(tokens, "gallery")
        self.tokens = tokens.detach().float().contiguous()
        self.distance = distance
        self.neighbours = neighbours
        self.memory_mb = memory_mb
        # Euclidean search uses |q|^2 + |g|^2 - 2 q.g, which loses digits far from the origin.
        self._centre = self.tokens.mean(0) if distance == "euclidean" else None
        self._prepared = self._prepare(self.tokens)
        self._half_norms = 0.5 * self._prepared.square().sum(1) if distance == "euclidean" else None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def k(self) -> int:
        """Number of channels (or dimensions) of the tokens."""
        return self.tokens.shape[1]

    def to(self, device: str | torch.device) -> Gallery:
        """Return the gallery on another device."""
        return Gallery(
            self.tokens.to(device),
            distance=self.distance,
            neighbours=self.neighbours,
            memory_mb=self.memory_mb,
        )

    def _prepare(self, tokens: Tensor) -> Tensor:
        if self._centre is not None:
            return tokens - self._centre
        return torch.nn.functional.normalize(tokens, dim=1, eps=1e-30)

    def search(
        self, queries: Float[Tensor, "query k"], neighbours: int | None = None
    ) -> Neighbours:
        """Find the nearest gallery tokens of each query.

        Parameters
        ----------
        queries : Tensor [query, k]
        neighbours : int, optional
            How many; the gallery's own number by default.

        Returns
        -------
        Neighbours
            Distances are recomputed from the pair itself, so a query that lies in the gallery has
            distance 0 within float32 rounding.
        """
        n = self.neighbours if neighbours is None else neighbours
        queries = queries.float()
        prepared = self._prepare(queries)
        rows = max(1, int(self.memory_mb * 2**20 / (4 * len(self))))
        found = [self._closeness(block, n) for block in prepared.split(rows)]
        indices = torch.cat(found) if found else torch.zeros((0, n), dtype=torch.long)
        return Neighbours(self._pair_distances(prepared, indices), indices)

    def _closeness(self, block: Tensor, n: int) -> Tensor:
        closeness = block @ self._prepared.T
        if self._half_norms is not None:
            closeness -= self._half_norms
        if n == 1:
            return closeness.argmax(1, keepdim=True)
        return closeness.topk(n, dim=1).indices

    def _pair_distances(self, prepared: Tensor, indices: Tensor) -> Tensor:
        columns = []
        for column in indices.unbind(1):
            pair = self._prepared[column]
            if self.distance == "cosine":
                columns.append((1 - (prepared * pair).sum(1)).clamp(0, 2))
            else:
                columns.append((prepared - pair).norm(dim=1))
        return torch.stack(columns, dim=1)

    def score(self, queries: Float[Tensor, "*query k"]) -> Float[Tensor, "*query"]:
        """Mean distance of each query to its nearest normal tokens."""
        flat = queries.reshape(-1, queries.shape[-1])
        return self.search(flat).distances.mean(1).reshape(queries.shape[:-1])
