"""Small sets of maps and masks, and slow references that follow the definitions word by word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


def _smooth_set(seed: int, n: int = 6, side: int = 24, levels: int | None = None):
    """Maps with defects on every other image; ``levels`` quantises the scores to make ties."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(n, side, side)).astype(np.float32)
    masks = np.zeros((n, side, side), dtype=bool)
    for i in range(1, n, 2):
        for _ in range(3):
            y, x = rng.integers(0, side - 6, 2)
            h, w = rng.integers(1, 6, 2)
            masks[i, y : y + h, x : x + w] = True
    maps += 1.5 * masks
    if levels:
        maps = np.round(maps * levels) / levels
    return maps, masks


@pytest.fixture(scope="session")
def smooth_set() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return a maker of maps and masks."""
    return _smooth_set


def _flood_regions(mask: np.ndarray, corners: bool) -> list[list[tuple[int, int]]]:
    """Connected regions by flood fill."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if corners else []
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    regions = []
    while left:
        stack, region = [left.pop()], []
        while stack:
            y, x = stack.pop()
            region.append((y, x))
            for dy, dx in steps:
                if (y + dy, x + dx) in left:
                    left.remove((y + dy, x + dx))
                    stack.append((y + dy, x + dx))
        regions.append(region)
    return regions


def _textbook_pro(maps, masks, corners: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """PRO curve: binarise at every distinct score, count, average over regions."""
    regions = [
        np.array([score_map[y, x] for y, x in region])
        for score_map, mask in zip(maps, masks)
        for region in _flood_regions(mask, corners)
    ]
    normal = np.concatenate([m[~mask] for m, mask in zip(maps, masks)])
    rates, overlaps = [0.0], [0.0]
    for threshold in sorted({float(v) for m in maps for v in np.ravel(m)}, reverse=True):
        rates.append(np.mean(normal >= threshold))
        overlaps.append(np.mean([np.mean(region >= threshold) for region in regions]))
    return np.array(rates), np.array(overlaps)


def _textbook_aupro(maps, masks, limit: float = 0.3, corners: bool = True) -> float:
    """Trapezoids under the PRO curve up to the limit, where it is interpolated."""
    rates, overlaps = _textbook_pro(maps, masks, corners)
    area = 0.0
    for x0, x1, y0, y1 in zip(rates, rates[1:], overlaps, overlaps[1:]):
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
        elif x0 < limit:
            at_limit = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            area += (limit - x0) * (y0 + at_limit) / 2
    return area / limit


@pytest.fixture(scope="session")
def textbook_pro() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return the slow PRO curve."""
    return _textbook_pro


@pytest.fixture(scope="session")
def textbook_aupro() -> Callable[..., float]:
    """Return the slow AUPRO."""
    return _textbook_aupro
