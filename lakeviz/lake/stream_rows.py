"""The table of a detector of several streams: each alone and all fused, by kind of defect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.data.table import GOOD
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.metric_rows import pixel_tables
from lakeviz.lake.options import ImageScoreRule
from lakeviz.lake.score_maps import PixelMaps, ScoreMaps
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.clips import over_clips
from lakeviz.metrics.contrasts import Replicates, estimate_of
from lakeviz.metrics.image_intervals import measure_images

FUSED = "fused"
"""In place of a stream: all of them, without the text branch."""

ALL = "all"
"""In place of a kind of defect: all of them."""

COLUMNS = pd.Index(
    [
        *("stream", "defect_type", "level", "metric", "value", "low", "high", "confidence"),
        *("n_images", "n_anomalous", "n_draws", "note", "reason"),
    ]
)

_PIXEL = ("auroc", "aupro")


def stream_table(
    draws: Sequence[ScoreMaps],
    kinds: Sequence[str],
    truth: Truth,
    frames: Sequence[tuple[str, int]],
    rule: ImageScoreRule,
    bootstrap: Bootstrap,
    conventions: Conventions,
) -> pd.DataFrame:
    """Measure every stream alone, and all fused; empty where there is one stream.

    A stream is measured on the frames that have a token on it. A kind of defect is measured
    against all normal images.

    Parameters
    ----------
    draws
        Of the same images, draw by draw.
    kinds
        Kind of defect of each image.
    truth, frames
        Of the images; no frames where they are none.
    rule
        From a patch map to the image score.
    bootstrap
        Over images; where there are clips, clips are drawn.
    conventions
    """
    maps = [one.streams | {FUSED: one.parts["visual"]} for one in draws]
    if len(maps[0]) < 3:
        return pd.DataFrame(columns=COLUMNS)
    rows: list[dict[str, Any]] = []
    for stream in maps[0]:
        kept = np.asarray(np.isfinite(maps[0][stream]).all(axis=(1, 2)))
        own = [replace(one, patch=m[stream]) for one, m in zip(draws, maps, strict=True)]
        part = _Part(own, np.asarray(kinds), truth, frames, rule, bootstrap, conventions)
        rows += [{"stream": stream} | row for row in part.rows(kept)]
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True)
class _Part:
    """Maps of one stream, and what they are measured against."""

    draws: Sequence[ScoreMaps]
    kinds: np.ndarray
    truth: Truth
    frames: Sequence[tuple[str, int]]
    rule: ImageScoreRule
    bootstrap: Bootstrap
    conventions: Conventions

    @cached_property
    def scores(self) -> list[np.ndarray]:
        return [self.rule(one.patch) for one in self.draws]

    def rows(self, kept: np.ndarray) -> Iterator[dict[str, Any]]:
        """Of all defects, images and pixels; of each kind, where there are several, images."""
        yield self._of_images(ALL, kept)
        yield from self._of_pixels(kept)
        names = sorted(set(self.kinds[self.truth.labels == 1]) - {GOOD})
        for kind in names if len(names) > 1 else ():
            chosen = (self.truth.labels == 0) | (self.kinds == kind)
            yield self._of_images(kind, kept & chosen)

    def _resampling(self, kept: np.ndarray) -> Bootstrap:
        rows = np.flatnonzero(kept).tolist()
        return over_clips(self.bootstrap, [self.frames[i] for i in rows] if self.frames else ())

    def _of_images(self, kind: str, kept: np.ndarray) -> dict[str, Any]:
        labels, resampling = self.truth.labels[kept], self._resampling(kept)
        row = {"defect_type": kind, "level": "image", "metric": "auroc", "n_draws": len(self.draws)}
        row |= {"n_images": len(labels), "n_anomalous": int(labels.sum()), "note": "", "reason": ""}
        if not labels.any() or labels.all():
            which = "anomalous" if labels.any() else "normal"
            return row | {"value": np.nan, "reason": f"all images are {which}"}
        measured = [measure_images(s[kept], labels, ["auroc"], resampling) for s in self.scores]
        found = estimate_of(Replicates.over_draws(measured), ("image", "auroc"), resampling)
        note = resampling.sampling_note if np.isfinite(found.low) else ""
        return row | found.columns() | {"confidence": resampling.confidence, "note": note}

    def _of_pixels(self, kept: np.ndarray) -> list[dict[str, Any]]:
        truth = self.truth if kept.all() else self.truth.where(kept)
        some = [_of_rows(one, kept) for one in self.draws]
        found, _, _ = pixel_tables(
            {"": [PixelMaps(one, None) for one in some]},
            truth,
            self.conventions,
            self._resampling(kept),
            curves_too=False,
        )
        return [{"defect_type": ALL, **row} for row in found if row["metric"] in _PIXEL]


def _of_rows(maps: ScoreMaps, kept: np.ndarray) -> ScoreMaps:
    """Patch maps of some of the images."""
    if kept.all():
        return maps
    rows = np.flatnonzero(kept).tolist()
    names, sizes = ([values[i] for i in rows] for values in (maps.sample_ids, maps.sizes))
    return replace(maps, patch=maps.patch[rows], sample_ids=names, sizes=sizes)
