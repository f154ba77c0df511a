"""How concentrated an effect is, and whether the ways of choosing neurons agree on its carriers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import hypergeom
from torch import Tensor

from lakeviz.lake.selection import NeuronSelection
from lakeviz.lake.selectors import neurons_named
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.metrics.pair_shares import share_difference, share_estimate
from lakeviz.studies.patching.effects import Members, counts
from lakeviz.studies.patching.interchange import Chosen
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import (
    COMPLETENESS,
    CONTROL,
    DEFECT,
    DEFECTS,
    DENOISING,
    GREEDY,
    MEASURES,
    MINIMALITY,
    NEURONS,
    ORACLE,
    TWIN_DIFFERENCE,
    UNTRAINED,
)
from lakeviz.studies.probes.study import most_different

Rows = Iterator[dict[str, Any]]
PROBE, ATTRIBUTION, VARIANCE = "probe", "attribution", "variance"


def overlap_rows(sets: UnitSets, attribution: Sequence[Mapping[str, Any]]) -> Rows:
    """Neurons that any two ways of choosing share, against two random sets of their size.

    ``probe``: those whose means differ most between the defect patches and their twins, in standard
    deviations, as a sparse probe chooses. ``twin_difference``: by the mean squared difference.
    ``attribution``: by the absolute gradient times difference. ``variance``: of the normal images,
    on every draw. ``excess`` is 0 by chance and 1 where both choose the same.
    """
    if sets.point in sets.interchange.units:
        return
    chosen = _chosen(sets, attribution)
    k, n = sets.k, sets.statistics[0].n_channels
    expected = k * k / n
    for one, other in combinations(chosen, 2):
        pairs = [(a, b) for a in chosen[one] for b in chosen[other]]
        shared = [len(a & b) for a, b in pairs]
        yield {
            "point": sets.point,
            "first": one,
            "second": other,
            "size": k,
            "shared": float(np.mean(shared)),
            "expected": expected,
            "excess": (float(np.mean(shared)) - expected) / (k - expected) if k < n else np.nan,
            # Draws share their test images: no evidence is gained from there being several.
            "p_value": float(np.median([hypergeom.sf(s - 1, n, k, k) for s in shared])),
            "n_channels": n,
            "n_pairs": len(sets.interchange.pairs),
            "n_draws": len(sets.statistics),
        }


def _chosen(sets: UnitSets, attribution: Sequence[Mapping[str, Any]]) -> dict[str, list[set[int]]]:
    """Neurons by the way they are chosen; several sets where every draw chooses."""
    point, k = sets.point, sets.k
    defect, twin = sets.interchange.sides(point)
    where = sets.interchange.group(DEFECTS, point)
    with_defect, without = defect[where], twin[where]
    is_defect = np.repeat([True, False], len(with_defect))
    tokens = torch.cat([with_defect, without]).float().numpy()
    found = {
        VARIANCE: [set(own[0].channels.tolist()) for own in sets.members(VARIANCE)],  # type: ignore[union-attr]
        PROBE: [set(most_different(k)(tokens, is_defect).tolist())],
        TWIN_DIFFERENCE: [set(sets.largest_difference(slice(None)).channels.tolist())],
    }
    own = [row for row in attribution if row["point"] == point]
    if own:
        order = np.argsort([-abs(row["gradient"]) for row in own], kind="stable")[:k]
        found[ATTRIBUTION] = [{int(own[i]["channel"]) for i in order}]
    return found


_LEFT_OUT = 3


def curve_rows(
    sets: UnitSets, confidence: float, *, basis: str = NEURONS, sizes: Sequence[int] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Faithfulness, completeness and minimality by the number of units, and the areas under them.

    All are shares of the difference in the score of the defect patches. Faithfulness is what is
    left of it when all units but the set are exchanged, completeness what goes when the set is
    (Wang et al., ICLR 2023; Marks et al., ICLR 2025). Minimality is what faithfulness loses without
    one unit of the set, as the mean of three of its units, evenly spaced in their order: its part
    where every unit adds its own, and 0 where none is needed. An area is the mean over the
    logarithm of the number of units: the larger, the fewer units carry the effect. ``sizes`` are 1
    to half of all units by default.
    """
    settings, full = sets.settings, sets.full[DEFECT]
    curves, areas = [], []
    summed = {}
    for order, measure in product(orders_of(settings, basis), measures_of(basis)):
        curve = list(_curve(sets, order, measure, sizes))
        summed[order, measure] = _under(curve)
        for size, _, shown in curve:
            curves.append(
                {
                    "basis": basis,
                    "units": order,
                    "measure": measure,
                    "size": size,
                    **share_estimate(shown.mean(1), full, confidence).columns("share"),
                    "n_members": shown.shape[1],
                    **counts(shown),
                }
            )
    for (order, measure), shown in summed.items():
        gap, p_value = NOT_MEASURED, np.nan
        if order != CONTROL:
            random = summed[CONTROL, measure]
            gap, p_value = share_difference(shown.mean(1), random, full, confidence)
        areas.append(
            {
                "basis": basis,
                "units": order,
                "measure": measure,
                **share_estimate(shown.mean(1), full, confidence).columns("area"),
                **gap.columns("difference"),
                "p_value": p_value,
                **counts(shown),
            }
        )
    return curves, areas


