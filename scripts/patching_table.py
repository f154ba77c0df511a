"""Write the tables of docs/tasks/patching.md from finished studies.

``python scripts/patching_table.py RUN/studies/patching [...] --out DOCS/tables --name real``

Writes ``patching_NAME.md`` (shares that units move, the mean over categories and how much more the
units in question move), ``patching_NAME_areas.md`` (areas under the curves of concentration),
``patching_NAME_attribution.md`` (attribution beside exact exchanges) and, where there are,
``patching_NAME_heatmap.md`` (whole tokens, means over categories). Means over categories have
Student's interval over them; a category in which nothing can be shared is left out, and counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidence_tables import markdown

from lakeviz.metrics.estimates import mean_over_categories
from lakeviz.plots.names import short_point
from lakeviz.studies.patching.result import PatchingResult
from lakeviz.studies.patching.words import (
    DEFECT,
    DENOISING,
    DIRECTIONS,
    GROUPS,
    IMAGE,
    MEASURES,
    named,
    units_name,
)
from lakeviz.tables import numbers, records, where

Rows = list[list[str]]
_FEW = 4  # categories that have a column of their own


def joined(results: Sequence[PatchingResult], name: str) -> pd.DataFrame:
    """A table of all studies."""
    return pd.concat([getattr(one, name) for one in results], ignore_index=True)


def mean(rows: Sequence[Any], column: str, *, signed: bool = False) -> str:
    """Mean over categories with Student's interval, and the number of categories."""
    values = [float(row[column]) for row in rows]
    found = [value for value in values if np.isfinite(value)]
    if not found:
        return "–"
    return f"{mean_over_categories(found, 0.95).text(2, signed=signed)} ({len(found)})"


def kinds(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Bases and units, in the order of the table."""
    return list(dict.fromkeys(zip(table["basis"], table["units"], strict=True)))


def exchanges(effects: pd.DataFrame) -> Rows:
    """Shares of both read-outs, and the difference of the units in question."""
    categories = list(dict.fromkeys(effects["category"]))
    shown = categories if len(categories) <= _FEW else []
    rows = [["", "units", *shown, f"mean, {DEFECT}", "those in question more", f"mean, {IMAGE}"]]
    for direction in DIRECTIONS:
        for basis, units in kinds(effects):
            own = {"direction": direction, "basis": basis, "units": units}
            patches = records(effects, **own, readout=DEFECT)
            single = {row["category"]: row["share"] for row in patches}
            row = [f"{single.get(name, np.nan):.2f}" for name in shown]
            row += [mean(patches, "share"), mean(patches, "difference", signed=True)]
            row.append(mean(records(effects, **own, readout=IMAGE), "share"))
            rows.append([direction, named(basis, units), *row])
    return rows


def areas(table: pd.DataFrame) -> Rows:
    """Areas under the curves, and the difference to random units of the same kind."""
    measures = [m for m in MEASURES if m in set(table["measure"])]
    rows = [["units", *(f"{m}{more}" for m in measures for more in ("", ", more than random"))]]
    for basis, units in kinds(table):
        row = [named(basis, units)]
        for measure in measures:
            own = records(table, basis=basis, units=units, measure=measure)
            row += [mean(own, "area"), mean(own, "difference", signed=True)]
        rows.append(row)
    return rows


def attributions(table: pd.DataFrame) -> Rows:
    """Correlation and largest error by hook point, medians over categories."""
    rows = [["hook point", "kind", "correlation", "lowest", "largest error", "largest exact"]]
    for point in dict.fromkeys(table["point"]):
        for kind in ("gradient", "integrated"):
            own = where(table, point=point, kind=kind)
            if own.empty:
                continue
            found = [numbers(own, c) for c in ("correlation", "largest_error", "largest_exact")]
            middle = [float(np.nanmedian(one)) for one in found]
            cells = [middle[0], float(np.nanmin(found[0])), *middle[1:]]
            rows.append([short_point(point), kind, *(f"{value:.2f}" for value in cells)])
    return rows


def heatmap(table: pd.DataFrame) -> Rows:
    """Shares that whole tokens move, means over categories."""
    whole = table.loc[(table["head"] < 0) & (table["readout"] == DEFECT)]
    whole = where(whole, direction=DENOISING)
    rows = [["hook point", *GROUPS]]
    for point in dict.fromkeys(whole["point"]):
        cells = [records(whole, point=point, tokens=group) for group in GROUPS]
        if any(np.isfinite(row["share"]) for own in cells for row in own):
            rows.append([short_point(point), *(mean(own, "share") for own in cells)])
    return rows


def main() -> None:
    """Write the tables, and say what they are of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="real")
    args = parser.parse_args()
    results = [PatchingResult.from_parquet(folder) for folder in args.study]
    made = {
        "": ("effects", exchanges),
        "_areas": ("areas", areas),
        "_attribution": ("agreement", attributions),
        "_heatmap": ("heatmap", heatmap),
    }
    for name, (table, rows_of) in made.items():
        rows = rows_of(joined(results, table)) if len(joined(results, table)) else []
        if len(rows) > 1:
            text = "\n".join(markdown(rows)) + "\n"
            (args.out / f"patching_{args.name}{name}.md").write_text(text)
            print(text)
    said = ["category", "n_pairs", "n_draws", "n_units"]
    counted = joined(results, "effects").drop_duplicates("category")[said]
    print(counted, f"\nunits in question: {units_name(results[0].selector)}")


if __name__ == "__main__":
    main()
