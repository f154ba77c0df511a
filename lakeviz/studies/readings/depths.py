"""Which hook points the readings are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeviz.lake.layers import layer_points

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.studies.base.captured import StudyData

_SHARES = (1 / 4, 1 / 2, 3 / 4, 1)


def wanted_points(
    model: VisionModel, own: Sequence[int | str] | None, depths: Sequence[str] | None
) -> tuple[str, ...]:
    """Hook points to capture: the detector's own, and those of the depths named.

    By default blocks at each quarter of the depth, from shallow to deep.
    """
    if depths is not None:
        asked = [part for depth in depths for part in depth.split("+")]
    else:
        asked = [str(max(0, round(model.n_blocks * share) - 1)) for share in _SHARES]
    found = (*layer_points(model, own), *layer_points(model, asked))
    order = {point: number for number, point in enumerate(model.tower.points)}
    return tuple(sorted(dict.fromkeys(found), key=lambda point: order[point]))


def depth_points(data: StudyData, depths: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Hook points of each depth; by default the detector's own together, every other one alone.

    Raises
    ------
    ConfigError
        If a depth was not captured.
    """
    own = own_points(data)
    if depths is None:
        apart = [(point,) for point in data.points if point not in own]
        return sorted([own, *apart], key=lambda points: data.points.index(points[0]))
    return [_captured(data, depth) for depth in dict.fromkeys(depths)]


def own_points(data: StudyData) -> tuple[str, ...]:
    """Hook points of the detector, of those captured: all where nothing says which."""
    if data.model is None:
        return data.points
    own = layer_points(data.model, data.options.layers, data.options.streams)
    return tuple(p for p in own if p in data.points)


def _captured(data: StudyData, depth: str) -> tuple[str, ...]:
    parts = [p if not p.isdecimal() else f"blocks.{p}.hook_resid_post" for p in depth.split("+")]
    return data.view(points=list(dict.fromkeys(parts))).points
