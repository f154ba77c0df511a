"""The pairs of items, what each null expects of them, and their means over categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lakeviz.metrics.estimates import (
    NOT_MEASURED,
    Estimate,
    benjamini_hochberg,
    mean_over_categories,
)
from lakeviz.studies.overlap.items import CEILINGS
from lakeviz.studies.overlap.measures import (
    drawn_columns,
    hypergeometric,
    jaccard,
    projection_kernel,
    rank_biased_overlap,
    spearman_matrix,
    strata,
    stratified,
)
from lakeviz.studies.overlap.result import ACROSS, Q_LEVEL, PairSettings
from lakeviz.studies.overlap.selections import Group, Key
from lakeviz.tables import Row, numbers

NULLS = ("hypergeometric", "permutation")
"""Nulls with a p-value."""
_MEANS = (
    *("n_shared", "jaccard", "overlap_coefficient", "above_chance", "rbo", "spearman"),
    *("projection_kernel", "pca_kernel", "expected_jaccard", "matched_jaccard"),
    *("permutation_jaccard", "ceiling", "jaccard_of_ceiling", "jaccard_without_first"),
)
_WITH_INTERVAL = ("jaccard", "spearman", "jaccard_of_ceiling")
_DIFFERENCES = {
    "minus_chance": "expected_jaccard",
    "minus_matched": "matched_jaccard",
    "minus_permutation": "permutation_jaccard",
}


def pair_rows(group: Group, ceilings: Mapping[Key, Mapping[str, float]]) -> Iterator[Row]:
    """Rows of the table ``pairs`` for one group, p-values not yet corrected."""
    k, settings = group.k, group.settings
    spearman = spearman_matrix(group.variances)
    chance = hypergeometric(group.n_channels, k)
    open_to_chance = k - chance.expected
    reason = "; ".join(f"{null}: {why}" for null, why in group.obstacles.items())
    for i, j in group.pairs:
        one, other = group.items[i], group.items[j]
        first, second = group.selections[i], group.selections[j]
        n_shared = int((group.members[i] & group.members[j]).sum())
        value = float(jaccard(n_shared, k))
        kernel = np.nan
        if one.subspace is not None and other.subspace is not None:
            kernel = projection_kernel(one.subspace, other.subspace)
        above = n_shared - chance.expected
        ranked = (first.channels.tolist(), second.channels.tolist())
        yield {
            **_identity(group, i, j),
            "k": k,
            "n_channels": group.n_channels,
            "n_images_a": one.n_images,
            "n_images_b": other.n_images,
            "n_shared": n_shared,
            "jaccard": value,
            "jaccard_without_first": _without_first(group, i, j),
            "overlap_coefficient": n_shared / k,  # both sets have k members
            # 0 at chance, 1 for equal sets.
            "above_chance": above / open_to_chance if open_to_chance > 0 else np.nan,
            "rbo": rank_biased_overlap(*ranked, settings.rbo_p),
            "spearman": float(spearman[i, j]),
            "projection_kernel": n_shared / k,
            "pca_kernel": kernel,
            "expected_shared": chance.expected,
            "expected_jaccard": chance.expected_jaccard,
            "p_hypergeometric": chance.p_value(n_shared),
            **_matched(group, i, j),
            **_permuted(group, i, j, n_shared),
            **_resampled(group, i, j),
            **_ceiling(value, *(ceilings.get(item.key, {}) for item in (one, other))),
            "reason": reason,
        }


def corrected(rows: Sequence[Row]) -> pd.DataFrame:
    """Make the table, with a ``q_`` next to each ``p_``, corrected over all its pairs."""
    table = pd.DataFrame(rows)
    for null in NULLS:
        place = list(table.columns).index(f"p_{null}") + 1
        table.insert(place, f"q_{null}", benjamini_hochberg(numbers(table, f"p_{null}")))
    return table


def _identity(group: Group, i: int, j: int) -> Row:
    """Columns that say which pair it is: ``_a`` and ``_b`` for what varies."""
    names, row = group.names, dict(group.fixed)
    for name in group.varied:
        row |= {f"{name}_{s}": getattr(group.items[n], name) for s, n in (("a", i), ("b", j))}
    return row | {"a": names[i], "b": names[j]}


def _without_first(group: Group, i: int, j: int) -> float:
    """Jaccard index of the ``k`` next in variance when each side leaves out its first channel."""
    if group.k == group.n_channels:
        return np.nan  # no channel is left to take the place
    first, second = ((group.ranks[n] >= 2) & (group.ranks[n] <= group.k + 1) for n in (i, j))
    return float(jaccard(int((first & second).sum()), group.k))


def _matched(group: Group, i: int, j: int) -> dict[str, float]:
    drawn, mean = None, np.nan
    if group.matched is not None:
        drawn = (group.matched[i] & group.matched[j]).sum(1)
        mean = float(np.mean(jaccard(drawn, group.k)))
    columns = drawn_columns("matched_mean", "matched", drawn, group.settings.confidence)
    return {**columns, "matched_jaccard": mean}


def _permuted(group: Group, i: int, j: int, n_shared: int) -> dict[str, float]:
    names = ("permutation_mean", "permutation_jaccard", "p_permutation")
    if "permutation" in group.obstacles:
        return dict.fromkeys(names, np.nan)
    others = [m for m in range(len(group.members)) if m not in (i, j)]
    stratum = strata(group.ranks[others].mean(0))
    null = stratified(group.members[i], group.members[j], stratum)
    return dict(zip(names, (null.expected, null.expected_jaccard, null.p_value(n_shared))))


def _resampled(group: Group, i: int, j: int) -> dict[str, float]:
    """The Jaccard index of the pair when the images of both sides are resampled."""
    drawn, (first, second) = None, (group.resampled[n] for n in (i, j))
    if first is not None and second is not None:
        drawn = np.asarray(jaccard((first & second).sum(1), group.k))
    return drawn_columns("jaccard_resampled", "resampled", drawn, group.settings.confidence)


def _ceiling(
    value: float, of_one: Mapping[str, float], of_other: Mapping[str, float]
) -> dict[str, object]:
    """Mean overlap of the two sides with themselves, and the share of it that the pair reaches."""
    kind = next((c for c in CEILINGS if c in of_one and c in of_other), "")
    ceiling = (of_one[kind] + of_other[kind]) / 2 if kind else np.nan
    ratio = value / ceiling if ceiling > 0 else np.nan
    return {"ceiling": ceiling, "ceiling_kind": kind, "jaccard_of_ceiling": ratio}


# --- means over categories ---


def overview_table(pairs: pd.DataFrame, settings: PairSettings) -> pd.DataFrame:
    """One row per hook point and number of shots: means over pairs, intervals over categories."""
    varied = ACROSS[settings.across]
    cells = [
        column
        for name in ("point", "shots")
        for column in ([f"{name}_a", f"{name}_b"] if name in varied else [name])
    ]
    found = []
    for key, of_cell in pairs.groupby(cells, sort=False):
        row: dict[str, object] = dict(zip(cells, key if isinstance(key, tuple) else (key,)))
        found.append(row | _cell(of_cell, settings.confidence))
    return pd.DataFrame(found)


def _cell(pairs: pd.DataFrame, confidence: float) -> dict[str, object]:
    sides = _sides(pairs)
    row: dict[str, object] = {n: int(pairs[n].iloc[0]) for n in ("k", "n_channels")}
    row |= {"n_categories": len(np.unique(sides)), "n_pairs": len(pairs)}
    row["n_draws"] = pairs["seed"].nunique() if "seed" in pairs else 1
    columns = {name: numbers(pairs, name) for name in _MEANS}
    for name, values in columns.items():
        measured = pair_mean(values, sides, confidence)
        row |= measured.columns(name) if name in _WITH_INTERVAL else {name: measured.value}
    for name, other in _DIFFERENCES.items():
        gap = pair_mean(columns["jaccard"] - columns[other], sides, confidence)
        row |= gap.columns(name)
    for null in NULLS:
        q_values = numbers(pairs, f"q_{null}")
        row[f"n_tested_{null}"] = int(np.isfinite(q_values).sum())
        row[f"n_above_{null}"] = int((q_values < Q_LEVEL).sum())
    none = np.isnan(pair_mean(columns["jaccard"], sides, confidence).low)
    return row | {"reason": f"{row['n_categories']} of them are too few" if none else ""}


def _sides(pairs: pd.DataFrame) -> Int[np.ndarray, "pair 2"]:
    """The two categories of each pair, by number; twice the same within a category."""
    names = [
        (pairs[f"dataset{end}"] + "\t" + pairs[f"category{end}"]).to_numpy(dtype=str)
        for end in (("_a", "_b") if "category_a" in pairs else ("", ""))
    ]
    return np.unique(np.stack(names, axis=1), return_inverse=True)[1].reshape(-1, 2)


def pair_mean(
    values: Float[np.ndarray, " pair"], sides: Int[np.ndarray, "pair 2"], confidence: float
) -> Estimate:
    """Mean over pairs, with a jackknife interval over the categories that the pairs are made of.

    Pairs that have a category in common are not independent, so each category is left out with
    all its pairs: Student's interval of the pseudo-values (Arvesen, "Jackknifing U-statistics",
    Annals of Mathematical Statistics 1969). Where each category is compared with itself alone, a
    pseudo-value is the mean of its pairs. There is no interval where a category is in all pairs,
    as with two categories. ``sides`` are the two categories of each pair, which may be one; pairs
    that were not measured (NaN) are left out.
    """
    measured = np.isfinite(values)
    values, sides = values[measured], sides[measured]
    if not values.size:
        return NOT_MEASURED
    mean, units = float(values.mean()), np.unique(sides)
    without = [values[(sides != unit).all(1)] for unit in units]
    if not all(part.size for part in without):
        return Estimate(mean, np.nan, np.nan)
    n, left = len(units), np.array([part.mean() for part in without])
    found = mean_over_categories(n * mean - (n - 1) * left, confidence)
    return Estimate(mean, found.low, found.high)
