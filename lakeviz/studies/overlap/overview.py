"""The mean over pairs, with an interval over categories: pairs share them, so not over pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lakeviz.metrics.estimates import Estimate, quantile_interval
from lakeviz.studies.overlap.pairs import NULLS, PairSettings

CELLS: dict[str, tuple[str, ...]] = {
    "category": ("point", "shots"),
    "dataset": ("point", "shots"),
    "layer": ("point_a", "point_b", "shots"),
    "shots": ("point", "shots_a", "shots_b"),
    "seed": ("point", "shots"),
}
"""What a row of ``overview`` is about, by what is compared; it averages over all else."""
_MEANS = (
    "n_shared",
    "jaccard",
    "overlap_coefficient",
    "above_chance",
    "rbo",
    "spearman",
    "projection_kernel",
    "pca_kernel",
    "expected_jaccard",
    "matched_jaccard",
    "permutation_jaccard",
    "ceiling",
    "jaccard_of_ceiling",
)
_WITH_INTERVAL = ("jaccard", "spearman", "jaccard_of_ceiling")
_DIFFERENCES = {
    "minus_chance": "expected_jaccard",
    "minus_matched": "matched_jaccard",
    "minus_permutation": "permutation_jaccard",
}
_N_DRAWS = 1000
_FEWEST_UNITS = 3
Q_LEVEL = 0.05


def overview_table(pairs: pd.DataFrame, settings: PairSettings) -> pd.DataFrame:
    """One row per hook point and number of shots: means over pairs, intervals over categories.

    Where categories are compared, every draw takes categories with replacement, and a pair counts
    as often as the product of its two; pairs of a category with itself are left out. Where each
    category is compared with itself (layers, shots, seeds), its pairs are averaged first.
    """
    cells = list(CELLS[settings.across])
    found = []
    for key, of_cell in pairs.groupby(cells, sort=False):
        row: dict[str, object] = dict(zip(cells, key if isinstance(key, tuple) else (key,)))
        found.append(row | _cell(of_cell, settings))
    return pd.DataFrame(found)


def _cell(pairs: pd.DataFrame, settings: PairSettings) -> dict[str, object]:
    units = _units(pairs)
    names = sorted({u for pair in units for u in pair})
    position = {u: i for i, u in enumerate(names)}
    sides = np.array([[position[u] for u in pair] for pair in units])
    row: dict[str, object] = {
        "k": settings.k,
        "n_channels": int(pairs["n_channels"].iloc[0]),
        "n_categories": len(names),
        "n_pairs": len(pairs),
    }
    columns = {name: pairs[name].to_numpy(dtype=float) for name in _MEANS}
    for name, values in columns.items():
        measured = values[np.isfinite(values)]
        row[name] = float(measured.mean()) if measured.size else np.nan
        if name in _WITH_INTERVAL:
            row |= pair_mean(values, sides, len(names), settings).columns(name)
    for name, other in _DIFFERENCES.items():
        gap = columns["jaccard"] - columns[other]
        row |= pair_mean(gap, sides, len(names), settings).columns(name)
    for null in NULLS:
        q_values = pairs[f"q_{null}"].to_numpy(dtype=float)
        row[f"n_tested_{null}"] = int(np.isfinite(q_values).sum())
        row[f"n_above_{null}"] = int((q_values < Q_LEVEL).sum())
    reason = "" if len(names) >= _fewest(sides) else f"{len(names)} of them are too few"
    return row | {"reason": reason}


def _units(pairs: pd.DataFrame) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """The two categories of each pair, with their data sets; twice the same within a category."""
    if "category_a" in pairs:
        columns = ("dataset_a", "category_a", "dataset_b", "category_b")
    else:
        columns = ("dataset", "category", "dataset", "category")
    values = [pairs[c].astype(str).tolist() for c in columns]
    return [((da, ca), (db, cb)) for da, ca, db, cb in zip(*values)]


def _fewest(sides: Int[np.ndarray, "pair 2"]) -> int:
    """Fewest categories for an interval: two that are compared with each other vary by none."""
    return _FEWEST_UNITS if (sides[:, 0] != sides[:, 1]).any() else 2


def pair_mean(
    values: Float[np.ndarray, " pair"],
    sides: Int[np.ndarray, "pair 2"],
    n_units: int,
    settings: PairSettings,
) -> Estimate:
    """Mean over pairs with a bootstrap interval over the units that the pairs are made of."""
    kept = np.isfinite(values)
    values, sides = values[kept], sides[kept]
    if not values.size:
        return Estimate(np.nan, np.nan, np.nan)
    mean = float(values.mean())
    if n_units < _fewest(sides):
        return Estimate(mean, np.nan, np.nan)
    generator = np.random.default_rng([settings.seed, n_units])
    drawn = generator.multinomial(n_units, np.full(n_units, 1 / n_units), size=_N_DRAWS)
    first, second = drawn[:, sides[:, 0]], drawn[:, sides[:, 1]]
    weights = np.where(sides[:, 0] == sides[:, 1], first, first * second)
    total = weights.sum(1)
    usable = total > 0  # a draw that took one category only has no pair
    means = (weights[usable] @ values) / total[usable]
    return Estimate(mean, *quantile_interval(means, settings.level))
