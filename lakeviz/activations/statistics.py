"""Streaming statistics of channels over tokens, in double precision, mergeable.

Batches are merged by the pairwise update of Chan, Golub and LeVeque (1983), "Algorithms for
computing the sample variance": counts, means and centred second moments of two parts give those of
the whole in one pass over the data. Memory does not depend on the number of tokens, unless
the tokens themselves are asked for, as order statistics (a median) need them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.activations.massive import ordinary_tokens
from lakeviz.errors import ActivationError

Vector = Float[np.ndarray, " channel"]
_VECTORS = ("mean", "m2", "minimum", "maximum")

# Tokens are taken in blocks of so many elements that their double-precision copy stays in the cache
# and PyTorch works on one thread: waking the others for so little costs more than it saves, most of
# all on a busy machine. Matrix products want larger blocks, and so do GPUs.
_BLOCK_ELEMENTS, _PRODUCT_ELEMENTS, _GPU_ELEMENTS = 2**15 - 1, 2**18, 2**24


def is_finite(values: Float[Tensor, "*any"]) -> bool:
    """Whether no value is NaN or infinite."""
    if values.numel() == 0:
        return True
    # NaN and infinity both survive a minimum and a maximum, so checking the range is enough.
    return bool(torch.isfinite(torch.stack((values.amin(), values.amax()))).all())


def check_finite(tokens: Float[Tensor, "*token channel"], what: str) -> None:
    """Refuse NaN and infinity.

    Raises
    ------
    ActivationError
        Names ``what``, the number of bad values and the first channel at fault.
    """
    if is_finite(tokens):
        return
    bad = ~torch.isfinite(tokens.reshape(-1, tokens.shape[-1]))
    channel = int(bad.any(0).nonzero()[0])
    raise ActivationError(
        f"{what}: {int(bad.sum())} activations are NaN or infinite (first in channel {channel}); "
        "check the images and the precision (fp16 overflows where bf16 or fp32 does not)"
    )


def _blocks(
    tokens: Float[Tensor, "*token channel"], elements: int
) -> Iterator[Float[Tensor, "token channel"]]:
    """Cut tokens into blocks; on a CPU without first copying patch tokens from between others."""
    if tokens.ndim > 2 and tokens.device.type == "cpu" and not tokens.is_contiguous():
        for part in tokens:
            yield from _blocks(part, elements)
    else:
        flat = tokens.reshape(-1, tokens.shape[-1])
        yield from flat.split(max(1, elements // flat.shape[1]))


@dataclass
class ChannelStatistics:
    """Count, mean, variance, minimum and maximum of each channel of one hook point.

    With ``with_covariance=True`` the full co-moment matrix is streamed too (channel^2 doubles),
    which truncated PCA needs. With ``with_tokens=True`` the tokens are kept as well, in single
    precision, which selectors by medians and quantiles need: memory then grows with the number of
    tokens, so it is for few images. Kept tokens are no part of :meth:`arrays`.

    Parameters
    ----------
    point : str
        Hook point the tokens come from, for error messages.
    with_covariance : bool
        Whether to stream the covariance matrix.
    with_tokens : bool
        Whether to keep the tokens.
    dropped : tuple of int
        Channels that no selection takes (see :func:`lakeviz.lake.select`); they are counted and
        measured as all others.
    """

    point: str
    with_covariance: bool = False
    count: int = 0
    mean: Vector = field(default_factory=lambda: np.zeros(0))
    m2: Vector = field(default_factory=lambda: np.zeros(0))
    minimum: Vector = field(default_factory=lambda: np.zeros(0))
    maximum: Vector = field(default_factory=lambda: np.zeros(0))
    comoment: Float[np.ndarray, "channel channel"] | None = None
    with_tokens: bool = False
    kept: list[Float[np.ndarray, "token channel"]] | None = field(default=None, repr=False)
    dropped: tuple[int, ...] = ()

    @property
    def n_channels(self) -> int:
        """Number of channels seen, 0 before the first update."""
        return len(self.mean)

    @property
    def variance(self) -> Vector:
        """Population variance (divided by ``count``) of each channel."""
        self._need_data()
        return self.m2 / self.count

    @property
    def covariance(self) -> Float[np.ndarray, "channel channel"]:
        """Population covariance matrix.

        Raises
        ------
        ActivationError
            If it was not streamed.
        """
        self._need_data()
        if self.comoment is None:
            raise ActivationError(
                f"{self.point}: no covariance was streamed; make the statistics with "
                "with_covariance=True"
            )
        return self.comoment / self.count

    @property
    def tokens(self) -> Float[np.ndarray, "token channel"]:
        """All tokens seen, in single precision and in their order.

        Raises
        ------
        ActivationError
            If they were not kept.
        """
        self._need_data()
        if self.kept is None:
            raise ActivationError(
                f"{self.point}: no tokens were kept; make the statistics with with_tokens=True"
            )
        if len(self.kept) > 1:
            self.kept = [np.concatenate(self.kept)]
        return self.kept[0]

    @property
    def kept_channels(self) -> Int[np.ndarray, " kept"]:
        """Channels that were not dropped, ascending."""
        return np.setdiff1d(np.arange(self.n_channels), self.dropped)

    def some(self, channels: Int[np.ndarray, " kept"]) -> ChannelStatistics:
        """Statistics of some of the channels, in the order given."""
        channels = np.asarray(channels, dtype=np.int64)
        place = {channel: at for at, channel in enumerate(channels.tolist())}
        vectors = {name: getattr(self, name)[channels] for name in _VECTORS}
        square = None if self.comoment is None else self.comoment[np.ix_(channels, channels)]
        return replace(
            self,
            **vectors,
            comoment=square,
            kept=None if self.kept is None else [part[:, channels] for part in self.kept],
            dropped=tuple(place[c] for c in self.dropped if c in place),
        )

    def _need_data(self) -> None:
        if self.count == 0:
            raise ActivationError(
                f"{self.point}: no token was seen yet, so there are no statistics"
            )

    def _need_width(self, n_channels: int) -> None:
        if n_channels != self.n_channels:
            raise ActivationError(
                f"{self.point}: statistics of {self.n_channels} channels cannot take in tokens of "
                f"{n_channels}"
            )

    def update(self, tokens: Float[Tensor, "*token channel"]) -> ChannelStatistics:
        """Merge a batch of tokens; leading axes are flattened.

        Raises
        ------
        ActivationError
            On NaN or infinite values, or another number of channels than before.
        """
        if tokens.numel() == 0:
            return self
        if self.count:
            self._need_width(tokens.shape[-1])
        return self.merge(self._of(tokens.detach()))

    def _of(self, tokens: Float[Tensor, "*token channel"]) -> ChannelStatistics:
        """Statistics of one batch, in one pass over cache-sized blocks.

        Deviations are taken from the mean of the first block, which is near enough to the mean of
        all that subtracting its square at the end costs next to no digits; a constant channel has
        deviations of exactly zero.
        """
        channels = tokens.shape[-1]
        n = tokens.numel() // channels
        elements = _PRODUCT_ELEMENTS if self.with_covariance else _BLOCK_ELEMENTS
        if tokens.device.type != "cpu":
            elements = _GPU_ELEMENTS
        blocks = list(_blocks(tokens, elements))
        pivot = blocks[0].sum(0, dtype=torch.float64) / len(blocks[0])
        found = pivot.new_empty((len(blocks), 4, channels))
        products = pivot.new_zeros((channels, channels)) if self.with_covariance else None
        for (low, high, total, squares), block in zip(found, blocks, strict=True):
            low.copy_(block.amin(0))
            high.copy_(block.amax(0))
            deviation = block - pivot  # in double precision, as the pivot is
            torch.sum(deviation, 0, out=total)
            if products is not None:
                products.addmm_(deviation.T, deviation)
            torch.sum(deviation.square_(), 0, out=squares)
        by_block = found.cpu().numpy()
        low, high = by_block[:, 0].min(0), by_block[:, 1].max(0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            check_finite(tokens, self.point)
        total, squares = by_block[:, 2:].sum(0)
        mean, m2 = pivot.cpu().numpy() + total / n, np.maximum(squares - total**2 / n, 0)
        comoment = None
        if products is not None:
            comoment = products.cpu().numpy() - np.outer(total, total) / n
        made = ChannelStatistics(self.point, self.with_covariance, n, mean, m2, low, high, comoment)
        if self.with_tokens:
            flat = tokens.reshape(-1, channels).to("cpu", torch.float32)
            made.kept = [flat.numpy().copy()]  # batches may be overwritten by those that follow
        return made

    def merge(self, other: ChannelStatistics) -> ChannelStatistics:
        """Take in the statistics of other tokens of the same point; returns ``self``.

        Covariance and tokens are kept only if both sides have them.

        Raises
        ------
        ActivationError
            On another hook point or another number of channels.
        """
        if other.point != self.point:
            raise ActivationError(
                f"statistics of {other.point} cannot be merged into those of {self.point}"
            )
        if other.count == 0:
            return self
        if self.count == 0:
            self.count, self.mean, self.m2 = other.count, other.mean.copy(), other.m2.copy()
            self.minimum, self.maximum = other.minimum.copy(), other.maximum.copy()
            self.comoment = None if other.comoment is None else other.comoment.copy()
            self.kept = None if other.kept is None else list(other.kept)
            return self
        self._need_width(other.n_channels)
        total = self.count + other.count
        delta = other.mean - self.mean
        weight = self.count * other.count / total
        self.mean = self.mean + delta * (other.count / total)
        self.m2 = self.m2 + other.m2 + delta**2 * weight
        if self.comoment is not None and other.comoment is not None:
            self.comoment = self.comoment + other.comoment + np.outer(delta, delta) * weight
        else:
            self.comoment = None
        both = self.kept is not None and other.kept is not None
        self.kept = [*(self.kept or []), *(other.kept or [])] if both else None
        self.minimum = np.minimum(self.minimum, other.minimum)
        self.maximum = np.maximum(self.maximum, other.maximum)
        self.count = total
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state as named arrays, as :meth:`from_arrays` reads it."""
        state = {"count": np.array(self.count, dtype=np.int64)}
        state |= {name: getattr(self, name) for name in _VECTORS}
        if self.comoment is not None:
            state["comoment"] = self.comoment
        if self.dropped:
            state["dropped"] = np.array(self.dropped, dtype=np.int64)
        return state

    @classmethod
    def from_arrays(cls, point: str, state: Mapping[str, np.ndarray]) -> ChannelStatistics:
        """Restore what :meth:`arrays` gave."""
        return cls(
            point,
            "comoment" in state,
            int(state["count"].item()),
            *(state[name] for name in _VECTORS),
            comoment=state.get("comoment"),
            dropped=tuple(int(c) for c in state.get("dropped", ())),
        )


