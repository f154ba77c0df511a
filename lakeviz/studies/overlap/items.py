"""Items by themselves and together: what other normal images select, what many items share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from lakeviz.metrics.estimates import rank_p_value
from lakeviz.studies.overlap.measures import (
    at_least,
    drawn_columns,
    expected_at_least,
    jaccard,
    random_at_least,
    top_k,
)
from lakeviz.studies.overlap.result import FIELDS, PairSettings
from lakeviz.studies.overlap.selections import Group, Key, OverlapItem
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


FEWEST_TO_CLUSTER = 3


def shared_rows(group: Group) -> Iterator[Row]:
    """Rows of the table ``shared``: neurons that ``m`` or more items select, and the nulls."""
    k, settings = group.k, group.settings
    n_items, n_channels, confidence = len(group.items), group.n_channels, settings.confidence
    observed = at_least(group.members)
    expected = expected_at_least(n_channels, k, n_items)
    # Of a stream by the sizes alone, so that equal groups have equal nulls.
    generator = np.random.default_rng([settings.seed, n_items, n_channels, k])
    random = random_at_least(n_channels, k, n_items, settings.n_random_sets, generator)
    matched, reason = None, group.obstacles.get("matched")
    if group.matched is not None:
        matched = np.array([at_least(draw) for draw in group.matched.swapaxes(0, 1)])
    for place in range(n_items):
        drawn = None if matched is None else matched[:, place]
        yield {
            **group.fixed,
            "m": place + 1,
            "n_items": n_items,
            "k": k,
            "n_neurons": int(observed[place]),
            **drawn_columns("random_mean", "random", random[:, place], confidence),
            "expected": float(expected[place]),
            "p_random": rank_p_value(observed[place], random[:, place]),
            **drawn_columns("matched_mean", "matched", drawn, confidence),
            "reason": f"matched: {reason}" if reason else "",
        }


def neuron_rows(group: Group) -> Iterator[Row]:
    """Rows of the table ``neurons``: every neuron that an item selects, the most shared first."""
    n_items = group.members.sum(0)
    mean_rank = group.ranks.mean(0)
    share = group.variances / group.variances.sum(1, keepdims=True)
    order = sorted(np.flatnonzero(n_items), key=lambda c: (-n_items[c], mean_rank[c]))
    for channel in order:
        yield group.fixed | {
            "channel": int(channel),
            "n_items": int(n_items[channel]),
            "of_items": len(group.members),
            "mean_rank": float(mean_rank[channel]),
            "mean_variance": float(group.variances[:, channel].mean()),
            "mean_variance_share": float(share[:, channel].mean()),
        }


def selection_rows(group: Group) -> Iterator[Row]:
    """Rows of the table ``selections``: the neurons of each item, by rank."""
    for item, name, selection in zip(group.items, group.names, group.selections, strict=True):
        identity = {**dict(zip(FIELDS, item.key)), "name": name}
        for rank, (channel, score) in enumerate(zip(selection.channels, selection.scores), 1):
            yield identity | {"rank": rank, "channel": int(channel), "variance": float(score)}


def jaccard_matrix(group: Group) -> Float[np.ndarray, "item item"]:
    """Jaccard index of every two items of a group."""
    members = group.members.astype(np.int64)
    return np.asarray(jaccard(members @ members.T, group.k), dtype=np.float64)


def cluster_rows(group: Group) -> tuple[list[Row], list[Row]]:
    """Rows of the tables ``clusters`` (merges) and ``leaves``; none for fewer than three items.

    Average linkage of ``1 - Jaccard``, leaves ordered so that neighbours are alike (Bar-Joseph,
    Gifford and Jaakkola, Bioinformatics 2001).
    """
    if len(group.items) < FEWEST_TO_CLUSTER:
        return [], []
    distance = 1 - jaccard_matrix(group)
    np.fill_diagonal(distance, 0)
    merges = linkage(squareform(distance), method="average", optimal_ordering=True)
    clusters = [
        group.fixed
        | {"step": step, "left": int(left), "right": int(right)}
        | {"distance": float(height), "n_leaves": int(n)}
        for step, (left, right, height, n) in enumerate(merges)
    ]
    leaves = [
        group.fixed | {"position": position, "leaf": int(leaf), "name": group.names[leaf]}
        for position, leaf in enumerate(leaves_list(merges))
    ]
    return clusters, leaves
