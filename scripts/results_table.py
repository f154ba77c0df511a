"""Print the tables of docs/results.md from the folders of runs.

``python scripts/results_table.py RUN [RUN ...]``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

METRICS = [
    ("image", "auroc", "image AUROC"),
    ("pixel", "auroc", "pixel AUROC"),
    ("pixel", "aupro", "AUPRO"),
]


def interval(row: pd.Series, name: str = "value", digits: int = 3) -> str:
    """``value [low, high]``."""
    return f"{row[name]:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def markdown(rows: list[list[str]]) -> str:
    """Lay rows out as a Markdown table, the first as header."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def detection(metrics: pd.DataFrame) -> str:
    """One row per category and part."""
    rows = [["category", "part", *(title for *_, title in METRICS)]]
    for (category, part), own in metrics.groupby(["category", "part"], sort=False):
        keyed = own.set_index(["level", "metric"])
        cells = [
            interval(keyed.loc[key]) if key in keyed.index else "-"
            for *key_, _ in METRICS
            for key in [tuple(key_)]
        ]
        rows.append([str(category), str(part), *cells])
    return markdown(rows)


def controls(table: pd.DataFrame) -> str:
    """Difference to each control; over categories where there are several."""
    rows = [["control", "members", *(f"{title}: difference" for *_, title in METRICS)]]
    several = table["category"].nunique() > 1
    for control, own in table.groupby("control", sort=False):
        cells = []
        for level, metric, _ in METRICS:
            part = own[(own["level"] == level) & (own["metric"] == metric)]
            if part.empty:
                cells.append("-")
            elif several:
                better, worse = int((part["low"] > 0).sum()), int((part["high"] < 0).sum())
                mean = part["difference"].mean()
                cells.append(f"{mean:+.3f} (above 0 in {better}, below in {worse} of {len(part)})")
            else:
                cells.append(interval(part.iloc[0], "difference"))
        rows.append([str(control), str(own["n_members"].iloc[0]), *cells])
    return markdown(rows)


def main() -> None:
    """Print the tables of each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--no-detection", action="store_true")
    args = parser.parse_args()
    for run in args.runs:
        spec = json.loads((run / "manifest.json").read_text())["spec"]
        print(
            f"\n### {spec['dataset']}, {spec['model']}, {spec['shots']} shots, seed {spec['seed']}\n"
        )
        metrics = pd.read_parquet(run / "metrics.parquet")
        if not args.no_detection:
            print(detection(metrics), "\n")
        print(controls(pd.read_parquet(run / "controls.parquet")))


if __name__ == "__main__":
    main()
