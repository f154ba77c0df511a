"""Exact counts over the pixels of many maps: defect pixels kept, the background only counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.metrics.counts import RankCounts, Reached, Thresholds, concatenate, count_reached
from lakeviz.metrics.formulas import log_share
from lakeviz.metrics.inputs import ScoredImage
from lakeviz.metrics.regions import region_labels
from lakeviz.settings import usable_cores

ANOMALOUS = 0
"""Pool of the background pixels of anomalous images; normal images pool by their pixel count,
because the false-positive rate of AUPIMO is a mean of the rates of normal images."""

Pool = int

_MIN_CHUNK = 1 << 20  # below a million pixels a thread costs more than it saves
_MAX_THREADS = 8  # every chunk is searched for all thresholds, so more chunks mean more work


class Chunk(NamedTuple):
    """Background scores of one pool, in memory or memory-mapped."""

    pool: Pool
    scores: Float[np.ndarray, " negative"]
    is_sorted: bool


@dataclass(frozen=True)
class DefectPixels:
    """All defect pixels of a set of images, and all others that hold part of a region.

    Pixels that hold part of a region without being a defect are those of a
    :class:`~lakeviz.metrics.RegionMask` that was resized; they count in AUPRO alone.

    Attributes
    ----------
    scores
        Their scores.
    image
        Number of the image each lies in.
    share
        How much of its region each holds: 1 / size of the region, unless the mask was resized;
        zeros when regions were not asked for.
    is_defect
        Which of them are defect pixels.
    n_regions
        Number of regions, None when not asked for.
    """

    scores: Float[np.ndarray, " defect_pixel"]
    image: Int[np.ndarray, " defect_pixel"]
    share: Float[np.ndarray, " defect_pixel"]
    is_defect: Bool[np.ndarray, " defect_pixel"]
    n_regions: int | None

    @classmethod
    def collect(
        cls, images: Sequence[ScoredImage], connectivity: int | None, first: int = 0
    ) -> DefectPixels:
        """Gather the pixels; ``connectivity`` None leaves regions out."""
        scores, numbers, shares, kinds = [], [], [], []
        n_regions = 0
        for number, (score_map, defect, regions) in enumerate(images, start=first):
            if defect is None:
                continue
            if regions is None or connectivity is None:
                scores.append(score_map[defect])
                kinds.append(np.ones(scores[-1].size, dtype=bool))
            else:
                regions.require(connectivity, number)
                scores.append(score_map.take(regions.pixels))
                kinds.append(defect.take(regions.pixels))
                shares.append(regions.share)
                n_regions += regions.n_regions
            numbers.append(np.full(scores[-1].size, number, dtype=np.int32))
            if regions is None and connectivity is not None:
                labels, n = region_labels(defect, connectivity)
                shares.append((1.0 / np.bincount(labels, minlength=n))[labels])
                n_regions += n
        flat = concatenate(scores)
        return cls(
            flat,
            np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int32),
            np.concatenate(shares) if shares else np.zeros(flat.size),
            np.concatenate(kinds) if kinds else np.empty(0, dtype=bool),
            None if connectivity is None else n_regions,
        )

    def per_image(self) -> Iterator[tuple[int, slice]]:
        """Number of each image with such pixels, and where they lie: they stand image by image."""
        numbers, starts = np.unique(self.image, return_index=True)
        ends = [*starts[1:].tolist(), self.image.size]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends):
            yield number, slice(start, end)

    @classmethod
    def join(cls, parts: Sequence[DefectPixels]) -> DefectPixels:
        """Put batches together."""
        regions = [part.n_regions for part in parts]
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.image for part in parts]),
            np.concatenate([part.share for part in parts]),
            np.concatenate([part.is_defect for part in parts]),
            None if None in regions else sum(n for n in regions if n is not None),
        )


@dataclass(frozen=True)
class PixelCounts(RankCounts):
    """Counts of pixels at each distinct score of a defect pixel, and what AUPRO and AUPIMO need.

    Attributes
    ----------
    n_images
        Number of images.
    defects, grouping
        The defect pixels, and their distinct scores.
    overlap
        Mean over regions of the share of the region at or above each threshold.
    normal_rate
        Mean over normal images of the share of their pixels at or above each threshold; None
        without normal images.
    n_normal_pixels
        Pixels of normal images.
    """

    n_images: int
    defects: DefectPixels
    grouping: Thresholds
    overlap: Float[np.ndarray, " threshold"]
    normal_rate: Float[np.ndarray, " threshold"] | None
    n_normal_pixels: int

    def aupimo_per_image(self, bounds: tuple[float, float]) -> Float[np.ndarray, " image"]:
        """AUPIMO of each anomalous image; NaN for normal images."""
        assert self.normal_rate is not None
        share = log_share(self.normal_rate[::-1], bounds)
        image = self.defects.image
        counted = self.defects.is_defect
        weights = self.grouping.spread(share) * counted
        total = np.bincount(image, weights=weights, minlength=self.n_images)
        size = np.bincount(image, weights=counted, minlength=self.n_images)
        per_image = np.full(self.n_images, np.nan)
        return np.divide(total, size, out=per_image, where=size > 0)

    def aupimo(self, bounds: tuple[float, float]) -> np.floating:
        """Mean of :meth:`aupimo_per_image` over the anomalous images."""
        return np.nanmean(self.aupimo_per_image(bounds))


def pool_of(image: ScoredImage) -> Pool:
    """Return the pool that an image's background belongs to."""
    return background(image).size if image.defect is None else ANOMALOUS


