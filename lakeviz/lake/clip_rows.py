"""The table of a category whose images are frames of clips: what is found, by clip and in all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.metric_rows import image_rows
from lakeviz.metrics import Bootstrap, Estimate
from lakeviz.metrics.clips import (
    EVENT_FPR,
    ClusterBootstrap,
    Frame,
    by_clip,
    clip_aurocs,
    cluster_estimate,
    detect_events,
    smooth_over_time,
)
from lakeviz.metrics.conventions import DEFAULT
from lakeviz.metrics.estimates import mean_over_categories
from lakeviz.metrics.region_detection import RegionDetection, detect_regions

ALL = "all"
"""In place of a clip: all clips together."""

SMOOTHED = "lake_smoothed"
"""Branch of the scores smoothed over time."""

CLIP_METRICS = {
    "auroc_micro": "frame AUROC, micro (all frames)",
    "auroc_macro": "frame AUROC, macro (mean of clips)",
    "average_precision": "frame AP",
    "events_found": f"events found at {100 * EVENT_FPR:g} % false alarms",
    "delay": "frames to the first alarm of found events",
    "rbdc": "RBDC",
    "tbdc": "TBDC",
    "auroc": "frame AUROC of the clip",
}
"""Labels of what the table holds, by the name of the metric."""

COLUMNS = pd.Index(
    [
        *("branch", "clip", "metric", "value", "low", "high", "confidence"),
        *("n_frames", "n_anomalous", "n_events", "n_draws", "note", "reason"),
    ]
)

Row = dict[str, Any]
Scores = Sequence[Float[np.ndarray, " frame"]]


def clip_table(
    branches: Mapping[str, Scores],
    maps: Sequence[np.ndarray],
    truth: Truth,
    frames: Sequence[Frame],
    known_rows: Iterable[Mapping[str, Any]],
    bootstrap: Bootstrap,
    smoothing: float = 0.0,
) -> pd.DataFrame:
    """Measure frames, events, regions and tracks; empty where the images are not frames of clips.

    ``branches`` holds frame scores of each branch, draw by draw; ``maps`` the pixel maps of the
    first draw of the first branch, for RBDC and TBDC; ``known_rows`` the rows of
    :func:`~lakeviz.lake.metric_rows.image_rows`, where the micro AUROC is. The bootstrap is over
    clips. With ``smoothing`` (in frames) the scores of the first branch smoothed over time are a
    further branch.
    """
    if not isinstance(bootstrap, ClusterBootstrap):
        return pd.DataFrame(columns=COLUMNS)
    micro = {(row["branch"], row["metric"]): row for row in known_rows}
    if smoothing:
        first = next(iter(branches.values()))
        smooth = {SMOOTHED: [smooth_over_time(one, frames, smoothing) for one in first]}
        of_smooth, _ = image_rows(smooth, truth.labels, DEFAULT, bootstrap)
        micro |= {(SMOOTHED, row["metric"]): row for row in of_smooth}
        branches = dict(branches) | smooth
    rows: list[Row] = []
    for branch, scores in branches.items():
        for name, of in (("auroc_micro", "auroc"), ("average_precision", "average_precision")):
            row = micro[branch, of]
            rows.append({"metric": name} | {c: row[c] for c in _TAKEN} | {"branch": branch})
        found = [*_macro(scores, truth.labels, frames, bootstrap)]
        found += _events(scores, truth.labels, frames, bootstrap)
        if branch == next(iter(branches)):
            found += _regions(maps, truth, frames, bootstrap)
        rows += [{"branch": branch, "n_draws": len(scores)} | row for row in found]
    common = {
        "clip": ALL,
        "confidence": bootstrap.confidence,
        "n_frames": len(frames),
        "n_anomalous": int(truth.labels.sum()),
    }
    for row in rows:
        row |= {k: v for k, v in common.items() if k not in row}
        row["note"] = ""
        if np.isfinite(row.get("low", np.nan)):
            less = "; drawn clips were covered less often than it says"
            row["note"] = f"the interval is over {bootstrap.what}"
            row["note"] += less if row["metric"] in _COVER_LESS else ""
    return pd.DataFrame([{"reason": "", **row} for row in rows], columns=COLUMNS)


_COVER_LESS = ("auroc_macro", "delay", "tbdc")  # as benchmarks/coverage_clips.py measured
_TAKEN = ("value", "low", "high", "n_draws", "reason")


def _macro(
    scores: Scores, labels: Int[np.ndarray, " frame"], frames: Sequence[Frame], bootstrap: Bootstrap
) -> Iterable[Row]:
    """Mean of the AUROCs of clips with Student's interval over them, and each of them."""
    each = [clip_aurocs(own, labels, frames) for own in scores]
    clips = {clip: float(np.mean([one[clip] for one in each])) for clip in each[0]}
    found = mean_over_categories(clips.values(), bootstrap.confidence, (0.0, 1.0))
    reason = "" if clips else "no clip has both normal and anomalous frames"
    yield {"metric": "auroc_macro", **found.columns(), "reason": reason}
    for clip, own in by_clip(frames).items():
        n = {"n_frames": len(own), "n_anomalous": int(labels[own].sum())}
        why = "" if clip in clips else "all frames of the clip are of one kind"
        value = {"value": clips.get(clip, np.nan), "reason": why}
        yield {"metric": "auroc", "clip": clip, **n, **value}


