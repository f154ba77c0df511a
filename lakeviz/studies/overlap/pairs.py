"""The pairs of items: how much they have in common, beside what each null expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from lakeviz.lake import NeuronSelection
from lakeviz.metrics.estimates import benjamini_hochberg, quantile_interval
from lakeviz.studies.overlap.measures import (
    jaccard,
    projection_kernel,
    rank_biased_overlap,
    spearman_matrix,
    top_k,
)
from lakeviz.studies.overlap.null_models import (
    FEWEST_OTHERS,
    CountNull,
    hypergeometric,
    matched_draws,
    matched_obstacle,
    strata,
    stratified,
)
from lakeviz.studies.overlap.selections import Group, OverlapItem, pairs_of
from lakeviz.studies.overlap.stability import CEILINGS

NULLS = ("hypergeometric", "permutation")
"""Nulls with a p-value."""


@dataclass(frozen=True)
class PairSettings:
    """How pairs are compared."""

    k: int
    across: str
    n_null: int
    n_resamples: int
    rbo_p: float
    level: float
    seed: int


@dataclass
class SelectedGroup:
    """A group with the selection, the matched draws and the resamples of each of its items."""

    group: Group
    settings: PairSettings
    selections: list[NeuronSelection] = field(init=False)
    variances: Float[np.ndarray, "item channel"] = field(init=False)

    def __post_init__(self) -> None:
        self.selections = [item.select(self.settings.k) for item in self.group.items]
        self.variances = np.stack([item.statistics.variance for item in self.group.items])

    @cached_property
    def members(self) -> Bool[np.ndarray, "item channel"]:
        """Which channels each item selected."""
        found = np.zeros(self.variances.shape, dtype=bool)
        for row, selection in zip(found, self.selections, strict=True):
            row[selection.channels] = True
        return found

    @cached_property
    def ranks(self) -> Int[np.ndarray, "item channel"]:
        """Rank of each channel by variance, 1 for the highest."""
        order = np.argsort(-self.variances, axis=1, kind="stable")
        return np.argsort(order, axis=1) + 1

    @cached_property
    def matched(self) -> Bool[np.ndarray, "item draw channel"] | None:
        """Draws of variance-matched sets of each item; None where they would be forced."""
        s = self.settings
        if matched_obstacle(self.group.n_channels, s.k):
            return None
        return np.stack([_matched(item, s) for item in self.group.items])

    @cached_property
    def resampled(self) -> list[Bool[np.ndarray, "draw channel"] | None]:
        """Selections from resampled images of each item; None where there is one image."""
        s = self.settings
        return [
            top_k(item.resampled(s.n_resamples, "first", s.seed), s.k)
            if item.n_images > 1
            else None
            for item in self.group.items
        ]


def _matched(item: OverlapItem, settings: PairSettings) -> Bool[np.ndarray, "draw channel"]:
    seeds = item.generator("matched", settings.seed).integers(2**31, size=settings.n_null)
    return matched_draws(item.statistics, settings.k, seeds)


def pair_rows(
    selected: SelectedGroup, ceilings: Mapping[tuple[object, ...], Mapping[str, float]]
) -> list[dict[str, object]]:
    """Rows of the table ``pairs`` for one group, p-values not yet corrected."""
    group, s = selected.group, selected.settings
    spearman = spearman_matrix(selected.variances)
    chance = hypergeometric(group.n_channels, s.k)
    rows = []
    for i, j in pairs_of(group, s.across):
        one, other = group.items[i], group.items[j]
        row = _identity(group, i, j)
        n_shared = int((selected.members[i] & selected.members[j]).sum())
        first, second = selected.selections[i], selected.selections[j]
        row |= {
            "k": s.k,
            "n_channels": group.n_channels,
            "n_images_a": one.n_images,
            "n_images_b": other.n_images,
            "n_shared": n_shared,
            "jaccard": jaccard(n_shared, s.k),
            # Both sets have k members, so the smaller one is k too.
            "overlap_coefficient": n_shared / s.k,
            "above_chance": _above(n_shared, chance.expected, s.k),
            "rbo": rank_biased_overlap(first.channels.tolist(), second.channels.tolist(), s.rbo_p),
            "spearman": float(spearman[i, j]),
            "projection_kernel": projection_kernel(first, second),
            "pca_kernel": np.nan
            if one.subspace is None or other.subspace is None
            else projection_kernel(one.subspace, other.subspace),
        }
        nulls, reasons = _against_nulls(selected, i, j, n_shared, chance)
        rows.append(row | nulls | _beside_itself(selected, i, j, row, ceilings) | reasons)
    return rows


def corrected(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Make the table, with a ``q_`` beside each ``p_``, corrected over all its pairs."""
    table = pd.DataFrame(list(rows))
    for null in NULLS:
        place = list(table.columns).index(f"p_{null}") + 1
        p_values = table[f"p_{null}"].to_numpy(dtype=float)
        table.insert(place, f"q_{null}", benjamini_hochberg(p_values))
    return table