class RunningStatistics(dict[str, ChannelStatistics]):
    """One :class:`ChannelStatistics` per hook point, updated together.

    Parameters
    ----------
    points : iterable of str
        Hook points.
    with_covariance, with_tokens : bool
        Passed on to each.
    ordinary : bool
        Leave out tokens with a massive activation; see :mod:`lakeviz.activations.massive`.
    """

    def __init__(
        self,
        points: Iterable[str],
        *,
        with_covariance: bool = False,
        with_tokens: bool = False,
        ordinary: bool = False,
    ):
        self.ordinary = ordinary
        super().__init__(
            (p, ChannelStatistics(p, with_covariance, with_tokens=with_tokens)) for p in points
        )

    def update_tokens(self, tokens: Mapping[str, Float[Tensor, "*token channel"]]) -> None:
        """Update every point from a mapping of its tokens."""
        for point in self:
            self.update_point(point, tokens[point])

    def update_point(self, point: str, tokens: Float[Tensor, "*token channel"]) -> None:
        """Update one point."""
        self[point].update(ordinary_tokens(tokens) if self.ordinary else tokens)

    def merge(self, other: Mapping[str, ChannelStatistics]) -> RunningStatistics:
        """Take in the statistics of other images; returns ``self``.

        Raises
        ------
        ActivationError
            If the hook points differ.
        """
        if set(other) != set(self):
            raise ActivationError(
                f"statistics of {', '.join(sorted(other))} cannot be merged into those of "
                f"{', '.join(sorted(self))}"
            )
        for point, statistics in self.items():
            statistics.merge(other[point])
        return self
