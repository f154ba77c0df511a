"""Neurons that many items select, against independent sets; and which items group together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from lakeviz.metrics.estimates import quantile_interval, rank_p_value
from lakeviz.studies.overlap.measures import jaccard
from lakeviz.studies.overlap.null_models import (
    at_least,
    expected_at_least,
    matched_obstacle,
    random_at_least,
)
from lakeviz.studies.overlap.pairs import SelectedGroup
from lakeviz.studies.overlap.selections import Group

FEWEST_TO_CLUSTER = 3
Rows = Iterator[dict[str, object]]
_ORDER = ("category", "dataset", "point", "shots", "seed")


def group_columns(group: Group) -> dict[str, object]:
    """Columns that say which group a row is of."""
    return {name: group.fixed[name] for name in _ORDER if name in group.fixed}


def shared_rows(selected: SelectedGroup) -> Rows:
    """Rows of the table ``shared``: neurons that ``m`` or more items select, and the nulls."""
    group, s = selected.group, selected.settings
    n_items, n_channels = len(group.items), group.n_channels
    observed = at_least(selected.members)
    expected = expected_at_least(n_channels, s.k, n_items)
    # Of a stream by the sizes alone, so that equal groups have equal nulls.
    generator = np.random.default_rng([s.seed, n_items, n_channels, s.k])
    random = random_at_least(n_channels, s.k, n_items, s.n_null, generator)
    matched = None
    if selected.matched is not None:
        matched = np.array([at_least(draw) for draw in selected.matched.swapaxes(0, 1)])
    for m in range(1, n_items + 1):
        low, high = quantile_interval(random[:, m - 1].astype(float), s.level)
        row = group_columns(group) | {
            "m": m,
            "n_items": n_items,
            "k": s.k,
            "n_neurons": int(observed[m - 1]),
            "expected": float(expected[m - 1]),
            "expected_low": low,
            "expected_high": high,
            "p_random": rank_p_value(observed[m - 1], random[:, m - 1]),
        }
        yield row | _matched_columns(selected, matched, m)


def _matched_columns(
    selected: SelectedGroup, matched: np.ndarray | None, m: int
) -> dict[str, object]:
    s = selected.settings
    names = ("matched_mean", "matched_low", "matched_high")
    if matched is None:
        reason = f"matched: {matched_obstacle(selected.group.n_channels, s.k)}"
        return {**dict.fromkeys(names, np.nan), "reason": reason}
    drawn = matched[:, m - 1].astype(float)
    low, high = quantile_interval(drawn, s.level)
    values = (float(drawn.mean()), low, high)
    return {**dict(zip(names, values)), "reason": ""}


def neuron_rows(selected: SelectedGroup) -> Rows:
    """Rows of the table ``neurons``: every neuron that an item selects, the most shared first."""
    n_items = selected.members.sum(0)
    mean_rank = selected.ranks.mean(0)
    share = selected.variances / selected.variances.sum(1, keepdims=True)
    order = sorted(np.flatnonzero(n_items), key=lambda c: (-n_items[c], mean_rank[c]))
    for channel in order:
        yield group_columns(selected.group) | {
            "channel": int(channel),
            "n_items": int(n_items[channel]),
            "of_items": len(selected.members),
            "mean_rank": float(mean_rank[channel]),
            "mean_variance": float(selected.variances[:, channel].mean()),
            "mean_variance_share": float(share[:, channel].mean()),
        }


def selection_rows(selected: SelectedGroup) -> Rows:
    """Rows of the table ``selections``: the neurons of each item, by rank."""
    group = selected.group
    for item, name, selection in zip(group.items, group.names, selected.selections, strict=True):
        identity = {f: getattr(item, f) for f in _ORDER} | {"name": name}
        for rank, (channel, score) in enumerate(zip(selection.channels, selection.scores), 1):
            yield identity | {"rank": rank, "channel": int(channel), "variance": float(score)}


def jaccard_matrix(selected: SelectedGroup) -> Float[np.ndarray, "item item"]:
    """Jaccard index of every two items of a group."""
    members = selected.members.astype(np.int64)
    return np.asarray(jaccard(members @ members.T, selected.settings.k), dtype=np.float64)


def cluster_rows(selected: SelectedGroup) -> tuple[list[dict], list[dict]]:
    """Rows of the tables ``clusters`` (merges) and ``leaves`` (order of the items).

    Average linkage of ``1 - Jaccard``, leaves ordered so that neighbours are alike (Bar-Joseph,
    Gifford and Jaakkola, Bioinformatics 2001). Empty for fewer than three items.
    """
    group = selected.group
    if len(group.items) < FEWEST_TO_CLUSTER:
        return [], []
    distance = 1 - jaccard_matrix(selected)
    np.fill_diagonal(distance, 0)
    merges = linkage(squareform(distance), method="average", optimal_ordering=True)
    fixed = group_columns(group)
    clusters = [
        fixed
        | {
            "step": step,
            "left": int(left),
            "right": int(right),
            "distance": float(height),
            "n_leaves": int(n),
        }
        for step, (left, right, height, n) in enumerate(merges)
    ]
    leaves = [
        fixed | {"position": position, "leaf": int(leaf), "name": group.names[leaf]}
        for position, leaf in enumerate(leaves_list(merges))
    ]
    return clusters, leaves