def background(image: ScoredImage) -> Float[np.ndarray, " negative"]:
    """Return the scores of the pixels that count and have no defect, a view where possible."""
    scores, defect = image.scores, image.defect
    counted = None if image.regions is None else image.regions.counted
    if counted is not None:
        return scores[counted if defect is None else counted & ~defect]
    return scores.ravel() if defect is None else scores[~defect]


def sorted_background(images: Iterable[ScoredImage]) -> Float[np.ndarray, " negative"]:
    """Gather and sort the background of several images."""
    gathered = concatenate([background(image) for image in images])
    gathered.sort()
    return gathered


def count_images(images: Sequence[ScoredImage], connectivity: int | None) -> PixelCounts:
    """Count over maps in memory."""
    pools: dict[Pool, list[ScoredImage]] = {}
    for image in images:
        pools.setdefault(pool_of(image), []).append(image)
    n_pixels = sum(image.scores.size for image in images)
    chunks = [
        Chunk(pool, concatenate([background(image) for image in part]), is_sorted=False)
        for pool, members in pools.items()
        for part in _split(members, n_pixels)
    ]
    normal_images = {pool: len(part) for pool, part in pools.items() if pool != ANOMALOUS}
    defects = DefectPixels.collect(images, connectivity)
    return count_chunks(defects, chunks, normal_images, len(images))


def count_chunks(
    defects: DefectPixels, chunks: Sequence[Chunk], normal_images: Mapping[Pool, int], n_images: int
) -> PixelCounts:
    """Count against chunks of background; those not sorted yet are sorted in place.

    ``normal_images`` gives the number of normal images of each size.
    """
    grouping = Thresholds.of(defects.scores)
    n_thresholds = grouping.values.size
    nothing = Reached(np.zeros(n_thresholds, np.int64), np.zeros(n_thresholds, np.int64))
    total, normal = nothing, dict.fromkeys(normal_images, nothing.reach)
    n_negative = sum(chunk.scores.size for chunk in chunks)
    # All that needs the interpreter is done before: sorts and searches run without its lock.
    with threads(n_negative) as executor:
        found = executor.map(partial(_reached, values=grouping.values), chunks)
        for chunk, reached in zip(chunks, found):
            total += reached
            if chunk.pool != ANOMALOUS:
                normal[chunk.pool] = normal[chunk.pool] + reached.reach
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
        **vars(RankCounts.build(grouping, total, n_negative, defects.is_defect)),
        n_images=n_images,
        defects=defects,
        grouping=grouping,
        overlap=overlap,
        normal_rate=None if rate is None else rate[::-1],
        n_normal_pixels=sum(size * n for size, n in normal_images.items()),
    )


def _reached(chunk: Chunk, values: Float[np.ndarray, " threshold"]) -> Reached:
    if not chunk.is_sorted:
        chunk.scores.sort()
    return count_reached(chunk.scores, values)


def _split(members: list[ScoredImage], n_pixels: int) -> list[list[ScoredImage]]:
    """Cut a pool into parts so that all pools together make about one part per thread."""
    share = sum(image.scores.size for image in members) / n_pixels
    n_parts = min(len(members), max(1, round(share * _workers(n_pixels))))
    edges = np.linspace(0, len(members), n_parts + 1).astype(int).tolist()
    return [members[a:b] for a, b in pairwise(edges)]


def threads(n_pixels: int) -> ThreadPoolExecutor:
    """Threads for work that sorts and searches so many pixels, without the interpreter's lock."""
    return ThreadPoolExecutor(_workers(n_pixels))


def _workers(n_pixels: int) -> int:
    return max(1, min(usable_cores(), _MAX_THREADS, n_pixels // _MIN_CHUNK))
