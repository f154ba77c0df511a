"""Inputs shared out over the readers, one after the other, and the table of what came of them."""

from __future__ import annotations

import random
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fuzz.guard import Outcome, attempt, limited_memory
from fuzz.readers import READERS, Reader
from fuzz.world import World


@dataclass
class Tally:
    """What came of the inputs of one reader."""

    reader: str
    read: int = 0
    refused: int = 0
    findings: list[tuple[int, Outcome]] = field(default_factory=list)  # (number of input, what)
    seconds: float = 0.0

    @property
    def tried(self) -> int:
        """Number of inputs."""
        return self.read + self.refused + len(self.findings)

    def add(self, number: int, outcome: Outcome) -> None:
        """Count one input."""
        if outcome.kind == "read":
            self.read += 1
        elif outcome.kind == "refused":
            self.refused += 1
        else:
            self.findings.append((number, outcome))

    def lines(self) -> Iterator[str]:
        """Findings, one line for each place."""
        places = Counter((o.place, o.said[:60]) for _, o in self.findings)
        for (place, _), count in places.most_common():
            number, first = next((n, o) for n, o in self.findings if o.place == place)
            yield f"{self.reader} #{number} x{count} at {place}: {first.said}"


def generator(seed: int, reader: str, number: int) -> random.Random:
    """The generator of one input, whatever the others are."""
    return random.Random(f"{seed}/{reader}/{number}")


def campaign(world: World, inputs: int, seed: int = 0, only: str = "") -> list[Tally]:
    """Try ``inputs`` inputs on every reader whose name holds ``only``."""
    chosen = [r for r in READERS if only in r.name]
    whole = sum(r.share for r in chosen)
    tallies = []
    with warnings.catch_warnings(), limited_memory():
        warnings.simplefilter("ignore")
        for reader in chosen:
            count = max(1, round(inputs * reader.share / whole))
            tallies.append(_tried(world, reader, range(count), seed))
    return tallies


def _tried(world: World, reader: Reader, numbers: Sequence[int], seed: int) -> Tally:
    tally, began = Tally(reader.name), time.perf_counter()
    for number in numbers:
        rng = generator(seed, reader.name, number)
        tally.add(number, attempt(lambda rng=rng: reader.read(world, rng)))
    tally.seconds = time.perf_counter() - began
    return tally


def table(tallies: Sequence[Tally], seed: int) -> str:
    """The table of the docs."""
    rows = [
        f"| {t.reader} | {t.tried} | {t.read} | {t.refused} | {len(t.findings)} |" for t in tallies
    ]
    total = [sum(getattr(t, n) for t in tallies) for n in ("tried", "read", "refused")]
    found = sum(len(t.findings) for t in tallies)
    return "\n".join(
        [
            f"Seed {seed}. *Read*: taken as it is. *Refused*: an error that names it, in one line.",
            "",
            "| reader | tried | read | refused | not clean |",
            "|---|---|---|---|---|",
            *rows,
            f"| all | {total[0]} | {total[1]} | {total[2]} | {found} |",
            "",
        ]
    )
