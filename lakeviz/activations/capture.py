"""Capture patch tokens of many images: to memory, to a store, or only their statistics."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations.statistics import RunningStatistics
from lakeviz.activations.store import (
    ActivationStore,
    StoreKey,
    check_free_disk,
)
from lakeviz.activations.tokens import neurons_of, select_tokens, token_grid
from lakeviz.data import Dataset, file_sha256
from lakeviz.data.loading import ImageBatch, ImageBatches
from lakeviz.errors import CaptureTooLargeError, ConfigError, DataError, StoreError

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.models.names import NamesFilter

_log = logging.getLogger(__name__)

Images = Dataset | Sequence[str | Path] | Float[Tensor, "image 3 height width"]
"""What can be captured: a data set, paths, or images that are preprocessed already."""


@dataclass(frozen=True)
class Loading:
    """How images are read.

    Parameters
    ----------
    batch_size : int
        Images per forward pass.
    workers : int, optional
        Worker processes; chosen from the number of images by default.
    skip_bad : bool
        Go on past unreadable images (they are listed) instead of stopping with an error.
    progress : bool
        Show a progress bar.
    """

    batch_size: int = 16
    workers: int | None = None
    skip_bad: bool = False
    progress: bool = False


@dataclass(frozen=True)
class TokenBatch:
    """Tokens of consecutive images at each hook point, and the tower's output if it ran on."""

    tokens: dict[str, Float[Tensor, "image token channel"]]
    sample_ids: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    images: Float[Tensor, "image 3 height width"]
    output: Float[Tensor, "image joint"] | None = None

    def __len__(self) -> int:
        return len(self.sample_ids)


class TokenBatches:
    """Iterate over the tokens of images, one forward pass per batch.

    Parameters
    ----------
    model : VisionModel
    images : Dataset, sequence of paths, or Tensor [image, 3, height, width]
    points : names filter
        Hook points: names, globs, or a collection of them.
    tokens : str
        ``"patch"`` (default), ``"prefix"`` or ``"all"``.
    loading : Loading, optional
    run_on : bool
        Run the tower to its end, so that batches carry its output too; otherwise it stops after the
        deepest point.
    label : str
        Text of the progress bar.

    Attributes
    ----------
    skipped : list of (path, reason)
        Images that could not be read in the latest iteration.
    """

    def __init__(
        self,
        model: VisionModel,
        images: Images,
        points: NamesFilter,
        *,
        tokens: str = "patch",
        loading: Loading | None = None,
        run_on: bool = False,
        label: str = "capture",
    ):
        self.model = model
        self.images = images
        self.points = tuple(model.tower.resolve(points))
        for point in self.points:
            neurons_of(model.tower, point)
        self.tokens = tokens
        self.loading = loading or Loading()
        self.run_on = run_on
        self.label = label
        self.skipped: list[tuple[str, str]] = []
        if len(images) == 0:
            raise DataError("there are no images to capture")

    def _image_batches(self) -> Iterator[ImageBatch]:
        if isinstance(self.images, Tensor):
            height, width = self.images.shape[-2:]
            for start in range(0, len(self.images), self.loading.batch_size):
                part = self.images[start : start + self.loading.batch_size]
                indices = tuple(range(start, start + len(part)))
                names = tuple(f"image {i}" for i in indices)
                yield ImageBatch(indices, names, part, ((height, width),) * len(part))
            return
        batches = ImageBatches(
            self.images,
            self.model.preprocess,
            self.loading.batch_size,
            workers=self.loading.workers,
            skip_bad=self.loading.skip_bad,
            progress=self.label if self.loading.progress else False,
        )
        yield from batches
        self.skipped = [(str(path), reason) for path, reason in batches.skipped]
        if len(self.skipped) == len(batches.paths):
            raise DataError(f"none of the {len(self.skipped)} images could be read")

    def __iter__(self) -> Iterator[TokenBatch]:
        self.skipped = []
        tower = self.model.tower
        for batch in self._image_batches():
            with torch.inference_mode():
                output, cache = tower.run_with_cache(
                    batch.images,
                    names_filter=list(self.points),
                    stop_at=None if self.run_on else "auto",
                )
                tokens = {p: select_tokens(tower, p, cache[p], self.tokens) for p in self.points}
            yield TokenBatch(tokens, batch.sample_ids, batch.sizes, batch.images, output)

    def bytes_per_image(self) -> int:
        """Size of one image's tokens at all points, at the tower's precision."""
        tower = self.model.tower
        total = 0
        for point in self.points:
            rows, columns = token_grid(tower, point)
            prefix = tower.adapter.n_prefix_tokens
            n = {"patch": rows * columns, "prefix": prefix, "all": rows * columns + prefix}
            total += n[self.tokens] * neurons_of(tower, point)
        return total * tower.dtype.itemsize


