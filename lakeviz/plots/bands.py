"""Pointwise bootstrap bands of ROC curves over images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lakeviz.errors import MetricError
from lakeviz.metrics import Bootstrap

_BLOCK = 1 << 22


@dataclass(frozen=True)
class Band:
    """Lower and upper edge of a curve at the positions ``x``."""

    x: Float[np.ndarray, " point"]
    low: Float[np.ndarray, " point"]
    high: Float[np.ndarray, " point"]
    bootstrap: Bootstrap


def roc_band(
    scores: Float[np.ndarray, " image"],
    labels: Int[np.ndarray, " image"],
    bootstrap: Bootstrap,
    n_points: int = 101,
) -> Band:
    """Interval of the true-positive rate at evenly spaced false-positive rates.

    Normal and anomalous images are drawn apart, each as many as there are. Equal scores are one
    threshold, crossed in a straight line, as everywhere in :mod:`lakeviz.metrics`.

    Parameters
    ----------
    scores, labels : arrays [image]
        Labels are 0 for normal and 1 for anomalous.
    bootstrap : Bootstrap
    n_points : int
        Number of false-positive rates from 0 to 1.

    Raises
    ------
    MetricError
        Only one class is present.
    """
    scores, anomalous = np.asarray(scores, dtype=float), np.asarray(labels).astype(bool)
    n_anomalous = int(anomalous.sum())
    if n_anomalous in (0, anomalous.size):
        raise MetricError("a ROC band needs normal and anomalous images")
    _, level = np.unique(-scores, return_inverse=True)
    at = np.linspace(0, 1, n_points)
    rates = np.concatenate(
        [
            _rates(level, anomalous, at, seeded, size)
            for seeded, size in _blocks(bootstrap, anomalous.size)
        ]
    )
    tail = (1 - bootstrap.level) / 2
    low, high = np.quantile(rates, [tail, 1 - tail], axis=0)
    return Band(at, low, high, bootstrap)


def _blocks(bootstrap: Bootstrap, n_images: int) -> list[tuple[np.random.Generator, int]]:
    """Split the draws so that the weights of a block fit in memory."""
    generator = np.random.default_rng(bootstrap.seed)
    size = max(1, _BLOCK // n_images)
    n = bootstrap.n_draws
    return [(generator, min(size, n - start)) for start in range(0, n, size)]


def _rates(
    level: Int[np.ndarray, " image"],
    anomalous: np.ndarray,
    at: Float[np.ndarray, " point"],
    generator: np.random.Generator,
    n_draws: int,
) -> Float[np.ndarray, "draw point"]:
    curves = []
    for of_class in (anomalous, ~anomalous):
        n = int(of_class.sum())
        drawn = generator.multinomial(n, np.full(n, 1 / n), size=n_draws)
        by_level = np.zeros((n_draws, int(level.max()) + 2))
        # Column 0 stays empty, so that every curve starts at (0, 0).
        np.add.at(by_level.T, level[of_class] + 1, drawn.T)
        curves.append(np.cumsum(by_level, axis=1) / n)
    pairs = zip(curves[1], curves[0], strict=True)
    return np.stack([_height(false, true, at) for false, true in pairs])


def _height(
    false: Float[np.ndarray, " level"],
    true: Float[np.ndarray, " level"],
    at: Float[np.ndarray, " point"],
) -> Float[np.ndarray, " point"]:
    """Height of a ROC curve; where it rises straight up, the top (at 1: one)."""
    last = np.searchsorted(false, at, side="right") - 1
    after = np.minimum(last + 1, false.size - 1)
    run = false[after] - false[last]
    share = np.divide(at - false[last], run, out=np.zeros_like(at), where=run > 0)
    return true[last] + share * (true[after] - true[last])
