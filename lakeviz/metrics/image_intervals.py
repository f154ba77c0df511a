"""Bootstrap intervals of image-level metrics, all draws at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.metrics import formulas as areas
from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, PairedDifference
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.counts import rank_counts
from lakeviz.metrics.image import both_classes, image_metrics
from lakeviz.metrics.inputs import ArrayLike
from lakeviz.metrics.results import IMAGE_METRICS, check_metrics

ImageCounts = Int[np.ndarray, "draw threshold"]


class ImageDraws:
    """Metrics of resampled image scores: the order is fixed, only the weights change."""

    def __init__(
        self,
        scores: Float[np.ndarray, " image"],
        anomalous: Bool[np.ndarray, " image"],
        conventions: Conventions,
    ) -> None:
        descending = np.argsort(scores)[::-1]
        self._positives = descending[anomalous[descending]]
        self._negatives = descending[~anomalous[descending]]
        self._counts = rank_counts(scores[anomalous], scores[~anomalous])
        self._conventions = conventions

    def evaluate(
        self, metric: str, weights: Int[np.ndarray, "draw image"]
    ) -> Float[np.ndarray, " draw"]:
        """Value of a metric in each draw."""
        tp, fp, fp_above = self.counts(weights)
        total = float(self._counts.n_positive)
        if metric == "f1_max":
            return areas.f1_max(tp, fp, np.full(len(tp), total))[0]
        if metric == "auroc":
            return areas.auroc(tp, fp, fp_above, total, float(self._counts.n_negative))
        return areas.average_precision(tp, fp, fp_above, total, self._conventions.ap_rule)

    def counts(
        self, weights: Int[np.ndarray, "draw image"]
    ) -> tuple[ImageCounts, ImageCounts, ImageCounts]:
        """True positives, false positives, and false positives above, at descending thresholds."""
        counts = self._counts
        positives = _from_the_top(weights[:, self._positives])
        negatives = _from_the_top(weights[:, self._negatives])
        # The n highest positives of the sample weigh, in a draw, what stands at n in the sums.
        return positives[:, counts.tp], negatives[:, counts.fp], negatives[:, counts.fp_above]


def image_intervals(
    scores: ArrayLike,
    labels: ArrayLike,
    metrics: Sequence[str] = IMAGE_METRICS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> dict[str, Interval]:
    """Bootstrap intervals of image-level metrics.

    Raises
    ------
    MetricError
        As :func:`image_metrics`, and when only one class is present.
    ConfigError
        Unknown metric.
    """
    check_metrics(metrics, IMAGE_METRICS)
    checked, anomalous = both_classes(scores, labels)
    estimates = image_metrics(checked, anomalous, conventions)
    draws = ImageDraws(checked, anomalous, conventions)
    values = bootstrap.draw([partial(draws.evaluate, m) for m in metrics], anomalous, checked.size)
    return {
        metric: bootstrap.interval(estimates.require(metric), row, checked.size, conventions)
        for metric, row in zip(metrics, values)
    }


def paired_difference(
    metric: str,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    labels: ArrayLike,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    conventions: Conventions = DEFAULT,
) -> PairedDifference:
    """Difference of an image-level metric between two sets of scores of the same images.

    Raises
    ------
    MetricError
        As :func:`image_metrics`, and when only one class is present.
    ConfigError
        Unknown metric.
    """
    check_metrics((metric,), IMAGE_METRICS)
    pairs = [both_classes(scores, labels) for scores in (scores_a, scores_b)]
    estimates = [image_metrics(*pair, conventions).require(metric) for pair in pairs]
    evaluators = [partial(ImageDraws(*pair, conventions).evaluate, metric) for pair in pairs]
    anomalous = pairs[0][1]
    values = bootstrap.draw(evaluators, anomalous, anomalous.size)
    return bootstrap.paired(
        metric, (estimates[0], estimates[1]), values, anomalous.size, conventions
    )


def _from_the_top(weights: Int[np.ndarray, "draw image"]) -> Int[np.ndarray, "draw images_plus_1"]:
    """Cumulative weights of the first 0, 1, 2, ... images."""
    return np.pad(np.cumsum(weights, axis=1), ((0, 0), (1, 0)))
