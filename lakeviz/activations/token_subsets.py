"""Tokens of chosen images, gathered from where they lie: some images of a source, or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import ActivationStore, StoreKey
from lakeviz.activations.manifest import MANIFEST
from lakeviz.activations.store import image_rows
from lakeviz.errors import StoreError


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

    def read(
        self, point: str, images: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "image token channel"]:
        """Tokens of some images."""
        ...


@dataclass(frozen=True)
class GatheredTokens:
    """Images of one or more sources in an order of their own; a source itself.

    Attributes
    ----------
    sources : tuple of TokenSource
    places : tuple of (source, row)
        Where each image lies.
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

    def read(
        self, point: str, images: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "image token channel"]:
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
    """Find where the images of a key lie in a folder of stores, by the content of the images.

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
    """Put the images of a key together from where they lie: a whole store as it is, or a choice."""
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
