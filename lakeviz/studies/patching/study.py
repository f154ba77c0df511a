"""The study ``patching``: exchanges within pairs, heat maps, attribution and steering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lakeviz.errors import LakevizError
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.patching.attribution import agreement_rows, attribution_rows, reached_points
from lakeviz.studies.patching.concentration import (
    concentration_rows,
    curve_rows,
    measures_of,
    n_shown,
    orders_of,
    overlap_rows,
    sizes_of,
)
from lakeviz.studies.patching.effects import (
    alike,
    effect_rows,
    heatmap_rows,
    points_and_heads,
    steering_rows,
)
from lakeviz.studies.patching.interchange import Interchange
from lakeviz.studies.patching.paths import path_rows
from lakeviz.studies.patching.result import PatchingResult, Settings
from lakeviz.studies.patching.setup import other_bases, unit_sets, untrained_sets
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import (
    CONTROL,
    DEFECT,
    EXCHANGES,
    GROUPS,
    NEURONS,
    OF_PAIRS,
    ORACLE,
    RUNS_THE_MODEL,
    UNTRAINED,
)


def measure(
    draws: tuple[StudyData, ...], settings: Settings, evaluator: PairedEvaluator
) -> Measured:
    """Make pairs and intervene on them.

    The detector reads all channels of its hook points, so that what it reads favours no units.

    Raises
    ------
    ConfigError
        If there is no model, or the hook point lies behind what the detector reads.
    DataError
        If no anomalous image has a mask.
    """
    first = draws[0]
    sets = unit_sets(draws, settings)
    interchange, point, pairs = sets.interchange, sets.point, sets.interchange.pairs
    confidence = evaluator.bootstrap.confidence
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in PatchingResult.table_names()}
    bases = dict(other_bases(sets, draws))
    curves = _curve_sets(sets, bases, draws) if settings.curves else {}
    expect(n_exchanges(sets, bases, curves), of=EXCHANGES)
    tables["effects"] = list(effect_rows(sets, settings, confidence))
    for basis, own in bases.items():
        tables["effects"] += effect_rows(own, settings, confidence, basis=basis, against=sets)
    if settings.heatmap:
        tables["heatmap"] = list(heatmap_rows(interchange, settings, confidence))
    if settings.curves:
        tables["curves"], tables["areas"] = _curves(curves, sets, confidence)
    if settings.receivers:
        tables["paths"] = list(path_rows(sets, settings, confidence))
    if settings.attribution:
        tables["attribution"], tables["checks"] = attribution_rows(interchange, point, settings)
        tables["agreement"] = list(agreement_rows(tables["checks"]))
        tables["concentration"] = list(concentration_rows(tables["attribution"]))
    tables["overlap"] = list(overlap_rows(sets, tables["attribution"]))
    if settings.doses:
        for basis, own in ({NEURONS: sets} | bases).items():
            tables["steering"] += steering_rows(own, confidence, basis=basis)
    tables["pairs"] = list(_pair_rows(interchange))
    notes = [f"{first.category}: {note}" for note in (*pairs.notes, *sets.notes)]
    if pairs.kind != "rendered":
        notes.append(
            f"{first.category}: twins are {pairs.kind}, so that the difference within a pair is "
            "not of the defect alone"
        )
    return Measured(tables, notes)


def _curve_sets(
    sets: UnitSets, bases: Mapping[str, UnitSets], draws: Sequence[StudyData]
) -> dict[str, UnitSets]:
    """Neurons, other units and, as a floor, neurons of an untrained tower."""
    every = {NEURONS: sets} | dict(bases)
    if sets.settings.untrained:
        try:
            floor = untrained_sets(sets, draws)
            if floor.full[DEFECT].sum(-1).min() > 0:
                every[UNTRAINED] = floor
            else:
                sets.notes.append("an untrained tower scores the defects no higher than the twins")
        except LakevizError as error:
            sets.notes.append(f"no untrained tower: {error}")
    return every


def _curves(
    every: Mapping[str, UnitSets], sets: UnitSets, confidence: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Curves and areas of all units, at the same numbers of units."""
    sizes = sizes_of(sets.statistics[0].n_channels)
    found = [curve_rows(own, confidence, basis=b, sizes=sizes) for b, own in every.items()]
    return [row for own, _ in found for row in own], [row for _, own in found for row in own]


def _pair_rows(interchange: Interchange) -> Sequence[dict[str, Any]]:
    defect, twin = interchange.intact
    pairs = interchange.pairs
    return [
        {
            "image": name,
            "twin": pairs.kind,
            "readout": readout,
            "defect": float(defect[readout][:, i].mean()),
            "without": float(twin[readout][:, i].mean()),
            "n_defect_patches": int(pairs.is_defect[i].sum()),
        }
        for readout in defect
        for i, name in enumerate(pairs.names)
    ]


class Patching(Study):
    """Needs pairs, and no metric of the test images."""

    needs_a_metric: ClassVar[bool] = False

    def runs_the_model(self, settings: Any) -> str:
        """Every exchange does."""
        return RUNS_THE_MODEL


STUDY = Patching(Settings, PatchingResult, measure, over_draws=True)


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