def _identity(group: Group, i: int, j: int) -> dict[str, object]:
    """Columns that say which pair it is: ``_a`` and ``_b`` for what varies."""
    row: dict[str, object] = {}
    for name in ("category", "dataset", "point", "shots", "seed"):
        if name in group.varied:
            row |= {
                f"{name}_a": getattr(group.items[i], name),
                f"{name}_b": getattr(group.items[j], name),
            }
        else:
            row[name] = group.fixed[name]
    return row | {"a": group.names[i], "b": group.names[j]}


def _above(n_shared: int, expected: float, k: int) -> float:
    """Share of what chance leaves open: 0 at chance, 1 for equal sets; NaN where all is chance."""
    return (n_shared - expected) / (k - expected) if k > expected else np.nan


def _against_nulls(
    selected: SelectedGroup, i: int, j: int, n_shared: int, chance: CountNull
) -> tuple[dict[str, object], dict[str, object]]:
    group, s = selected.group, selected.settings
    row: dict[str, object] = {
        "expected_shared": chance.expected,
        "expected_jaccard": chance.expected_jaccard,
        "p_hypergeometric": chance.p_value(n_shared),
    }
    reasons = []
    names = ("matched_mean", "matched_low", "matched_high", "matched_jaccard")
    if selected.matched is None:
        row |= dict.fromkeys(names, np.nan)
        reasons.append(f"matched: {matched_obstacle(group.n_channels, s.k)}")
    else:
        drawn = (selected.matched[i] & selected.matched[j]).sum(1)
        low, high = quantile_interval(drawn.astype(float), s.level)
        mean = float(np.mean(jaccard(drawn, s.k)))
        row |= dict(zip(names, (float(drawn.mean()), low, high, mean)))
    names = ("permutation_mean", "permutation_jaccard", "p_permutation")
    obstacle = permutation_obstacle(s.across, len(group.items))
    if obstacle:
        row |= dict.fromkeys(names, np.nan)
        reasons.append(f"permutation: {obstacle}")
    else:
        others = [m for m in range(len(group.items)) if m not in (i, j)]
        null = stratified(
            selected.members[i], selected.members[j], strata(selected.ranks[others].mean(0))
        )
        values = (null.expected, null.expected_jaccard, null.p_value(n_shared))
        row |= dict(zip(names, values))
    return row, {"reason": "; ".join(reasons)}


def permutation_obstacle(across: str, n_items: int) -> str:
    """Why the ``permutation`` null cannot be asked; empty where it can."""
    if across not in ("category", "dataset"):
        return "items of one category have no common profile but their own"
    if n_items - 2 < FEWEST_OTHERS:
        return f"{FEWEST_OTHERS} items beside the pair are needed, and there are {n_items - 2}"
    return ""


def _beside_itself(
    selected: SelectedGroup,
    i: int,
    j: int,
    row: Mapping[str, object],
    ceilings: Mapping[tuple[object, ...], Mapping[str, float]],
) -> dict[str, object]:
    """The pair when both sides are resampled, and the overlap of each side with itself."""
    group, s = selected.group, selected.settings
    found: dict[str, object] = dict.fromkeys(
        ("jaccard_resampled", "resampled_low", "resampled_high"), np.nan
    )
    first, second = selected.resampled[i], selected.resampled[j]
    if first is not None and second is not None:
        drawn = np.asarray(jaccard((first & second).sum(1), s.k), dtype=float)
        low, high = quantile_interval(drawn, s.level)
        found = dict(zip(found, (float(drawn.mean()), low, high)))
    of_one, of_other = (ceilings.get(group.items[n].key, {}) for n in (i, j))
    kind = next((c for c in CEILINGS if c in of_one and c in of_other), "")
    ceiling = (of_one[kind] + of_other[kind]) / 2 if kind else np.nan
    value = row["jaccard"]
    assert isinstance(value, float)
    ratio = value / ceiling if ceiling > 0 else np.nan
    return found | {"ceiling": ceiling, "ceiling_kind": kind, "jaccard_of_ceiling": ratio}
