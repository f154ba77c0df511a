"""Key and manifest of a store: the model, the hook points and the images it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lakeviz.errors import StoreError
from lakeviz.files import read_json, write_json

PROTOCOL = "lakeviz-activations/1"
MANIFEST = "manifest.json"
DTYPES: tuple[str, ...] = ("float32", "float16", "bfloat16")


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
        Number type of the stored tensors, one of :data:`DTYPES`.
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
        return json.loads(json.dumps({f.name: getattr(self, f.name) for f in fields(self)}))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StoreKey:
        """Restore what :meth:`as_json` gave."""
        images = tuple((name, fingerprint) for name, fingerprint in data["images"])
        return cls(**{**data, "points": tuple(data["points"]), "images": images})

    @property
    def digest(self) -> str:
        """SHA-256 of the key in canonical JSON."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(
    folder: Path, key: StoreKey, images_per_shard: int, shards: Sequence[Mapping[str, Any]]
) -> None:
    """Write a manifest in one step: a reader sees the old one or the new one."""
    manifest = {
        "protocol": PROTOCOL,
        "digest": key.digest,
        "key": key.as_json(),
        "images_per_shard": images_per_shard,
        "shards": list(shards),
    }
    write_json(folder / MANIFEST, manifest)


def read_manifest(path: Path) -> tuple[StoreKey, int, list[dict[str, Any]]]:
    """Return key, images per shard and shards of a manifest.

    Raises
    ------
    StoreError
        If it is missing, of another protocol, or not whole.
    """
    if not path.exists():
        raise StoreError(f"no activation store in {path.parent}: {MANIFEST} is missing")
    manifest = read_json(path)
    protocol = manifest.get("protocol")
    if protocol != PROTOCOL:
        raise StoreError(
            f"{path} follows protocol {protocol!r}, this version reads {PROTOCOL!r}; capture again"
        )
    try:
        key, shards = StoreKey.from_json(manifest["key"]), list(manifest["shards"])
        stops = [0, *(shard["stop"] for shard in shards)]
        whole = (
            key.digest == manifest["digest"]
            and [shard["start"] for shard in shards] == stops[:-1]
            and stops[-1] <= len(key.images)
        )
        images_per_shard = int(manifest["images_per_shard"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error!r}); delete the store") from error
    if not whole:
        raise StoreError(
            f"{path} is damaged: its key or its shards do not add up; delete the store"
        )
    return key, images_per_shard, shards
