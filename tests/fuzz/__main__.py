"""``python -m tests.fuzz``: the whole campaign, and the table of the docs."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.campaign import campaign, table
from fuzz.world import make_world

START, END = "<!-- fuzz -->", "<!-- /fuzz -->"


def main() -> int:
    """Try, print findings, write the table; the exit code is 1 where there are findings."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--inputs", type=int, default=10_000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--only", default="", help="Readers whose name holds this.")
    asked.add_argument("--quick", action="store_true", help="Leave the slow studies out.")
    asked.add_argument("--world", type=Path, help="Where its files are made; a scratch folder.")
    asked.add_argument("--docs", type=Path, help=f"Page whose part {START} is written anew.")
    given = asked.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        world = make_world(given.world or Path(scratch), quick=given.quick)
        print(f"made what is read in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        tallies = campaign(world, given.inputs, given.seed, given.only)
    for tally in tallies:
        for line in tally.lines():
            print(line)
        print(f"{tally.reader}: {tally.seconds:.1f} s", file=sys.stderr)
    text = table(tallies, given.seed)
    print(text)
    if given.docs is not None:
        page = given.docs.read_text(encoding="utf-8")
        before, _, rest = page.partition(START)
        after = rest.partition(END)[2]
        given.docs.write_text(f"{before}{START}\n{text}{END}{after}", encoding="utf-8")
    print(f"{time.perf_counter() - began:.0f} s in all", file=sys.stderr)
    return int(any(tally.findings for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
