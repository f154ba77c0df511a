"""Print the table of docs/tasks/units.md: image AUROC of few units of several kinds.

``python scripts/units_table.py RUN --sae FOLDER --untrained FOLDER --k 5 --k 20``

RUN is the folder of a run, whose draws of normal images are used; both folders are of
``lakeviz sae train``. Every number is the mean over categories and draws, and of random sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lakeviz.studies import StudyRun
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.sae_training import image_auroc
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


def rows(draws: list[StudyData], units: Units | None, k: int) -> Iterator[tuple[float, float]]:
    """AUROC of the units of highest variance, and the mean of random sets, draw by draw."""
    for draw in draws:
        data = draw if units is None else on_units(draw, units)
        top = image_auroc(data, k, "variance")
        random = [image_auroc(data, k, "random", seed) for seed in range(SETS)]
        yield float(top or np.nan), float(np.mean([one or np.nan for one in random]))


def main() -> None:
    """Print a row for each kind of unit and number of units."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sae", type=Path, required=True)
    parser.add_argument("--untrained", type=Path, required=True)
    parser.add_argument("--k", type=int, action="append", required=True)
    args = parser.parse_args()
    run = StudyRun.open(args.run)
    wanted = kinds(run, args.sae, args.untrained)
    points = [load_sae(args.sae).point]
    draws = {c: run.draws_of(c, points=points) for c in run.categories}
    everything = [image_auroc(one, 1, "all") for own in draws.values() for one in own]
    print(f"all neurons: {np.mean([one or np.nan for one in everything]):.3f}\n")
    print("| units | k | top variance | by category | random |")
    print("|---|---|---|---|---|")
    for k in args.k:
        for name, units in wanted.items():
            found = {c: np.mean(list(rows(own, units, k)), axis=0) for c, own in draws.items()}
            top, random = np.mean(list(found.values()), axis=0)
            single = ", ".join(f"{own[0]:.3f}" for own in found.values())
            print(f"| {name} | {k} | {top:.3f} | {single} | {random:.3f} |", flush=True)


if __name__ == "__main__":
    main()
