"""Bootstrap intervals of image-level metrics, all resamples at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Weights
from lakeviz.metrics.contrasts import estimate_of
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.counts import RankCounts, rank_counts
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.image import both_classes
from lakeviz.metrics.inputs import ArrayLike
from lakeviz.metrics.measurement import Measurement
from lakeviz.metrics.registry import get_metric
from lakeviz.metrics.results import IMAGE_METRICS

_Counts = Int[np.ndarray, "resample threshold"]


@dataclass(frozen=True)
class ImageCounts(RankCounts):
    """Counts of image scores, and what resampling needs: the order is fixed, weights change.

    Attributes
    ----------
    scores, anomalous
        Of the images.
    positives, negatives
        Anomalous and normal images, from the highest score down.
    """

    scores: Float[np.ndarray, " image"]
    anomalous: Bool[np.ndarray, " image"]
    positives: Int[np.ndarray, " positive"]
    negatives: Int[np.ndarray, " negative"]

    @classmethod
    def of(
        cls, scores: Float[np.ndarray, " image"], anomalous: Bool[np.ndarray, " image"]
    ) -> ImageCounts:
        """Rank the images."""
        descending = np.argsort(scores)[::-1]
        return cls(
            **vars(rank_counts(scores[anomalous], scores[~anomalous])),
            scores=scores,
            anomalous=anomalous,
            positives=descending[anomalous[descending]],
            negatives=descending[~anomalous[descending]],
        )

    @property
    def weights(self) -> Weights:
        """Each image once."""
        return np.ones((1, self.scores.size), dtype=np.int64)

    def resampled(self, weights: Weights) -> ImageResamples:
        """Counts in resamples."""
        return ImageResamples(self, weights)


class ImageResamples:
    """Counts of resampled image scores, made when a formula asks for them.

    Attributes
    ----------
    scores, anomalous
        Of the images.
    weights
        How often each was drawn.
    """

    def __init__(self, images: ImageCounts, weights: Weights) -> None:
        self.scores, self.anomalous, self.weights = images.scores, images.anomalous, weights
        self._images = images

    @cached_property
    def tp(self) -> _Counts:
        """True positives at descending thresholds."""
        # The n highest positives of the sample weigh, in a resample, what stands at n in the sums.
        return _from_the_top(self.weights[:, self._images.positives])[:, self._images.tp]

    @cached_property
    def fp(self) -> _Counts:
        """False positives."""
        return self._negatives[:, self._images.fp]

    @cached_property
    def fp_above(self) -> _Counts:
        """False positives above the threshold."""
        return self._negatives[:, self._images.fp_above]

    @cached_property
    def _negatives(self) -> Int[np.ndarray, "resample images_plus_1"]:
        return _from_the_top(self.weights[:, self._images.negatives])

    @property
    def n_positive(self) -> Float[np.ndarray, " resample"]:
        """Anomalous images."""
        return self.weights[:, self.anomalous].sum(axis=1).astype(float)

    @property
    def n_negative(self) -> Float[np.ndarray, " resample"]:
        """Normal images."""
        return self.weights[:, ~self.anomalous].sum(axis=1).astype(float)


def measure_images(
    scores: ArrayLike,
    labels: ArrayLike,
    metrics: Sequence[str] = IMAGE_METRICS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> Measurement:
    """Image-level metrics, exact and on resamples of the images.

    Parameters
    ----------
    scores, labels
        As for :func:`image_metrics`.
    metrics
        Names of registered image metrics.

    Raises
    ------
    MetricError
        As :func:`image_metrics`, and when only one class is present.
    ConfigError
        Unknown metric.
    """
    evaluators = [get_metric("image", name).evaluator("image", conventions) for name in metrics]
    images = ImageCounts.of(*both_classes(scores, labels))
    draws = bootstrap.draw(evaluators, images.anomalous, images.scores.size, images.resampled)
    return Measurement(
        {("image", m): np.asarray(e(images)).item() for m, e in zip(metrics, evaluators)},
        {("image", m): row for m, row in zip(metrics, draws)},
        {"image": bootstrap.sample_sizes("image", images.anomalous)},
        images.scores,
    )


def image_intervals(
    scores: ArrayLike,
    labels: ArrayLike,
    metrics: Sequence[str] = IMAGE_METRICS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> dict[str, Estimate]:
    """Image-level metrics with bootstrap intervals over images.

    Takes and raises what :func:`measure_images` does.
    """
    measured = measure_images(scores, labels, metrics, bootstrap, conventions)
    return {name: estimate_of(measured, ("image", name), bootstrap) for name in metrics}


def _from_the_top(
    weights: Int[np.ndarray, "resample image"],
) -> Int[np.ndarray, "resample images_plus_1"]:
    """Cumulative weights of the first 0, 1, 2, ... images."""
    return np.pad(np.cumsum(weights, axis=1), ((0, 0), (1, 0)))
