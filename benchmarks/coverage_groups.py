"""Coverage of the intervals that are over more than images: random sets, draws, categories.

    python benchmarks/coverage_groups.py --out docs/coverage_groups.md     # some three minutes

Image AUROC in normal worlds. The set in question is drawn as the random sets are, so its true
difference to one more set is zero. The mean over draws is compared with the expected AUROC over all
draws, the mean over categories with that over all categories. ``benchmarks/coverage.py`` measures
the intervals over images alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import norm

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.contrasts import Replicates, difference_to, estimate_of
from lakeviz.metrics.estimates import Estimate, mean_over_categories
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.metrics.measurement import Measurement

AUROC = ("image", "auroc")
BOOTSTRAP = Bootstrap(n_resamples=200)
SEPARATION, OF_SETS, OF_DRAWS, OF_CATEGORIES = 1.5, 0.3, 0.15, 0.7


def main() -> None:
    """Simulate every row and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=600)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    lines = ["| interval | world | covers |", "|---|---|---|"]
    for name, world, covered in rows(args.worlds):
        lines.append(f"| {name} | {world} | {100 * covered:.0f} % |")
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows(n_worlds: int) -> Iterator[tuple[str, str, float]]:
    """Name of the interval, the world, and the share of worlds in which it holds the truth."""
    generator = np.random.default_rng(0)
    for n in (20, 60):
        for n_sets, n_draws in ((5, 1), (5, 5), (20, 1), (20, 5)):
            hits = [holds(one_more(n, n_sets, n_draws, generator), 0) for _ in range(n_worlds)]
            world = f"{n}+{n} images, {n_sets} sets, {n_draws} draws"
            yield "minus one more random set", world, float(np.mean(hits))
    expected = mean_auroc(SEPARATION, OF_DRAWS, generator)
    for n_draws in (2, 5):
        hits = [holds(over_draws(60, n_draws, generator), expected) for _ in range(n_worlds)]
        yield "mean over draws", f"60+60 images, {n_draws} draws", float(np.mean(hits))
    for separation in (SEPARATION, 3.5):
        expected = mean_auroc(separation, OF_CATEGORIES, generator)
        for n in (2, 3, 7):
            hits = [
                holds(over_categories(10, n, separation, generator), expected)
                for _ in range(n_worlds)
            ]
            world = f"{n} categories of 10+10 images, true mean {expected:.2f}"
            yield "mean over categories", world, float(np.mean(hits))


def one_more(n: int, n_sets: int, n_draws: int, generator: np.random.Generator) -> Estimate:
    """Difference of one of ``n_sets`` + 1 exchangeable sets to the others."""
    labels, base = np.repeat([0, 1], n), generator.standard_normal(2 * n)
    sets = SEPARATION + OF_SETS * generator.standard_normal(n_sets + 1)
    draws = OF_DRAWS * generator.standard_normal(n_draws)
    measured = [
        [measure(0.8 * base + 0.6 * noise(n, generator), labels, s + d) for s in sets]
        for d in draws
    ]
    own = Replicates.over_draws([row[0] for row in measured])
    others = Replicates.over_draws([row[1:] for row in measured])
    return difference_to(own, others, AUROC, BOOTSTRAP)


def over_draws(n: int, n_draws: int, generator: np.random.Generator) -> Estimate:
    """Mean over draws that share the test images."""
    labels, base = np.repeat([0, 1], n), generator.standard_normal(2 * n)
    draws = SEPARATION + OF_DRAWS * generator.standard_normal(n_draws)
    measured = [measure(0.8 * base + 0.6 * noise(n, generator), labels, d) for d in draws]
    return estimate_of(Replicates.over_draws(measured), AUROC, BOOTSTRAP)


def over_categories(
    n: int, n_categories: int, separation: float, generator: np.random.Generator
) -> Estimate:
    """Mean over categories whose separations differ."""
    labels = np.repeat([0, 1], n)
    own = separation + OF_CATEGORIES * generator.standard_normal(n_categories)
    parts = [estimate_of(measure(noise(n, generator), labels, d), AUROC, BOOTSTRAP) for d in own]
    return mean_over_categories(parts, BOOTSTRAP.confidence, (0.0, 1.0))


def measure(scores: np.ndarray, labels: np.ndarray, separation: float) -> Measurement:
    """Image AUROC of scores whose anomalous half lies higher."""
    return measure_images(scores + labels * separation, labels, ("auroc",), BOOTSTRAP)


def noise(n: int, generator: np.random.Generator) -> np.ndarray:
    """Independent errors of all images."""
    return generator.standard_normal(2 * n)


def mean_auroc(separation: float, spread: float, generator: np.random.Generator) -> float:
    """Expected AUROC over normally distributed separations."""
    drawn = separation + spread * generator.standard_normal(100_000)
    return float(norm.cdf(drawn / np.sqrt(2)).mean())


def holds(found: Estimate, truth: float) -> bool:
    """Whether an interval holds the truth."""
    return bool(found.low <= truth <= found.high)


if __name__ == "__main__":
    main()
