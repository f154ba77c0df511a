"""Which images are fitted on, in each draw and at each degree of contamination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lakeviz.errors import ConfigError, DataError


@dataclass(frozen=True)
class Mixture:
    """Images of one fit: rows of the normal images, and rows of the test images."""

    normal: tuple[int, ...]
    defective: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.normal) + len(self.defective)


@dataclass(frozen=True)
class Draw:
    """One few-shot set, and the order in which its images are replaced.

    Attributes
    ----------
    fitted : tuple of int
        Normal images of the clean fit; the last is replaced first.
    others : tuple of int
        Further normal images, for the control that swaps.
    contaminants : tuple of int
        Test images; the first comes first, so that each degree holds those of the lesser ones.
    """

    fitted: tuple[int, ...]
    others: tuple[int, ...]
    contaminants: tuple[int, ...]

    def mixtures(self, what: str, n: int) -> tuple[Mixture, Mixture]:
        """What the selection sees and what the gallery holds when ``n`` images are replaced."""
        clean = Mixture(self.fitted)
        kept = self.fitted[: len(self.fitted) - n]
        dirty = Mixture(kept, self.contaminants[:n])
        if what == "both":
            return dirty, dirty
        if what == "selection":
            return dirty, clean
        if what == "gallery":
            return clean, dirty
        control = Mixture(kept + self.others[:n]) if what == "swapped" else Mixture(kept)
        return control, control


@dataclass(frozen=True)
class Plan:
    """All draws; the contaminants of all of them come from one pool, which is never tested on.

    Attributes
    ----------
    counts : tuple of int
        Images replaced, 0 first.
    draws : tuple of Draw
    reserved : tuple of int
        Test images that serve as contaminants, and never as test images.
    """

    counts: tuple[int, ...]
    draws: tuple[Draw, ...]
    reserved: tuple[int, ...]


def replaced_counts(fractions: Sequence[float], shots: int) -> tuple[int, ...]:
    """Numbers of images that fractions of ``shots`` round to (halves up), 0 among them."""
    counts = sorted({0} | {int(np.floor(f * shots + 0.5)) for f in fractions})
    if counts == [0]:
        raise ConfigError(
            f"of {shots} shots the fractions {', '.join(f'{f:g}' for f in fractions)} round to no "
            "contaminated image; ask for more shots or larger fractions"
        )
    return tuple(counts)


def make_plan(
    normal_ids: Sequence[str],
    test_ids: Sequence[str],
    labels: np.ndarray,
    *,
    shots: int,
    counts: tuple[int, ...],
    n_repeats: int,
    seed: int,
    category: str,
) -> Plan:
    """Reserve the contaminants, and draw.

    Twice as many defective images are reserved as one draw needs, if that leaves at least half of
    them to test on. Images are drawn by their names, so that their order does not matter.
    """
    if not 1 <= shots <= len(normal_ids):
        raise DataError(
            f"{category}: contamination needs {shots} normal images (the shots), and "
            f"{len(normal_ids)} were captured"
        )
    found = np.flatnonzero(labels).tolist()
    anomalous = np.array(sorted(found, key=lambda row: test_ids[row]), dtype=int)
    needed = max(counts)
    n_reserved = max(needed, min(2 * needed, len(anomalous) // 2))
    if len(anomalous) - n_reserved < 2:
        raise DataError(
            f"{category}: {needed} of the {len(anomalous)} defective test images would be "
            "contaminants, and at least 2 must be left to test on; lower shots or fractions"
        )
    generator = np.random.default_rng([seed, 0])
    reserved = generator.permutation(anomalous)[:n_reserved]
    pool = np.array(sorted(range(len(normal_ids)), key=lambda row: normal_ids[row]))
    draws = []
    for number in range(n_repeats):
        own = np.random.default_rng([seed, 1, number])
        order, dirty = own.permutation(pool), own.permutation(reserved)
        draws.append(
            Draw(
                tuple(order[:shots].tolist()),
                tuple(order[shots : shots + needed].tolist()),
                tuple(dirty[:needed].tolist()),
            )
        )
    return Plan(counts, tuple(draws), tuple(sorted(reserved.tolist())))
