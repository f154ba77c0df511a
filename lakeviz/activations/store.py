"""An on-disk store of activations: safetensors shards and a JSON manifest.

The protocol is written down in ``docs/store.md``. A store is bound by its key to the weights, the
preprocessing, the precision, the hook points and the images it was made from; a store whose key
does not fit is refused, with the field that differs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lakeviz.errors import CaptureTooLargeError, StoreError

PROTOCOL = "lakeviz-activations/1"
MANIFEST = "manifest.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreKey:
    """What a store was made from; two stores with equal keys hold equal numbers.

    Parameters
    ----------
    weights_hash : str
        Content hash of the model's weights.
    preprocess : dict
        What the model's preprocessing says of itself.
    dtype : str
        Number type of the stored tensors, such as ``"float32"``.
    points : tuple of str
        Hook points, sorted.
    tokens : str
        Which tokens are kept: ``"patch"``, ``"prefix"`` or ``"all"``.
    images : tuple of (str, str)
        Sample id and content fingerprint of each image, in order.
    """

    weights_hash: str
    preprocess: Mapping[str, Any]
    dtype: str
    points: tuple[str, ...]
    tokens: str
    images: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the key as JSON types."""
        return {
            "weights_hash": self.weights_hash,
            "preprocess": json.loads(json.dumps(dict(self.preprocess))),
            "dtype": self.dtype,
            "points": list(self.points),
            "tokens": self.tokens,
            "images": [list(image) for image in self.images],
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the key in canonical JSON."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def check_free_disk(folder: Path, n_bytes: int) -> None:
    """Raise if ``folder``'s disk has less than ``n_bytes`` and a tenth to spare.

    Raises
    ------
    CaptureTooLargeError
        Says both sizes.
    """
    parent = folder
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    _log.info(
        "the store will take about %.1f MiB; %.1f MiB are free", n_bytes / 2**20, free / 2**20
    )
    if n_bytes * 1.1 > free:
        raise CaptureTooLargeError(
            f"the store would take {n_bytes / 2**30:.2f} GiB and {parent} has {free / 2**30:.2f} "
            "GiB free; ask for fewer hook points, store float16, or choose another folder"
        )


class ActivationStore:
    """Activations of many images on disk, read lazily.

    Make one with :meth:`create` (which resumes a partial one of the same key) or :meth:`open`.

    Parameters
    ----------
    folder : Path
        Where the shards and the manifest lie.
    manifest : dict
        The parsed manifest.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]):
        self.folder = folder
        self._manifest = manifest

    @classmethod
    def create(
        cls, folder: str | Path, key: StoreKey, *, images_per_shard: int = 64
    ) -> ActivationStore:
        """Start a store, or go on with the one that lies in ``folder`` if its key is the same.

        Raises
        ------
        StoreError
            If the folder holds a store of another key, or other files.
        """
        folder = Path(folder)
        if (folder / MANIFEST).exists():
            store = cls.open(folder, key, allow_partial=True)
            _log.info("resuming %s at image %d", folder, store.n_stored)
            return store
        if folder.exists() and any(folder.iterdir()):
            raise StoreError(
                f"{folder} is not empty and holds no {MANIFEST}; choose another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(
            folder,
            {
                "protocol": PROTOCOL,
                "digest": key.digest,
                "key": key.as_json(),
                "images_per_shard": images_per_shard,
                "shards": [],
            },
        )
        store._write_manifest()
        return store

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
        path = folder / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StoreError(f"no activation store in {folder}: {MANIFEST} is missing") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        if manifest.get("protocol") != PROTOCOL:
            raise StoreError(
                f"{path} follows protocol {manifest.get('protocol')!r}, this version reads "
                f"{PROTOCOL!r}; capture again"
            )
        store = cls(folder, manifest)
        if key is not None:
            store._check_key(key)
        for shard in manifest["shards"]:
            if not (folder / shard["file"]).is_file():
                raise StoreError(f"{folder / shard['file']} is missing; capture again")
        if not (allow_partial or store.complete):
            raise StoreError(
                f"{folder} holds {store.n_stored} of {len(store.sample_ids)} images: its capture "
                "was cut off; run the same capture again and it goes on from there"
            )
        return store

    def _check_key(self, key: StoreKey) -> None:
        if self._manifest["digest"] == key.digest:
            return
        stored, wanted = self._manifest["key"], key.as_json()
        reasons = [
            f"{name}: the store has {_short(stored.get(name))}, asked for {_short(wanted[name])}"
            for name in wanted
            if stored.get(name) != wanted[name]
        ]
        raise StoreError(
            f"{self.folder} was made from something else ({'; '.join(reasons) or 'key damaged'}); "
            "delete it or choose another folder"
        )

    def _write_manifest(self) -> None:
        scratch = self.folder / (MANIFEST + ".tmp")
        scratch.write_text(json.dumps(self._manifest, indent=1), encoding="utf-8")
        scratch.replace(self.folder / MANIFEST)

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points stored."""
        return tuple(self._manifest["key"]["points"])

    @property
    def tokens(self) -> str:
        """Which tokens are stored: ``"patch"``, ``"prefix"`` or ``"all"``."""
        return self._manifest["key"]["tokens"]

    @property
    def sample_ids(self) -> list[str]:
        """Sample ids of all images the store is for, in order."""
        return [image[0] for image in self._manifest["key"]["images"]]

    @property
    def images_per_shard(self) -> int:
        """Images in each shard but the last."""
        return self._manifest["images_per_shard"]

    @property
    def n_stored(self) -> int:
        """Number of images stored so far (always a prefix of :attr:`sample_ids`)."""
        shards = self._manifest["shards"]
        return shards[-1]["stop"] if shards else 0

    @property
    def complete(self) -> bool:
        """Whether every image is stored."""
        return self.n_stored == len(self.sample_ids)

    def append(self, tensors: Mapping[str, Float[Tensor, "image token channel"]]) -> None:
        """Write one shard; it counts only once its manifest line is on disk.

        Raises
        ------
        StoreError
            If the points or the number of images do not fit, or the disk is full.
        """
        if sorted(tensors) != sorted(self.points):
            raise StoreError(f"shard has points {sorted(tensors)}, the store {sorted(self.points)}")
        start = self.n_stored
        stop = start + len(next(iter(tensors.values())))
        if stop > len(self.sample_ids):
            raise StoreError(f"shard ends at image {stop} of {len(self.sample_ids)}")
        name = f"shard-{len(self._manifest['shards']):05d}.safetensors"
        dtype = getattr(torch, self._manifest["key"]["dtype"])
        ready = {p: t.detach().to("cpu", dtype).contiguous() for p, t in tensors.items()}
        scratch = self.folder / (name + ".tmp")
        try:
            save_file(ready, str(scratch))
            scratch.replace(self.folder / name)
        except (OSError, SafetensorError) as error:
            scratch.unlink(missing_ok=True)
            raise StoreError(f"cannot write {self.folder / name}: {error}") from error
        self._manifest["shards"].append({"file": name, "start": start, "stop": stop})
        self._write_manifest()

    def _shard(self, index: int) -> Any:
        path = self.folder / self._manifest["shards"][index]["file"]
        try:
            return safe_open(str(path), framework="pt")
        except (OSError, SafetensorError) as error:
            raise StoreError(
                f"{path} is damaged ({error}); delete the store and capture again"
            ) from error

    def shards(
        self, points: Iterable[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Float[Tensor, "image token channel"]]]]:
        """Yield (index of the first image, tensors) shard by shard."""
        wanted = self._known(points)
        for index, shard in enumerate(self._manifest["shards"]):
            with self._shard(index) as file:
                yield shard["start"], {p: file.get_tensor(p) for p in wanted}

    def read(
        self, point: str, images: Sequence[int] | slice | None = None
    ) -> Float[Tensor, "image token channel"]:
        """Read one point of some images (all by default); only the rows asked for are read.

        Raises
        ------
        StoreError
            If the point is not stored or an image index is out of range.
        """
        (point,) = self._known([point])
        if images is None or isinstance(images, slice):
            wanted = list(range(self.n_stored))[images or slice(None)]
        else:
            wanted = list(images)
        if any(not 0 <= i < self.n_stored for i in wanted):
            raise StoreError(
                f"{self.folder} holds images 0 to {self.n_stored - 1}, asked for {wanted}"
            )
        parts: dict[int, Tensor] = {}
        for index, shard in enumerate(self._manifest["shards"]):
            inside = [i for i in wanted if shard["start"] <= i < shard["stop"]]
            if inside:
                with self._shard(index) as file:
                    rows = file.get_slice(point)
                    parts.update((i, rows[i - shard["start"]]) for i in inside)
        return torch.stack([parts[i] for i in wanted])

    def _known(self, points: Iterable[str] | None) -> list[str]:
        wanted = list(self.points if points is None else points)
        unknown = [p for p in wanted if p not in self.points]
        if unknown:
            raise StoreError(
                f"{self.folder} has no point {unknown[0]!r}; it has {', '.join(self.points)}"
            )
        return wanted


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
