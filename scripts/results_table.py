"""Print the tables of docs/results.md from the folders of runs.

``python scripts/results_table.py RUN [RUN ...]``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

METRICS = [
    ("image", "auroc", "image AUROC"),
    ("pixel", "auroc", "pixel AUROC"),
    ("pixel", "aupro", "AUPRO"),
]


def interval(row: Mapping[str, Any], name: str = "value", digits: int = 3) -> str:
    """``value [low, high]``."""
    return f"{row[name]:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def markdown(rows: list[list[str]]) -> str:
    """Lay rows out as a Markdown table, the first as header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def detection(metrics: pd.DataFrame) -> str:
    """One row per category and part."""
    rows = [["category", "part", *(title for *_, title in METRICS)]]
    for category, part in metrics[["category", "part"]].drop_duplicates().to_numpy().tolist():
        own = metrics.query("category == @category and part == @part")
        measured = {(r["level"], r["metric"]): interval(r) for r in own.to_dict("records")}
        cells = [measured.get((level, metric), "-") for level, metric, _ in METRICS]
        rows.append([category, part, *cells])
    return markdown(rows)


def controls(table: pd.DataFrame) -> str:
    """Difference to each control; over categories where there are several."""
    rows = [["control", "members", *(f"{title}: difference" for *_, title in METRICS)]]
    records = table.to_dict("records")
    for control, members in table[["control", "n_members"]].drop_duplicates().to_numpy().tolist():
        cells = []
        for wanted in METRICS:
            key = (control, *wanted[:2])
            found = [r for r in records if (r["control"], r["level"], r["metric"]) == key]
            cells.append(difference(found))
        rows.append([control, str(members), *cells])
    return markdown(rows)


def difference(found: list[dict[str, Any]]) -> str:
    """One category's difference with its interval; of several, the mean and how many are clear."""
    if not found:
        return "-"
    if len(found) == 1:
        return interval(found[0], "difference")
    mean = sum(r["difference"] for r in found) / len(found)
    better, worse = sum(r["low"] > 0 for r in found), sum(r["high"] < 0 for r in found)
    return f"{mean:+.3f} (above 0 in {better}, below in {worse} of {len(found)})"


def main() -> None:
    """Print the tables of each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--no-detection", action="store_true")
    args = parser.parse_args()
    for run in args.runs:
        spec = json.loads((run / "manifest.json").read_text())["spec"]
        print(
            f"\n### {spec['dataset']}, {spec['model']}, {spec['shots']} shots, "
            f"seed {spec['seed']}\n"
        )
        metrics = pd.read_parquet(run / "metrics.parquet")
        if not args.no_detection:
            print(detection(metrics), "\n")
        print(controls(pd.read_parquet(run / "controls.parquet")))


if __name__ == "__main__":
    main()
