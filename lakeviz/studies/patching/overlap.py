"""How many neurons probes, variance and attribution choose alike, against chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from scipy.stats import hypergeom

from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import DEFECTS, TWIN_DIFFERENCE
from lakeviz.studies.probes.probe import most_different

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
