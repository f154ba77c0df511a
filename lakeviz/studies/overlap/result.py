"""The result of the overlap study, and what it says in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.overlap.overview import Q_LEVEL

_SAID = 4
_KINDS = {
    "category": "two categories",
    "dataset": "two categories of different data sets",
    "layer": "the two layers",
    "shots": "selections from the two numbers of shots",
    "seed": "selections from two draws of the normal images",
}


@dataclass
class OverlapResult(StudyResult):
    """Overlap of selected neurons: pairs, their nulls, and overlap of each item with itself.

    What varies between the two sides of a pair has columns ``_a`` and ``_b``; ``a`` and ``b`` are
    their names. See ``docs/tasks/overlap.md`` for all columns.

    Attributes
    ----------
    pairs : DataFrame
        One row per pair: ``n_shared``, ``jaccard``, ``overlap_coefficient``, ``above_chance``,
        ``rbo``, ``spearman``, ``projection_kernel``, ``pca_kernel``; each null with its p-value
        and the corrected one; ``ceiling`` and ``jaccard_of_ceiling``.
    overview : DataFrame
        Means over pairs with intervals over categories.
    shared : DataFrame
        Number of neurons that ``m`` or more items select, and the nulls.
    neurons : DataFrame
        Every selected neuron: how many items select it, mean rank and variance.
    selections : DataFrame
        The neurons of each item, by rank.
    stability : DataFrame
        Overlap of each item with itself under other normal images.
    clusters, leaves : DataFrame
        Average linkage of ``1 - jaccard``: merges, and the order of the items.
    """

    name: ClassVar[str] = "overlap"
    title: ClassVar[str] = "Overlap of selected neurons"

    pairs: pd.DataFrame = field(repr=False)
    overview: pd.DataFrame = field(repr=False)
    shared: pd.DataFrame = field(repr=False)
    neurons: pd.DataFrame = field(repr=False)
    selections: pd.DataFrame = field(repr=False)
    stability: pd.DataFrame = field(repr=False)
    clusters: pd.DataFrame = field(repr=False)
    leaves: pd.DataFrame = field(repr=False)

    @property
    def across(self) -> str:
        """What is compared: category, dataset, layer, shots or seed."""
        return str(self.provenance["settings"]["across"])

    def summary(self) -> str:
        """Say the mean overlap beside chance, the nulls and the ceiling; one sentence a layer."""
        rows = self.overview.to_dict("records")
        said = [self._sentence(row) for row in rows[:_SAID]]
        if len(rows) > _SAID:
            said.append(f"{len(rows) - _SAID} more rows are in the table overview.")
        said.append(
            "All are neurons of high variance on normal images: their overlap does not say that "
            "they notice anomalies."
        )
        return " ".join(said)

    def _sentence(self, row: dict[Any, Any]) -> str:
        n = int(row["n_categories"])
        of = f" ({n} categories)" if n > 1 else " (1 category)"
        n_pairs = int(row["n_pairs"])
        over = f"on average over {n_pairs} pairs" if n_pairs > 1 else "in 1 pair"
        interval = _interval(row, "jaccard")
        parts = [f"{row['expected_jaccard']:.3f} for random sets"]
        if np.isfinite(row["matched_jaccard"]):
            parts.append(f"{row['matched_jaccard']:.3f} for other sets of nearly the same variance")
        if np.isfinite(row["permutation_jaccard"]):
            parts.append(
                f"{row['permutation_jaccard']:.3f} from what the other categories' ranking explains"
            )
        ceiling = "the overlap of a category with itself could not be measured"
        if np.isfinite(row["jaccard_of_ceiling"]):
            ceiling = (
                f"{row['jaccard_of_ceiling']:.2f}{_interval(row, 'jaccard_of_ceiling', 2)} of the "
                f"overlap of a category with itself under other normal images "
                f"({row['ceiling']:.3f})"
            )
        return (
            f"At {_where(row)}, {_KINDS[self.across]} share {row['n_shared']:.1f} of their "
            f"{int(row['k'])} neurons {over}{of}: Jaccard "
            f"{row['jaccard']:.3f}{interval}, against {', '.join(parts)}; {ceiling}. "
            f"{_counts(row)}"
        )


def _where(row: dict[Any, Any]) -> str:
    points = [row[c] for c in ("point", "point_a", "point_b") if c in row]
    shots = [row[c] for c in ("shots", "shots_a", "shots_b") if c in row]
    return f"{' and '.join(points)} ({' and '.join(map(str, shots))} shots)"


def _interval(row: dict[Any, Any], name: str, digits: int = 3) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if not np.isfinite(low):
        return ""
    return f" [{low:.{digits}f}, {high:.{digits}f}]"


def _counts(row: dict[Any, Any]) -> str:
    names = {
        "hypergeometric": "random sets",
        "permutation": "the other categories' ranking explains",
    }
    parts = [
        f"{int(row[f'n_above_{null}'])} of {int(row[f'n_tested_{null}'])} than {said}"
        for null, said in names.items()
        if row[f"n_tested_{null}"]
    ]
    return f"Pairs that share more (q < {Q_LEVEL:g}): {', '.join(parts)}."
