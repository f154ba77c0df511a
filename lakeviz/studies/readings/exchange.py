"""Top-variance sets with one of their channels exchanged for the next in variance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from lakeviz.lake import NeuronSelection, Selection
from lakeviz.lake.joint_selection import JointSelections

Selections = Mapping[str, Selection]


@dataclass(frozen=True)
class Exchange:
    """A selection without one of its channels.

    Attributes
    ----------
    point : str
    channel : int
        The one left out.
    rank : int
        Its rank by variance, from 1: at its hook point, or of all where the selection is joint.
    variance : float
    replacement : (str, int)
        Hook point and channel of the one that takes its place.
    selections : mapping of hook point to Selection
    """

    point: str
    channel: int
    rank: int
    variance: float
    replacement: tuple[str, int]
    selections: Selections


def exchanges(top: Selections, more: Selections, n: int, *, joint: bool) -> Iterator[Exchange]:
    """Exchange each of the ``n`` channels of highest variance for the (k+1)-th.

    Parameters
    ----------
    top : mapping of hook point to NeuronSelection
        The ``k`` channels of highest variance.
    more : mapping
        The ``k + 1`` channels.
    n : int
        How many are exchanged, one at a time: at each hook point, or of all if ``joint``.
    joint : bool
        Whether ``k`` counts the channels of all hook points.
    """
    ranked = [
        (point, int(channel), float(score))
        for point, selection in top.items()
        for channel, score in zip(neurons(selection).channels, selection.scores, strict=True)
    ]
    known = {(point, channel) for point, channel, _ in ranked}
    spare = {
        point: (point, int(channel), float(score))
        for point, selection in more.items()
        for channel, score in zip(neurons(selection).channels, selection.scores, strict=True)
        if (point, int(channel)) not in known
    }
    groups = [ranked] if joint else [[one for one in ranked if one[0] == p] for p in top]
    for group in groups:
        ordered = sorted(group, key=lambda one: -one[2])
        for rank, (point, channel, variance) in enumerate(ordered[:n], 1):
            new = next(iter(spare.values())) if joint else spare[point]
            width = neurons(more[new[0]]).n_channels
            swapped = _swapped(top, (point, channel), new, width)
            yield Exchange(point, channel, rank, variance, new[:2], swapped)


def neurons(selection: Selection) -> NeuronSelection:
    """The selection itself, which is one of neurons."""
    assert isinstance(selection, NeuronSelection)
    return selection


def _swapped(
    top: Selections, old: tuple[str, int], new: tuple[str, int, float], width: int
) -> Selections:
    """The selections without one channel, and with another."""
    changed: dict[str, NeuronSelection] = {}
    for point, selection in top.items():
        own = neurons(selection)
        keep = own.channels != old[1] if point == old[0] else np.ones(own.k, dtype=bool)
        if keep.any():
            changed[point] = replace(own, channels=own.channels[keep], scores=own.scores[keep])
    point, channel, score = new
    if point in changed:
        own = changed[point]
        changed[point] = replace(
            own, channels=np.append(own.channels, channel), scores=np.append(own.scores, score)
        )
    else:
        channels, scores = np.array([channel]), np.array([score])
        changed[point] = NeuronSelection(point, channels, scores, width, "variance")
    return JointSelections(changed)
