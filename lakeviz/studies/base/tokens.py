"""Captured tokens as the studies read them: all tokens are kept, patches are what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import (
    Activations,
    ActivationStore,
    Loading,
    StoreKey,
    capture_activations,
    capture_to_store,
    store_key,
)
from lakeviz.activations.manifest import MANIFEST
from lakeviz.activations.token_subsets import GatheredTokens, TokenSource, gather, stored_images
from lakeviz.data import Dataset

if TYPE_CHECKING:
    from lakeviz.models import VisionModel


@dataclass(frozen=True)
class StudyTokens:
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

    def patches(
        self, point: str, images: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "image patch channel"]:
        """Patch tokens of some images, all by default.

        Raises
        ------
        StoreError
            If the point was not captured or an image is out of range.
        """
        return self.source.read(point, images)[:, self.n_prefix :].float()

    def all(
        self, point: str, images: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "image token channel"]:
        """Prefix and patch tokens of some images."""
        return self.source.read(point, images)

    def some(self, images: Sequence[int]) -> StudyTokens:
        """Take some of the images, in the order given; nothing is read yet.

        Raises
        ------
        StoreError
            If one is out of range.
        """
        return StudyTokens(GatheredTokens.some(self.source, images), self.n_prefix)

    @classmethod
    def of_patches(
        cls, patches: Mapping[str, Float[Tensor, "image patch channel"]], sample_ids: Sequence[str]
    ) -> StudyTokens:
        """Take patch tokens that are at hand."""
        return cls(Activations(dict(patches), list(sample_ids), []))


def capture_tokens(
    model: VisionModel,
    images: Dataset | Sequence[str | Path],
    points: Sequence[str],
    *,
    cache: str | Path | None = None,
    loading: Loading | None = None,
) -> StudyTokens:
    """Capture all tokens of images at hook points, once.

    Parameters
    ----------
    model, images, points, loading
        See :class:`lakeviz.activations.TokenBatches`.
    cache : path, optional
        Folder of stores. Images that lie in stores of the same model and preprocessing there, with
        all the points, are read instead of captured, whatever else those stores hold; for the
        others one store is made (or gone on with). Without it the tokens are held in memory.

    Raises
    ------
    CaptureTooLargeError
        If they fit neither in memory nor on the disk.
    """
    n_prefix = model.n_prefix_tokens
    if cache is None:
        held = capture_activations(model, images, list(points), tokens="all", loading=loading)
        return StudyTokens(held, n_prefix)
    cache = Path(cache)
    key = store_key(model, images, list(points), tokens="all")
    lying = stored_images(cache, key)
    missing = [content not in lying for _, content in key.images]
    if any(missing):
        rest: Dataset | list[str | Path]
        if isinstance(images, Dataset):
            rest = images.where(np.array(missing))
        else:
            rest = [path for path, absent in zip(images, missing, strict=True) if absent]
        own = tuple(pair for pair, absent in zip(key.images, missing, strict=True) if absent)
        store = _capture_to_cache(model, rest, replace(key, images=own), cache, loading)
        lying |= {content: (store, row) for row, (_, content) in enumerate(own)}
    return StudyTokens(gather(key, lying), n_prefix)


def _capture_to_cache(
    model: VisionModel,
    images: Dataset | Sequence[str | Path],
    key: StoreKey,
    cache: Path,
    loading: Loading | None,
) -> ActivationStore:
    """Capture to the store that the key names, or go on with it."""
    folder = cache / key.digest[:16]
    if (folder / MANIFEST).exists():
        store = ActivationStore.open(folder, allow_partial=True)
        if store.complete:
            return store
    return capture_to_store(model, images, list(key.points), folder, tokens="all", loading=loading)
