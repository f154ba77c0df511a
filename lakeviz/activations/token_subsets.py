"""Captured tokens of chosen images, read from memory, from one store or from several.

:func:`capture_tokens` captures what no store of a cache folder holds yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations.batches import Images
from lakeviz.activations.capture import (
    Activations,
    capture_activations,
    capture_to_store,
    files_of,
    store_key,
)
from lakeviz.activations.changes import reach_of
from lakeviz.activations.loading import Loading
from lakeviz.activations.manifest import MANIFEST, StoreKey
from lakeviz.activations.store import ActivationStore, Tokens, Which, image_rows
from lakeviz.errors import StoreError

if TYPE_CHECKING:
    from lakeviz.models import VisionModel


class TokenSource(Protocol):
    """What :class:`lakeviz.activations.Activations` and ``ActivationStore`` have in common."""

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points."""
        ...

    @property
    def sample_ids(self) -> list[str]:
        """Names of the images."""
        ...

    def read(self, point: str, images: Which = None) -> Tokens:
        """Tokens of some images."""
        ...


@dataclass(frozen=True)
class GatheredTokens:
    """Images of one or more sources in an order of their own; a source itself.

    Attributes
    ----------
    sources : tuple of TokenSource
    places : tuple of (source, row)
        Source and row of each image.
    sample_ids : list of str
        Names of the images.
    """

    sources: tuple[TokenSource, ...]
    places: tuple[tuple[int, int], ...]
    sample_ids: list[str] = field(repr=False)

    @classmethod
    def some(cls, source: TokenSource, images: Sequence[int]) -> GatheredTokens:
        """Take some images of a source.

        Raises
        ------
        StoreError
            If one is out of range.
        """
        rows = image_rows(images, len(source.sample_ids), "the capture")
        names = [source.sample_ids[row] for row in rows]
        if isinstance(source, GatheredTokens):  # views of views stay one step deep
            return cls(source.sources, tuple(source.places[row] for row in rows), names)
        return cls((source,), tuple((0, row) for row in rows), names)

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points that all sources have."""
        first, *rest = self.sources
        return tuple(p for p in first.points if all(p in source.points for source in rest))

    def read(self, point: str, images: Which = None) -> Tokens:
        """Tokens of one point, of some images or all.

        Raises
        ------
        StoreError
            If the point was not captured, an image is out of range, or none was asked for.
        """
        wanted = image_rows(images, len(self.sample_ids), "the capture")
        found: Tensor | None = None
        for number, source in enumerate(self.sources):
            inside = [at for at, image in enumerate(wanted) if self.places[image][0] == number]
            if not inside:
                continue
            part = source.read(point, [self.places[wanted[at]][1] for at in inside])
            if len(inside) == len(wanted):
                return part
            if found is None:
                found = part.new_empty((len(wanted), *part.shape[1:]))
            found[torch.tensor(inside)] = part
        if found is None:
            raise StoreError("no image was asked for")
        return found


def stored_images(cache: Path, key: StoreKey) -> dict[str, tuple[ActivationStore, int]]:
    """Find the images of a key in a folder of stores, by the content of the images.

    Only stores of the same model, preprocessing, number type and tokens count, which hold all the
    points of the key. Images that none of them holds are left out.
    """
    wanted = key.as_json()
    points = set(wanted.pop("points"))
    missing = {fingerprint for _, fingerprint in wanted.pop("images")}
    found: dict[str, tuple[ActivationStore, int]] = {}
    folders = [p for p in cache.iterdir() if (p / MANIFEST).is_file()] if cache.is_dir() else []
    for folder in sorted(folders):
        try:
            store = ActivationStore.open(folder)
        except StoreError:
            continue  # cut off or damaged; capture_to_store says so if it is the one
        held = store.key.as_json()
        if not points <= set(held.pop("points")):
            continue
        images = held.pop("images")
        if held != wanted:
            continue
        for row, (_, fingerprint) in enumerate(images):
            if fingerprint in missing:
                missing.remove(fingerprint)
                found[fingerprint] = (store, row)
    return found


def gather(
    key: StoreKey, lying: Mapping[str, tuple[ActivationStore, int]]
) -> ActivationStore | GatheredTokens:
    """Collect the images of a key from their stores; a whole store is returned as it is."""
    stores = list({id(store): store for store, _ in lying.values()}.values())
    numbers = {id(store): number for number, store in enumerate(stores)}
    places = [lying[fingerprint] for _, fingerprint in key.images]
    names = [name for name, _ in key.images]
    rows = [row for _, row in places]
    if len(stores) == 1 and stores[0].sample_ids == names and rows == list(range(len(names))):
        return stores[0]
    return GatheredTokens(
        tuple(stores), tuple((numbers[id(store)], row) for store, row in places), names
    )


@dataclass(frozen=True)
class CapturedTokens:
    """Tokens of some images at some hook points.

    Attributes
    ----------
    source : TokenSource
        Prefix tokens (class token, registers) first, then patches.
    n_prefix : int
        Number of prefix tokens; 0 where ``source`` holds patches alone.
    """

    source: TokenSource
    n_prefix: int = 0

    def __len__(self) -> int:
        return len(self.source.sample_ids)

    @property
    def sample_ids(self) -> list[str]:
        """Names of the images."""
        return list(self.source.sample_ids)

    def patches(self, point: str, images: Which = None) -> Tokens:
        """Patch tokens of some images, all by default.

        Raises
        ------
        StoreError
            If the point was not captured or an image is out of range.
        """
        return self.source.read(point, images)[:, self.n_prefix :].float()

    def all(self, point: str, images: Which = None) -> Tokens:
        """Prefix and patch tokens of some images."""
        return self.source.read(point, images)

    def some(self, images: Sequence[int]) -> CapturedTokens:
        """Take some of the images, in the order given; nothing is read yet.

        Raises
        ------
        StoreError
            If one is out of range.
        """
        return CapturedTokens(GatheredTokens.some(self.source, images), self.n_prefix)

    @classmethod
    def of_patches(
        cls, patches: Mapping[str, Float[Tensor, "image patch channel"]], sample_ids: Sequence[str]
    ) -> CapturedTokens:
        """Take patch tokens that are at hand."""
        return cls(Activations(dict(patches), list(sample_ids), []))


def capture_tokens(
    model: VisionModel,
    images: Images,
    points: Sequence[str],
    *,
    cache: str | Path | None = None,
    loading: Loading | None = None,
) -> CapturedTokens:
    """Capture all tokens of images at hook points, once.

    Parameters
    ----------
    model, images, points, loading
        See :class:`lakeviz.activations.TokenBatches`.
    cache : path, optional
        Folder of stores. Images found in stores of the same model and preprocessing there, with
        all the points, are read instead of captured, whatever else those stores hold; for the
        others one store is made (or gone on with). Without it the tokens are held in memory.

    Raises
    ------
    CaptureTooLargeError
        If they fit neither in memory nor on the disk.
    """
    # Tiles have a class token each, and so an image has none.
    tiled = model.tower.tiles != (1, 1)
    which, n_prefix = ("patch", 0) if tiled else ("all", model.n_prefix_tokens)
    if cache is None:
        held = capture_activations(model, images, list(points), tokens=which, loading=loading)
        return CapturedTokens(held, n_prefix)
    cache = Path(cache)
    key = store_key(model, images, list(points), tokens=which)
    lying = stored_images(cache, key)
    missing = [content not in lying for _, content in key.images]
    if any(missing):
        if reach_of(key.points):
            missing = [True] * len(missing)  # a frame is captured with those before it
        rest = files_of(images).where(missing)
        own = tuple(pair for pair, absent in zip(key.images, missing, strict=True) if absent)
        store = _capture_to_cache(model, rest, replace(key, images=own), cache, loading)
        lying |= {content: (store, row) for row, (_, content) in enumerate(own)}
    return CapturedTokens(gather(key, lying), n_prefix)


def _capture_to_cache(
    model: VisionModel, images: Images, key: StoreKey, cache: Path, loading: Loading | None
) -> ActivationStore:
    """Capture to the store that the key names, or go on with it."""
    folder = cache / key.digest[:16]
    if (folder / MANIFEST).exists():
        store = ActivationStore.open(folder, allow_partial=True)
        if store.complete:
            return store
    return capture_to_store(
        model, images, list(key.points), folder, tokens=key.tokens, loading=loading
    )


@dataclass(frozen=True)
class MappedTokens:
    """A source of tokens whose hook points each have a function; a source itself.

    Attributes
    ----------
    source : TokenSource
    functions : mapping of hook point to function of tokens
        Applied whenever tokens are read; nothing is kept.
    """

    source: TokenSource
    functions: Mapping[str, Callable[[Tensor], Tensor]]

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points that have a function."""
        return tuple(self.functions)

    @property
    def sample_ids(self) -> list[str]:
        """Names of the images."""
        return self.source.sample_ids

    def read(self, point: str, images: Which = None) -> Tokens:
        """Tokens of some images, changed.

        Raises
        ------
        StoreError
            If the hook point has no function, or the source cannot be read.
        """
        if point not in self.functions:
            raise StoreError(f"{point!r} was not captured; there are {', '.join(self.points)}")
        return self.functions[point](self.source.read(point, images).float())
