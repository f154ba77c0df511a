"""Overlap of an item with itself: how much of it other normal images would select again.

Overlap between categories is compared with this ceiling: two categories cannot be expected to agree
better than one category agrees with itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int

from lakeviz.studies.overlap.measures import drawn_columns, jaccard, top_k
from lakeviz.studies.overlap.result import FIELDS, PairSettings
from lakeviz.studies.overlap.selections import Key, OverlapItem
from lakeviz.tables import Row

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
    item: OverlapItem, k: int, n_resamples: int, seed: int
) -> dict[str, Float[np.ndarray, " draw"] | str]:
    """Jaccard indices of each kind of :data:`KINDS`, or the reason why it was not measured."""
    n, spare = item.n_images, len(item.pool)
    found: dict[str, Float[np.ndarray, " draw"] | str] = {
        "redraw": f"{2 * n} images are needed and {spare} were captured",
        "bootstrap_pair": "there is 1 image to resample",
        "bootstrap": "there is 1 image to resample",
        "split_half": f"{FEWEST_FOR_HALVES} images are needed and {n} are selected on",
    }
    if spare >= 2 * n:
        halves = _disjoint(item, range(spare), n, n_resamples, "redraw", seed)
        found["redraw"] = _compare(*halves, k)
    if n > 1:
        first, second = (item.resampled(n_resamples, one, seed) for one in ("first", "second"))
        intact = np.broadcast_to(item.statistics.variance, first.shape)
        found["bootstrap_pair"] = _compare(first, second, k)
        found["bootstrap"] = _compare(intact, first, k)
    if n >= FEWEST_FOR_HALVES:
        halves = _disjoint(item, item.images, n // 2, n_resamples, "split_half", seed)
        found["split_half"] = _compare(*halves, k)
    return found


def stability_rows(item: OverlapItem, k: int, settings: PairSettings) -> Iterator[Row]:
    """Yield a row for each kind: the mean over draws, and the range of one draw."""
    for kind, draws in self_overlap(item, k, settings.n_resamples, settings.seed).items():
        missing = isinstance(draws, str)
        yield {
            **dict(zip(FIELDS, item.key)),
            "kind": kind,
            "k": k,
            "n_images": item.n_images,
            "n_captured": len(item.pool),
            **drawn_columns("jaccard", "jaccard", None if missing else draws, settings.confidence),
            "reason": draws if missing else "",
        }


def ceilings_of(rows: Iterable[Row]) -> dict[Key, dict[str, float]]:
    """Mean Jaccard index of each item with itself by the kinds of :data:`CEILINGS` it has."""
    found: dict[Key, dict[str, float]] = {}
    for row in rows:
        if row["kind"] in CEILINGS and not row["reason"]:
            own = found.setdefault(tuple(row[name] for name in FIELDS), {})
            own[row["kind"]] = row["jaccard"]
    return found


def _disjoint(
    item: OverlapItem, images: Iterable[int], size: int, n: int, purpose: str, seed: int
) -> tuple[Float[np.ndarray, "draw channel"], Float[np.ndarray, "draw channel"]]:
    """Variances of two sets of ``size`` images that have none in common, drawn ``n`` times."""
    by_name = item.by_name(images)
    generator = item.generator(purpose, seed)
    order = generator.permuted(np.tile(np.arange(len(by_name)), (n, 1)), axis=1)

    def variances(columns: slice) -> Float[np.ndarray, "draw channel"]:
        weights: Int[np.ndarray, "draw image"] = np.zeros(order.shape, dtype=np.int64)
        np.put_along_axis(weights, order[:, columns], 1, axis=1)
        return item.weighted(weights, by_name)

    return variances(slice(0, size)), variances(slice(size, 2 * size))


def _compare(
    first: Float[np.ndarray, "draw channel"], second: Float[np.ndarray, "draw channel"], k: int
) -> Float[np.ndarray, " draw"]:
    shared = (top_k(first, k) & top_k(second, k)).sum(1)
    return np.asarray(jaccard(shared, k), dtype=np.float64)
