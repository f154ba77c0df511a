"""Neurons that many items select, compared with independent sets; and which items cluster."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from lakeviz.metrics.estimates import rank_p_value
from lakeviz.studies.overlap.measures import drawn_columns, jaccard
from lakeviz.studies.overlap.null_models import at_least, expected_at_least, random_at_least
from lakeviz.studies.overlap.result import FIELDS
from lakeviz.studies.overlap.selections import Group
from lakeviz.tables import Row

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
    """Rows of the tables ``clusters`` (merges) and ``leaves`` (order of the items).

    Average linkage of ``1 - Jaccard``, leaves ordered so that neighbours are alike (Bar-Joseph,
    Gifford and Jaakkola, Bioinformatics 2001). Empty for fewer than three items.
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
