"""Print the table of docs/tasks/units.md: image AUROC of few units of several kinds.

``python scripts/units_table.py RUN --sae FOLDER --untrained FOLDER --k 5 --k 20``

RUN is the folder of a run, whose draws of normal images are used; both folders are of
``lakeviz sae train``. Every number is the mean over categories and draws, and of random sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lakeviz.studies import StudyRun
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.sae_training import image_aurocs
from lakeviz.studies.base.unit_data import on_units
from lakeviz.units import Units, load_sae, rotated

SETS = 5


def kinds(run: StudyRun, sae: Path, untrained: Path) -> dict[str, Units | None]:
    """What is selected, by its name in the table; None for neurons."""
    latents = load_sae(sae)
    return {
        "neurons": None,
        "SAE latents": latents,
        "untrained SAE latents": load_sae(untrained),
        "rotated units": rotated(run.model, latents.point),
    }


def measured(
    draw: StudyData, units: Units | None, sizes: Sequence[int]
) -> Float[np.ndarray, "k 2"]:
    """AUROC of the units of highest variance, and the mean of random sets, for each number."""
    data = draw if units is None else on_units(draw, units)
    chosen = [
        data.select(k, *how)
        for k in sizes
        for how in (("variance", 0), *(("random", seed) for seed in range(SETS)))
    ]
    aurocs = image_aurocs(data, chosen) or [np.nan] * len(chosen)
    found = np.reshape(aurocs, (len(sizes), 1 + SETS))
    return np.stack([found[:, 0], found[:, 1:].mean(1)], axis=1)


def main() -> None:
    """Print a row for each kind of unit and number of units."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sae", type=Path, required=True)
    parser.add_argument("--untrained", type=Path, required=True)
    parser.add_argument("--k", type=int, action="append", required=True)
    parser.add_argument("--draws", type=int, help="all of RUN by default")
    args = parser.parse_args()
    run = StudyRun.open(args.run)
    wanted = kinds(run, args.sae, args.untrained)
    points = [load_sae(args.sae).point]
    draws = {c: run.draws_of(c, points=points)[: args.draws] for c in run.categories}
    everything = [
        np.mean([image_aurocs(one, [one.select(1, "all")]) or np.nan for one in own])
        for own in draws.values()
    ]
    print(f"all neurons: {np.mean(everything):.3f}\n")
    print(f"| units | K | top variance | {' | '.join(draws)} | random |")
    print("|---" * (4 + len(draws)) + "|")
    for name, units in wanted.items():
        found = {
            c: np.mean([measured(one, units, args.k) for one in own], axis=0)
            for c, own in draws.items()
        }
        whole = np.mean(list(found.values()), axis=0)
        for row, k in enumerate(args.k):
            single = " | ".join(f"{own[row, 0]:.3f}" for own in found.values())
            top, random = whole[row]
            print(f"| {name} | {k} | {top:.3f} | {single} | {random:.3f} |", flush=True)


if __name__ == "__main__":
    main()
