"""Pixel metrics of maps that do not fit in memory at once."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lakeviz.errors import ConfigError, MetricError, OutputError
from lakeviz.metrics.conventions import DEFAULT, Conventions
from lakeviz.metrics.inputs import ArrayLike, ScoredImage, scored_images
from lakeviz.metrics.pixel import summarise, with_resolution
from lakeviz.metrics.pixel_counts import (
    ANOMALOUS,
    Chunk,
    DefectPixels,
    Pool,
    background,
    count_chunks,
    pool_of,
)
from lakeviz.metrics.results import PIXEL_METRICS, PixelMetrics, check_metrics


class PixelScorer:
    """Exact pixel metrics, batch by batch; equal to :func:`pixel_metrics` on all maps at once.

    Defect pixels stay in memory (they are few); the background is sorted and written to temporary
    files whenever ``buffer_pixels`` of it have gathered, and those files are only searched. Use it
    in a ``with`` statement: the files go when the block is left, by an error too.

    Parameters
    ----------
    conventions, metrics
        As for :func:`pixel_metrics`.
    buffer_pixels
        Background pixels held in memory (4 or 8 bytes each) before they are written.
    directory
        Where the temporary folder is made; the system's place for such by default.
    """

    def __init__(
        self,
        conventions: Conventions = DEFAULT,
        metrics: Sequence[str] = PIXEL_METRICS,
        buffer_pixels: int = 1 << 24,
        directory: str | Path | None = None,
    ) -> None:
        check_metrics(metrics)
        if buffer_pixels < 1:
            raise ConfigError(f"buffer_pixels is {buffer_pixels}; it must be at least 1")
        self._conventions = conventions
        self._metrics = tuple(metrics)
        self._buffer_pixels = buffer_pixels
        self._parent = directory
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[tuple[Pool, Path]] = []
        self._buffers: dict[Pool, list[np.ndarray]] = defaultdict(list)
        self._buffered = 0
        self._defects: list[DefectPixels] = []
        self._normal_images: Counter[Pool] = Counter()
        self._shapes: set[tuple[int, ...]] = set()
        self._n_images = 0
        self._closed = False

    def __enter__(self) -> PixelScorer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def update(self, maps: ArrayLike, masks: ArrayLike) -> PixelScorer:
        """Add a batch; nothing of it is added if any of it is wrong.

        Raises
        ------
        MetricError
            As :func:`pixel_metrics`; images are numbered from the first batch on. Also when the
            scorer is closed.
        OutputError
            The temporary files cannot be written; the scorer is closed.
        """
        self._check_open()
        images = scored_images(maps, masks, first=self._n_images)
        regions = self._conventions.connectivity if "aupro" in self._metrics else None
        self._defects.append(DefectPixels.collect(images, regions, first=self._n_images))
        self._n_images += len(images)
        for image in images:
            self._add_background(image)
        return self

    def compute(self) -> PixelMetrics:
        """Metrics of all batches so far; more may follow.

        Raises
        ------
        MetricError
            No batch was added, or the scorer is closed.
        """
        self._check_open()
        if not self._n_images:
            raise MetricError("no maps were given")
        stored = [
            Chunk(pool, np.load(path, mmap_mode="r"), is_sorted=True) for pool, path in self._files
        ]
        defects = DefectPixels.join(self._defects)
        counts = count_chunks(
            defects, stored + self._buffered_chunks(), self._normal_images, self._n_images
        )
        conventions = with_resolution(self._conventions, self._shapes)
        return summarise(counts, conventions, self._metrics)

    def close(self) -> None:
        """Delete the temporary files and drop what was gathered."""
        self._closed = True
        self._buffers.clear()
        self._defects.clear()
        self._files.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _check_open(self) -> None:
        if self._closed:
            raise MetricError("this PixelScorer is closed; make a new one")

    def _add_background(self, image: ScoredImage) -> None:
        pool = pool_of(image)
        if pool != ANOMALOUS:
            self._normal_images[pool] += 1
        self._shapes.add(image.scores.shape)
        # A copy: the caller may reuse the memory of a batch for the next one.
        scores = background(image)
        self._buffers[pool].append(scores.copy() if image.defect is None else scores)
        self._buffered += scores.size
        if self._buffered >= self._buffer_pixels:
            self._spill()

    def _buffered_chunks(self) -> list[Chunk]:
        """Join what is buffered, each pool into one array that stays in its buffer."""
        for pool, parts in self._buffers.items():
            self._buffers[pool] = [np.concatenate(parts)]
        return [Chunk(pool, parts[0], False) for pool, parts in self._buffers.items()]

    def _spill(self) -> None:
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="lakeviz-", dir=self._parent)
            for chunk in self._buffered_chunks():
                chunk.scores.sort()
                path = Path(self._folder.name) / f"{len(self._files)}.npy"
                np.save(path, chunk.scores, allow_pickle=False)
                self._files.append((chunk.pool, path))
        except OSError as error:
            self.close()
            where = self._parent or tempfile.gettempdir()
            raise OutputError(
                f"scores could not be written below {where}: {error}; free some space or name "
                "another directory"
            ) from error
        self._buffers.clear()
        self._buffered = 0
