"""Print the table of docs/tasks/patching.md: shares that units move, by category.

``python scripts/patching_table.py RUN/studies/patching``
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lakeviz.metrics.estimates import estimate
from lakeviz.studies import load_study
from lakeviz.studies.patching.result import PatchingResult
from lakeviz.studies.patching.words import DEFECT, DENOISING, DIRECTIONS, units_name
from lakeviz.tables import records


def main() -> None:
    """Print a row for each direction and kind of units, then one for each receiver."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    result = load_study(parser.parse_args().study)
    assert isinstance(result, PatchingResult)
    categories = list(dict.fromkeys(result.effects["category"]))
    pairs = {row["category"]: row["n_pairs"] for row in records(result.effects)}
    heads = [f"{c} ({pairs[c]} pairs)" for c in categories]
    print(f"| | units | {' | '.join(heads)} |\n" + "|---" * (2 + len(heads)) + "|")

    def row(table, name: str, direction: str, **chosen: str) -> None:
        cells = []
        for category in categories:
            found = records(table, category=category, direction=direction, **chosen)
            cells += [estimate(one, "share").text(2) for one in found] or ["–"]
        print(f"| {direction} | {name} | {' | '.join(cells)} |")

    for direction in DIRECTIONS:
        for units in dict.fromkeys(result.effects["units"]):
            row(result.effects, units_name(units), direction, units=units, readout=DEFECT)
    for receiver in dict.fromkeys(str(one["receiver"]) for one in records(result.paths)):
        own = {"receiver": receiver, "units": result.selector, "readout": DEFECT}
        row(result.paths, f"through {receiver}", DENOISING, **own)


if __name__ == "__main__":
    main()