def stream_statistics(
    model: VisionModel,
    images: Images,
    points: NamesFilter,
    *,
    with_covariance: bool = False,
    loading: Loading | None = None,
) -> RunningStatistics:
    """Stream the statistics of patch tokens; memory does not depend on the number of images.

    Parameters
    ----------
    model, images, points, loading
        See :class:`TokenBatches`.
    with_covariance : bool
        Whether to stream covariance matrices too (channel^2 doubles per point).

    Returns
    -------
    RunningStatistics
        One :class:`ChannelStatistics` per hook point.
    """
    batches = TokenBatches(model, images, points, loading=loading, label="statistics")
    statistics = RunningStatistics(batches.points, with_covariance=with_covariance)
    for batch in batches:
        statistics.update_tokens(batch.tokens)
    return statistics


@dataclass(frozen=True)
class Activations:
    """Tokens of some images in memory, with the interface of :class:`ActivationStore`."""

    tensors: dict[str, Float[Tensor, "image token channel"]]
    sample_ids: list[str]
    sizes: list[tuple[int, int]]

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points captured."""
        return tuple(self.tensors)

    def read(
        self, point: str, images: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "image token channel"]:
        """Tokens of one point, of some images or all."""
        if point not in self.tensors:
            raise StoreError(f"{point!r} was not captured; there are {', '.join(self.points)}")
        tensor = self.tensors[point]
        return tensor if images is None else tensor[images]


def capture_activations(
    model: VisionModel,
    images: Images,
    points: NamesFilter,
    *,
    tokens: str = "patch",
    loading: Loading | None = None,
    max_bytes: int = 4 * 2**30,
) -> Activations:
    """Capture tokens to memory.

    Raises
    ------
    CaptureTooLargeError
        If they would take more than ``max_bytes``.
    """
    batches = TokenBatches(model, images, points, tokens=tokens, loading=loading)
    size = batches.bytes_per_image() * len(images)
    _log.info("capturing %.1f MiB to memory", size / 2**20)
    if size > max_bytes:
        raise CaptureTooLargeError(
            f"capturing {len(images)} images at {len(batches.points)} points takes "
            f"{size / 2**30:.2f} GiB, more than max_bytes = {max_bytes / 2**30:.2f}; capture to "
            "a store on disk, ask for fewer points, or raise max_bytes"
        )
    parts: dict[str, list[Tensor]] = {p: [] for p in batches.points}
    sample_ids: list[str] = []
    sizes: list[tuple[int, int]] = []
    for batch in batches:
        for point, tensor in batch.tokens.items():
            parts[point].append(tensor)
        sample_ids.extend(batch.sample_ids)
        sizes.extend(batch.sizes)
    return Activations({p: torch.cat(t) for p, t in parts.items()}, sample_ids, sizes)


def capture_to_store(
    model: VisionModel,
    images: Dataset | Sequence[str | Path],
    points: NamesFilter,
    folder: str | Path,
    *,
    tokens: str = "patch",
    dtype: str = "float32",
    loading: Loading | None = None,
    images_per_shard: int = 64,
) -> ActivationStore:
    """Capture tokens to a store on disk, or go on with one that was cut off.

    Parameters
    ----------
    model, images, points, tokens, loading
        See :class:`TokenBatches`. Unreadable images are always an error here: a store has a row for
        every image.
    folder : path
        Where the store lies or shall lie.
    dtype : str
        ``"float32"``, ``"float16"`` or ``"bfloat16"``.
    images_per_shard : int
        How much work at most a kill can lose.

    Raises
    ------
    StoreError
        If ``folder`` holds a store made from something else.
    CaptureTooLargeError
        If the disk has not enough room.
    """
    if dtype not in ("float32", "float16", "bfloat16"):
        raise ConfigError(f"dtype must be float32, float16 or bfloat16, not {dtype!r}")
    loading = loading or Loading()
    probe = TokenBatches(model, images, points, tokens=tokens, loading=loading)
    folder = Path(folder)
    store = ActivationStore.create(
        folder,
        store_key(model, images, probe.points, tokens=tokens, dtype=dtype),
        images_per_shard=images_per_shard,
    )
    paths = images.paths if isinstance(images, Dataset) else [Path(p) for p in images]
    itemsize = getattr(torch, dtype).itemsize
    ratio = itemsize / model.tower.dtype.itemsize
    check_free_disk(folder, int(probe.bytes_per_image() * ratio * (len(paths) - store.n_stored)))
    strict = Loading(loading.batch_size, loading.workers, False, loading.progress)
    while not store.complete:
        chunk = paths[store.n_stored : store.n_stored + store.images_per_shard]
        part = capture_activations(model, chunk, probe.points, tokens=tokens, loading=strict)
        store.append(part.tensors)
    return store


def store_key(
    model: VisionModel,
    images: Dataset | Sequence[str | Path],
    points: NamesFilter,
    *,
    tokens: str = "patch",
    dtype: str = "float32",
) -> StoreKey:
    """Key of the store that :func:`capture_to_store` would make; reads every image file once."""
    if isinstance(images, Dataset):
        names, paths = images.sample_ids, images.paths
    else:
        paths = [Path(p) for p in images]
        names = [p.as_posix() for p in paths]
    return StoreKey(
        weights_hash=model.weights_hash,
        preprocess=model.preprocess.describe(),
        dtype=dtype,
        points=tuple(sorted(model.tower.resolve(points))),
        tokens=tokens,
        images=tuple((n, file_sha256(p)) for n, p in zip(names, paths, strict=True)),
    )
