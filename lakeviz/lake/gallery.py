"""The gallery of normal patch tokens: normalised, thinned, and searched exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.activations.statistics import ChannelStatistics, check_finite, is_finite
from lakeviz.errors import ActivationError, ConfigError, NotFittedError
from lakeviz.lake.options import KINDS, check_search
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


_CACHE_BYTES, _FEWEST_ROWS = 4 * 2**20, 128


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
    typical_distance : float
        Of held-out normal tokens, which distances are divided by; where it is infinite they are 0.

    Raises
    ------
    ConfigError
        On an unknown distance, ``neighbours`` out of range, or an empty gallery.
    NotFittedError
        If there is no token.
    ActivationError
        If a token is NaN or infinite.
    """

    def __init__(
        self,
        tokens: Float[Tensor, "token k"],
        *,
        distance: str = "cosine",
        neighbours: int = 1,
        memory_mb: float = 32.0,
        typical_distance: float = 1.0,
    ):
        check_search(distance, neighbours, memory_mb)
        if len(tokens) == 0:
            raise NotFittedError("the gallery is empty: no normal patch token was given")
        if neighbours > len(tokens):
            raise ConfigError(
                f"the gallery has {len(tokens)} tokens, so no {neighbours} neighbours"
            )
        check_finite(tokens, "gallery")
        self.tokens = tokens.detach().float().contiguous()
        self.distance = distance
        self.neighbours = neighbours
        self.memory_mb = memory_mb
        self.typical_distance = typical_distance
        # Euclidean search uses |q|^2 + |g|^2 - 2 q.g, which loses digits far from the origin.
        self._centre = self.tokens.mean(0) if distance == "euclidean" else None
        self.prepared = self.prepare(self.tokens)
        self.offset = -0.5 * self.prepared.square().sum(1) if distance == "euclidean" else None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def k(self) -> int:
        """Number of channels (or dimensions) of the tokens."""
        return self.tokens.shape[1]

    def to(self, device: str | torch.device) -> Gallery:
        """Return the gallery on another device."""
        return self.of(self.tokens.to(device))

    def of(self, tokens: Float[Tensor, "token k"]) -> Gallery:
        """Return a gallery of other tokens that is searched in the same way."""
        return Gallery(
            tokens,
            distance=self.distance,
            neighbours=self.neighbours,
            memory_mb=self.memory_mb,
            typical_distance=self.typical_distance,
        )

    def prepare(self, tokens: Float[Tensor, "token k"]) -> Float[Tensor, "token k"]:
        """Bring tokens to the form that is searched: unit length (cosine) or centred (Euclidean).

        The nearest gallery token of a prepared query ``q`` is the one of largest
        ``prepared @ q + offset`` (no offset for cosine).
        """
        if self._centre is not None:
            return tokens - self._centre
        # In double precision no length under- or overflows, so scaling never changes a distance.
        length = torch.linalg.vector_norm(tokens, dim=1, keepdim=True, dtype=torch.float64)
        return tokens / length.masked_fill(length == 0, 1.0).float()

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
            Distances are recomputed from the differences of the pairs found, so a query that
            lies in the gallery has distance 0.

        Raises
        ------
        ConfigError
            If ``neighbours`` is out of range or the queries have another number of channels.
        ActivationError
            If a query is NaN or infinite.
        """
        n = self.neighbours if neighbours is None else neighbours
        if not 1 <= n <= len(self):
            raise ConfigError(f"neighbours must be between 1 and {len(self)}, not {n}")
        if queries.shape[-1] != self.k:
            raise ConfigError(f"queries have {queries.shape[-1]} channels, the gallery {self.k}")
        prepared = self.prepare(queries.detach().float())
        indices = self._nearest(prepared, n)
        distances = self.pair_distances(prepared, indices)
        if not is_finite(distances):
            bad = (~torch.isfinite(distances)).any(1)
            raise ActivationError(
                f"{int(bad.sum())} of {len(queries)} queries are NaN, infinite or too large for "
                f"float32 (first is query {int(bad.nonzero()[0])})"
            )
        if n > 1:  # the recomputed distances can differ from the search's order by rounding
            distances, order = distances.sort(dim=1)
            indices = indices.gather(1, order)
        return Neighbours(distances, indices)

    def _nearest(self, prepared: Tensor, n: int) -> Int[Tensor, "query neighbour"]:
        """Indices of the ``n`` tokens of largest inner product (less half their squared length)."""
        rows = max(1, min(len(prepared), self._block_rows(prepared.device.type)))
        buffer = prepared.new_empty((rows, len(self)))
        found = prepared.new_empty((len(prepared), n), dtype=torch.long)
        for start in range(0, len(prepared), rows):
            block = prepared[start : start + rows]
            closeness = buffer[: len(block)]
            if self.offset is None:
                torch.mm(block, self.prepared.T, out=closeness)
            else:
                torch.addmm(self.offset, block, self.prepared.T, out=closeness)
            found[start : start + len(block)] = _largest(closeness, n)
        return found

    def _block_rows(self, device_type: str) -> int:
        """Queries per block of distances."""
        per_row = 4 * len(self)
        rows = int(self.memory_mb * 2**20 / per_row)
        if device_type == "cpu":
            # A block that stays in the cache is written and searched fastest, unless it gets so
            # narrow that the gallery is read from memory for a few queries only.
            rows = min(rows, max(_CACHE_BYTES // per_row, _FEWEST_ROWS))
        return rows

    def pair_distances(
        self, prepared: Float[Tensor, "query k"], indices: Int[Tensor, "query neighbour"]
    ) -> Float[Tensor, "query neighbour"]:
        """Distances of prepared queries to given gallery tokens; differentiable."""
        columns = []
        for column in indices.unbind(1):
            pair = self.prepared[column]
            apart = torch.linalg.vector_norm(prepared - pair, dim=1)
            if self.distance == "cosine":
                # 1 - a.b of unit vectors, without the cancellation; a zero vector has a.b = 0.
                zeros = (prepared == 0).all(1).float() + (pair == 0).all(1).float()
                apart = (0.5 * (apart.square() + zeros)).clamp(max=2)
            columns.append(apart)
        found = torch.stack(columns, dim=1)
        return found if self.typical_distance == 1 else found / self.typical_distance

    def score(self, queries: Float[Tensor, "*query k"]) -> Float[Tensor, "*query"]:
        """Mean distance of each query to its nearest normal tokens."""
        flat = queries.reshape(-1, queries.shape[-1])
        return self.search(flat).distances.mean(1).reshape(queries.shape[:-1])


def _largest(values: Float[Tensor, "row column"], n: int) -> Int[Tensor, "row n"]:
    if n > 1:
        return values.topk(n, dim=1).indices
    if values.device.type == "cpu":
        # numpy's argmax is vectorised where torch's is not: a twentieth of the search, not a half.
        return torch.from_numpy(values.numpy().argmax(axis=1))[:, None]
    return values.argmax(1, keepdim=True)
