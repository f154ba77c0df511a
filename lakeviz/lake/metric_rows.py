"""Rows of a table of metrics: every metric of every branch, with its interval or its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from lakeviz.lake.ground_truth import Truth
from lakeviz.metrics import (
    IMAGE_METRICS,
    PIXEL_METRICS,
    Bootstrap,
    Conventions,
    Estimate,
    ImageMetrics,
    PixelMetrics,
    image_intervals,
    image_metrics,
    pixel_intervals,
    pixel_metrics,
)
from lakeviz.metrics.streaming import PixelScorer


def image_rows(
    branches: Mapping[str, Float[np.ndarray, " image"]],
    labels: Int[np.ndarray, " image"],
    conventions: Conventions,
    bootstrap: Bootstrap,
) -> Iterator[dict[str, Any]]:
    """Yield a row per branch and image metric."""
    for branch, scores in branches.items():
        result = image_metrics(scores, labels, conventions)
        intervals = {} if result.reasons else image_intervals(scores, labels, bootstrap=bootstrap)
        for metric in IMAGE_METRICS:
            yield _row(branch, "image", metric, result, intervals, bootstrap)


def pixel_rows(
    branches: Mapping[str, Sequence[np.ndarray]],
    truth: Truth,
    conventions: Conventions,
    bootstrap: Bootstrap,
) -> Iterator[dict[str, Any]]:
    """Yield a row per branch and pixel metric.

    Maps are read one after the other; they are held at once only where they fit in memory, which
    their intervals need. Where the truth has a reason why there is nothing to measure, so have the
    rows, of the first branch alone.
    """
    if truth.reason:
        for metric in PIXEL_METRICS:
            yield {
                "branch": next(iter(branches)),
                "level": "pixel",
                "metric": metric,
                "value": np.nan,
                "n_images": len(truth.labels),
                "reason": truth.reason,
            }
        return
    for branch, maps in branches.items():
        if truth.fits_in_memory:
            held = list(maps)
            result = pixel_metrics(held, truth.masks, conventions)
            intervals = pixel_intervals(held, truth.masks, None, bootstrap, conventions)
        else:
            with PixelScorer(conventions) as scorer:
                for one, mask in zip(maps, truth.masks, strict=True):
                    scorer.update([one], [mask])
                result = scorer.compute()
            intervals = {}
        for metric in PIXEL_METRICS:
            row = _row(branch, "pixel", metric, result, intervals, bootstrap)
            if not truth.fits_in_memory:
                row["reason"] = row["reason"] or (
                    f"no interval: the maps take {truth.megabytes:.0f} MiB; set a map size"
                )
            yield row


def _row(
    branch: str,
    level: str,
    metric: str,
    result: ImageMetrics | PixelMetrics,
    intervals: Mapping[str, Estimate],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    return {
        "branch": branch,
        "level": level,
        "metric": metric,
        **intervals.get(metric, Estimate(getattr(result, metric))).columns(),
        "confidence": bootstrap.confidence if metric in intervals else np.nan,
        "threshold": result.f1_threshold if metric == "f1_max" else np.nan,
        "n_images": result.n_images,
        "n_anomalous": result.n_anomalous,
        "resolution": result.conventions.resolution if level == "pixel" else None,
        "reason": result.reasons.get(metric, ""),
    }
