"""Selections at several hook points: ``k`` at each, or ``k`` of all channels together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeviz.errors import SelectionError
from lakeviz.lake.selection import NeuronSelection, Selection, SubspaceSelection
from lakeviz.lake.selectors import check_k, exchange, get_selector, select

if TYPE_CHECKING:
    from lakeviz.activations.statistics import ChannelStatistics


class JointSelections(dict[str, Selection]):
    """Selections by hook point; one that got no channel is absent, and asking for it an error."""

    def __missing__(self, point: str) -> Selection:
        k = sum(selection.k for selection in self.values())
        raise SelectionError(
            f"{point} has none of the {k} channels that were selected jointly; choose a larger k, "
            "or selection_scope='layer'"
        )


def select_points(
    statistics: Mapping[str, ChannelStatistics],
    k: int,
    selector: str = "variance",
    *,
    seed: int = 0,
    scope: str = "layer",
) -> dict[str, Selection]:
    """Select ``k`` at each of several hook points (``"layer"``), or of all together (``"joint"``).

    Joint selection ranks the channels of all hook points by one score, on its raw scale: of two
    hook points the one of larger activations gets more channels, and one that gets none is left
    out. Random selectors draw from all pairs of hook point and channel. Principal directions are
    those of the covariance without its blocks between hook points, so that each direction belongs
    to one of them.
    """
    if scope == "layer" or get_selector(selector).is_named:
        return {p: select(s, k, selector, seed=seed) for p, s in statistics.items()}
    check_points_k(selector, k, {p: s.n_channels for p, s in statistics.items()}, scope)
    if get_selector(selector).needs_covariance:
        return _joint_directions(statistics, k, selector, seed)
    pooled = select(_pool(statistics, selector), k, selector, seed=seed)
    if not isinstance(pooled, NeuronSelection):
        raise SelectionError(
            f"{selector} cannot select jointly: its directions mix the channels of "
            f"{', '.join(statistics)}, and each hook point is compared on its own"
        )
    return _by_point(pooled, statistics)


def exchange_point(
    statistics: Mapping[str, ChannelStatistics], k: int, out: tuple[str, int], scope: str = "layer"
) -> tuple[dict[str, Selection], tuple[str, int]]:
    """Take the top channels by variance, one of them exchanged for the next in variance.

    ``out`` is the hook point and channel left out; those of the one in its place are returned too.
    """
    point, channel = out
    if scope == "layer":
        found = select_points(statistics, k)
        found[point] = exchange(statistics[point], k, channel)
        return found, (point, int(found[point].provenance["in_its_place"]))
    starts = _starts(statistics)
    pooled = exchange(_pool(statistics, "variance"), k, starts[point] + channel)
    place = int(pooled.provenance["in_its_place"])
    owner = max((p for p in starts if starts[p] <= place), key=lambda p: starts[p])
    return _by_point(pooled, statistics), (owner, place - starts[owner])


def _starts(statistics: Mapping[str, ChannelStatistics]) -> dict[str, int]:
    """First channel of each hook point among those of all."""
    ends = np.cumsum([s.n_channels for s in statistics.values()]).tolist()
    return dict(zip(statistics, [0, *ends[:-1]], strict=True))


def _by_point(
    pooled: NeuronSelection, statistics: Mapping[str, ChannelStatistics]
) -> JointSelections:
    """Divide a selection from the channels of all hook points."""
    found = JointSelections()
    for point, start in _starts(statistics).items():
        n_channels = statistics[point].n_channels
        here = (pooled.channels >= start) & (pooled.channels < start + n_channels)
        if here.any():
            provenance: dict[str, Any] = {"n_tokens": statistics[point].count, "joint_k": pooled.k}
            if statistics[point].dropped:
                provenance["dropped_channels"] = list(statistics[point].dropped)
            found[point] = replace(
                pooled,
                point=point,
                channels=pooled.channels[here] - start,
                scores=pooled.scores[here],
                scale=None if pooled.scale is None else pooled.scale[here],
                n_channels=n_channels,
                provenance=provenance,
            )
    return found


def check_points_k(selector: str, k: int, widths: Mapping[str, int], scope: str) -> None:
    """Refuse a ``k`` that a selector cannot serve at hook points of so many channels."""
    for point, channels in (get_selector(selector).neurons or {}).items():
        n = widths.get(point, 0)
        if n and max(channels) >= n:
            raise SelectionError(f"{point} has neurons 0 to {n - 1}, not {max(channels)}")
    if scope == "joint":
        check_k(selector, k, sum(widths.values()), " + ".join(widths))
        return
    for point, n_channels in widths.items():
        check_k(selector, k, n_channels, point)


def _pool(statistics: Mapping[str, ChannelStatistics], selector: str) -> ChannelStatistics:
    """Statistics of the channels of all hook points, as if they were one."""
    from lakeviz.activations.statistics import ChannelStatistics

    parts = list(statistics.values())
    count = parts[0].count
    kept = None
    if get_selector(selector).needs_tokens:
        counts = {p: s.count for p, s in statistics.items()}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{p} {n}" for p, n in counts.items())
            raise SelectionError(
                f"{selector} cannot select jointly: the hook points have other numbers of tokens "
                f"({said})"
            )
        kept = [np.concatenate([part.tokens for part in parts], axis=1)]
    return ChannelStatistics(
        " + ".join(statistics),
        count=count,
        mean=np.concatenate([part.mean for part in parts]),
        m2=np.concatenate([part.m2 * (count / part.count) for part in parts]),
        minimum=np.concatenate([part.minimum for part in parts]),
        maximum=np.concatenate([part.maximum for part in parts]),
        with_tokens=kept is not None,
        kept=kept,
        dropped=tuple(
            start + channel
            for point, start in _starts(statistics).items()
            for channel in statistics[point].dropped
        ),
    )


def _joint_directions(
    statistics: Mapping[str, ChannelStatistics], k: int, selector: str, seed: int
) -> JointSelections:
    """Directions of single hook points, those of highest score over all of them."""
    whole: dict[str, SubspaceSelection] = {}
    for point, own in statistics.items():
        every = select(own, len(own.kept_channels), selector, seed=seed)
        if not isinstance(every, SubspaceSelection) or (np.diff(every.scores) > 0).any():
            raise SelectionError(
                f"{selector} cannot select jointly: it does not rank its directions, so those of "
                "several hook points cannot be compared"
            )
        whole[point] = every
    scores = np.concatenate([every.scores for every in whole.values()])
    chosen = np.zeros(len(scores), dtype=bool)
    chosen[np.argsort(-scores, kind="stable")[:k]] = True
    found, start = JointSelections(), 0
    for point, every in whole.items():
        here = chosen[start : start + every.k]
        start += every.k
        if here.any():
            provenance = {**every.provenance, "joint_k": k}
            if "retained_variance" in provenance and every.scores.sum() > 0:
                retained = every.scores[here].sum() / every.scores.sum()
                provenance["retained_variance"] = float(retained)
            found[point] = replace(
                every,
                basis=np.ascontiguousarray(every.basis[:, here]),
                scores=every.scores[here],
                provenance=provenance,
            )
    return found
