"""Items of planted overlap, for tests of the study ``overlap``."""

from __future__ import annotations

import numpy as np

from lakeviz.activations import ImageStatistics
from lakeviz.studies.overlap import OverlapItem, OverlapResult, overlap

POINT, NEXT = "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"
D, K, PATCHES = 80, 8, 10


def pool_of(log_variance, n=8, noise=0.0, draw=0, point=POINT) -> ImageStatistics:
    """Images of equal means; each one's log variances differ by ``noise`` standard deviations."""
    log_variance = np.asarray(log_variance, dtype=float)
    shape = (n, len(log_variance))
    drawn = np.random.default_rng(draw).standard_normal(shape)
    m2 = PATCHES * np.exp(log_variance + noise * drawn)
    zeros, ids = np.zeros(shape), tuple(f"{i:03d}" for i in range(n))
    return ImageStatistics(point, ids, np.full(n, PATCHES), zeros, m2, zeros, zeros)


def item(name, log_variance, *, images=(), dataset="d", **settings) -> OverlapItem:
    known = {n: settings.pop(n) for n in ("shots", "seed", "weights_hash") if n in settings}
    return OverlapItem(dataset, name, pool_of(log_variance, **settings), images, **known)


def planted(sets, level=5.0, noise=0.0, **settings) -> list[OverlapItem]:
    """Items whose top neurons are exactly the given ones; all else is independent."""
    generator = np.random.default_rng(7)
    items = []
    for number, channels in enumerate(sets):
        log_variance = 0.5 * generator.standard_normal(D)
        log_variance[list(channels)] = level - 0.1 * np.arange(len(channels))
        items.append(item(f"c{number}", log_variance, noise=noise, draw=number, **settings))
    return items


def quick(items, k=K, **settings) -> OverlapResult:
    return overlap(items, k, **({"n_random_sets": 40, "n_resamples": 30} | settings))
