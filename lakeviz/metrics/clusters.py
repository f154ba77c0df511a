"""Bootstrap of images that hang together: the frames of a clip are drawn or left out as one.

Frames that follow each other are nearly the same picture. Drawn one by one, they would make
intervals as narrow as if each said something new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics.bootstrap import Bootstrap, Weights

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


def over_clips(bootstrap: Bootstrap, frames: Sequence[tuple[str, int]]) -> Bootstrap:
    """Bootstrap over clips, or over blocks of frames where there are few clips.

    Parameters
    ----------
    bootstrap
    frames
        Clip and number of each image; as it is where there are none.
    """
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
