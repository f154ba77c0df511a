"""How the overlap study is shown: matrices, shared neurons beside their nulls, and the ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.studies.overlap import OverlapResult
from lakeviz.studies.overlap.figures import overlap_ceiling_figure, overlap_matrix_figure
from lakeviz.studies.overlap.set_figures import neuron_sets_figure, shared_neurons_figure
from lakeviz.tables import rows, where

_GROUPS, _ROWS = 3, 12
_OF = {
    "category": "categories",
    "dataset": "categories of several data sets",
    "layer": "layers",
    "shots": "numbers of shots",
    "seed": "draws of normal images",
}


def figures(result: OverlapResult) -> list[go.Figure]:
    """Matrix, shared neurons and their sets for the first groups, and pairs beside the ceiling."""
    of = _OF[result.across]
    made = []
    for fixed in _groups(result)[:_GROUPS]:
        pairs = where(result.pairs, **fixed)
        clusters, leaves = (
            table if table.empty else where(table, **fixed)
            for table in (result.clusters, result.leaves)
        )
        said = _said(fixed)
        if len(pairs) > 1:
            title = f"Overlap of selected neurons: {said}"
            matrix = overlap_matrix_figure(pairs, clusters, leaves, title=title, of=of)
            made.append(matrix.update_layout(width=None))  # the page has its own
        made.append(
            shared_neurons_figure(
                where(result.shared, **fixed),
                title=f"Neurons that several select: {said}",
                of=of,
                level=result.confidence,
            )
        )
        order = None if leaves.empty else leaves.sort_values("position")["name"].tolist()
        title = f"Who selects what: {said}"
        selections = where(result.selections, **fixed)
        made.append(neuron_sets_figure(selections, order=order, title=title, of=of))
    if np.isfinite(result.pairs["ceiling"].to_numpy(dtype=float)).any():
        made.append(overlap_ceiling_figure(result.pairs))
    return made


def headline(result: OverlapResult) -> pd.DataFrame:
    """Mean overlap beside chance, the nulls and the ceiling."""
    table = rows(result.overview, np.arange(min(len(result.overview), _ROWS)))
    return pd.DataFrame([_row(row) for row in table.to_dict("records")])


def _row(row: dict[Any, Any]) -> dict[str, str]:
    points = [str(row[c]) for c in ("point", "point_a", "point_b") if c in row]
    shots = [str(row[c]) for c in ("shots", "shots_a", "shots_b") if c in row]
    n = int(row["n_pairs"])
    return {
        "hook point": " and ".join(points),
        "shots": " and ".join(shots),
        "neurons": f"{int(row['k'])} of {int(row['n_channels']):,}",
        "categories": str(int(row["n_categories"])),
        "pairs": f"{n:,}",
        "shared": f"{row['n_shared']:.1f}",
        "Jaccard": _with_interval(row, "jaccard"),
        "random sets": _number(row["expected_jaccard"]),
        "matched sets": _number(row["matched_jaccard"]),
        "common ranking": _number(row["permutation_jaccard"]),
        "with itself": _number(row["ceiling"]),
        "Spearman": _with_interval(row, "spearman"),
        "pairs above random": _counted(row, "hypergeometric"),
        "pairs above common ranking": _counted(row, "permutation"),
    }


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _with_interval(row: dict[Any, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = "" if low != low else f" [{low:.3f}, {high:.3f}]"
    return _number(row[name]) + interval


def _counted(row: dict[Any, Any], null: str) -> str:
    tested = int(row[f"n_tested_{null}"])
    return f"{int(row[f'n_above_{null}'])} of {tested}" if tested else "–"


def _groups(result: OverlapResult) -> list[dict[str, Any]]:
    """What tells the groups apart, one entry each; the first seed stands for the others."""
    columns = [c for c in ("category", "dataset", "point", "shots", "seed") if c in result.shared]
    distinct = result.shared[columns].drop_duplicates()
    return [dict(zip(columns, values)) for values in distinct.to_numpy(dtype=object).tolist()]


def _said(fixed: dict[str, Any]) -> str:
    parts = []
    if "category" in fixed:
        parts.append(str(fixed["category"]))
    if "point" in fixed:
        parts.append(str(fixed["point"]))
    if "shots" in fixed:
        parts.append(f"{fixed['shots']} shots")
    if "seed" in fixed:
        parts.append(f"seed {fixed['seed']}")
    return ", ".join(parts)
