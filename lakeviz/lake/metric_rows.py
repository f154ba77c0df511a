"""Rows of a table of metrics: every metric of every branch, with its interval or its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
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
)
from lakeviz.metrics.contrasts import estimate_of
from lakeviz.metrics.curve_table import COLUMNS, curve_table
from lakeviz.metrics.pixel import summarise
from lakeviz.metrics.pixel_intervals import CountedPixels
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


def pixel_tables(
    branches: Mapping[str, Sequence[np.ndarray]],
    truth: Truth,
    conventions: Conventions,
    bootstrap: Bootstrap,
    *,
    curves_too: bool = True,
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """A row per branch and pixel metric, and the curves of the first branch (empty if not wanted).

    Maps are read one after the other; they are held at once only where they fit in memory, which
    intervals and curves need. Where the truth has a reason why there is nothing to measure, so have
    the rows, of the first branch alone.
    """
    rows, curves = [], pd.DataFrame(columns=pd.Index(COLUMNS))
    if truth.reason:
        for metric in PIXEL_METRICS:
            row = {"branch": next(iter(branches)), "level": "pixel", "metric": metric}
            row |= {"value": np.nan, "n_images": len(truth.labels), "reason": truth.reason}
            rows.append(row)
        return rows, curves
    for branch, maps in branches.items():
        intervals: Mapping[str, Estimate] = {}
        if truth.fits_in_memory:
            counted = CountedPixels.of(list(maps), truth.masks, conventions)
            result = summarise(counted.counts, counted.conventions, PIXEL_METRICS)
            measured = counted.measure(None, bootstrap)
            intervals = {m[1]: estimate_of(measured, m, bootstrap) for m in measured.values}
            if curves_too and intervals and not rows:
                curves = curve_table(counted, bootstrap)
        else:
            with PixelScorer(conventions) as scorer:
                for one, mask in zip(maps, truth.masks, strict=True):
                    scorer.update([one], [mask])
                result = scorer.compute()
        for metric in PIXEL_METRICS:
            row = _row(branch, "pixel", metric, result, intervals, bootstrap)
            if not truth.fits_in_memory:
                row["reason"] = row["reason"] or (
                    f"no interval: the maps take {truth.megabytes:.0f} MiB; set a map size"
                )
            rows.append(row)
    return rows, curves


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
