"""Rows of a table of metrics: every metric of every branch, with its interval or its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    image_metrics,
)
from lakeviz.metrics.contrasts import Replicates, estimate_of
from lakeviz.metrics.curve_table import COLUMNS, curve_table
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.metrics.intervals import coverage_note
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.metrics.pixel import summarise
from lakeviz.metrics.pixel_intervals import CountedPixels
from lakeviz.metrics.streaming import PixelScorer

Row = dict[str, Any]


def image_rows(
    branches: Mapping[str, Sequence[Float[np.ndarray, " image"]]],
    labels: Int[np.ndarray, " image"],
    conventions: Conventions,
    bootstrap: Bootstrap,
) -> tuple[list[Row], list[Row]]:
    """A row per branch and image metric, and one for each of its draws of the normal images.

    Parameters
    ----------
    branches
        Image scores of each branch, draw by draw.
    """
    rows, draws = [], []
    for branch, scores in branches.items():
        result = image_metrics(scores[0], labels, conventions)
        measured = []
        if not result.reasons:
            measured = [measure_images(s, labels, bootstrap=bootstrap) for s in scores]
        rows += _rows(branch, "image", IMAGE_METRICS, result, measured, bootstrap)
        draws += _draw_rows(branch, measured)
    return rows, draws


def pixel_tables(
    branches: Mapping[str, Sequence[Sequence[np.ndarray]]],
    truth: Truth,
    conventions: Conventions,
    bootstrap: Bootstrap,
    *,
    curves_too: bool = True,
) -> tuple[list[Row], list[Row], pd.DataFrame]:
    """As :func:`image_rows` of pixel maps, and the curves of the first branch and draw.

    Maps are read one after the other; they are held at once only where they fit in memory, which
    intervals and curves need. Where the truth has a reason why there is nothing to measure, so have
    the rows, of the first branch alone.
    """
    rows, draws = [], []
    curves = pd.DataFrame(columns=pd.Index(COLUMNS))
    if truth.reason:
        for metric in truth.metrics:
            row = {"branch": next(iter(branches)), "level": "pixel", "metric": metric}
            counts = {"n_images": len(truth.labels), "n_anomalous": int(truth.labels.sum())}
            row |= {"value": np.nan, **counts, "n_draws": 1, "note": ""}
            row["reason"] = truth.reason
            rows.append(row)
        return rows, draws, curves
    for branch, of_draws in branches.items():
        measured = []
        if truth.fits_in_memory:
            first = CountedPixels.of(list(of_draws[0]), truth.regions, conventions)
            result = summarise(first.counts, first.conventions, PIXEL_METRICS)
            measured = [first.measure(None, bootstrap, among=truth.metrics)]
            if curves_too and measured[0].values and not rows:
                curves = curve_table(first, bootstrap)
            for maps in of_draws[1:]:
                one = CountedPixels.of(list(maps), truth.regions, conventions)
                measured.append(one.measure(None, bootstrap, among=truth.metrics))
        else:
            with PixelScorer(conventions) as scorer:
                for one, mask in zip(of_draws[0], truth.regions, strict=True):
                    scorer.update([one], [mask])
                result = scorer.compute()
        found = _rows(branch, "pixel", truth.metrics, result, measured, bootstrap)
        if not truth.fits_in_memory:
            for row in found:
                row["reason"] = row["reason"] or (
                    f"no interval, and draw 0 alone: the maps take {truth.megabytes:.0f} MiB; set "
                    "a map size"
                )
        rows += found
        draws += _draw_rows(branch, measured)
    return rows, draws, curves


def draw_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Value of every branch and metric on each draw of the normal images."""
    return pd.DataFrame(rows, columns=pd.Index(["branch", "level", "metric", "draw", "value"]))


def _draw_rows(branch: str, measured: Sequence[Measurement]) -> list[Row]:
    return [
        {"branch": branch, "level": level, "metric": metric, "draw": number, "value": value}
        for number, one in enumerate(measured)
        for (level, metric), value in one.values.items()
    ]


def _rows(
    branch: str,
    level: str,
    metrics: Sequence[str],
    result: ImageMetrics | PixelMetrics,
    measured: Sequence[Measurement],
    bootstrap: Bootstrap,
) -> list[Row]:
    """Rows of a branch: means over its draws where they were measured, else the first's values."""
    draws = Replicates.over_draws(measured) if measured else None
    rows = []
    for metric in metrics:
        found = Estimate(getattr(result, metric, np.nan))  # some are measured on resamples alone
        if draws is not None and (level, metric) in draws.first.values:
            found = estimate_of(draws, (level, metric), bootstrap)
        rows.append(
            {
                "branch": branch,
                "level": level,
                "metric": metric,
                **found.columns(),
                "confidence": bootstrap.confidence if np.isfinite(found.low) else np.nan,
                "threshold": result.f1_threshold if metric == "f1_max" else np.nan,
                "n_images": result.n_images,
                "n_anomalous": result.n_anomalous,
                "n_draws": max(1, len(measured)),
                **found.share_columns(),
                "resolution": result.conventions.resolution if level == "pixel" else None,
                "note": bootstrap.sampling_note or _note((level, metric), result)
                if np.isfinite(found.low)
                else "",
                # aupro_0.05 is undefined where aupro is.
                "reason": result.reasons.get(metric.partition("_0")[0], ""),
            }
        )
    return rows


def _note(metric: Metric, result: ImageMetrics | PixelMetrics) -> str:
    """Where the interval was not measured to cover what it says."""
    return coverage_note(metric, result.n_anomalous, result.n_images - result.n_anomalous)
