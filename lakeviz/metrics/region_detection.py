"""Detection of regions and of tracks in clips: RBDC and TBDC of Ramachandra and Jones.

A region of a mask is detected at a threshold if a connected region of the pixels that reach it
overlaps with it by an intersection over union of at least 0.1; a region of the map that does so
with none is a false positive. RBDC is the area under the share of detected regions against the
false positives per frame, up to one per frame. TBDC is the same of tracks, which are detected if at
least a tenth of their regions are (Ramachandra and Jones, "Street Scene", WACV 2020).

A track is what overlaps from frame to frame, for masks do not say which region is which thing. From
the highest threshold down, both shares and false positives are taken as the largest so far, since
regions that grow together would make them fall. Where the false positives end below one per frame
the last share holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.errors import MetricError
from lakeviz.metrics.bootstrap import Weights
from lakeviz.metrics.clips import Frame, by_clip
from lakeviz.metrics.regions import region_labels

OVERLAP = 0.1
"""Least intersection over union of a detected region."""

TRACK_SHARE = 0.1
"""Least share of the regions of a detected track."""

_PEAKS, _BELOW = 24, 12  # thresholds among the peaks of frames, and below them
_PER_FRAME = 1.0

Map = Float[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class RegionDetection:
    """What is detected at descending thresholds.

    Attributes
    ----------
    thresholds
    false
        False positives of each frame.
    hits
        Which regions are detected.
    frame
        Frame of each region.
    track
        Track of each region, from 0.
    """

    thresholds: Float[np.ndarray, " threshold"]
    false: Int[np.ndarray, "frame threshold"]
    hits: Bool[np.ndarray, "region threshold"]
    frame: Int[np.ndarray, " region"]
    track: Int[np.ndarray, " region"]

    @property
    def tracks(self) -> tuple[Bool[np.ndarray, "track threshold"], Int[np.ndarray, " track"]]:
        """Which tracks are detected, and the frame in which each begins."""
        n = int(self.track.max()) + 1
        sizes = np.bincount(self.track, minlength=n)
        hits = np.zeros((n, self.thresholds.size))
        np.add.at(hits, self.track, self.hits)
        _, first = np.unique(self.track, return_index=True)
        return hits >= TRACK_SHARE * sizes[:, None] - 1e-9, self.frame[first]

    def rbdc(self, weights: Weights | None = None) -> Float[np.ndarray, " resample"]:
        """Region-based detection criterion, on all frames or on resamples of them."""
        return self._area(self.hits, self.frame, weights)

    def tbdc(self, weights: Weights | None = None) -> Float[np.ndarray, " resample"]:
        """Track-based detection criterion; a track counts as often as its first frame."""
        return self._area(*self.tracks, weights)

    def _area(
        self,
        hits: Bool[np.ndarray, "thing threshold"],
        frame: Int[np.ndarray, " thing"],
        weights: Weights | None,
    ) -> Float[np.ndarray, " resample"]:
        if weights is None:
            weights = np.ones((1, len(self.false)), dtype=np.int64)
        things = weights[:, frame]
        with np.errstate(invalid="ignore"):  # a resample may lack any region
            share = (things @ hits) / things.sum(axis=1, keepdims=True)
        rate = (weights @ self.false) / weights.sum(axis=1, keepdims=True)
        return np.array([_area_up_to(x, y) for x, y in zip(rate, share)])


def detect_regions(
    maps: Sequence[Map], masks: Sequence[Mask], frames: Sequence[Frame]
) -> RegionDetection:
    """Detect the regions of masks in score maps at many thresholds.

    Parameters
    ----------
    maps, masks
        Of each frame; a mask is empty where the frame is normal.
    frames
        Clip and number of each.

    Raises
    ------
    MetricError
        There is no region, or maps and masks have other sizes.
    """
    for one, mask, (clip, number) in zip(maps, masks, frames, strict=True):
        if one.shape != mask.shape:
            raise MetricError(
                f"the map of frame {number} of {clip} has the shape {list(one.shape)} and its mask "
                f"{list(mask.shape)}"
            )
    truth = [_labelled(mask) for mask in masks]
    counts = [int(labels.max(initial=0)) for labels in truth]
    first = np.concatenate([[0], np.cumsum(counts)])
    if not first[-1]:
        raise MetricError("no mask has a region")
    thresholds, false, hits = [], [], []
    for threshold in _thresholds(maps):
        hit = np.zeros(first[-1], dtype=bool)
        wrong = np.zeros(len(maps), dtype=np.int64)
        for i, (one, labels) in enumerate(zip(maps, truth)):
            found, wrong[i] = _detected(one >= threshold, labels, counts[i])
            hit[first[i] : first[i + 1]] = found
        thresholds.append(threshold)
        false.append(wrong)
        hits.append(hit)
        if wrong.mean() >= _PER_FRAME:
            break
    return RegionDetection(
        np.array(thresholds),
        np.stack(false, axis=1),
        np.stack(hits, axis=1),
        np.repeat(np.arange(len(maps)), counts),
        _tracks(truth, counts, first, frames),
    )


def _thresholds(maps: Sequence[Map]) -> Iterable[float]:
    """Descending: evenly among the peaks of the frames, then evenly down to the median pixel.

    All but the least score of all maps, which every pixel reaches.
    """
    peaks = np.sort([one.max() for one in maps])
    middle = float(np.median([np.median(one) for one in maps]))
    ranks = np.linspace(len(peaks) - 1, 0, min(_PEAKS, len(peaks))).round().astype(int)
    below = np.linspace(peaks[0], min(middle, peaks[0]), _BELOW + 1)[1:]
    least = min(float(one.min()) for one in maps)
    kept = [t for t in dict.fromkeys([*peaks[ranks].tolist(), *below.tolist()]) if t > least]
    return kept or [least]


def _labelled(mask: Mask) -> Int[np.ndarray, "height width"]:
    labels = np.zeros(mask.shape, dtype=np.int16)  # held for all frames
    if mask.any():
        labels[mask] = region_labels(mask)[0] + 1
    return labels


def _detected(
    found: Mask, truth: Int[np.ndarray, "height width"], n: int
) -> tuple[Bool[np.ndarray, " region"], int]:
    """Which of ``n`` regions are detected, and the number of false positives."""
    if not found.any():
        return np.zeros(n, dtype=bool), 0
    numbers, n_found = region_labels(found)
    if n == 0:
        return np.zeros(0, dtype=bool), n_found
    pairs = numbers.astype(np.int64) * (n + 1) + truth[found]
    shared = np.bincount(pairs, minlength=n_found * (n + 1)).reshape(n_found, n + 1)
    size = shared.sum(axis=1, keepdims=True)
    own = np.bincount(truth.ravel(), minlength=n + 1)[1:]
    overlap = shared[:, 1:] / (size + own - shared[:, 1:])
    good = overlap >= OVERLAP
    return good.any(axis=0), int((~good.any(axis=1)).sum())


def _tracks(
    truth: Sequence[np.ndarray],
    counts: Sequence[int],
    first: Int[np.ndarray, " frame_plus_1"],
    frames: Sequence[Frame],
) -> Int[np.ndarray, " region"]:
    """Number the tracks: regions of consecutive frames that share a pixel belong to one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [np.zeros((2, 0), dtype=np.int64)]
    for own in by_clip(frames).values():
        for before, after in pairwise(own):
            if counts[before] and counts[after] and frames[after][1] == frames[before][1] + 1:
                a, b = truth[before], truth[after]
                both = (a > 0) & (b > 0)
                pairs = np.stack([first[before] + a[both] - 1, first[after] + b[both] - 1])
                links.append(np.unique(pairs, axis=1))
    rows, columns = np.concatenate(links, axis=1)
    n = int(first[-1])
    graph = coo_array((np.ones(rows.size), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _area_up_to(rate: Float[np.ndarray, " threshold"], share: Float[np.ndarray, " threshold"]):
    """Area under the share against the rate of false positives, up to one per frame."""
    if np.isnan(share).any():
        return np.nan
    x = np.concatenate([[0.0], np.maximum.accumulate(rate)])
    y = np.concatenate([[0.0], np.maximum.accumulate(share)])
    if x[-1] < _PER_FRAME:
        x, y = np.append(x, _PER_FRAME), np.append(y, y[-1])
    end = np.interp(_PER_FRAME, x, y)
    inside = x < _PER_FRAME
    return float(np.trapezoid(np.append(y[inside], end), np.append(x[inside], _PER_FRAME)))
