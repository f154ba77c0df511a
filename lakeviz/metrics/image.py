"""Image-level metrics: one score and one label per image."""

from __future__ import annotations

import numpy as np

from lakeviz.errors import MetricError
from lakeviz.metrics import formulas
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.counts import rank_counts
from lakeviz.metrics.inputs import ArrayLike, labelled_scores
from lakeviz.metrics.registry import get_metric
from lakeviz.metrics.results import IMAGE_METRICS, F1Max, ImageMetrics


def image_metrics(
    scores: ArrayLike, labels: ArrayLike, conventions: Conventions = DEFAULT
) -> ImageMetrics:
    """AUROC, average precision and F1-max of image scores.

    Parameters
    ----------
    scores
        One anomaly score per image; higher is more anomalous.
    labels
        0 for normal, 1 for anomalous (any one non-zero value).
    conventions
        Carried by the result; ``ap_rule`` is used.

    Returns
    -------
    ImageMetrics
        With only one class present the metrics are NaN and ``reasons`` says so.

    Raises
    ------
    MetricError
        NaN or infinite scores, shapes that do not match, labels that are not binary.
    """
    checked, positive = labelled_scores(scores, labels)
    n_anomalous = int(np.count_nonzero(positive))
    reason = one_class(n_anomalous, positive.size)
    values = dict.fromkeys((*IMAGE_METRICS, "f1_threshold"), float("nan"))
    if not reason:
        counts = rank_counts(checked[positive], checked[~positive])
        for name in IMAGE_METRICS:
            values[name] = float(get_metric("image", name).evaluator("image", conventions)(counts))
        values["f1_threshold"] = float(counts.thresholds[formulas.f1_max(counts)[1]])
    return ImageMetrics(
        **values,
        n_images=positive.size,
        n_anomalous=n_anomalous,
        conventions=conventions,
        reasons=dict.fromkeys(IMAGE_METRICS, reason) if reason else {},
    )


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve; tied pairs count half. Raises MetricError for a single class.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])  # 3 of 4 pairs in order
    0.75
    """
    return image_metrics(scores, labels).require("auroc")


def average_precision(
    scores: ArrayLike, labels: ArrayLike, conventions: Conventions = DEFAULT
) -> float:
    """Average precision by ``conventions.ap_rule``. Raises MetricError for a single class."""
    return image_metrics(scores, labels, conventions).require("average_precision")


def f1_max(scores: ArrayLike, labels: ArrayLike) -> F1Max:
    """Best F1 over all thresholds. Raises MetricError for a single class."""
    result = image_metrics(scores, labels)
    return F1Max(result.require("f1_max"), result.f1_threshold)


def one_class(n_anomalous: int, n_images: int) -> str | None:
    """Say which class is missing, or None when both are there."""
    if n_anomalous == 0:
        return f"all {n_images} images are normal; at least one anomalous image is needed"
    if n_anomalous == n_images:
        return f"all {n_images} images are anomalous; at least one normal image is needed"
    return None


def both_classes(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Check scores and labels and raise MetricError unless both classes are there."""
    checked, positive = labelled_scores(scores, labels)
    reason = one_class(int(np.count_nonzero(positive)), positive.size)
    if reason:
        raise MetricError(reason)
    return checked, positive
