"""How often intervals hold the true value: ``python benchmarks/coverage.py``.

Every cell is a metric, a family of simulated scores (``coverage_worlds.py``), numbers of anomalous
and normal images, and the true values of two detectors on the same images. In each world of a cell
the intervals of detector a and of the difference a - b are made as lakeviz makes them, and counted
where they hold the population's value; the percentile interval of the same resamples stands beside.

Each finished cell is a row in the output; a run that was stopped goes on where it ended. The table
of the docs is written from the rows (``--table`` does only that).

    python benchmarks/coverage.py --jobs 2            # an hour; docs/coverage.csv
    python benchmarks/coverage.py --quick             # minutes; coverage-quick.csv
"""

from __future__ import annotations

import argparse
import itertools
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from coverage_worlds import (
    CONVENTIONS,
    IMAGE,
    PIXEL,
    image_truth,
    image_worlds,
    pixel_truth,
    pixel_worlds,
)

from lakeviz.metrics import Bootstrap, metric_title
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.metrics.intervals import interval, paired_difference_interval
from lakeviz.metrics.measurement import Measurement
from lakeviz.metrics.pixel_intervals import measure_pixels

DOCS = Path(__file__).parents[1] / "docs"
CONFIDENCE, AIM = 0.95, 0.93
SIZES = ((2, 17), (17, 2), (6, 17), (17, 6), (10, 10), (20, 20), (50, 50), (300, 300))
EQUAL = ((0.7, 0.7), (0.9, 0.9), (0.95, 0.95), (0.99, 0.99))
UNEQUAL = ((0.99, 0.95), (0.9, 0.8))
LARGE = ((50, 50), (300, 300))
SHARED, CLOSE = 0.6, 0.98
CLOSE_PAIRS = ((0.9, 0.9), (0.95, 0.94))


@dataclass(frozen=True)
class Cell:
    """Worlds of one kind; ``shared`` is the correlation of the two detectors' noise."""

    family: str
    n_anomalous: int
    n_normal: int
    auroc_a: float
    auroc_b: float
    shared: float

    @property
    def level(self) -> str:
        """Image scores or maps."""
        return "pixel" if self.family == "maps" else "image"

    def measured(self, worlds: int, resamples: int) -> Iterator[tuple[Measurement, Measurement]]:
        """Both detectors in each world."""
        seed = zlib.crc32(repr(self).encode())
        setting = (self.auroc_a, self.auroc_b), self.shared, self.n_anomalous, self.n_normal, seed
        made = (
            pixel_worlds(*setting) if self.level == "pixel" else image_worlds(self.family, *setting)
        )
        for number, (a, b, truth) in enumerate(itertools.islice(made, worlds)):
            bootstrap = Bootstrap(CONFIDENCE, resamples, number)
            if self.level == "pixel":
                both = (measure_pixels(m, truth, PIXEL, bootstrap, CONVENTIONS) for m in (a, b))
            else:
                both = (measure_images(scores, truth, IMAGE, bootstrap) for scores in (a, b))
            yield next(both), next(both)

    def truth(self) -> list[dict[str, float]]:
        """Population values of both."""
        setting = (self.auroc_a, self.auroc_b), self.n_anomalous, self.n_normal
        return (
            pixel_truth(*setting) if self.level == "pixel" else image_truth(self.family, *setting)
        )

    def rows(self, worlds: int, resamples: int) -> list[dict]:
        """Coverage and mean width of each metric, alone and as a difference."""
        found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
        for a, b in self.measured(worlds, resamples):
            for metric in a.values:
                pair = (
                    (a.values[metric], a.resampled[metric]),
                    (b.values[metric], b.resampled[metric]),
                )
                numbers = self.n_anomalous, self.n_normal, CONFIDENCE
                single = interval(metric, *pair[0], *numbers)
                gap = paired_difference_interval(metric, *pair[0], *pair[1], *numbers)
                with np.errstate(invalid="ignore"):
                    draws = a.resampled[metric] - b.resampled[metric]
                found.setdefault((metric[1], "value"), []).append(single + percentile(pair[0][1]))
                found.setdefault((metric[1], "difference"), []).append(gap + percentile(draws))
        a, b = self.truth()
        return [
            vars(self)
            | {"level": self.level, "metric": name, "of": of, "worlds": worlds}
            | counted(np.array(limits), a[name] if of == "value" else a[name] - b[name])
            for (name, of), limits in found.items()
            # Detector a of unequal or close pairs is that of another cell.
            if of == "difference" or (self.auroc_a == self.auroc_b and self.shared == SHARED)
        ]


