"""Measure every condition by the same metrics on the same resamples of the images.

Any two conditions can then be subtracted resample by resample: the interval of a difference is
always a paired one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lakeviz.data.aspect import SQUASH, Geometry
from lakeviz.errors import MetricError
from lakeviz.journal import Journal, fingerprint
from lakeviz.lake.ground_truth import Size, Truth
from lakeviz.lake.options import ImageScoreRule
from lakeviz.lake.provenance import as_plain
from lakeviz.lake.score_maps import upsample
from lakeviz.metrics import Bootstrap, Conventions, get_metric
from lakeviz.metrics.comparison import compare_measurements
from lakeviz.metrics.contrasts import Group, Replicates
from lakeviz.metrics.image import one_class
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.metrics.measurement import DEFAULT_METRICS, Measurement, Metric
from lakeviz.metrics.pixel_intervals import measure_pixels
from lakeviz.progress import step
from lakeviz.settings import usable_cores

DEFAULT_BOOTSTRAP = Bootstrap(n_resamples=1000)
# Resampled pixel metrics of studies look at this many thresholds: see Conventions.interval_grid.
GRID = 512
_MOST_AT_A_TIME, _MEGABYTES = 4, 768  # of pixel maps; counting takes about as much again


@dataclass(frozen=True)
class PairedEvaluator:
    """Measures score maps of one set of test images.

    Parameters
    ----------
    truth : Truth
    map_size : (height, width), optional
        Size of the pixel maps and of the masks in ``truth``; without one, ``sizes`` says it.
    sizes : sequence of (height, width)
        Of the original images; used where there is no ``map_size``.
    metrics : sequence of (level, metric)
        Which; :func:`lakeviz.metrics.known_metrics` lists them.
    bootstrap : Bootstrap
    image_score : ImageScoreRule
    smoothing : float
        Standard deviation of the Gaussian on pixel maps, in pixels.
    conventions : Conventions, optional
    journal : Journal, optional
        Keeps what was measured, by the content of the maps.
    geometry : Geometry
        Which part of each image the patch maps cover.

    Raises
    ------
    ConfigError
        On an unknown metric.
    """

    truth: Truth
    map_size: Size | None = None
    sizes: Sequence[Size] = ()
    metrics: tuple[Metric, ...] = DEFAULT_METRICS
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
    image_score: ImageScoreRule = field(default_factory=ImageScoreRule)
    smoothing: float = 0.0
    conventions: Conventions = field(default_factory=lambda: Conventions(interval_grid=GRID))
    journal: Journal | None = field(default=None, repr=False, compare=False)
    geometry: Geometry = SQUASH

    def __post_init__(self) -> None:
        for metric in self.metrics:
            get_metric(*metric)
        said = replace(self.conventions, image_score=self.image_score.describe())
        if self.map_size is not None:
            said = replace(said, resolution=f"{self.map_size[0]}x{self.map_size[1]}")
        object.__setattr__(self, "conventions", said)

    def some(self, keep: Bool[np.ndarray, " image"]) -> PairedEvaluator:
        """The evaluator of some of the test images."""
        sizes = [size for size, kept in zip(self.sizes, keep, strict=True) if kept]
        return replace(
            self, truth=self.truth.where(keep), sizes=sizes, bootstrap=self.bootstrap.some(keep)
        )

    @property
    def n_images(self) -> int:
        """Number of test images."""
        return len(self.truth.labels)

    @property
    def counts(self) -> dict[str, int]:
        """Columns of a table: on how many images, and regions of AUPRO, its numbers rest."""
        return {"n_images": self.n_images, "n_regions": self.truth.n_regions}

    @property
    def reasons(self) -> dict[str, str]:
        """Why a level cannot be measured here; empty where both can."""
        found = {}
        reason = one_class(int(self.truth.labels.sum()), self.n_images)
        if reason:
            found["image"] = reason
        if self.truth.reason:
            found["pixel"] = self.truth.reason
        return found

    @property
    def measured(self) -> tuple[Metric, ...]:
        """The metrics that are defined for these images."""
        return tuple(m for m in self.metrics if m[0] not in self.reasons)

    def require_some(self) -> None:
        """Refuse test images on which nothing can be measured.

        Raises
        ------
        MetricError
            Says why, level by level.
        """
        if not self.measured:
            said = "; ".join(f"{level}: {why}" for level, why in self.reasons.items())
            raise MetricError(f"no metric is defined for these test images ({said})")

    def measure(self, maps: Float[np.ndarray, "image row column"]) -> Measurement:
        """Measure patch maps: image scores by the rule, pixel maps by interpolation.

        Raises
        ------
        MetricError
            On NaN or infinite scores, or another number of maps than images.
        """
        made = self._kept(maps)
        step()
        return made

    def measure_all(
        self, conditions: Sequence[Float[np.ndarray, "image row column"]]
    ) -> list[Measurement]:
        """Measure several conditions as :meth:`measure` does, some at a time.

        The results do not depend on how many: while one condition sorts pixels, another is in the
        interpreter.
        """
        found = []
        executor = ThreadPoolExecutor(self._at_a_time)
        try:
            for made in executor.map(self._kept, conditions):
                step()
                found.append(made)
        finally:
            executor.shutdown(cancel_futures=True)
        return found

    @property
    def _at_a_time(self) -> int:
        """Conditions whose maps may be in memory at once."""
        room = int(_MEGABYTES // max(1.0, self.truth.megabytes))
        return max(1, min(usable_cores(), _MOST_AT_A_TIME, room))

    def _kept(self, maps: Float[np.ndarray, "image row column"]) -> Measurement:
        """Measure patch maps, or read what the journal holds of them."""
        if len(maps) != self.n_images:
            raise MetricError(f"{len(maps)} maps were given for {self.n_images} images")
        if self.journal is None:
            return self._measure(maps)
        key = [self.identity, fingerprint(maps)]
        kept = self.journal.keep(key, lambda: self._measure(maps).arrays())
        return Measurement.of_arrays(kept)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that a measurement depends on, but for the maps."""
        regions = [part for r in self.truth.regions for part in (r.defect, r.pixels, r.share)]
        own = [self.map_size, self.sizes, self.metrics, self.smoothing, self.truth.reason]
        own += [as_plain(x) for x in (self.bootstrap, self.image_score, self.conventions)]
        return fingerprint(own, self.truth.labels, *regions)

    def _measure(self, maps: Float[np.ndarray, "image row column"]) -> Measurement:
        found = self.measure_scores(self.image_score(maps))
        names = self._names("pixel")
        if not names:
            return found
        sizes = [self.map_size] * len(maps) if self.map_size else self.sizes
        pixel_maps = [
            upsample(one, size, self.smoothing, self.geometry, own)
            for one, size, own in zip(maps, sizes, self.sizes or sizes, strict=True)
        ]
        return found | measure_pixels(
            pixel_maps, self.truth.regions, names, self.bootstrap, self.conventions
        )

    def measure_scores(self, scores: Float[np.ndarray, " image"]) -> Measurement:
        """Measure image scores alone; there are no pixel metrics then."""
        names = self._names("image")
        if not names:
            return Measurement({}, {})
        return measure_images(scores, self.truth.labels, names, self.bootstrap, self.conventions)

    def _names(self, level: str) -> list[str]:
        return [name for of, name in self.measured if of == level]


def compare(
    own: Group, controls: Mapping[str, Group], evaluator: PairedEvaluator
) -> list[dict[str, Any]]:
    """Rows of a condition compared with controls: value, control, and paired difference.

    The only maker of such rows; for their columns see
    :meth:`lakeviz.metrics.comparison.Comparison.columns`. ``low`` and ``high`` belong to the value,
    ``control_min`` and ``control_max`` are the range of the control's members.

    Parameters
    ----------
    own
        The condition in question.
    controls
        Name of each control to its measurement, random sets or replicates, by the same evaluator.
    """
    own = Replicates.of(own)
    metrics = [metric for metric in evaluator.measured if metric in own.first.values]
    return [
        found.columns() | evaluator.counts
        for found in compare_measurements(own, controls, metrics, evaluator.bootstrap)
    ]
