"""Bootstrap over images: how often each is drawn, and metrics on the resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.documents import restored
from lakeviz.errors import ConfigError

_BLOCK_VALUES = 1 << 17  # 1 MiB of float64 per table: the dozen tables of a block stay in cache

_KEPT_VALUES = 1 << 24  # 64 MiB

Weights = Int[np.ndarray, "resample image"]
"""How often each image was drawn."""

Evaluate = Callable[[Any], Float[np.ndarray, " resample"]]
"""A metric of resampled images: weights, or what was counted by them, to one value each."""


@dataclass(frozen=True)
class Bootstrap:
    """How to resample.

    Parameters
    ----------
    confidence
        Nominal coverage of intervals, in (0, 1).
    n_resamples
        Number of resamples of the images.
    seed
        Seed of the resamples; equal seeds draw equal images.

    Raises
    ------
    ConfigError
        A value is outside its range.
    """

    LATER = frozenset({"confidence", "n_resamples", "seed"})

    confidence: float = 0.95
    n_resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ConfigError(
                f"confidence is {self.confidence}; it must lie strictly between 0 and 1"
            )
        if self.n_resamples < 1:
            raise ConfigError(f"n_resamples is {self.n_resamples}; it must be at least 1")
        if self.seed < 0:
            raise ConfigError(f"the seed of the resamples must be 0 or more, not {self.seed}")

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any] | None) -> Bootstrap:
        """Read the settings that a result stores; what is not stored has its default.

        Results of ``lakeviz-run/1`` and ``lakeviz-study/1`` call them ``level`` and ``n_draws``.
        """
        old = {"level": "confidence", "n_draws": "n_resamples"}
        named = restored(dict, {} if stored is None else stored, "bootstrap")
        return restored(cls, {old.get(n, n): value for n, value in named.items()}, "bootstrap")

    def draw(
        self,
        evaluators: Sequence[Evaluate],
        anomalous: Bool[np.ndarray, " image"],
        width: int,
        counted: Callable[[Weights], Any] = lambda weights: weights,
    ) -> Float[np.ndarray, "evaluator resample"]:
        """Evaluate metrics on resamples of the images.

        Normal and anomalous images are drawn apart, each as many as there are, so that every
        resample has both. ``width`` is the number of values a metric keeps per resample; it bounds
        memory. Evaluators are given what ``counted`` makes of the weights, once for all of them.
        """
        values = np.empty((len(evaluators), self.n_resamples))
        for rows, weights in self.blocks(anomalous, width):
            counts = counted(weights)
            for row, evaluate in zip(values, evaluators):
                row[rows] = evaluate(counts)
        return values

    def blocks(
        self, anomalous: Bool[np.ndarray, " image"], width: int
    ) -> Iterator[tuple[slice, Weights]]:
        """Yield the resamples, some at a time: which, and how often each has every image.

        Arguments as for :meth:`draw`.
        """
        block = max(1, _BLOCK_VALUES // max(width, anomalous.size))
        kept = None
        if self.n_resamples * anomalous.size <= _KEPT_VALUES:
            kept = _all_drawn(self, anomalous.tobytes())
        streams = self._streams()
        for start in range(0, self.n_resamples, block):
            stop = min(start + block, self.n_resamples)
            if kept is None:
                drawn = self._drawn(streams, anomalous, range(start, stop))
            else:
                drawn = kept[start:stop].astype(np.int64)
            yield slice(start, stop), drawn

    def _streams(self) -> list[np.random.Generator]:
        """One stream per class, so that the size of a block has no say in what is drawn."""
        return np.random.default_rng(self.seed).spawn(2)

    def _drawn(
        self,
        streams: Sequence[np.random.Generator],
        anomalous: Bool[np.ndarray, " image"],
        rows: range,
    ) -> Weights:
        """Draw the resamples with the numbers ``rows``."""
        weights = np.zeros((len(rows), anomalous.size), dtype=np.int64)
        for stream, group in zip(streams, (np.flatnonzero(anomalous), np.flatnonzero(~anomalous))):
            if group.size:
                even = np.full(group.size, 1 / group.size)
                weights[:, group] = stream.multinomial(group.size, even, size=len(rows))
        return weights

    def sample_sizes(self, level: str, anomalous: Bool[np.ndarray, " image"]) -> tuple[int, int]:
        """Independent units with and without a positive: the images, unless they hang together."""
        return int(anomalous.sum()), int((~anomalous).sum())

    @property
    def settings(self) -> Bootstrap:
        """The settings alone, as they are stored."""
        return Bootstrap(self.confidence, self.n_resamples, self.seed)

    def some(self, images: np.ndarray) -> Bootstrap:
        """The same of some of the images, given by position or a value each."""
        return self

    @property
    def sampling_note(self) -> str:
        """What the intervals are over, where it is not the images; to follow "the interval of"."""
        return ""


@lru_cache(maxsize=2)  # a comparison measures many conditions on the same images, at two levels
def _all_drawn(bootstrap: Bootstrap, anomalous: bytes) -> Int[np.ndarray, "resample image"]:
    """All resamples at once, for those who ask again."""
    flags = np.frombuffer(anomalous, dtype=bool)
    rows = range(bootstrap.n_resamples)
    drawn = bootstrap._drawn(bootstrap._streams(), flags, rows).astype(np.int32)
    drawn.flags.writeable = False
    return drawn


DEFAULT_BOOTSTRAP = Bootstrap()
