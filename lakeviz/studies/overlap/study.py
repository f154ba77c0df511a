"""``overlap``: selections compared with each other, with chance, and with themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.lake.provenance import as_plain, versions
from lakeviz.lake.selectors import check_k
from lakeviz.metrics import Bootstrap
from lakeviz.studies.overlap.null_models import STRATUM, matched_obstacle
from lakeviz.studies.overlap.overview import overview_table
from lakeviz.studies.overlap.pairs import (
    PairSettings,
    SelectedGroup,
    corrected,
    pair_rows,
    permutation_obstacle,
)
from lakeviz.studies.overlap.result import OverlapResult
from lakeviz.studies.overlap.selections import Group, OverlapItem, make_groups
from lakeviz.studies.overlap.shared_neurons import (
    FEWEST_TO_CLUSTER,
    cluster_rows,
    neuron_rows,
    selection_rows,
    shared_rows,
)
from lakeviz.studies.overlap.stability import ceiling_of, self_overlap, stability_table


def overlap(
    items: Iterable[OverlapItem],
    k: int,
    *,
    across: str = "category",
    n_null: int = 200,
    n_resamples: int = 200,
    rbo_p: float = 0.9,
    level: float = 0.95,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> OverlapResult:
    """Compare the ``k`` neurons of highest variance between items.

    Parameters
    ----------
    items : iterable of OverlapItem
        See :func:`capture_items`. Their order does not matter.
    k : int
        Neurons of each item.
    across : str
        What differs between the two of a pair, all else being the same: ``"category"`` (of any
        data set), ``"dataset"`` (categories, only pairs of different data sets), ``"layer"``
        (blocks of one width, within a category), ``"shots"`` or ``"seed"``.
    n_null : int
        Draws of the variance-matched sets, and of the random sets of the table ``shared``.
    n_resamples : int
        Draws of the normal images for the overlap of an item with itself.
    rbo_p : float
        Persistence of the rank-biased overlap.
    level : float
        Of all intervals.
    seed : int
    provenance : mapping, optional
        Added to the result's: the model.

    Returns
    -------
    OverlapResult

    Raises
    ------
    ConfigError
        If there are not two items to compare, an item is there twice, or items are of different
        models or widths.
    SelectionError
        If ``k`` is not between 1 and the number of channels.
    """
    for name, n in (("n_null", n_null), ("n_resamples", n_resamples)):
        if n < 1:
            raise ConfigError(f"{name} must be at least 1, not {n}")
    settings = PairSettings(k, across, n_null, n_resamples, rbo_p, level, seed)
    groups = make_groups(items, across)
    for group in groups:
        check_k("variance", k, group.n_channels, group.items[0].point)
    of_groups = [item for group in groups for item in group.items]
    stability = pd.DataFrame(
        [
            row
            for item in of_groups
            for row in stability_table(item, self_overlap(item, k, n_resamples, seed), level, k)
        ]
    )
    ceilings = ceiling_of(stability)
    tables: dict[str, list] = {n: [] for n in ("pairs", *_OF_GROUP, "clusters", "leaves")}
    for group in groups:
        selected = SelectedGroup(group, settings)
        tables["pairs"] += pair_rows(selected, ceilings)
        for name, make in _OF_GROUP.items():
            tables[name] += make(selected)
        merges, leaves = cluster_rows(selected)
        tables["clusters"] += merges
        tables["leaves"] += leaves
    pairs = corrected(tables.pop("pairs"))
    overview = overview_table(pairs, settings)
    return OverlapResult(
        pairs=pairs,
        overview=overview,
        stability=stability,
        **{name: pd.DataFrame(rows) for name, rows in tables.items()},
        provenance=_describe(settings, of_groups, provenance or {}),
        notes=[*_notes(groups, settings, stability), *_without_interval(overview)],
    )


_OF_GROUP = {"shared": shared_rows, "neurons": neuron_rows, "selections": selection_rows}


def _describe(
    settings: PairSettings, items: Sequence[OverlapItem], more: Mapping[str, Any]
) -> dict[str, Any]:
    several = len({item.dataset for item in items}) > 1
    categories: dict[str, Any] = {}
    for item in items:
        name = f"{item.dataset}/{item.category}" if several else item.category
        made = categories.setdefault(name, {"fit": {"n_captured": len(item.pool), "draws": {}}})
        ids = [item.pool.sample_ids[i] for i in item.images]
        made["fit"]["draws"][f"{item.shots} shots, seed {item.seed}"] = ids
    bootstrap = Bootstrap(settings.level, settings.n_resamples, settings.seed)
    return {
        "study": OverlapResult.name,
        "settings": as_plain({**asdict(settings), "stratum": STRATUM}),
        "versions": versions(),
        "points": sorted({item.point for item in items}),
        "bootstrap": as_plain(bootstrap),
        **as_plain(dict(more)),
        "categories": categories,
    }


def _without_interval(overview: pd.DataFrame) -> list[str]:
    reasons = dict.fromkeys(overview["reason"])
    return [f"no interval over categories: {reason}" for reason in reasons if reason]


def _notes(groups: Sequence[Group], settings: PairSettings, stability: pd.DataFrame) -> list[str]:
    """Visible absences: what could not be measured, and why."""
    notes = []
    matched = {matched_obstacle(g.n_channels, settings.k) for g in groups} - {""}
    notes += [f"no variance-matched sets: {reason}" for reason in sorted(matched)]
    permutation = {permutation_obstacle(settings.across, len(g.items)) for g in groups} - {""}
    notes += [f"no permutation null: {reason}" for reason in sorted(permutation)]
    if all(len(g.items) < FEWEST_TO_CLUSTER for g in groups):
        notes.append(f"no clustering: it needs {FEWEST_TO_CLUSTER} items or more in a group")
    single = stability[(stability["n_images"] < 2) & (stability["kind"] == "bootstrap")]
    names = list(dict.fromkeys(single["category"]))
    if names:
        notes.append(
            f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}: one normal image "
            "cannot be resampled, so there is no overlap of resampled selections"
        )
    return notes
