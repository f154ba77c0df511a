"""Closeness of queries and tokens without one channel: the update, its bound, the candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from lakeviz.lake import Gallery

_GROUP = 16  # tokens of which the closest is looked at first, in the search for candidates

Values = Float[np.ndarray, "query channel"]
Tokens = Int[np.ndarray, "query channel"]
Products = Float[np.ndarray, "query token"]
Floor = Float[np.ndarray, " query"]
Pairs = tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]
"""Query and channel of each pair."""


@dataclass(frozen=True)
class Candidates:
    """The tokens closest to each query, closest first."""

    tokens: Int[np.ndarray, "query candidate"]
    closeness: Float[np.ndarray, "query candidate"]

    @classmethod
    def join(cls, parts: Sequence[Candidates]) -> Candidates:
        """Join the candidates of successive queries."""
        tokens, closeness = ([getattr(p, n) for p in parts] for n in ("tokens", "closeness"))
        return cls(np.concatenate(tokens), np.concatenate(closeness))


def closest(products: Products, n: int) -> Candidates:
    """Find the ``n`` closest tokens of each query, closest first."""
    n_queries, n_tokens = products.shape
    width = n_tokens // _GROUP
    if width > n:
        # The n closest are at least as close as the n-th of the closest members of groups; hardly
        # any other token is, which spares a partial sort of all.
        members = products[:, : width * _GROUP].reshape(-1, _GROUP, width).max(axis=1)
        least = np.partition(members, width - n, axis=1)[:, width - n, None]
        flat = np.flatnonzero(products >= least)
        row = flat // n_tokens
        counts = np.bincount(row, minlength=n_queries)
        if counts.max() <= 4 * n:  # more only where many tokens are equally close
            at = row, np.arange(flat.size) - (np.cumsum(counts) - counts)[row]
            values = np.full((n_queries, counts.max()), -np.inf, dtype=products.dtype)
            tokens = np.zeros(values.shape, dtype=np.intp)
            values[at], tokens[at] = products.reshape(-1)[flat], flat - row * n_tokens
            return _descending(tokens, values, n)
    tokens = np.argpartition(products, n_tokens - n, axis=1)[:, n_tokens - n :]
    return _descending(tokens, np.take_along_axis(products, tokens, axis=1), n)


def _descending(tokens: np.ndarray, values: np.ndarray, n: int) -> Candidates:
    order = np.argsort(values, axis=1)[:, : -n - 1 : -1]
    return Candidates(
        np.take_along_axis(tokens, order, axis=1), np.take_along_axis(values, order, axis=1)
    )


@dataclass(frozen=True)
class Closeness:
    """How close tokens are without a channel, as far as it decides which is the nearest.

    For cosine ``(s - a b) / sqrt(1 - b^2)``, where ``s`` is the intact product of the unit vectors
    and ``a`` and ``b`` their values in the channel; the query's own length changes nothing. For
    Euclidean ``s + (a - b)^2 / 2``, where ``s`` is ``q.g - |g|^2 / 2``.

    ``rows`` and ``columns`` are the gallery in the channels that are left out, the weights ``1 /
    sqrt(1 - b^2)`` of these (cosine). ``ends`` is the range of each channel, ``inner_ends`` that
    without the ``extremes``, the tokens at its two ends.
    """

    cosine: bool
    rows: Float[np.ndarray, "token channel"]
    columns: Float[np.ndarray, "channel token"]
    row_weights: Float[np.ndarray, "token channel"] | None
    column_weights: Float[np.ndarray, "channel token"] | None
    ends: Float[np.ndarray, "2 channel"]
    inner_ends: Float[np.ndarray, "2 channel"]
    extremes: Int[np.ndarray, "channel extreme"]

    @classmethod
    def of(cls, gallery: Gallery, channels: Sequence[int] | np.ndarray, extremes: int) -> Closeness:
        """Take the channels of a gallery, with ``extremes`` tokens at either end of each."""
        rows = np.ascontiguousarray(gallery.prepared.cpu().numpy()[:, channels])
        columns = np.ascontiguousarray(rows.T)
        cosine = gallery.distance == "cosine"
        weights = _weight(rows) if cosine else None
        n = min(extremes, (columns.shape[1] - 1) // 2)
        low, high = (torch.from_numpy(columns).topk(n + 1, largest=end) for end in (False, True))
        at = torch.stack((low.values, high.values)).numpy()
        return cls(
            cosine,
            rows,
            columns,
            weights,
            np.ascontiguousarray(weights.T) if weights is not None else None,
            np.ascontiguousarray(at[:, :, 0]),
            np.ascontiguousarray(at[:, :, n]),
            np.hstack((low.indices[:, :n].numpy(), high.indices[:, :n].numpy())),
        )

    # --- the update ---

    def improve(
        self, own: Values, candidates: Candidates, places: range, value: Values, slot: Tokens
    ) -> None:
        """Try some candidates for all pairs: ``value`` and ``slot`` become those of the best."""
        one, two = np.empty_like(own), np.empty_like(own)
        better = np.empty(own.shape, dtype=bool)
        for place in places:
            token, s = candidates.tokens[:, place], candidates.closeness[:, place, None]
            np.take(self.rows, token, axis=0, out=one, mode="clip")
            if self.row_weights is None:
                one -= own
                one *= one
                one *= np.float32(0.5)
                one += s
            else:
                one *= own
                np.subtract(s, one, out=one)
                one *= np.take(self.row_weights, token, axis=0, out=two, mode="clip")
            np.greater(one, value, out=better)
            np.maximum(one, value, out=value)
            np.maximum(slot, better.view(np.int8) * np.int8(place), out=slot)

    def of_extremes(
        self, own: Float[np.ndarray, " pair"], products: np.ndarray, pairs: Pairs
    ) -> Float[np.ndarray, "pair extreme"]:
        """Closeness of the tokens at the ends of each pair's channel."""
        row, column = pairs
        at = self.extremes[column]
        s = products.reshape(-1).take(at + products.shape[1] * row[:, None], mode="clip")
        values = np.take_along_axis(self.columns, self.extremes, axis=1)
        weights = _weight(values)[column] if self.cosine else None
        return _updated(s, own[:, None], values[column], weights)

    def of_all(
        self, own: Float[np.ndarray, " pair"], products: np.ndarray, pairs: Pairs
    ) -> Float[np.ndarray, "pair token"]:
        """Closeness of every token of each pair."""
        row, column = pairs
        weights = None if self.column_weights is None else self.column_weights[column]
        return _updated(products[row], own[:, None], self.columns[column], weights)

    # --- the bound ---

    def bound(
        self, s: np.ndarray, own: np.ndarray, ends: Float[np.ndarray, "2 #channel"]
    ) -> np.ndarray:
        """Largest closeness without the channel of any token whose intact closeness is ``<= s``.

        The update grows with ``s``; in ``b`` it is largest at an end of the channel's range, where
        ``s > 0`` (its one stationary point ``b = a / s`` is a minimum). Where ``s < 0`` that point
        is a maximum, of height ``-sqrt(s^2 - a^2)``.
        """
        low, high = ends
        if not self.cosine:
            return s + 0.5 * np.maximum((low - own) ** 2, (high - own) ** 2)
        found = np.maximum((s - own * low) * _weight(low), (s - own * high) * _weight(high))
        if (s < 0).any():
            peak = -np.sqrt(np.maximum(s * s - own * own, 0))
            found = np.where(s < 0, np.maximum(found, peak), found)
        return found


def _weight(values: np.ndarray) -> np.ndarray:
    # A channel that is (nearly) all there is of a token is searched, not updated.
    return 1 / np.sqrt(np.maximum(1 - values * values, np.float32(1e-6)))


def _updated(
    s: np.ndarray, own: np.ndarray, values: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    """Closeness without the channel; ``s`` and ``values`` are overwritten."""
    if weights is None:
        values -= own
        values *= values
        values *= np.float32(0.5)
        s += values
    else:
        values *= own
        s -= values
        s *= weights
    return s
