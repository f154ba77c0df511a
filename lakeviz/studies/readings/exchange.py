"""The channels of highest variance of a selection, each exchanged for the next in variance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lakeviz.activations import ChannelStatistics
from lakeviz.lake import NeuronSelection, Selection
from lakeviz.lake.joint_selection import exchange_point

Selections = Mapping[str, Selection]


@dataclass(frozen=True)
class Exchange:
    """A selection with one channel exchanged for another.

    ``rank`` is by variance, from 1: at the hook point, or of all where the selection is joint.
    """

    point: str
    channel: int
    rank: int
    variance: float
    replacement: int
    replacement_point: str
    selections: Selections


def exchanges(
    top: Selections, statistics: Mapping[str, ChannelStatistics], k: int, n: int, scope: str
) -> Iterator[Exchange]:
    """Exchange the ``n`` channels of highest variance, one at a time.

    At each hook point, or of all if the selection ``top`` of ``k`` is joint; see
    :func:`~lakeviz.lake.joint_selection.select_points`.
    """
    groups = [list(_ranked(top))]
    if scope == "layer":
        groups = [[one for one in groups[0] if one[0] == point] for point in top]
    for group in groups:
        ordered = sorted(group, key=lambda one: -one[2])
        for rank, (point, channel, variance) in enumerate(ordered[:n], 1):
            selections, (owner, taken) = exchange_point(statistics, k, (point, channel), scope)
            yield Exchange(point, channel, rank, variance, taken, owner, selections)


def _ranked(top: Selections) -> Iterator[tuple[str, int, float]]:
    """Hook point, channel and variance."""
    for point, selection in top.items():
        assert isinstance(selection, NeuronSelection)
        for channel, score in zip(selection.channels, selection.scores, strict=True):
            yield point, int(channel), float(score)
