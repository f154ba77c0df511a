"""Write the tables of ``docs/results.md`` from the folders of runs.

    python scripts/evidence_tables.py runs/real runs/mtd --out docs/tables --name vit_tiny

Categories of all folders are put together. Intervals of single categories are over test images,
draws of the normal images and random sets; means over categories have Student's interval over the
categories.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lakeviz.lake import selectors  # registers the names of selectors  # noqa: F401
from lakeviz.metrics import Estimate
from lakeviz.metrics.estimates import estimate, mean_over_categories
from lakeviz.runs.run_folder import RunFolder
from lakeviz.selector_names import selector_name
from lakeviz.tables import records

METRICS = {("image", "auroc"): "image AUROC", ("pixel", "aupro"): "AUPRO"}
CONFIDENCE = 0.95


def main() -> None:
    """Write one file per table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", required=True, help="prefix of the files")
    args = parser.parse_args()
    runs = [RunFolder.open(folder) for folder in args.runs]
    metrics, controls = (
        pd.concat([run.table(name) for run in runs], ignore_index=True)
        for name in ("metrics", "controls")
    )
    args.out.mkdir(parents=True, exist_ok=True)
    tables = {
        "values": values(metrics),
        "controls": contrasts(controls),
        "by_category": by_category(controls, ("all", "random", "untrained")),
    }
    for name, lines in tables.items():
        path = args.out / f"{args.name}_{name}.md"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(path)


def values(metrics: pd.DataFrame) -> list[str]:
    """What each category measures, and where the uncertainty comes from."""
    rows = [["category", "test images", "draws", *METRICS.values(), "regions", "from draws"]]
    found: dict[str, list[Estimate]] = {name: [] for name in METRICS.values()}
    for category in metrics["category"].unique():
        cells = [str(category)]
        own = {
            (row["level"], row["metric"]): row
            for row in records(metrics, category=category, branch="lake")
        }
        first = own["image", "auroc"]
        normal = int(first["n_images"] - first["n_anomalous"])
        cells += [f"{normal} + {int(first['n_anomalous'])}", str(int(first["n_draws"]))]
        for key, name in METRICS.items():
            one = estimate(own[key])
            cells.append(one.text())
            if np.isfinite(one.value):
                found[name].append(one)
        regions = own["pixel", "aupro"].get("n_regions")
        cells.append("–" if not regions or not np.isfinite(regions) else str(int(regions)))
        share = first["share_draws"]
        cells.append("–" if not np.isfinite(share) else f"{100 * share:.0f} %")
        rows.append(cells)
    means = [
        f"{mean_over_categories(e, CONFIDENCE, (0.0, 1.0)).text()} ({len(e)})"
        for e in found.values()
    ]
    rows.append([f"**mean over {metrics['category'].nunique()}**", "", "", *means, "", ""])
    return markdown(rows)


def contrasts(controls: pd.DataFrame) -> list[str]:
    """Differences to each control, as means over categories, and verdicts of the categories."""
    heads = [part for name in METRICS.values() for part in (name, "higher / lower / cannot tell")]
    table = [["LAKE minus", *heads]]
    for control in controls["control"].unique():
        cells = [selector_name(control)]
        for level, metric in METRICS:
            rows = [
                row
                for row in records(controls, control=control, level=level, metric=metric)
                if np.isfinite(row["difference"])
            ]
            cells += summary(rows)
        table.append(cells)
    return markdown(table)


def summary(rows: Sequence[dict]) -> list[str]:
    """Mean over categories with its interval, and how many categories differ by themselves."""
    if not rows:
        return ["not measured", ""]
    to_mean = [
        Estimate(r["difference"], r["difference_to_mean_low"], r["difference_to_mean_high"])
        for r in rows
    ]
    verdicts = Counter(estimate(row, "difference").verdict for row in rows)
    mean = mean_over_categories(to_mean, CONFIDENCE)
    counts = " / ".join(str(verdicts[v]) for v in ("higher", "lower", "undecided"))
    return [mean.text(signed=True), f"{counts}"]


def by_category(controls: pd.DataFrame, shown: Sequence[str]) -> list[str]:
    """Differences to some controls in every category, by image AUROC."""
    table = [["category", *(f"minus {selector_name(c)}" for c in shown)]]
    for category in controls["category"].unique():
        cells = [str(category)]
        for control in shown:
            rows = records(
                controls, category=category, control=control, level="image", metric="auroc"
            )
            cells.append(estimate(rows[0], "difference").text(signed=True) if rows else "–")
        table.append(cells)
    return markdown(table)


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, the first row its head."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *body]


if __name__ == "__main__":
    main()
