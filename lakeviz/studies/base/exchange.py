"""Which channel makes an effect: the top channels, one of them exchanged at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lakeviz.errors import SelectionError
from lakeviz.lake import NeuronSelection, Selection, exchange
from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import members_of

NOTHING = -1
"""In the column ``left_out``: no channel."""


def exchange_rows(
    data: StudyData,
    evaluator: PairedEvaluator,
    *,
    control: str = "random",
    k: int | None = None,
    channels: Iterable[int] | None = None,
    n_random_sets: int = 20,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compare the top ``k`` channels with a control, whole and with each channel exchanged.

    ``channels`` are exchanged for the next in variance wherever they are among the top; all of them
    by default. A row per exchange and metric: ``left_out`` (-1 for none) and the columns of
    :func:`~lakeviz.lake.paired_evaluator.compare`.
    """
    k = data.options.k if k is None else k
    top = data.select(k)
    found: dict[int, Mapping[str, Selection]] = {NOTHING: top}
    for channel in sorted(_channels(top)) if channels is None else channels:
        found[channel] = _without(data, top, channel)
    controls = members_of(data, k, control, n_random_sets, seed)
    maps = data.visual_maps(data.branches([*found.values(), *controls]))
    measured = evaluator.measure_all(maps)
    own, members = measured[: len(found)], measured[len(found) :]
    rows = []
    for channel, one in zip(found, own, strict=True):
        rows += [{"left_out": channel} | row for row in compare(one, {control: members}, evaluator)]
    return rows


def _channels(top: Mapping[str, Selection]) -> set[int]:
    return {channel for selection in top.values() for channel in _of(selection)}


def _of(selection: Selection) -> list[int]:
    assert isinstance(selection, NeuronSelection)  # as those by variance are
    return selection.channels.tolist()


def _without(data: StudyData, top: Mapping[str, Selection], channel: int) -> dict[str, Selection]:
    """The selection with a channel exchanged wherever it is."""
    if channel not in _channels(top):
        raise SelectionError(f"{data.category}: channel {channel} is not in the selection")
    return {
        point: exchange(data.statistics[point], own.k, channel) if channel in _of(own) else own
        for point, own in top.items()
    }
