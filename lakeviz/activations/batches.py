"""Patch tokens of many images, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from lakeviz.activations.changes import Changes, reach_of
from lakeviz.activations.loading import Loading
from lakeviz.activations.statistics import check_finite, is_finite
from lakeviz.activations.tokens import (
    check_which,
    cut_tiles,
    join_tiles,
    neurons_of,
    resolve_points,
    select_tokens,
    token_grid,
)
from lakeviz.data.depth import constant_picture
from lakeviz.data.inputs import ImageItems, Preprocessed, as_images
from lakeviz.data.loading import ImageBatch, ImageBatches
from lakeviz.data.streams import (
    RENDERINGS,
    base_point,
    frames_before,
    on_stream,
    rendering_of,
    require_data,
    stream_of,
)
from lakeviz.errors import ActivationError, DataError

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.models.hooks.hook_points import NamesFilter

Images = Any
"""What can be captured: whatever :func:`lakeviz.data.inputs.as_images` takes, a path, a folder, a
data set, pictures, arrays and tensors among them."""


@dataclass(frozen=True)
class TokenBatch:
    """Tokens of consecutive images at each hook point, and the tower's output if it ran on.

    On a stream over time the first frames of a clip have no token: it is zero, and they are
    ``missing`` at that hook point.
    """

    tokens: dict[str, Float[Tensor, "image token channel"]]
    sample_ids: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    images: Float[Tensor, "image 3 height width"]
    output: Float[Tensor, "image joint"] | None = None
    indices: tuple[int, ...] = ()
    """Positions among the images asked for, ascending."""
    missing: dict[str, Bool[Tensor, " image"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def present(self) -> dict[str, Float[Tensor, "image token channel"]]:
        """Tokens at each hook point of the images that have one there."""
        gone = self.missing
        return {p: t[~gone[p]] if p in gone else t for p, t in self.tokens.items()}

    @property
    def complete(self) -> tuple[dict[str, Float[Tensor, "image token channel"]], tuple[str, ...]]:
        """Tokens, and names, of the images that have one at every hook point."""
        if not self.missing:
            return self.tokens, self.sample_ids
        keep = ~torch.stack(list(self.missing.values())).any(0)
        names = tuple(n for n, kept in zip(self.sample_ids, keep.tolist()) if kept)
        return {p: t[keep] for p, t in self.tokens.items()}, names


class TokenBatches:
    """Iterate over the tokens of images, one forward pass per batch.

    Parameters
    ----------
    model : VisionModel
    images : path, folder, Dataset, paths, PIL images, arrays, tensors, or a loader
        See :func:`lakeviz.data.inputs.as_images`.
    points : names filter
        Hook points: names, globs, or a collection of them, each with the suffix of a stream
        (:mod:`lakeviz.data.streams`) or without one.
    tokens : str
        ``"patch"`` (default), ``"prefix"`` or ``"all"``.
    loading : Loading, optional
    run_on : bool
        Run the tower to its end, so that batches carry its output too; otherwise it stops after the
        deepest point.
    label : str
        Text of the progress bar.
    preprocessed : bool
        The images are tensors that are normalised for the model already.

    Attributes
    ----------
    skipped : list of (path, reason)
        Images that could not be read in the latest iteration so far.

    Raises
    ------
    ActivationError
        If a point has no tokens, or ``tokens`` is none of the three.
        While iterating: on NaN or infinite activations; names point, image and channel.
    DataError
        If there is no image, a tensor of images does not have the shape the tower takes, or the
        images have no frames or depth maps that a stream needs. While iterating: if a frame is
        missing or out of order.
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
        preprocessed: bool = False,
    ):
        self.model = model
        self.images = as_images(images, preprocessed=preprocessed)
        self.points = resolve_points(model.tower, points)
        for point in self.points:
            neurons_of(model.tower, point)
        check_which(tokens)
        self.tokens = tokens
        self.loading = loading or Loading()
        self.run_on = run_on
        self.label = label
        self.skipped: list[tuple[str, str]] = []
        self._before: ImageItems | None = None  # frames that lie before the first, for its change
        self._flat: dict[tuple[str, tuple[int, int]], dict[str, Tensor]] = {}
        _check_size(model, self.images)
        if model.tower.tiles != (1, 1) and (run_on or tokens != "patch"):
            raise ActivationError(
                "images that are cut into tiles have patch tokens only: each tile has a class "
                "token and an embedding of its own; load the model with another aspect"
            )
        require_data(
            map(stream_of, self.points),
            frames=bool(getattr(self.images, "frames", ())),
            depths=bool(getattr(self.images, "depths", ())),
        )

    @property
    def n_images(self) -> int:
        """Number of images, those that cannot be read among them."""
        return len(self.images)

    def picture(self, sample_id: str) -> Image.Image:
        """One of the images, as 8-bit RGB; of preprocessed ones what the tower sees."""
        if isinstance(self.images, ImageItems):
            return self.images.load(self.images.sample_ids.index(sample_id))
        made = self.images.images[int(sample_id.rpartition(" ")[2])]
        return self.model.preprocess.undo(made)

    def after(self, start: int, stop: int | None = None) -> Self:
        """Batches of the images from a position on, or up to another one."""
        rest, own = copy(self), self.images
        if isinstance(own, Preprocessed):
            rest.images = Preprocessed(own.images[start:stop])
        elif start or stop is not None:
            rest.images = own[start:stop]
            reach = min(start, reach_of(self.points))
            rest._before = own[start - reach : start] if reach else None
        return rest

    def _of_rendering(self, how: str | None) -> list[str]:
        """Points on streams that look at a rendering, or (None) at the pictures themselves."""
        return [p for p in self.points if rendering_of(stream_of(p)) == how]

    def _image_batches(self) -> Iterator[ImageBatch]:
        if isinstance(self.images, Preprocessed):
            height, width = self.images.images.shape[-2:]
            for start in range(0, len(self.images), self.loading.batch_size):
                part = self.images.images[start : start + self.loading.batch_size]
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
            renderings=[how for how in RENDERINGS if self._of_rendering(how)],
        )
        for batch in batches:
            self.skipped = list(batches.skipped)
            yield batch
        self.skipped = list(batches.skipped)
        if len(self.skipped) == len(self.images):
            raise DataError(f"none of the {len(self.skipped)} images could be read")

    def __iter__(self) -> Iterator[TokenBatch]:
        self.skipped = []
        changes = self._changes()
        for batch in self._image_batches():
            tokens, output = self._run(batch.images, self._of_rendering(None), self.run_on)
            for how, pictures in batch.renderings.items():
                tokens |= self._rendered(how, pictures, batch.sizes)
            missing: dict[str, Tensor] = {}
            if changes.points:
                frames = cast(ImageItems, self.images).frames
                found, missing = changes.update(tokens, [frames[i] for i in batch.indices])
                tokens |= found
            tokens = {p: tokens[p] for p in self.points}
            _check_finite(tokens if output is None else tokens | {"output": output}, batch)
            yield TokenBatch(
                tokens, batch.sample_ids, batch.sizes, batch.images, output, batch.indices, missing
            )

    def _rendered(
        self, how: str, pictures: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> dict[str, Tensor]:
        """Tokens of renderings of depth maps, and their differences to those of a constant one."""
        points = self._of_rendering(how)
        own, _ = self._run(pictures, points, False)
        found = {}
        for point in points:
            value, stream = own[base_point(point)], stream_of(point)
            if stream != how:
                flat = [self._of_constant(how, size)[base_point(point)] for size in sizes]
                value = value - torch.cat(flat)
            found[on_stream(base_point(point), stream)] = value
        return found

    def _of_constant(self, how: str, size: tuple[int, int]) -> dict[str, Tensor]:
        """Tokens of the rendering of a constant depth map."""
        if (how, size) not in self._flat:
            picture = self.model.preprocess(constant_picture(how, size))
            self._flat[how, size], _ = self._run(picture[None], self._of_rendering(how), False)
        return self._flat[how, size]

    def _run(
        self, images: Tensor, wanted: Sequence[str], run_on: bool
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Tokens at the hook points of the tower that some points need, and its output."""
        tower, tiles = self.model.tower, self.model.tower.tiles
        points = list(dict.fromkeys(map(base_point, wanted)))
        if not points and not run_on:  # no stream looks at the picture itself
            return {}, None
        with torch.inference_mode():
            output, cache = tower.run_with_cache(
                cut_tiles(images, tiles), names_filter=points, stop_at=None if run_on else "auto"
            )
            tokens = {p: select_tokens(tower, p, cache[p], self.tokens) for p in points}
            if tiles != (1, 1):
                tokens = {p: join_tiles(t, tiles, token_grid(tower, p)) for p, t in tokens.items()}
        if isinstance(output, tuple):  # some towers return their tokens with the embedding
            output = output[0]
        return tokens, output

    def _changes(self) -> Changes:
        """Differences to earlier frames, those before the first image taken in already."""
        over_time = [p for p in self.points if frames_before(stream_of(p))]
        changes = Changes(over_time, gaps=self.loading.skip_bad)
        if self._before is not None:
            points = list(dict.fromkeys(map(base_point, changes.points)))
            loading = replace(self.loading, progress=False)
            before = TokenBatches(
                self.model, self._before, points, tokens=self.tokens, loading=loading
            )
            with suppress(DataError):  # none of them can be read, and so there is no change
                for batch in before:
                    frames = [self._before.frames[i] for i in batch.indices]
                    changes.update(batch.tokens, frames)
        return changes

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


def _check_finite(tensors: Mapping[str, Tensor], batch: ImageBatch) -> None:
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            for sample_id, one in zip(batch.sample_ids, tensor, strict=True):
                check_finite(one, f"{name} of {sample_id}")


def _check_size(model: VisionModel, images: ImageItems | Preprocessed) -> None:
    height, width = model.preprocess.input_size
    if isinstance(images, Preprocessed) and images.images.shape[1:] != (3, height, width):
        raise DataError(
            f"preprocessed images must be [image, 3, {height}, {width}] for {model.name}, not "
            f"{list(images.images.shape)}; without preprocessed=True lakeviz preprocesses them"
        )
