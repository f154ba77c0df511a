"""Print the verdicts and effects of claims, of one or more runs, for docs/claims.md.

``python scripts/claims_table.py RUN [RUN ...]``
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evidence_tables import markdown

from lakeviz.metrics.estimates import Estimate
from lakeviz.studies.claims.figures import short_points
from lakeviz.studies.claims.result import ClaimsResult
from lakeviz.tables import records, where

LETTERS = {"supported": "S", "contradicted": "C", "inconclusive": "?", "not measured": "–"}


def verdicts(results: dict[str, ClaimsResult]) -> str:
    """One row per claim, one column per run and set of hook points."""
    places = [(run, points) for run, result in results.items() for points in result.points]
    rows = [["", "claim", *(f"{run}: {short_points(points)}" for run, points in places)]]
    first = next(iter(results.values()))
    for told in records(first.verdicts, points=first.points[0]):
        found = [
            records(results[run].verdicts, points=points, claim=told["claim"])[0]["verdict"]
            for run, points in places
        ]
        name = str(told["name"]).replace("_", " ")
        rows.append([str(told["claim"]), name, *(LETTERS[verdict] for verdict in found)])
    return "\n".join(markdown(rows))


def effects(results: dict[str, ClaimsResult]) -> str:
    """One row per part, one column per run, at its own hook points: effect, p-value, power."""
    rows = [["", "part", *results]]
    first = next(iter(results.values()))
    for told in records(first.parts, points=first.points[0]):
        cells = []
        for result in results.values():
            own = where(result.parts, points=result.points[0], claim=told["claim"])
            (row,) = records(own, part=told["part"])
            cells.append(_cell(row))
        rows.append([str(told["claim"]), str(told["part"]).replace("_", " "), *cells])
    return "\n".join(markdown(rows))


def _cell(row: dict) -> str:
    found = Estimate(row["value"], row["corrected_low"], row["corrected_high"])
    if found.value != found.value:
        return "not measured"
    said = found.text(signed=True)
    if row["p_value"] == row["p_value"]:
        said += f", p = {row['p_value']:.2g}"
    return f"{said}; power {100 * row['power']:.0f} %"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    args = parser.parse_args()
    found = {run.name: ClaimsResult.from_parquet(run / "studies" / "claims") for run in args.runs}
    print(verdicts(found))
    print()
    print(effects(found))
    for run, result in found.items():
        print(f"\n{run}: {result.summary()}")


if __name__ == "__main__":
    main()
