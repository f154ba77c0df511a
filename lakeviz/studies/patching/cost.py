"""How many exchanges the study is going to make of one category."""

from __future__ import annotations

from lakeviz.studies.patching.attribution import reached_points
from lakeviz.studies.patching.concentration import orders_of, sizes_of
from lakeviz.studies.patching.effects import points_and_heads
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import CONTROL, GROUPS, TWIN_DIFFERENCE


def n_exchanges(sets: UnitSets, settings: Settings) -> int:
    """Exchanges that will be asked for; those that are asked for twice are made once."""

    def n(*names: str) -> int:
        return sum(
            2 if name == TWIN_DIFFERENCE else sum(map(len, sets.members(name))) for name in names
        )

    interchange, selector = sets.interchange, settings.selector
    n_directions, n_channels = len(settings.directions), sets.statistics[0].n_channels
    found = n_directions * n(selector, *sets.names)
    if settings.heatmap:
        cells = points_and_heads(interchange, settings.kinds)
        found += n_directions * len(GROUPS) * sum(map(len, cells.values()))
    if settings.curves:
        found += 2 * len(sizes_of(n_channels)) * n(*orders_of(settings))
    if settings.receivers:
        found += n_directions * n(selector, CONTROL) * len(list(interchange.batches()))
    if settings.attribution:
        widths = [interchange.tower.points[p].sizes[-1] for p in reached_points(interchange)]
        found += sum(min(width, settings.n_checked) for width in widths)
    return found + len(settings.doses) * n(selector, CONTROL)
