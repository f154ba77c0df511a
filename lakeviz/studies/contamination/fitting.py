"""Which images are fitted on in each draw and at each degree of contamination, and their fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import ChannelStatistics, RunningStatistics
from lakeviz.errors import ConfigError, DataError
from lakeviz.lake import Selection, get_selector
from lakeviz.lake.dropping import drop_channels, gallery_tokens
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.visual import fit_selections
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData


@dataclass(frozen=True)
class Mixture:
    """Images of one fit: rows of the normal images, and rows of the test images."""

    normal: tuple[int, ...]
    defective: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.normal) + len(self.defective)


@dataclass(frozen=True)
class Draw:
    """One few-shot set, and the order in which its images are replaced: the last one first.

    ``others`` are for the control that swaps. The first of ``contaminants`` comes first, so that
    each degree holds those of the lesser ones.
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
    """All draws; ``reserved`` test images serve as contaminants, and never as test images."""

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


Selections = Mapping[str, Selection]


@dataclass(frozen=True)
class Condition:
    """One detector of a draw: what is contaminated, and how many fitted images are replaced."""

    selector: str
    what: str
    n: int


@dataclass
class DrawFits:
    """The fits of one draw: statistics and selections are made once for all that share them.

    ``seed`` is of the random selectors: one set per draw, kept at every degree.
    """

    data: StudyData
    draw: Draw
    selectors: Sequence[str]
    seed: int
    _statistics: dict[Mixture, Mapping[str, ChannelStatistics]] = field(default_factory=dict)
    _selected: dict[tuple[str, Mixture], Selections] = field(default_factory=dict)

    @cached_property
    def _needs(self) -> dict[str, bool]:
        known = [get_selector(name) for name in self.selectors]
        return {
            "with_covariance": any(s.needs_covariance for s in known),
            "with_tokens": any(s.needs_tokens for s in known),
        }

    def tokens(self, mixture: Mixture) -> dict[str, Float[Tensor, "image patch channel"]]:
        """Patch tokens of a mixture at each hook point."""
        data, parts = self.data, {}
        for p in data.points:
            parts[p] = [data.normal.patches(p, mixture.normal)]
            if mixture.defective:
                parts[p].append(data.test.patches(p, mixture.defective))
        return {p: torch.cat(of_point) for p, of_point in parts.items()}

    def statistics(self, mixture: Mixture) -> Mapping[str, ChannelStatistics]:
        """Statistics of a mixture, as far as the selectors need them."""
        if mixture not in self._statistics:
            options = self.data.options
            made = RunningStatistics(
                self.data.points, ordinary=options.drops_from_selection, **self._needs
            )
            made.update_tokens(self.tokens(mixture))
            drop_channels(made, options)
            self._statistics[mixture] = made
        return self._statistics[mixture]

    def selections(self, selector: str, mixture: Mixture) -> Selections:
        """What a selector takes from a mixture."""
        key = (selector, mixture)
        if key not in self._selected:
            self._selected[key] = self.data.select(
                self.data.options.k, selector, self.seed, self.statistics(mixture)
            )
        return self._selected[key]

    def selection_of(self, condition: Condition) -> Selections:
        """The selection of a condition."""
        seen, _ = self.draw.mixtures(condition.what, condition.n)
        return self.selections(condition.selector, seen)

    def measure(
        self, conditions: Sequence[Condition], keep: np.ndarray, evaluator: PairedEvaluator
    ) -> dict[Condition, Measurement]:
        """Score the test images that are kept under each condition.

        Conditions of one gallery are scored together, so that one gallery is held at a time.
        """
        by_gallery: dict[Mixture, list[Condition]] = {}
        for condition in conditions:
            _, gallery = self.draw.mixtures(condition.what, condition.n)
            by_gallery.setdefault(gallery, []).append(condition)
        found = {}
        for gallery, own in by_gallery.items():
            branches = fit_selections(
                gallery_tokens([self.tokens(gallery)], self.data.options),
                self.statistics(gallery),
                [self.selection_of(c) for c in own],
                self.data.options.visual,
            )
            for condition, maps in zip(own, self.data.visual_maps(branches), strict=True):
                found[condition] = evaluator.measure(maps[keep])
        self._statistics.clear()  # large; the selections, which are kept, need them no more
        return found


def kept_images(data: StudyData, plan: Plan) -> np.ndarray:
    """Rows of the test images that are tested on: all but the reserved contaminants."""
    return np.setdiff1d(np.arange(len(data.test)), np.asarray(plan.reserved, dtype=int))
