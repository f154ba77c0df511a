"""What the claims are tested on: one category with its settings, measured once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.lake import Selection, get_selector
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import IMAGE_METRICS, PIXEL_METRICS, Bootstrap
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.hosts.detectors.protocol import Host
from lakeviz.studies.hosts.detectors.registry import get_host

IMAGE_AUROC: Metric = ("image", "auroc")
# All of them end at 1, so that a ceiling can be told.
_METRICS: tuple[Metric, ...] = (
    *(("image", name) for name in IMAGE_METRICS),
    *(("pixel", name) for name in PIXEL_METRICS),
)
# The corrected intervals reach into the last 0.2 % of the draws at either end.
_DRAWS = 4000


@dataclass(frozen=True)
class ClaimSettings:
    """Settings of all claims; their rules are fixed in the code.

    Parameters
    ----------
    metric : (level, metric)
        What the claims about detection are judged by.
    n_draws : int
        Members of each random control, at least 2.
    confidence : float
        With which all intervals of one table hold together.
    resamples : int
        Of the images.
    fits : int
        Fits of the claim on contamination, each on normal images of its own, at least 2.
    host : str or Host, optional
        Detector that the structural score is added to; ``"zero_shot"`` where there is text,
        ``"patch_nn"`` otherwise.
    seed : int

    Raises
    ------
    ConfigError
        If a value is out of range, or the metric is none of those that end at 1.
    HostError
        If the host is unknown or not installed.
    """

    metric: Metric = IMAGE_AUROC
    n_draws: int = 20
    confidence: float = 0.95
    resamples: int = _DRAWS
    fits: int = 10
    host: str | Host | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_draws", "fits"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, not {getattr(self, name)}")
        if self.metric not in _METRICS:
            known = ", ".join(f"{level}:{name}" for level, name in _METRICS)
            said = ":".join(self.metric).strip(":")
            raise ConfigError(f"claims are judged by {known}, not by {said}")
        if self.host is not None:
            get_host(self.host)  # unknown or not installed: said before anything is measured
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence lies between 0 and 1, not {self.confidence}")

    @property
    def bootstrap(self) -> Bootstrap:
        """How images are resampled."""
        return Bootstrap(self.confidence, self.resamples, self.seed)


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
        """One selection, or one per draw of a random selector."""
        n = self.settings.n_draws if get_selector(selector).is_random else 1
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
