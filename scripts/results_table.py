"""Print the tables of docs/results.md from the folders of runs.

``python scripts/results_table.py RUN [RUN ...]``
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from lakeviz import RunFolder
from lakeviz.metrics.estimates import estimate

METRICS = [
    ("image", "auroc", "image AUROC"),
    ("pixel", "auroc", "pixel AUROC"),
    ("pixel", "aupro", "AUPRO"),
]


def markdown(rows: list[list[str]]) -> str:
    """Lay rows out as a Markdown table, the first as header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def detection(metrics: pd.DataFrame) -> str:
    """One row per category and branch."""
    rows = [["category", "branch", *(title for *_, title in METRICS)]]
    for category, branch in metrics[["category", "branch"]].drop_duplicates().to_numpy().tolist():
        own = metrics.query("category == @category and branch == @branch")
        measured = {(r["level"], r["metric"]): estimate(r).text() for r in own.to_dict("records")}
        cells = [measured.get((level, metric), "-") for level, metric, _ in METRICS]
        rows.append([category, branch, *cells])
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
        return estimate(found[0], "difference").text(signed=True)
    mean = sum(r["difference"] for r in found) / len(found)
    verdicts = [estimate(r, "difference").verdict for r in found]
    above, below = verdicts.count("higher"), verdicts.count("lower")
    return f"{mean:+.3f} (above 0 in {above}, below in {below} of {len(found)})"


def main() -> None:
    """Print the tables of each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--no-detection", action="store_true")
    args = parser.parse_args()
    for run in map(RunFolder.open, args.runs):
        spec = run.manifest["spec"]
        print(
            f"\n### {spec['dataset']}, {spec['model']}, {spec['shots']} shots, "
            f"seed {spec['seed']}\n"
        )
        if not args.no_detection:
            print(detection(run.table("metrics")), "\n")
        print(controls(run.table("controls")))


if __name__ == "__main__":
    main()
