"""Bootstrap over images: draws, intervals and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.errors import ConfigError
from lakeviz.metrics.conventions import Conventions

_BLOCK_VALUES = 1 << 17  # 1 MiB of float64 per table: the dozen tables of a block stay in cache

Evaluate = Callable[[Int[np.ndarray, "draw image"]], Float[np.ndarray, " draw"]]
"""A metric of resampled images: how often each image was drawn, to one value per draw."""


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval over images."""

    estimate: float
    low: float
    high: float
    confidence: float
    n_images: int
    n_resamples: int
    method: str
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class PairedDifference:
    """How much higher a metric is for scores a than for scores b of the same images.

    Attributes
    ----------
    a, b
        The metric of each.
    difference
        ``a - b`` with its interval; every draw takes the same images for both.
    share_above_zero
        Share of draws in which a is strictly higher.
    """

    metric: str
    a: float
    b: float
    difference: Interval
    share_above_zero: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)


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

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any] | None) -> Bootstrap:
        """Read the settings that a result stores; what is not stored has its default.

        Results of ``lakeviz-run/1`` and ``lakeviz-study/1`` call them ``level`` and ``n_draws``.
        """
        old = {"level": "confidence", "n_draws": "n_resamples"}
        return cls(**{old.get(name, name): value for name, value in (stored or {}).items()})

    def draw(
        self, evaluators: Sequence[Evaluate], anomalous: Bool[np.ndarray, " image"], width: int
    ) -> Float[np.ndarray, "evaluator draw"]:
        """Evaluate metrics on resamples of the images.

        Normal and anomalous images are drawn apart, each as many as there are, so that every draw
        has both. ``width`` is the number of values a metric keeps per draw; it bounds memory.
        """
        values = np.empty((len(evaluators), self.n_resamples))
        for rows, weights in self.blocks(anomalous, width):
            for row, evaluate in zip(values, evaluators):
                row[rows] = evaluate(weights)
        return values

    def blocks(
        self, anomalous: Bool[np.ndarray, " image"], width: int
    ) -> Iterator[tuple[slice, Int[np.ndarray, "draw image"]]]:
        """Yield the resamples, some at a time: which draws, and how often each has every image.

        Arguments as for :meth:`draw`.
        """
        # One stream per class, so that the block size below has no say in what is drawn.
        streams = np.random.default_rng(self.seed).spawn(2)
        groups = [np.flatnonzero(anomalous), np.flatnonzero(~anomalous)]
        block = max(1, _BLOCK_VALUES // max(width, anomalous.size))
        for start in range(0, self.n_resamples, block):
            stop = min(start + block, self.n_resamples)
            weights = np.zeros((stop - start, anomalous.size), dtype=np.int64)
            for stream, group in zip(streams, groups):
                if group.size:
                    even = np.full(group.size, 1 / group.size)
                    weights[:, group] = stream.multinomial(group.size, even, size=stop - start)
            yield slice(start, stop), weights

    def interval(
        self,
        estimate: float,
        draws: Float[np.ndarray, " draw"],
        n_images: int,
        conventions: Conventions,
    ) -> Interval:
        """Percentile interval of the draws."""
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])
        return Interval(
            estimate,
            float(low),
            float(high),
            self.confidence,
            n_images,
            self.n_resamples,
            conventions.interval,
            self.seed,
        )

    def paired(
        self,
        metric: str,
        estimates: tuple[float, float],
        draws: Float[np.ndarray, "2 draw"],
        n_images: int,
        conventions: Conventions,
    ) -> PairedDifference:
        """Summarise the draws of two metrics over the same images."""
        (a, b), gap = estimates, draws[0] - draws[1]
        difference = self.interval(a - b, gap, n_images, conventions)
        return PairedDifference(metric, a, b, difference, float(np.mean(gap > 0)))


DEFAULT_BOOTSTRAP = Bootstrap()
