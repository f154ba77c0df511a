"""Capture patch tokens of many images: to memory, to a store, or only their statistics."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lakeviz.activations.batches import Images, TokenBatches
from lakeviz.activations.changes import reach_of
from lakeviz.activations.loading import Loading
from lakeviz.activations.manifest import StoreKey
from lakeviz.activations.statistics import RunningStatistics
from lakeviz.activations.store import ActivationStore, Tokens, Which, check_free_disk, image_rows
from lakeviz.activations.tokens import resolve_points
from lakeviz.data import file_sha256
from lakeviz.data.inputs import ImageItems, as_images
from lakeviz.data.streams import rendering_of, stream_of
from lakeviz.errors import CaptureTooLargeError, DataError, StoreError
from lakeviz.journal import fingerprint
from lakeviz.locks import locked
from lakeviz.wording import counted

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.models.hooks.hook_points import NamesFilter

_SHARD_BYTES = 2**30
_MOST_BYTES = 4 * 2**30
_log = logging.getLogger(__name__)


def stream_statistics(
    model: VisionModel,
    images: Images,
    points: NamesFilter,
    *,
    with_covariance: bool = False,
    with_tokens: bool = False,
    loading: Loading | None = None,
    preprocessed: bool = False,
) -> RunningStatistics:
    """Stream the statistics of patch tokens; memory does not depend on the number of images.

    Parameters
    ----------
    model, images, points, loading, preprocessed
        See :class:`TokenBatches`.
    with_covariance : bool
        Whether to stream covariance matrices too (channel^2 doubles per point).
    with_tokens : bool
        Whether to keep the tokens too, for selectors that need them; memory then grows with them.

    Returns
    -------
    RunningStatistics
        One :class:`ChannelStatistics` per hook point.
    """
    batches = TokenBatches(
        model, images, points, loading=loading, label="statistics", preprocessed=preprocessed
    )
    statistics = RunningStatistics(
        batches.points, with_covariance=with_covariance, with_tokens=with_tokens
    )
    for batch in batches:
        statistics.update_tokens(batch.present)
    return statistics


@dataclass(frozen=True)
class Activations:
    """Tokens of some images in memory, with the interface of :class:`ActivationStore`."""

    tensors: dict[str, Tokens]
    sample_ids: list[str]
    sizes: list[tuple[int, int]]

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points captured."""
        return tuple(self.tensors)

    def read(self, point: str, images: Which = None) -> Tokens:
        """Tokens of one point, of some images or all.

        Raises
        ------
        StoreError
            If the point was not captured or an image index is out of range.
        """
        if point not in self.tensors:
            raise StoreError(f"{point!r} was not captured; there are {', '.join(self.points)}")
        return self.tensors[point][image_rows(images, len(self.sample_ids), "the capture")]


def capture_activations(
    model: VisionModel,
    images: Images,
    points: NamesFilter,
    *,
    tokens: str = "patch",
    loading: Loading | None = None,
    max_bytes: int = _MOST_BYTES,
    preprocessed: bool = False,
) -> Activations:
    """Capture tokens to memory.

    Parameters
    ----------
    model, images, points, tokens, loading, preprocessed
        See :class:`TokenBatches`.
    max_bytes : int
        What the tokens may take.

    Raises
    ------
    CaptureTooLargeError
        If they would take more than ``max_bytes``.
    """
    batches = TokenBatches(
        model, images, points, tokens=tokens, loading=loading, preprocessed=preprocessed
    )
    return _held(batches, max_bytes)


def _held(batches: TokenBatches, max_bytes: int) -> Activations:
    """Capture batches to memory, if they fit."""
    n_images = batches.n_images
    size = batches.bytes_per_image() * n_images
    _log.info("capturing %.1f MiB to memory", size / 2**20)
    if size > max_bytes:
        raise CaptureTooLargeError(
            f"capturing {counted(n_images, 'image')} at {counted(len(batches.points), 'point')} "
            f"takes {size / 2**30:.2f} GiB, more than max_bytes = {max_bytes / 2**30:.2f}; "
            "capture to a store on disk, ask for fewer points, or raise max_bytes"
        )
    held: dict[str, Tensor] = {}
    sample_ids: list[str] = []
    sizes: list[tuple[int, int]] = []
    for batch in batches:
        start = len(sample_ids)
        for point, tensor in batch.tokens.items():
            if point not in held:  # in one piece, so that the peak is the size that was checked
                held[point] = tensor.new_empty((n_images, *tensor.shape[1:]))
            held[point][start : start + len(tensor)] = tensor
        sample_ids.extend(batch.sample_ids)
        sizes.extend(batch.sizes)
    return Activations({p: t[: len(sample_ids)] for p, t in held.items()}, sample_ids, sizes)


def capture_to_store(
    model: VisionModel,
    images: Images,
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
        How much work at most a kill can lose; fewer where a shard would exceed 1 GiB in memory.

    Raises
    ------
    ActivationError
        On NaN or infinite activations, also where ``dtype`` cannot hold them.
    StoreError
        If ``folder`` holds a store made from something else.
    CaptureTooLargeError
        If the disk has not enough room.
    """
    strict = replace(loading or Loading(), skip_bad=False)
    probe = TokenBatches(model, images, points, tokens=tokens, loading=strict)
    with locked(folder):
        store = ActivationStore.create(
            folder,
            store_key(model, images, probe.points, tokens=tokens, dtype=dtype),
            images_per_shard=min(images_per_shard, max(1, _SHARD_BYTES // probe.bytes_per_image())),
        )
        paths = files_of(images).items
        ratio = getattr(torch, dtype).itemsize / model.tower.dtype.itemsize
        missing = len(paths) - store.n_stored
        check_free_disk(store.folder, int(probe.bytes_per_image() * ratio * missing))
        while not store.complete:
            chunk = probe.after(store.n_stored, store.n_stored + store.images_per_shard)
            store.append(_held(chunk, _MOST_BYTES).tensors)
    return store


def store_key(
    model: VisionModel,
    images: Images,
    points: NamesFilter,
    *,
    tokens: str = "patch",
    dtype: str = "float32",
) -> StoreKey:
    """Key of the store that :func:`capture_to_store` would make; reads every image file once."""
    files, names = files_of(images), resolve_points(model.tower, points)
    depths = files.depths if any(rendering_of(stream_of(p)) for p in names) else ()
    contents = [file_sha256(path) for path in files.items]
    if depths:
        pairs = zip(contents, depths, strict=True)
        contents = [fingerprint(image, *map(file_sha256, depth.files)) for image, depth in pairs]
    reach = reach_of(names)
    if reach:  # what lies before a frame is a part of its change
        parts = [slice(max(0, i - reach), i + 1) for i in range(len(contents))]
        contents = [fingerprint(contents[part], files.frames[part]) for part in parts]
    return StoreKey(
        weights_hash=model.weights_hash,
        preprocess=model.preprocess.describe(),
        dtype=dtype,
        points=tuple(sorted(names)),
        tokens=tokens,
        images=tuple(zip(files.sample_ids, contents, strict=True)),
    )


def files_of(images: Images) -> ImageItems:
    """Images that are files, as a store is of."""
    found = as_images(images)
    if not isinstance(found, ImageItems) or found.in_memory:
        raise DataError("a store is of image files, whose contents it names; give paths")
    return found
