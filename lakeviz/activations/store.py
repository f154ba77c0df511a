"""An on-disk store of activations: safetensors shards and a JSON manifest.

The protocol is in ``docs/store-protocol.md``. A store is bound by its key to the weights, the
preprocessing, the number type, the hook points and the images it was made from; a store whose key
does not fit is refused, with the field that differs.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lakeviz.activations.manifest import DTYPES, MANIFEST, StoreKey, read_manifest, write_manifest
from lakeviz.activations.statistics import check_finite
from lakeviz.data.files import file_sha256
from lakeviz.errors import (
    CaptureTooLargeError,
    ConfigError,
    ImageReadError,
    OutputError,
    StoreError,
)
from lakeviz.files import remove_scratch, written
from lakeviz.locks import is_free
from lakeviz.settings import check_choice
from lakeviz.wording import counted

Tokens = Float[Tensor, "image token channel"]
Which = Sequence[int] | slice | None
"""Some of the images, counted from 0; None for all of them."""

_log = logging.getLogger(__name__)


def check_free_disk(folder: Path, n_bytes: int) -> None:
    """Raise CaptureTooLargeError if a disk has less than ``n_bytes`` and a tenth to spare."""
    parent = folder.absolute()
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    _log.info(
        "the store will take about %.1f MiB; %.1f MiB are free", n_bytes / 2**20, free / 2**20
    )
    if n_bytes * 1.1 > free:
        raise CaptureTooLargeError(
            f"the store would take {n_bytes / 2**30:.2f} GiB and {parent} has "
            f"{free / 2**30:.2f} GiB free; ask for fewer hook points, store float16, or choose "
            "another folder"
        )


class ActivationStore:
    """Activations of many images on disk, read lazily through memory maps.

    Make one with :meth:`create` (which resumes a partial one of the same key) or :meth:`open`.

    Attributes
    ----------
    folder : Path
        Where the shards and the manifest lie.
    key : StoreKey
        What it was made from.
    images_per_shard : int
        Images in each shard but the last, where :func:`.capture.capture_to_store` made it.
    """

    def __init__(
        self, folder: Path, key: StoreKey, images_per_shard: int, shards: list[dict[str, Any]]
    ):
        self.folder = folder
        self.key = key
        self.images_per_shard = images_per_shard
        self._shards = shards

    @classmethod
    def create(
        cls, folder: str | Path, key: StoreKey, *, images_per_shard: int = 64
    ) -> ActivationStore:
        """Start a store, or go on with the one that lies in ``folder`` if its key is the same.

        Nothing is written before the first :meth:`append`.

        Raises
        ------
        StoreError
            If the folder holds a store of another key, or other files.
        ConfigError
            If the key's number type or ``images_per_shard`` is impossible.
        """
        folder = Path(folder)
        check_choice("dtype", key.dtype, DTYPES)
        if images_per_shard < 1:
            raise ConfigError(f"images_per_shard must be at least 1, not {images_per_shard}")
        if (folder / MANIFEST).exists():
            store = cls.open(folder, key, allow_partial=True)
            remove_scratch(folder)
            _log.info("resuming %s at image %d", folder, store.n_stored)
            return store
        remove_scratch(folder, f"{MANIFEST}*")
        if not is_free(folder):
            raise StoreError(f"{folder} exists and holds no {MANIFEST}; choose another folder")
        return cls(folder, key, images_per_shard, [])

    @classmethod
    def open(
        cls, folder: str | Path, key: StoreKey | None = None, *, allow_partial: bool = False
    ) -> ActivationStore:
        """Open a store without reading its tensors.

        Parameters
        ----------
        folder : path
            The store.
        key : StoreKey, optional
            What the store must have been made from.
        allow_partial : bool
            Whether a store whose capture was cut off may be opened.

        Raises
        ------
        StoreError
            If it is missing, damaged, of another protocol, foreign (the differing fields are named)
            or incomplete.
        """
        folder = Path(folder)
        store = cls(folder, *read_manifest(folder / MANIFEST))
        if key is not None:
            store._check_key(key)
        for shard in store._shards:
            if not (folder / shard["file"]).is_file():
                raise StoreError(f"{folder / shard['file']} is missing; capture again")
        if not (allow_partial or store.complete):
            raise StoreError(
                f"{folder} holds {store.n_stored} of {len(store.sample_ids)} images: its capture "
                "was cut off; run the same capture again and it goes on from there"
            )
        return store

    def _check_key(self, key: StoreKey) -> None:
        stored, wanted = self.key.as_json(), key.as_json()
        reasons = [
            f"{name}: the store has {_short(stored[name])}, asked for {_short(wanted[name])}"
            for name in wanted
            if stored[name] != wanted[name]
        ]
        if reasons:
            raise StoreError(
                f"{self.folder} was made from something else ({'; '.join(reasons)}); delete it or "
                "choose another folder"
            )

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points stored."""
        return self.key.points

    @property
    def tokens(self) -> str:
        """Which tokens are stored: ``"patch"``, ``"prefix"`` or ``"all"``."""
        return self.key.tokens

    @property
    def sample_ids(self) -> list[str]:
        """Sample ids of all images the store is for, in order."""
        return [name for name, _ in self.key.images]

    @property
    def n_stored(self) -> int:
        """Number of images stored so far (always a prefix of :attr:`sample_ids`)."""
        return self._shards[-1]["stop"] if self._shards else 0

    @property
    def complete(self) -> bool:
        """Whether every image is stored."""
        return self.n_stored == len(self.key.images)

    def append(self, tensors: Mapping[str, Tokens]) -> None:
        """Write one shard; it counts only once its manifest line is on disk.

        Raises
        ------
        StoreError
            If the points or the number of images do not fit, or the disk is full.
        ActivationError
            If a value is NaN or infinite, also where the store's number type cannot hold it.
        """
        if sorted(tensors) != sorted(self.points):
            raise StoreError(f"shard has points {sorted(tensors)}, the store {sorted(self.points)}")
        counts = sorted({len(tensor) for tensor in tensors.values()})
        if len(counts) > 1 or counts[0] == 0:
            raise StoreError(f"shard has {counts} images at its points; need one number above 0")
        start, stop = self.n_stored, self.n_stored + counts[0]
        if stop > len(self.key.images):
            raise StoreError(f"shard ends at image {stop} of {len(self.key.images)}")
        dtype = getattr(torch, self.key.dtype)
        ready = {p: t.detach().to("cpu", dtype).contiguous() for p, t in tensors.items()}
        for point, tensor in ready.items():
            check_finite(tensor, f"{point} as {self.key.dtype}")
        name = f"shard-{len(self._shards):05d}.safetensors"
        try:
            if not self._shards:  # so that a kill in the first shard leaves a store, not odd files
                write_manifest(self.folder, self.key, self.images_per_shard, [])
            with written(self.folder / name) as scratch:
                save_file(ready, str(scratch))
                sha256 = file_sha256(scratch)
            shard = {"file": name, "start": start, "stop": stop, "sha256": sha256}
            self._shards = [*self._shards, shard]
            write_manifest(self.folder, self.key, self.images_per_shard, self._shards)
        except OutputError as error:
            raise StoreError(str(error)) from error

    @contextmanager
    def _opened(self, shard: Mapping[str, Any]) -> Iterator[Any]:
        path = self.folder / shard["file"]
        try:
            # Hashed once in a process, as long as size and time of change stay.
            if shard.get("sha256", "") not in ("", file_sha256(path)):
                raise StoreError(
                    f"{path} is damaged: its checksum does not fit; delete the store and capture "
                    "again"
                )
            with safe_open(str(path), framework="pt") as file:
                yield file
        except (OSError, SafetensorError, ImageReadError) as error:
            raise StoreError(
                f"{path} is damaged ({error}); delete the store and capture again"
            ) from error

    def shards(
        self, points: Iterable[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Tokens]]]:
        """Yield (index of the first image, tensors) shard by shard."""
        wanted = self._known(points)
        for shard in self._shards:
            with self._opened(shard) as file:
                tensors = {p: file.get_tensor(p) for p in wanted}
            yield shard["start"], tensors

    def read(self, point: str, images: Which = None) -> Tokens:
        """Read one point of some images (all by default); only the rows asked for are read.

        Raises
        ------
        StoreError
            If the point is not stored, an image index is out of range, or there is no image.
        """
        (point,) = self._known([point])
        wanted = image_rows(images, self.n_stored, str(self.folder))
        found: Tensor | None = None
        for shard in self._shards:
            start, stop = shard["start"], shard["stop"]
            inside = [(place, i - start) for place, i in enumerate(wanted) if start <= i < stop]
            if not inside:
                continue
            with self._opened(shard) as file:
                rows = file.get_slice(point)
                shape = tuple(rows.get_shape())
                if found is None:
                    dtype = getattr(torch, self.key.dtype)
                    found = torch.empty((len(wanted), *shape[1:]), dtype=dtype)
                if shape != (stop - start, *found.shape[1:]):
                    raise StoreError(
                        f"{self.folder / shard['file']} is damaged ({point} has shape {shape}); "
                        "delete the store and capture again"
                    )
                for place, row in inside:
                    found[place] = rows[row]
        if found is None:
            raise StoreError(f"{self.folder}: no image was asked for, or none is stored yet")
        return found

    def _known(self, points: Iterable[str] | None) -> list[str]:
        wanted = list(self.points if points is None else points)
        unknown = [p for p in wanted if p not in self.points]
        if unknown:
            raise StoreError(
                f"{self.folder} has no point {unknown[0]!r}; it has {', '.join(self.points)}"
            )
        return wanted


def image_rows(images: Which, n: int, where: str) -> list[int]:
    """Rows that an index of images means, of ``n`` there are.

    Raises
    ------
    StoreError
        If one is out of range; indices do not count from the end.
    """
    if images is None or isinstance(images, slice):
        return list(range(n)[images or slice(None)])
    rows = [int(i) for i in images]
    outside = [i for i in rows if not 0 <= i < n]
    if outside:
        raise StoreError(
            f"{where} holds {counted(n, 'image')}, counted from 0; asked for {outside[0]}"
        )
    return rows


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
