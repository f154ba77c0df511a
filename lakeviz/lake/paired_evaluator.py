"""Measure every condition by the same metrics on the same resamples of the images.

Any two conditions can then be subtracted resample by resample: the interval of a difference is
always a paired one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from lakeviz.errors import ConfigError, MetricError
from lakeviz.lake.ground_truth import Size, Truth
from lakeviz.lake.options import ImageScoreRule
from lakeviz.lake.score_maps import upsample
from lakeviz.metrics import IMAGE_METRICS, PIXEL_METRICS, Bootstrap, Conventions, image_metrics
from lakeviz.metrics.cohens_d import CohensDDraws, cohens_d
from lakeviz.metrics.image import one_class
from lakeviz.metrics.image_intervals import ImageDraws
from lakeviz.metrics.measurement import DEFAULT_METRICS, Measurement, Metric
from lakeviz.metrics.pixel_intervals import PixelDraws, estimate_all

DEFAULT_BOOTSTRAP = Bootstrap(n_resamples=1000)
_KNOWN = {"image": (*IMAGE_METRICS, "cohens_d"), "pixel": PIXEL_METRICS}
# Resampled pixel metrics of studies look at this many thresholds: see Conventions.interval_grid.
_GRID = 512


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
        Which, of image AUROC, AP, F1-max and Cohen's d, and the pixel metrics.
    bootstrap : Bootstrap
    image_score : ImageScoreRule
    smoothing : float
        Standard deviation of the Gaussian on pixel maps, in pixels.
    conventions : Conventions, optional

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
    conventions: Conventions = field(default_factory=lambda: Conventions(interval_grid=_GRID))

    def __post_init__(self) -> None:
        for level, name in self.metrics:
            if name not in _KNOWN.get(level, ()):
                known = [f"{lv} {m}" for lv, names in _KNOWN.items() for m in names]
                raise ConfigError(f"no metric {level} {name}; known: {', '.join(known)}")
        said = replace(self.conventions, image_score=self.image_score.describe())
        if self.map_size is not None:
            said = replace(said, resolution=f"{self.map_size[0]}x{self.map_size[1]}")
        object.__setattr__(self, "conventions", said)

    @property
    def n_images(self) -> int:
        """Number of test images."""
        return len(self.truth.labels)

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
        if len(maps) != self.n_images:
            raise MetricError(f"{len(maps)} maps were given for {self.n_images} images")
        image = self._of_level("image")
        found = self._images(self.image_score(maps), image)
        pixel = self._of_level("pixel")
        if not pixel:
            return found
        of_pixels = self._pixels(maps, pixel)
        return Measurement({**found.values, **of_pixels.values}, {**found.draws, **of_pixels.draws})

    def measure_scores(self, scores: Float[np.ndarray, " image"]) -> Measurement:
        """Measure image scores alone; there are no pixel metrics then."""
        return self._images(np.asarray(scores), self._of_level("image"))

    def _of_level(self, level: str) -> list[Metric]:
        return [m for m in self.measured if m[0] == level]

    def _images(self, scores: np.ndarray, metrics: Sequence[Metric]) -> Measurement:
        if not metrics:
            return Measurement({}, {})
        labels = self.truth.labels
        exact = image_metrics(scores, labels, self.conventions)
        ranked = ImageDraws(np.asarray(scores), labels.astype(bool), self.conventions)
        values, evaluators = {}, []
        for level, name in metrics:
            is_d = name == "cohens_d"
            values[level, name] = cohens_d(scores, labels) if is_d else exact.require(name)
            resampled = CohensDDraws(np.asarray(scores), labels.astype(bool))
            evaluators.append(resampled.evaluate if is_d else partial(ranked.evaluate, name))
        draws = self.bootstrap.draw(evaluators, labels.astype(bool), labels.size)
        return Measurement(values, dict(zip(values, draws, strict=True)))

    def _pixels(self, maps: np.ndarray, metrics: Sequence[Metric]) -> Measurement:
        sizes = [self.map_size] * len(maps) if self.map_size else self.sizes
        pixel_maps = [
            upsample(one, size, self.smoothing) for one, size in zip(maps, sizes, strict=True)
        ]
        names = [name for _, name in metrics]
        images, exact = estimate_all(pixel_maps, self.truth.masks, self.conventions, names)
        table = PixelDraws.build(images, exact.conventions)
        draws = self.bootstrap.draw(
            [partial(table.evaluate, name) for name in names],
            table.n_defect > 0,
            table.tp.shape[1],
        )
        values = {("pixel", name): exact.require(name) for name in names}
        return Measurement(values, dict(zip(values, draws, strict=True)))