def _events(
    scores: Scores, labels: Int[np.ndarray, " frame"], frames: Sequence[Frame], bootstrap: Bootstrap
) -> list[Row]:
    """Share of events found, and delay, at the threshold of the frames at hand."""
    labels = np.asarray(labels)
    if not labels.any() or labels.all():
        reason = f"all frames are {'anomalous' if labels.any() else 'normal'}"
        return [{"metric": m, "value": np.nan, "reason": reason} for m in ("events_found", "delay")]
    each = [detect_events(own, labels, frames) for own in scores]
    first = np.array([event.positions[0] for event in each[0].events])
    weights = _weights(bootstrap, labels)[:, first]
    found = [one.found.astype(float) for one in each]
    delays = [np.nan_to_num(one.delays) for one in each]
    n = int((bootstrap.sample_sizes("image", labels.astype(bool)))[0])
    rows = []
    for metric, above, below, bounds in (
        ("events_found", found, [np.ones(first.size)] * len(found), (0.0, 1.0)),
        ("delay", delays, found, (0.0, np.inf)),
    ):
        with np.errstate(invalid="ignore"):  # where nothing is found there is no delay
            values = [float(a.sum() / b.sum()) for a, b in zip(above, below)]
            drawn = [(weights @ a) / (weights @ b) for a, b in zip(above, below)]
        made = cluster_estimate(values, drawn, n, bootstrap.confidence, bounds)
        row = {"metric": metric, **made.columns(), "n_events": first.size}
        rows.append(row | ({} if np.isfinite(made.value) else {"reason": "a draw finds no event"}))
    return rows


def _regions(
    maps: Sequence[np.ndarray], truth: Truth, frames: Sequence[Frame], bootstrap: Bootstrap
) -> list[Row]:
    """RBDC and TBDC of the first draw."""
    names = ("rbdc", "tbdc")
    reason = truth.reason or ("" if truth.fits_in_memory else "the maps do not fit in memory")
    if reason:
        return [{"metric": m, "value": np.nan, "n_draws": 1, "reason": reason} for m in names]
    found: RegionDetection = detect_regions(list(maps), truth.masks, frames)
    weights = _weights(bootstrap, truth.labels)
    n = bootstrap.sample_sizes("image", truth.labels.astype(bool))[0]
    rows = []
    for name in names:
        measure = getattr(found, name)
        value = float(measure()[0])
        made: Estimate = cluster_estimate([value], [measure(weights)], n, bootstrap.confidence)
        rows.append({"metric": name, **made.columns(), "n_draws": 1})
    return rows


def _weights(bootstrap: Bootstrap, labels: Int[np.ndarray, " frame"]) -> np.ndarray:
    blocks = bootstrap.blocks(np.asarray(labels).astype(bool), len(labels))
    return np.concatenate([weights for _, weights in blocks])
