"""Single knock-outs of all neurons of a gallery at once, exact and cheap.

Leaving channel ``c`` out of query ``q`` and gallery token ``g`` needs no new product of the two:

* Euclidean: ``d^2 - (q_c - g_c)^2``;
* cosine: ``(q.g - q_c g_c) / sqrt((|q|^2 - q_c^2) (|g|^2 - g_c^2))``.

Another token may now be the nearest. A bound spares looking at every query, token and channel: of
the tokens whose intact closeness is at most ``s``, none can come closer without channel ``c`` than
``s`` updated with a value ``g_c`` at one of the ends of the channel's range in the gallery. Tokens
are tried from the closest on, until the best is past the bound; each tier of candidates serves only
the (query, channel) pairs that the one before left open, and the last tier is the whole gallery.
The result is exactly that of a search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lakeviz.activations.statistics import check_finite
from lakeviz.errors import ConfigError
from lakeviz.lake import Gallery
from lakeviz.studies.knockout.leave_one_out_bounds import (
    Candidates,
    Closeness,
    Floor,
    Pairs,
    Products,
    Tokens,
    Values,
    closest,
)

# A channel that holds more of a token's squared length than this is taken out by a new search, as
# the update would subtract nearly everything, and with it the digits.
_LARGEST_SHARE = 0.75
_CANDIDATES, _STEP = 64, 16  # closest tokens of the first tier, and how many are tried at a time
_FEW = 0.02  # pairs left open at which the first tier may end early
_EXTREMES = 32  # tokens at either end of a channel, the second tier
_IDLE = 0.5  # pairs left open by the first tier at which the second is not worth it
_LOST = 0.05  # of the channel's own term left over: subtracting it costs digits, add up the rest
_BLOCK_BYTES, _CACHE_BYTES, _FEWEST_ROWS = 16 * 2**20, 4 * 2**20, 96
_PAIR_ELEMENTS = 2**19  # (pair, token) elements held at a time in the last tier


class SingleKnockouts:
    """Nearest-neighbour distances without one channel, for many channels at once.

    Parameters
    ----------
    gallery : Gallery
        Of one neighbour.
    channels : sequence of int, optional
        Columns of the gallery that are left out, one at a time; all by default.

    Attributes
    ----------
    settled : Counter
        How many (query, channel) pairs of all queries so far each tier settled: by
        ``"candidates"`` and ``"extremes"`` those that the bound made safe there; ``"whole"`` pairs
        looked at the whole gallery; ``"search"`` were searched because the channel dominates.

    Raises
    ------
    ConfigError
        If the gallery averages over several neighbours, a channel is out of range, or the gallery
        has one channel alone.
    """

    def __init__(self, gallery: Gallery, channels: Sequence[int] | None = None):
        if gallery.neighbours != 1:
            raise ConfigError(
                f"single knock-outs are updated for one neighbour, not {gallery.neighbours}"
            )
        if gallery.k < 2:
            raise ConfigError("a gallery of one channel has none left without it")
        chosen = np.arange(gallery.k) if channels is None else np.asarray(channels, dtype=int)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= gallery.k):
            raise ConfigError(f"channels are counted from 0 to {gallery.k - 1}")
        self.gallery, self.channels = gallery, chosen
        self.settled, self._n_pairs = Counter[str](), 0
        self._tokens = gallery.prepared.cpu().numpy()
        self._zero = np.logical_not(self._tokens.any(axis=1))
        self._search = self._dominating()
        self._updated = chosen[~self._search]
        self._rule = Closeness.of(gallery, self._updated, _EXTREMES)
        rows = max(_BLOCK_BYTES // (4 * len(self._tokens)), _FEWEST_ROWS)
        self._products = torch.empty((rows, len(self._tokens)))
        self._seen = np.empty(self._products.numel(), dtype=np.int32)

    @property
    def pruned(self) -> float:
        """Share of the pairs that never looked at the whole gallery."""
        return 1 - (self.settled["whole"] + self.settled["search"]) / max(self._n_pairs, 1)

    def score(self, queries: Float[Tensor, "*query k"]) -> Float[Tensor, "*query channel"]:
        """Distance of each query to its nearest token, without each of the channels.

        Raises
        ------
        ActivationError
            If a query is NaN or infinite.
        """
        flat = queries.reshape(-1, queries.shape[-1]).detach().float().cpu()
        check_finite(flat, "queries")
        prepared = self.gallery.prepare(flat)
        found = np.empty((len(flat), len(self.channels)), dtype=np.float32)
        self._n_pairs += found.size
        for start in range(0, len(flat), len(self._products)):
            block = prepared[start : start + len(self._products)]
            self._fill(block, found[start : start + len(block)])
        self._search_without(flat, prepared.numpy(), found)
        if self.gallery.typical_distance != 1:
            found /= np.float32(self.gallery.typical_distance)
        return torch.from_numpy(found).reshape(*queries.shape[:-1], -1)

    def _fill(self, block: Float[Tensor, "query k"], found: Values) -> None:
        tokens = block.numpy()
        own = np.ascontiguousarray(tokens[:, self._updated])
        if own.size:
            products, candidates = self._search_intact(block)
            nearest = self._nearest(own, products, candidates)
            found[:, ~self._search] = self._exact(tokens, own, nearest)

    def _search_intact(self, block: Tensor) -> tuple[Products, Candidates | None]:
        """Closeness of all tokens to a block of queries, and which are closest."""
        # A few queries at a time: what was just multiplied is still in the cache when searched.
        gallery, few = self.gallery, len(self._tokens) <= 2 * _CANDIDATES
        products = self._products[: len(block)]
        rows = max(_CACHE_BYTES // (4 * len(self._tokens)), _FEWEST_ROWS)
        found = []
        for start in range(0, len(block), rows):
            part = slice(start, start + rows)
            if gallery.offset is None:
                torch.mm(block[part], gallery.prepared.T, out=products[part])
            else:
                torch.addmm(gallery.offset, block[part], gallery.prepared.T, out=products[part])
            if not few:
                found.append(closest(products[part].numpy(), _CANDIDATES))
        return products.numpy(), None if few else Candidates.join(found)

    # --- the nearest token ---

    def _nearest(self, own: Values, products: Products, candidates: Candidates | None) -> Tokens:
        """Index of the token that is nearest without each channel."""
        settled = self.settled
        if candidates is None:  # so few tokens that all are looked at
            best = np.zeros(own.shape, dtype=np.intp)
            row, column = np.indices(own.shape).reshape(2, -1)
        else:
            best, value, floor, (row, column) = self._candidates(own, candidates)
            settled["candidates"] += own.size - row.size
            if row.size < _IDLE * own.size:  # else the bound does not bite: look at all tokens
                left = self._extremes(own, products, (row, column), value, best, floor)
                settled["extremes"] += row.size - left[0].size
                row, column = left
        settled["whole"] += row.size
        step = max(1, _PAIR_ELEMENTS // products.shape[1])
        for start in range(0, row.size, step):
            pairs = row[start : start + step], column[start : start + step]
            best[pairs] = self._rule.of_all(own[pairs], products, pairs).argmax(1)
        return best

    def _candidates(
        self, own: Values, candidates: Candidates
    ) -> tuple[Tokens, Values, Floor, Pairs]:
        """Try the closest tokens, some at a time, until the bound settles most pairs."""
        value = np.full(own.shape, -np.inf, dtype=np.float32)
        slot = np.zeros(own.shape, dtype=np.int8)
        floor, pending = candidates.closeness[:, 0], np.ones(own.shape, dtype=bool)
        for start in range(0, _CANDIDATES, _STEP):
            stop = start + _STEP
            self._rule.improve(own, candidates, range(start, stop), value, slot)
            floor = candidates.closeness[:, stop - 1]
            pending = value < self._rule.bound(floor[:, None], own, self._rule.ends)
            if np.count_nonzero(pending) < _FEW * own.size:
                break
        best = np.take_along_axis(candidates.tokens, slot.astype(np.intp), axis=1)
        row, column = np.nonzero(pending)
        return best, value, floor, (row, column)

    def _extremes(
        self,
        own: Values,
        products: Products,
        pairs: Pairs,
        value: Values,
        best: Tokens,
        floor: Floor,
    ) -> Pairs:
        """Try the tokens at the ends of the channel, which narrows the bound; what is left."""
        row, column = pairs
        a = own[pairs]
        updated = self._rule.of_extremes(a, products, pairs)
        top = updated.argmax(1)
        found, before = updated[np.arange(row.size), top], value[pairs]
        higher = found > before
        best[row[higher], column[higher]] = self._rule.extremes[column, top][higher]
        bound = self._rule.bound(floor[row], a, self._rule.inner_ends[:, column])
        left = np.maximum(found, before) < bound
        return row[left], column[left]

    # --- distances without loss of digits ---

    def _exact(self, block: np.ndarray, own: Values, nearest: Tokens) -> Values:
        """Distance to the nearest token without each channel, from the difference of the two."""
        row, column = np.indices(own.shape, dtype=np.int32).reshape(2, -1)
        token = nearest.reshape(-1)
        apart = self._apart(block, row, token).reshape(own.shape)
        other = self._rule.columns[column, token].reshape(own.shape)
        gap = (own - other) ** 2
        if self.gallery.distance == "euclidean":
            left = apart * apart - gap
            lost = np.flatnonzero((left < _LOST * gap).reshape(-1))
            found = np.where(gap > 0, np.sqrt(np.maximum(left, 0)), apart)
            found.reshape(-1)[lost] = self._without(block, row[lost], token[lost], column[lost])
            return found
        # 1 - (1 - d^2/2 - ab) / sqrt(AB), where A = 1 - a^2 and B = 1 - b^2, without cancellation.
        # (The limit is for pairs that are searched.)
        length = np.sqrt(np.maximum((1 - own * own) * (1 - other * other), np.float32(1e-12)))
        found = (0.5 * apart * apart - gap / (length + 1 - own * other)) / length
        zero = self._zero[nearest] | (block == 0).all(axis=1, keepdims=True)
        return np.where(zero, 1, np.clip(found, 0, 2))

    def _apart(self, block: np.ndarray, row: np.ndarray, token: np.ndarray) -> np.ndarray:
        """Intact distance of each pair; a pair that several channels share is looked at once."""
        key = row * len(self._tokens) + token
        number = np.arange(key.size, dtype=np.int32)
        self._seen[key] = number
        of = self._seen[key]
        one = np.flatnonzero(of == number)
        difference = block[row[one]] - self._tokens[token[one]]
        found = np.empty(key.size, dtype=np.float32)
        found[one] = torch.linalg.vector_norm(torch.from_numpy(difference), dim=1).numpy()
        return found[of]

    def _without(
        self, block: np.ndarray, row: np.ndarray, token: np.ndarray, column: np.ndarray
    ) -> np.ndarray:
        difference = block[row] - self._tokens[token]
        difference[np.arange(row.size), self._updated[column]] = 0
        return np.linalg.norm(difference, axis=1)

    # --- channels that dominate ---

    def _dominating(self) -> Bool[np.ndarray, " channel"]:
        """Channels that hold most of a gallery token."""
        squared = self._tokens[:, self.channels] ** 2
        if self.gallery.distance == "cosine":
            return np.asarray((squared > _LARGEST_SHARE).any(axis=0))
        length = (self._tokens**2).sum(1, keepdims=True)
        return (length - squared).max(0) < (1 - _LARGEST_SHARE) * length.max()

    def _search_without(self, queries: Tensor, prepared: np.ndarray, found: Values) -> None:
        """Search without the channel where it holds most of the token or the query."""
        squared = prepared[:, self.channels] ** 2
        length = 1 if self.gallery.distance == "cosine" else (prepared**2).sum(1, keepdims=True)
        searched = (squared > _LARGEST_SHARE * length) | self._search
        for place in np.flatnonzero(searched.any(0)):
            rows = torch.from_numpy(np.flatnonzero(searched[:, place]))
            keep = [c for c in range(self.gallery.k) if c != self.channels[place]]
            without = Gallery(
                self.gallery.tokens[:, keep].cpu(),
                distance=self.gallery.distance,
                memory_mb=self.gallery.memory_mb,
            )
            found[rows.numpy(), place] = without.score(queries[rows][:, keep]).numpy()
            self.settled["search"] += len(rows)
