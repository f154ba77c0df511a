"""Overlap of an item with itself: how much of it other normal images would select again.

Overlap between categories is read against this ceiling: two categories cannot be expected to agree
better than one category agrees with itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lakeviz.metrics.estimates import quantile_interval
from lakeviz.studies.overlap.measures import jaccard, top_k
from lakeviz.studies.overlap.selections import FIELDS, OverlapItem

KINDS = {
    "redraw": "two draws of as many images, without a common one, from the captured images",
    "bootstrap_pair": "two resamples of the images, with replacement",
    "bootstrap": "the selection and that of a resample of its images",
    "split_half": "the two halves of the images: fewer images, so it lies low",
}
"""What is compared with what, by kind."""
CEILINGS = ("redraw", "bootstrap_pair")
"""Kinds that compare two selections from as many images as the item has; the better one first."""
FEWEST_FOR_HALVES = 4


def self_overlap(
    item: OverlapItem, k: int, n_draws: int, seed: int
) -> dict[str, Float[np.ndarray, " draw"] | str]:
    """Jaccard indices of each kind of :data:`KINDS`, or the reason why it was not measured."""
    n, spare = item.n_images, len(item.pool)
    found: dict[str, Float[np.ndarray, " draw"] | str] = {}
    if spare >= 2 * n:
        halves = _disjoint(item, range(spare), n, n_draws, "redraw", seed)
        found["redraw"] = _compare(*halves, k)
    else:
        found["redraw"] = f"{2 * n} images are needed and {spare} were captured"
    if n < 2:
        found |= dict.fromkeys(("bootstrap_pair", "bootstrap"), "there is 1 image to resample")
    else:
        first = item.resampled(n_draws, "first", seed)
        second = item.resampled(n_draws, "second", seed)
        intact = np.broadcast_to(item.statistics.variance, first.shape)
        found["bootstrap_pair"] = _compare(first, second, k)
        found["bootstrap"] = _compare(intact, first, k)
    if n >= FEWEST_FOR_HALVES:
        halves = _disjoint(item, item.images, n // 2, n_draws, "split_half", seed)
        found["split_half"] = _compare(*halves, k)
    else:
        found["split_half"] = f"{FEWEST_FOR_HALVES} images are needed and {n} are selected on"
    return found


def stability_table(
    item: OverlapItem, overlaps: dict[str, Float[np.ndarray, " draw"] | str], level: float, k: int
) -> Iterator[dict[str, object]]:
    """Yield a row for each kind: the mean over draws, and the interval of one draw."""
    for kind, draws in overlaps.items():
        row: dict[str, object] = {name: getattr(item, name) for name in _ORDER}
        row |= {"kind": kind, "k": k, "n_images": item.n_images, "n_captured": len(item.pool)}
        if isinstance(draws, str):
            yield row | {"jaccard": np.nan, "low": np.nan, "high": np.nan, "reason": draws}
            continue
        low, high = quantile_interval(draws, level)
        yield row | {"jaccard": float(draws.mean()), "low": low, "high": high, "reason": ""}


def ceiling_of(table: pd.DataFrame) -> dict[tuple[object, ...], dict[str, float]]:
    """Mean Jaccard index of each item with itself by the kinds of :data:`CEILINGS` it has."""
    found: dict[tuple[object, ...], dict[str, float]] = {}
    for row in table.to_dict("records"):
        if row["kind"] in CEILINGS and not row["reason"]:
            key = tuple(row[name] for name in FIELDS)
            found.setdefault(key, {})[str(row["kind"])] = float(row["jaccard"])
    return found


_ORDER = ("category", "dataset", "point", "shots", "seed")


def _disjoint(
    item: OverlapItem,
    images: range | tuple[int, ...],
    size: int,
    n_draws: int,
    purpose: str,
    seed: int,
) -> tuple[Float[np.ndarray, "draw channel"], Float[np.ndarray, "draw channel"]]:
    """Variances of two sets of ``size`` images that have none in common, drawn many times."""
    by_name = sorted(images, key=lambda i: item.pool.sample_ids[i])
    generator = item.generator(purpose, seed)
    order = generator.permuted(np.tile(np.arange(len(by_name)), (n_draws, 1)), axis=1)

    def weights(columns: slice) -> Int[np.ndarray, "draw image"]:
        found = np.zeros(order.shape, dtype=np.int64)
        np.put_along_axis(found, order[:, columns], 1, axis=1)
        return found

    first, second = weights(slice(0, size)), weights(slice(size, 2 * size))
    return item.weighted(first, by_name), item.weighted(second, by_name)


def _compare(
    first: Float[np.ndarray, "draw channel"], second: Float[np.ndarray, "draw channel"], k: int
) -> Float[np.ndarray, " draw"]:
    shared = (top_k(first, k) & top_k(second, k)).sum(1)
    return np.asarray(jaccard(shared, k), dtype=np.float64)
