"""Captured tokens as the studies read them: all tokens are kept, patches are what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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
from lakeviz.data import Dataset
from lakeviz.errors import StoreError

if TYPE_CHECKING:
    from lakeviz.models import VisionModel


class TokenSource(Protocol):
    """What :class:`Activations` and :class:`ActivationStore` have in common."""

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points."""
        ...

    @property
    def sample_ids(self) -> list[str]:
        """Names of the images."""
        ...

    def read(
        self, point: str, images: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "image token channel"]:
        """Tokens of some images."""
        ...


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
        Folder of stores. A store of the same model, preprocessing and images that has all the
        points is read instead of capturing; else one is made (or gone on with) there. Without it
        the tokens are held in memory.

    Raises
    ------
    CaptureTooLargeError
        If they fit neither in memory nor on the disk.
    """
    n_prefix = model.n_prefix_tokens
    if cache is None:
        held = capture_activations(model, images, list(points), tokens="all", loading=loading)
        return StudyTokens(held, n_prefix)
    key = store_key(model, images, list(points), tokens="all")
    folder = _find(Path(cache), key) or Path(cache) / key.digest[:16]
    if (folder / MANIFEST).exists():
        store = ActivationStore.open(folder, allow_partial=True)
        if store.complete:
            return StudyTokens(store, n_prefix)
    store = capture_to_store(model, images, list(points), folder, tokens="all", loading=loading)
    return StudyTokens(store, n_prefix)


def _find(cache: Path, key: StoreKey) -> Path | None:
    """Complete store in a folder of stores that holds what a key asks for, and perhaps more."""
    if not cache.is_dir():
        return None
    wanted = key.as_json()
    points = set(wanted.pop("points"))
    for folder in sorted(p for p in cache.iterdir() if (p / MANIFEST).is_file()):
        try:
            store = ActivationStore.open(folder)
        except StoreError:
            continue  # cut off or damaged; capture_to_store says so if it is the one
        found = store.key.as_json()
        if points <= set(found.pop("points")) and found == wanted:
            return folder
    return None