def percentile(draws: np.ndarray) -> tuple[float, float]:
    """The interval that the new ones replace."""
    low, high = np.quantile(draws[np.isfinite(draws)], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def counted(limits: np.ndarray, truth: float) -> dict[str, float]:
    """Coverage and width of intervals ``[world, (low, high, low, high)]``, new and percentile."""
    row = {"truth": truth}
    for name, (low, high) in {"": limits.T[:2], "percentile_": limits.T[2:]}.items():
        row[f"{name}coverage"] = float(np.mean((low <= truth) & (truth <= high)))
        row[f"{name}width"] = float(np.median(high - low))
        row[f"{name}zero_width"] = float(np.mean(low == high))
    return row


def cells(quick: bool) -> list[Cell]:
    """All cells, small ones first."""
    sizes = SIZES[2:6:3] if quick else SIZES
    made = []
    for size in sizes:
        # Of large samples the shape of the scores is seen: one family will do.
        families = ("normal",) if min(size) > 100 else ("normal", "wide", "hidden")
        for family in (*families, "maps"):
            pairs = EQUAL + UNEQUAL[: 1 if family == "maps" else 2]
            made += [Cell(family, *size, *pair, SHARED) for pair in pairs]
        made += [Cell("normal", *size, *pair, CLOSE) for pair in CLOSE_PAIRS]
    return made


def rows_of(cell: Cell, image_runs: tuple[int, int], pixel_runs: tuple[int, int]) -> list[dict]:
    return cell.rows(*(pixel_runs if cell.level == "pixel" else image_runs))


def table(rows: pd.DataFrame) -> str:
    """Markdown: the lowest coverage over families and true values, per metric and size."""
    found: dict[str, dict[tuple[int, int], list[dict]]] = {}
    for row in sorted(rows.to_dict("records"), key=lambda row: row["of"] == "difference"):
        title = metric_title(row["level"], row["metric"])
        title = title if row["of"] == "value" else f"difference of {title}"
        size = row["n_anomalous"], row["n_normal"]
        found.setdefault(title, {}).setdefault(size, []).append(row)
    names = [f"{anomalous}+{normal}" for anomalous, normal in SIZES]
    lines = ["| interval | " + " | ".join(names) + " | width |", "|---" * (len(SIZES) + 2) + "|"]
    for title, cells_of in found.items():
        shown, widths = [], []
        for size in SIZES:
            own = cells_of.get(size, [])
            if not own:
                shown.append("")
                continue
            new, old = (
                round(100 * min(row[column] for row in own))
                for column in ("coverage", "percentile_coverage")
            )
            shown.append(f"**{new}** ({old})" if new < 100 * AIM else f"{new} ({old})")
            if size in LARGE:
                ratios = [row["width"] / max(row["percentile_width"], 1e-12) for row in own]
                widths.append(f"{np.median(ratios):.2f}")
        lines.append(f"| {title} | " + " | ".join(shown) + f" | {', '.join(widths)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the coverage of intervals.")
    parser.add_argument("--quick", action="store_true", help="two sizes, few worlds")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--output", type=Path, help="rows, one per cell, metric and kind")
    parser.add_argument("--worlds", type=int, default=1000, help="per cell of image scores")
    parser.add_argument("--pixel-worlds", type=int, default=300, help="per cell of maps")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--table", action="store_true", help="only print the table of the rows")
    args = parser.parse_args()
    output = args.output or (Path("coverage-quick.csv") if args.quick else DOCS / "coverage.csv")
    done = pd.read_csv(output) if output.exists() else pd.DataFrame()
    if not args.table:
        runs = (
            ((150, 300), (50, 200))
            if args.quick
            else (
                (args.worlds, args.resamples),
                (args.pixel_worlds, args.resamples),
            )
        )
        names = list(Cell.__dataclass_fields__)
        seen = set(done[names].itertuples(index=False, name=None)) if len(done) else set()
        todo = [cell for cell in cells(args.quick) if tuple(vars(cell).values()) not in seen]
        with ProcessPoolExecutor(args.jobs) as pool:
            running = {pool.submit(rows_of, cell, *runs): cell for cell in todo}
            for finished in as_completed(running):
                new = pd.DataFrame(finished.result())
                new.to_csv(
                    output, mode="a", header=not output.exists(), index=False, float_format="%.5g"
                )
                print(running[finished], flush=True)
        done = pd.read_csv(output)
    made = table(done)
    if output.parent == DOCS:
        (DOCS / "coverage_table.md").write_text(made)
    print(made)


if __name__ == "__main__":
    main()
