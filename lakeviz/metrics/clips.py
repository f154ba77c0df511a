"""Frames of clips: AUROC clip by clip, events and how soon they are found, intervals over clips.

Frames that follow each other are nearly the same picture. Drawn one by one, they would make
intervals as narrow as if each said something new: the frames of a clip are drawn or left out as
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics.bootstrap import Bootstrap, Weights
from lakeviz.metrics.estimates import Estimate, student_reach
from lakeviz.metrics.image import auroc, one_class

Frame = tuple[str, int]
"""Clip, and number of the frame in it."""

EVENT_FPR = 0.05
"""Share of normal frames above the threshold at which events are looked for."""


@dataclass(frozen=True)
class Event:
    """Anomalous frames that follow each other in one clip.

    Attributes
    ----------
    clip
    positions
        Of its frames among all.
    """

    clip: str
    positions: Int[np.ndarray, " frame"]


@dataclass(frozen=True)
class EventDetection:
    """Which events were found, and how soon.

    Attributes
    ----------
    events
    threshold
        A frame is an alarm if it scores more than this.
    delays
        Frames from the beginning of each event to its first alarm; NaN where there is none.
    false_alarms
        Share of the normal frames that are alarms.
    """

    events: list[Event]
    threshold: float
    delays: Float[np.ndarray, " event"]
    false_alarms: float

    @property
    def found(self) -> Bool[np.ndarray, " event"]:
        """Whether an event holds an alarm."""
        return np.isfinite(self.delays)


def by_clip(frames: Sequence[Frame]) -> dict[str, Int[np.ndarray, " frame"]]:
    """Positions of the frames of each clip, in the order of their numbers."""
    found: dict[str, list[tuple[int, int]]] = {}
    for position, (clip, number) in enumerate(frames):
        found.setdefault(clip, []).append((number, position))
    return {clip: np.array([p for _, p in sorted(own)]) for clip, own in found.items()}


def clip_aurocs(
    scores: Float[np.ndarray, " frame"], labels: Int[np.ndarray, " frame"], frames: Sequence[Frame]
) -> dict[str, float]:
    """AUROC of the frames of each clip that has both normal and anomalous ones.

    Their mean is the macro AUROC of the literature; clips of one kind have no part in it. The micro
    AUROC is that of all frames together.
    """
    labels = np.asarray(labels)
    parts = {
        clip: own
        for clip, own in by_clip(frames).items()
        if not one_class(int(labels[own].sum()), len(own))
    }
    return {clip: auroc(np.asarray(scores)[own], labels[own]) for clip, own in parts.items()}


def events_of(labels: Int[np.ndarray, " frame"], frames: Sequence[Frame]) -> list[Event]:
    """Events, clip by clip: a normal frame, or a gap in the numbers, parts two of them."""
    labels = np.asarray(labels).astype(bool)
    found = []
    for clip, own in by_clip(frames).items():
        numbers = np.array([frames[p][1] for p in own])
        bad = np.flatnonzero(labels[own])
        if bad.size:
            starts = np.flatnonzero(np.diff(numbers[bad]) != 1) + 1
            found += [Event(clip, own[part]) for part in np.split(bad, starts)]
    return found


def detect_events(
    scores: Float[np.ndarray, " frame"],
    labels: Int[np.ndarray, " frame"],
    frames: Sequence[Frame],
    fpr: float = EVENT_FPR,
) -> EventDetection:
    """Find events at the threshold that at most a share ``fpr`` of the normal frames exceeds.

    The threshold is that of these very frames: it says how well scores part frames, not how well a
    threshold chosen beforehand would do.

    Raises
    ------
    ConfigError
        ``fpr`` is not at least 0 and below 1.
    MetricError
        There is no normal frame.
    """
    if not 0 <= fpr < 1:
        raise ConfigError(f"fpr must be at least 0 and below 1, got {fpr}")
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    normal = np.sort(scores[~labels])[::-1]
    if not normal.size:
        raise MetricError("there is no normal frame, whose scores set the threshold of events")
    threshold = float(normal[int(fpr * normal.size + 1e-9)])
    alarms = scores > threshold
    events = events_of(labels, frames)
    delays = [np.flatnonzero(alarms[event.positions]) for event in events]
    return EventDetection(
        events,
        threshold,
        np.array([float(d[0]) if d.size else np.nan for d in delays]),
        float(alarms[~labels].mean()),
    )


def smooth_over_time(
    scores: Float[np.ndarray, " frame"], frames: Sequence[Frame], sigma: float
) -> Float[np.ndarray, " frame"]:
    """Gaussian mean of the frame scores of each clip, of ``sigma`` frames; 0 leaves them alone.

    A frame then knows of those after it, so a detector that must answer at once cannot use it.

    Raises
    ------
    ConfigError
        ``sigma`` is negative.
    """
    if sigma < 0:
        raise ConfigError(f"sigma must be 0 or more frames, got {sigma}")
    if sigma == 0:
        return scores
    from scipy.ndimage import gaussian_filter1d  # slow to load

    smooth = np.array(scores, dtype=np.float64)
    for own in by_clip(frames).values():
        smooth[own] = gaussian_filter1d(smooth[own], sigma, mode="nearest")
    return smooth.astype(np.asarray(scores).dtype)


def cluster_estimate(
    values: Sequence[float],
    resampled: Sequence[Float[np.ndarray, " resample"]],
    n_clusters: int,
    confidence: float,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """Mean over draws of the normal images, with Student's interval over clusters and draws.

    Parameters
    ----------
    values
        Draw by draw.
    resampled
        Values on resamples of the clusters, draw by draw; those that are not finite are left out.
    n_clusters
        Clusters that the value rests on. With fewer than two there is no interval.
    """
    from scipy.special import stdtrit  # slow to load

    value, mean = float(np.mean(values)), np.mean(resampled, axis=0)
    mean = mean[np.isfinite(mean)]
    if not np.isfinite(value) or n_clusters < 2 or mean.size < 2:
        return Estimate(value)
    variance = float(mean.var(ddof=1)) * n_clusters / (n_clusters - 1)
    square = float(stdtrit(n_clusters - 1, (1 + confidence) / 2)) ** 2 * variance
    if len(values) > 1:
        square += student_reach(np.asarray(values), confidence) ** 2
    if square == 0:
        return Estimate(value)  # nothing varied: no interval is better than one of no width
    low, high = value - square**0.5, value + square**0.5
    return Estimate(value, max(low, bounds[0]), min(high, bounds[1]))


FEWEST_CLIPS = 5
"""With fewer clips, blocks of frames are drawn instead."""

BLOCK = 25
"""Frames of a block, about a second."""


@dataclass(frozen=True)
class ClusterBootstrap(Bootstrap):
    """Draws clusters of images, those with an anomalous image and the others apart.

    Parameters
    ----------
    clusters
        Number of the cluster of each image, from 0.
    what
        What the clusters are, in words.
    """

    clusters: tuple[int, ...] = ()
    what: str = "clusters of images"

    def __post_init__(self) -> None:
        super().__post_init__()
        ids = np.unique(self.clusters)
        if not np.array_equal(ids, np.arange(ids.size)):
            raise ConfigError(f"clusters must be numbered from 0 without gaps, not {ids.tolist()}")

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return max(self.clusters, default=-1) + 1

    @property
    def sampling_note(self) -> str:
        """What the intervals are over."""
        return f"is over {self.what}; its coverage was measured for the AUROC of frames alone"

    def some(self, images: np.ndarray) -> ClusterBootstrap:
        """The same of some of the images, given by position or a value each."""
        _, clusters = np.unique(np.asarray(self.clusters)[images], return_inverse=True)
        return replace(self, clusters=tuple(clusters.tolist()))

    def sample_sizes(self, level: str, anomalous: Bool[np.ndarray, " image"]) -> tuple[int, int]:
        """Clusters with a positive, and those with a negative image (or without, for pixels)."""
        ids, held = self._held(anomalous)
        n_positive = int(held.sum())
        if level == "pixel":
            return n_positive, held.size - n_positive
        return n_positive, np.unique(ids[~anomalous]).size

    def _drawn(
        self,
        streams: Sequence[np.random.Generator],
        anomalous: Bool[np.ndarray, " image"],
        rows: range,
    ) -> Weights:
        ids, held = self._held(anomalous)
        weights = super()._drawn(streams, held, rows)[:, ids]
        for kind in (anomalous, ~anomalous):
            for row in np.flatnonzero(~weights[:, kind].any(axis=1)) if kind.any() else ():
                weights[row] = self._both_kinds(anomalous, rows[row])
        return weights

    def _both_kinds(self, anomalous: Bool[np.ndarray, " image"], row: int) -> np.ndarray:
        """Draw again, from a stream of its own, until normal and anomalous images are there."""
        ids, held = self._held(anomalous)
        streams = np.random.default_rng([self.seed, row]).spawn(2)
        while True:
            weights = super()._drawn(streams, held, range(1))[0, ids]
            if weights[anomalous].any() and weights[~anomalous].any():
                return weights

    def _held(
        self, anomalous: Bool[np.ndarray, " image"]
    ) -> tuple[Int[np.ndarray, " image"], Bool[np.ndarray, " cluster"]]:
        if anomalous.size != len(self.clusters):
            raise MetricError(f"clusters of {len(self.clusters)} images given for {anomalous.size}")
        ids = np.asarray(self.clusters)
        held = np.zeros(self.n_clusters, dtype=bool)
        held[ids[anomalous]] = True
        return ids, held


def over_clips(bootstrap: Bootstrap, frames: Sequence[Frame]) -> Bootstrap:
    """Bootstrap over clips, or over blocks of frames where there are few; as it is without any."""
    if not frames:
        return bootstrap
    names = [clip for clip, _ in frames]
    n = len(set(names))
    if n >= FEWEST_CLIPS:
        keys: list[Any] = names
        what = f"{n} clips"
    else:
        keys = [(clip, number // BLOCK) for clip, number in frames]
        what = f"blocks of {BLOCK} frames, since there are {n} clips, and says nothing of others"
    order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    clusters = tuple(order[key] for key in keys)
    return ClusterBootstrap(**vars(bootstrap.settings), clusters=clusters, what=what)
