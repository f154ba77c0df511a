"""Exact counts over the pixels of many maps: defect pixels kept, the background only counted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from lakeviz.metrics.inputs import ScoredImage
from lakeviz.metrics.ranking import RankCounts, Reached, Thresholds, concatenate, count_reached
from lakeviz.metrics.regions import region_labels

ANOMALOUS = 0
"""Pool of the background pixels of anomalous images; normal images pool by their pixel count,
because the false-positive rate of AUPIMO is a mean of the rates of normal images."""

Pool = int
Chunk = tuple[Pool, Float[np.ndarray, " negative"]]

_MIN_CHUNK = 1 << 20  # below a million pixels a thread costs more than it saves
_MAX_THREADS = 8  # every chunk is searched for all thresholds, so more chunks mean more work


@dataclass(frozen=True)
class DefectPixels:
    """All defect pixels of a set of images.

    Attributes
    ----------
    scores
        Their scores.
    image
        Number of the image each lies in.
    share
        1 / size of the region each lies in; zeros when regions were not asked for.
    n_regions
        Number of regions, None when not asked for.
    """

    scores: Float[np.ndarray, " defect_pixel"]
    image: Int[np.ndarray, " defect_pixel"]
    share: Float[np.ndarray, " defect_pixel"]
    n_regions: int | None

    @classmethod
    def collect(
        cls, images: Sequence[ScoredImage], connectivity: int | None, first: int = 0
    ) -> DefectPixels:
        """Gather the defect pixels; ``connectivity`` None leaves regions out."""
        scores, numbers, shares = [], [], []
        n_regions = 0
        for number, (score_map, defect) in enumerate(images, start=first):
            if defect is None:
                continue
            scores.append(score_map[defect])
            numbers.append(np.full(scores[-1].size, number, dtype=np.int32))
            if connectivity is not None:
                labels, n = region_labels(defect, connectivity)
                shares.append((1.0 / np.bincount(labels, minlength=n))[labels])
                n_regions += n
        flat = concatenate(scores)
        return cls(
            flat,
            np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int32),
            np.concatenate(shares) if shares else np.zeros(flat.size),
            None if connectivity is None else n_regions,
        )

    @classmethod
    def join(cls, parts: Sequence[DefectPixels]) -> DefectPixels:
        """Put batches together."""
        regions = [part.n_regions for part in parts]
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.image for part in parts]),
            np.concatenate([part.share for part in parts]),
            None if None in regions else sum(n for n in regions if n is not None),
        )


@dataclass(frozen=True)
class PixelCounts:
    """Everything the pixel metrics need; threshold axes descend.

    Attributes
    ----------
    ranks
        True and false positives at each distinct score of a defect pixel.
    overlap
        Mean over regions of the share of the region at or above each threshold.
    normal_rate
        Mean over normal images of the share of their pixels at or above each threshold; None
        without normal images.
    n_normal_pixels
        Pixels of normal images.
    """

    defects: DefectPixels
    grouping: Thresholds
    ranks: RankCounts
    overlap: Float[np.ndarray, " threshold"]
    normal_rate: Float[np.ndarray, " threshold"] | None
    n_normal_pixels: int


def pool_of(image: ScoredImage) -> Pool:
    """Return the pool that an image's background belongs to."""
    return image.scores.size if image.defect is None else ANOMALOUS


def background(image: ScoredImage) -> Float[np.ndarray, " negative"]:
    """Return the scores of the pixels without defect, a view where possible."""
    scores, defect = image
    return scores.ravel() if defect is None else scores[~defect]


def sorted_background(images: Iterable[ScoredImage]) -> Float[np.ndarray, " negative"]:
    """Gather and sort the background of several images."""
    gathered = concatenate([background(image) for image in images])
    gathered.sort()
    return gathered


def count_images(images: Sequence[ScoredImage], connectivity: int | None) -> PixelCounts:
    """Count over maps in memory, sorting and searching in threads (numpy releases the GIL)."""
    pools: dict[Pool, list[ScoredImage]] = {}
    for image in images:
        pools.setdefault(pool_of(image), []).append(image)
    n_pixels = sum(image.scores.size for image in images)
    workers = _workers(n_pixels)
    with ThreadPoolExecutor(workers) as executor:
        jobs = [
            (pool, executor.submit(sorted_background, part))
            for pool, members in pools.items()
            for part in _split(members, n_pixels, workers)
        ]
        defects = DefectPixels.collect(images, connectivity)
        grouping = Thresholds.of(defects.scores)
        chunks = [(pool, job.result()) for pool, job in jobs]
        return _count(defects, grouping, chunks, _normal_images(pools), executor)


def count_chunks(
    defects: DefectPixels, chunks: Sequence[Chunk], normal_images: dict[Pool, int]
) -> PixelCounts:
    """Count against sorted chunks of background, in memory or memory-mapped.

    ``normal_images`` gives the number of normal images of each size.
    """
    with ThreadPoolExecutor(_workers(sum(chunk.size for _, chunk in chunks))) as executor:
        grouping = Thresholds.of(defects.scores)
        return _count(defects, grouping, chunks, normal_images, executor)


def _count(
    defects: DefectPixels,
    grouping: Thresholds,
    chunks: Sequence[Chunk],
    normal_images: dict[Pool, int],
    executor: Executor,
) -> PixelCounts:
    n_thresholds = grouping.values.size
    nothing = Reached(np.zeros(n_thresholds, np.int64), np.zeros(n_thresholds, np.int64))
    total, normal = nothing, dict.fromkeys(normal_images, nothing.reach)
    found = executor.map(lambda chunk: count_reached(chunk[1], grouping.values), chunks)
    for (pool, _), reached in zip(chunks, found):
        total += reached
        if pool != ANOMALOUS:
            normal[pool] = normal[pool] + reached.reach
    n_normal = sum(normal_images.values())
    rate = None
    if n_normal:
        # Sizes in ascending order, so that the sum does not depend on the order of the images.
        rate = sum((normal[size] / (size * n_normal) for size in sorted(normal)), np.zeros(()))
    overlap = np.zeros(0)
    if n_thresholds and defects.n_regions:
        # The shares of a region add up to 1, so the last sum is the number of regions; dividing by
        # that sum, rounding and all, lets the curve end at exactly 1.
        overlap = np.cumsum(grouping.sums(defects.share)[::-1])
        overlap /= overlap[-1]
    return PixelCounts(
        defects,
        grouping,
        RankCounts.build(grouping, total, sum(chunk.size for _, chunk in chunks)),
        overlap,
        None if rate is None else rate[::-1],
        sum(size * n for size, n in normal_images.items()),
    )


def _normal_images(pools: dict[Pool, list[ScoredImage]]) -> dict[Pool, int]:
    return {pool: len(members) for pool, members in pools.items() if pool != ANOMALOUS}


def _split(members: list[ScoredImage], n_pixels: int, workers: int) -> list[list[ScoredImage]]:
    """Cut a pool into parts so that all pools together make about one part per worker."""
    share = sum(image.scores.size for image in members) / n_pixels
    n_parts = min(len(members), max(1, round(share * workers)))
    edges = np.linspace(0, len(members), n_parts + 1).astype(int).tolist()
    return [members[a:b] for a, b in pairwise(edges)]


def _workers(n_pixels: int) -> int:
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cpus = os.cpu_count() or 1
    return max(1, min(cpus, _MAX_THREADS, n_pixels // _MIN_CHUNK))
