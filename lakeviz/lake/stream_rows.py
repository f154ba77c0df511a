"""Tables of what depth and streams add: the foreground alone, each stream alone and all fused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from lakeviz.data.table import GOOD
from lakeviz.lake.ground_truth import Size, Truth
from lakeviz.lake.metric_rows import Row, image_rows, pixel_tables
from lakeviz.lake.options import ImageScoreRule, LakeOptions
from lakeviz.lake.score_maps import PixelMaps, ScoreMaps
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.clips import over_clips
from lakeviz.metrics.contrasts import Replicates, estimate_of
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.metrics.regions import resize_mask

if TYPE_CHECKING:
    from lakeviz.data import Dataset

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

    A stream is measured on the frames that have a token on it, a kind of defect against all normal
    images. ``draws`` are of the same images; ``kinds`` and ``frames`` (none where the images are
    no frames) are theirs.
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


BRANCH = "foreground"


def foreground_rows(
    dataset: Dataset,
    sizes: Sequence[Size],
    maps: Sequence[PixelMaps],
    truth: Truth,
    options: LakeOptions,
    bootstrap: Bootstrap,
) -> tuple[list[Row], list[Row]]:
    """Rows of the foreground, and one for each draw; ``maps`` are pixel maps, draw by draw.

    There are none without depth, or where fewer than half of the normal images have a plane behind
    the thing: the surface is then the thing itself, and what stands off it a defect.

    Image scores are those of the pixels of the foreground. Of the pixels without defect, those of
    the foreground count; defect pixels all do, so that leaving out the plane hides no defect.
    """
    if not dataset.depths:
        return [], []
    shown = [
        _foreground(depth.path, own if options.map_size is None else options.map_size)
        for depth, own in zip(dataset.depths, sizes, strict=True)
    ]
    normal = [mask.all() for mask, label in zip(shown, truth.labels, strict=True) if not label]
    if np.mean(normal or [True]) >= 0.5:  # what stands off the surface is the defect
        return [], []
    rule = options.image_score
    conventions = Conventions(image_score=f"{rule.describe()} on the foreground")
    scores = [
        np.array([rule(one[mask][None, None])[0] for one, mask in zip(draw, shown, strict=True)])
        for draw in maps
    ]
    rows, draws = image_rows({BRANCH: scores}, truth.labels, conventions, bootstrap)
    own = truth if truth.reason else truth.counting(shown)
    found = pixel_tables({BRANCH: maps}, own, conventions, bootstrap, curves_too=False)
    return [*rows, *found[0]], [*draws, *found[1]]


def _foreground(path: Path, size: Size) -> Bool[np.ndarray, "height width"]:
    """Foreground of a depth map at the size of the pixel map; all where there is no plane."""
    from lakeviz.data.depth import foreground
    from lakeviz.data.depth_files import read_depth

    depth = read_depth(path)
    found = foreground(depth)
    if np.array_equal(found, depth.valid):
        found = np.ones_like(found)  # no plane: what was not measured is no background
    return resize_mask(found, size)
