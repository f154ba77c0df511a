"""Write the tables of docs/tasks/units.md: image AUROC of few units of several kinds.

``python scripts/units_table.py RUN [RUN ...] --sae FOLDER --sae FOLDER --k 1 --k 5 --out DOCS``

RUNs are folders of runs with one model, whose draws of normal images are used; each ``--sae`` is a
folder of ``lakeviz sae train`` at the same hook point, untrained ones too. Writes
``units_cosine.md`` and ``units_euclidean.md``: means over categories and draws, of the units of
highest variance, and in brackets of random ones; and the difference to as many neurons, with
Student's interval over the categories. What is measured is kept in ``--kept`` and not repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.metrics.estimates import mean_over_categories
from lakeviz.studies import StudyRun
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.sae_training import image_aurocs
from lakeviz.studies.base.unit_data import on_units
from lakeviz.tables import where
from lakeviz.units import Units, load_sae, principal_components, rotated

SETS = 2
DISTANCES = ("cosine", "euclidean")
NEURONS = "neurons"


def named(folder: Path) -> tuple[str, Units]:
    """An autoencoder, and what it is called in a table."""
    units = load_sae(folder)
    trained = units.report.get("settings", {})
    size = f"{units.n_units}, {trained.get('k', '?')} active"
    return (f"SAE ({size})" if trained.get("steps") else f"untrained SAE ({size})"), units


def of_kind(kind: str, draw: StudyData, latents: dict[str, Units], turned: Units) -> StudyData:
    """The data of a draw, seen as units of a kind."""
    if kind == NEURONS:
        return draw
    point = turned.point
    units = {
        **latents,
        "rotated": turned,
        "principal components": principal_components(draw.statistics[point]),
    }[kind]
    return on_units(draw, units)


def measured(data: StudyData, sizes: Sequence[int], distance: str) -> list[dict]:
    """AUROC of the units of highest variance, and the mean of random sets, for each number."""
    visual = replace(data.options.visual, distance=distance)
    seen = data.view(options=replace(data.options, visual=visual))
    ways = [("variance", 0), *(("random", seed) for seed in range(SETS))]
    chosen = [seen.select(k, *way) for k in sizes for way in ways]
    found = np.reshape(image_aurocs(seen, chosen) or np.nan, (len(sizes), len(ways)))
    return [
        {"k": k, "top": float(row[0]), "random": float(row[1:].mean())}
        for k, row in zip(sizes, found, strict=True)
    ]


def table(rows: pd.DataFrame, kinds: Sequence[str]) -> str:
    """Levels, with random units in brackets, and differences to neurons."""
    means: Any = rows.groupby(["category", "kind", "k"], sort=False)[["top", "random"]].mean()
    sizes = list(dict.fromkeys(rows["k"]))
    n = rows["category"].nunique()
    lines = [
        f"| image AUROC, {n} categories | {' | '.join(f'K = {k}' for k in sizes)} |",
        "|---" * (1 + len(sizes)) + "|",
    ]
    for kind in kinds:
        own = [means.xs((kind, k), level=("kind", "k")) for k in sizes]
        cells = [f"{one['top'].mean():.3f} ({one['random'].mean():.3f})" for one in own]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    for kind in kinds:
        if kind == NEURONS:
            continue
        cells = []
        for k in sizes:
            mine, neurons = (
                means.xs((one, k), level=("kind", "k"))["top"] for one in (kind, NEURONS)
            )
            cells.append(mean_over_categories((mine - neurons).tolist(), 0.95).text(2, signed=True))
        lines.append(f"| {kind} minus neurons | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is not kept, and write a table for each distance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--sae", type=Path, action="append", required=True)
    parser.add_argument("--k", type=int, action="append", required=True)
    parser.add_argument("--also", action="append", default=[], choices=["principal components"])
    parser.add_argument("--draws", type=int, help="all of RUN by default")
    parser.add_argument("--kept", type=Path, required=True, help="JSON lines of what is measured")
    parser.add_argument("--out", type=Path, help="folder of the tables")
    parser.add_argument("--name", default="units")
    args = parser.parse_args()
    latents = dict(named(folder) for folder in args.sae)
    (point,) = {units.point for units in latents.values()}
    kinds = [NEURONS, "rotated", *args.also, *latents]
    rows = []
    if args.kept.exists():
        rows = [json.loads(line) for line in args.kept.read_text().splitlines()]
    known = {(r["category"], r["draw"], r["kind"], r["distance"]) for r in rows}
    for run in map(StudyRun.open, args.run):
        turned = rotated(run.model, point)
        for category in run.categories:
            places = [(kind, d) for kind in kinds for d in DISTANCES]
            n_draws = len(run.draws(category)[: args.draws])
            if all((category, n, *place) in known for n in range(n_draws) for place in places):
                continue
            for n, draw in enumerate(run.draws_of(category, points=[point])[:n_draws]):
                for kind, distance in places:
                    if (category, n, kind, distance) in known:
                        continue
                    found = measured(of_kind(kind, draw, latents, turned), args.k, distance)
                    own = {"category": category, "draw": n, "kind": kind, "distance": distance}
                    rows += [own | one for one in found]
                    with args.kept.open("a") as file:
                        file.writelines(json.dumps(own | one) + "\n" for one in found)
    frame = pd.DataFrame(rows)
    for distance in DISTANCES:
        text = table(where(frame, distance=distance), kinds)
        if args.out:
            (args.out / f"{args.name}_{distance}.md").write_text(text)
        print(f"{distance}:\n\n{text}")


if __name__ == "__main__":
    main()
