"""How many exchanges the study is going to make of one category."""

from __future__ import annotations

from collections.abc import Mapping

from lakeviz.studies.patching.attribution import reached_points
from lakeviz.studies.patching.concentration import measures_of, n_shown, orders_of, sizes_of
from lakeviz.studies.patching.effects import alike, points_and_heads
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import CONTROL, GROUPS, OF_PAIRS, ORACLE


def n_exchanges(
    sets: UnitSets, bases: Mapping[str, UnitSets], curves: Mapping[str, UnitSets]
) -> int:
    """Exchanges that will be asked for; those that are asked for twice are made once."""
    interchange, settings = sets.interchange, sets.settings
    n_directions, selector = len(settings.directions), settings.selector
    found = n_directions * _n(sets, selector, *sets.names)
    for own in bases.values():
        found += n_directions * (_n(sets, selector) + _n(own, *alike(settings)))
    if settings.heatmap:
        cells = points_and_heads(interchange, settings.kinds)
        found += n_directions * len(GROUPS) * sum(map(len, cells.values()))
    sizes = sizes_of(sets.statistics[0].n_channels)
    for basis, own in curves.items():
        shown = sum(n_shown(size, m) for size in sizes for m in measures_of(basis))
        found += shown * _n(own, *orders_of(own.settings, basis))
    if curves:
        found += 3 * sets.n_gains()  # each half of the pairs, and all of them
    if settings.receivers:
        found += n_directions * _n(sets, selector, CONTROL) * len(list(interchange.batches()))
    if settings.attribution:
        widths = [interchange.tower.points[p].sizes[-1] for p in reached_points(interchange)]
        found += sum(min(width, settings.n_checked) for width in widths)
    steered = (sets, *bases.values())
    return found + len(settings.doses) * sum(
        _n(own, own.settings.selector, CONTROL) for own in steered
    )


def _n(sets: UnitSets, *names: str) -> int:
    """Exchanges of the sets of some selectors; each half of the pairs counts where they choose."""
    of_pairs = {name: 1 if name == ORACLE else 2 for name in OF_PAIRS}
    return sum(of_pairs.get(name) or sum(map(len, sets.members(name))) for name in names)
