"""What the claims are tested on: one category with its settings, measured once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from lakeviz.lake import Selection, get_selector
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.claims.result import IMAGE_AUROC, ClaimSettings

Maps = Float[np.ndarray, "image row column"]


@dataclass(frozen=True)
class Case:
    """One category at some hook points.

    Attributes
    ----------
    data : StudyData
    settings : ClaimSettings
    pool : StudyData, optional
        The same category with more normal images, for the claim on contamination.
    """

    data: StudyData
    settings: ClaimSettings = field(default_factory=ClaimSettings)
    pool: StudyData | None = None

    @property
    def k(self) -> int:
        """Neurons per hook point."""
        return self.data.options.k

    @property
    def n_channels(self) -> int:
        """Channels of the narrowest hook point."""
        return min(self.data.n_channels(p) for p in self.data.points)

    def at(self, point: str) -> Case:
        """The same category at one of its hook points alone."""
        pool = None if self.pool is None else self.pool.view(points=[point])
        return Case(self.data.view(points=[point]), self.settings, pool)

    @cached_property
    def evaluator(self) -> PairedEvaluator:
        """The metric of the settings, and image AUROC."""
        metrics = dict.fromkeys((self.settings.metric, IMAGE_AUROC))
        return self.data.evaluator(tuple(metrics), self.settings.bootstrap)

    def select(self, selector: str, k: int | None = None) -> list[Mapping[str, Selection]]:
        """One selection, or one per random set."""
        n = self.settings.n_random_sets if get_selector(selector).is_random else 1
        k = self.k if k is None else k
        return [self.data.select(k, selector, self.settings.seed + i) for i in range(n)]

    def score(self, selections: list[Mapping[str, Selection]]) -> list[Maps]:
        """Patch maps of the visual branch in each selection."""
        return self.data.visual_maps(self.data.branches(selections))

    @cached_property
    def top_maps(self) -> Maps:
        """Patch maps of the visual branch in the neurons of highest variance."""
        return self.score(self.select("variance"))[0]

    @cached_property
    def top(self) -> Measurement:
        """What these maps measure."""
        return self.evaluator.measure(self.top_maps)

    def measure(self, maps: list[Maps]) -> list[Measurement]:
        """Measure maps by the one evaluator."""
        return [self.evaluator.measure(one) for one in maps]