def orders_of(settings: Settings, basis: str = NEURONS) -> list[str]:
    """Selectors that rank the units of a curve; named neurons are a set and rank none."""
    own = [settings.selector] if neurons_named(settings.selector) is None else []
    bounds = [GREEDY, ORACLE] if settings.greedy and basis == NEURONS else []
    return [*own, CONTROL, TWIN_DIFFERENCE, *bounds]


def measures_of(basis: str) -> list[str]:
    """Curves of units; minimality, which costs most, of neurons alone."""
    return [m for m in MEASURES if m != MINIMALITY or basis in (NEURONS, UNTRAINED)]


def concentration_rows(attribution: Sequence[Mapping[str, Any]]) -> Rows:
    """How evenly single neurons share the effect at each hook point, to first order.

    Of absolute effects: the Gini coefficient (0 where all are equal, near 1 where one holds all)
    and the participation ratio ``(sum e)^2 / (n sum e^2)``, the share of neurons that would hold as
    much if they were equal.
    """
    for point in dict.fromkeys(row["point"] for row in attribution):
        rows = [row for row in attribution if row["point"] == point]
        effects = np.sort(np.abs([row["gradient"] for row in rows]))
        n, total = len(effects), effects.sum()
        even = total > 0
        ranks = np.arange(1, n + 1)
        yield {
            "point": point,
            "gini": float((2 * ranks - n - 1) @ effects / (n * total)) if even else np.nan,
            "participation": float(total**2 / (n * (effects**2).sum())) if even else np.nan,
            "n_neurons": n,
            "n_pairs": rows[0]["n_pairs"],
        }


def area(sets: UnitSets, order: str, measure: str) -> Members:
    """Area under a curve in each pair: what is shown, as a mean over the logarithm of the size."""
    return _under(_curve(sets, order, measure))


def _under(curve: Iterable[tuple[int, float, Members]]) -> Members:
    return np.sum([weight * shown for _, weight, shown in curve], axis=0)


def _curve(
    sets: UnitSets, order: str, measure: str, sizes: Sequence[int] = ()
) -> Iterator[tuple[int, float, Members]]:
    """Numbers of units, their weights in the area, and what is shown."""
    sizes = sizes or sizes_of(sets.statistics[0].n_channels)
    for size, weight in zip(sizes, _weights(sizes), strict=True):
        own = replace(sets.of_size(size), defects_alone=True)
        yield size, float(weight), _shown(own, order, measure)


def _shown(sets: UnitSets, order: str, measure: str) -> Members:
    """The part of the difference that is left with a set alone, or that goes with it."""
    if measure == COMPLETENESS:
        return sets.moved(order, DENOISING)[DEFECT]
    if measure != MINIMALITY:
        return _left(sets, order)
    without = np.mean([_left(sets, order, place) for place in _places(sets.k)], axis=0)
    return _left(sets, order) - without


def _places(k: int) -> list[int]:
    """Which units of a set are left out, one at a time."""
    return sorted({int(place) for place in np.linspace(0, k - 1, _LEFT_OUT)})


def n_shown(size: int, measure: str) -> int:
    """How often the members of a set are exchanged for one point of a curve."""
    return 1 + len(_places(size)) if measure == MINIMALITY else 1


def _left(sets: UnitSets, order: str, without: int | None = None) -> Members:
    """What is left with a set alone, or with all of it but one unit."""
    edit = partial(_all_but, sets, without)
    key = "all but" if without is None else ("all but", without)
    return sets.full[DEFECT][:, None] - sets.moved(order, DENOISING, edit, key)[DEFECT]


def _all_but(sets: UnitSets, without: int | None, direction: str, units: Chosen) -> Tensor:
    made, tokens = sets.interchange, sets.settings.tokens
    if without is None:
        return made.exchanged(sets.point, direction, tokens, units, but=True)
    if sets.k == 1:
        return made.exchanged(sets.point, direction, tokens)
    return made.exchanged(sets.point, direction, tokens, _but_one(units, without), but=True)


def _but_one(units: Chosen, without: int) -> Chosen:
    assert units is not None
    if isinstance(units, NeuronSelection):
        channels, scores = (np.delete(own, without) for own in (units.channels, units.scores))
        return replace(units, channels=channels, scores=scores, scale=None)
    return replace(
        units, basis=np.delete(units.basis, without, 1), scores=np.delete(units.scores, without)
    )


def sizes_of(n: int) -> list[int]:
    """Numbers of units from 1 to half of all, about geometric."""
    return sorted({int(size) for size in np.geomspace(1, max(1, n // 2), 6).round()})


def _weights(sizes: Sequence[int]) -> Float[np.ndarray, " size"]:
    """Weights of the trapezoidal rule over the logarithm of the sizes, of sum 1."""
    if len(sizes) == 1:
        return np.ones(1)
    at = np.log(sizes)
    steps = np.diff(at)
    weights = (np.r_[steps, 0] + np.r_[0, steps]) / 2
    return weights / weights.sum()
