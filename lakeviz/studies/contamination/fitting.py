"""Fit and score the detectors of one draw: every selector at every degree of contamination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import ChannelStatistics, RunningStatistics
from lakeviz.lake import Selection, get_selector
from lakeviz.lake.dropping import drop_channels, gallery_tokens
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.visual import fit_selections
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.contamination.plan import Draw, Mixture, Plan

Selections = Mapping[str, Selection]


@dataclass(frozen=True)
class Condition:
    """One detector of a draw.

    Attributes
    ----------
    selector : str
    what : str
        What is contaminated, as in the settings.
    n : int
        How many of the fitted images are replaced.
    """

    selector: str
    what: str
    n: int


@dataclass
class DrawFits:
    """The fits of one draw: statistics and selections are made once for all that share them.

    Attributes
    ----------
    data : StudyData
    draw : Draw
    selectors : sequence of str
    seed : int
        Of the random selectors: one set per draw, kept at every degree.
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
