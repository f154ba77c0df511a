"""Key and manifest of a store: the model, the hook points and the images it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from lakeviz.documents import of_file, restored
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
        """Restore what :meth:`as_json` gave.

        Raises
        ------
        ConfigError
            If it is not one.
        """
        return restored(cls, data, "key")

    @property
    def digest(self) -> str:
        """SHA-256 of the key in canonical JSON."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Shard(TypedDict):
    """A file of a store, and which images it holds."""

    file: str
    start: int
    stop: int
    sha256: NotRequired[str]


class Described(TypedDict):
    """What the manifest of a store says."""

    digest: str
    key: StoreKey
    images_per_shard: int
    shards: list[Shard]


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
    manifest = of_file(path, Described, manifest, "delete the store and capture again")
    key, shards = manifest["key"], manifest["shards"]
    stops = [0, *(shard["stop"] for shard in shards)]
    whole = (
        key.digest == manifest["digest"]
        and [shard["start"] for shard in shards] == stops[:-1]
        and stops == sorted(set(stops))
        and stops[-1] <= len(key.images)
        and manifest["images_per_shard"] > 0
        and all(Path(shard["file"]).name == shard["file"] for shard in shards)
    )
    if not whole:
        raise StoreError(
            f"{path} is damaged: its key or its shards do not add up; delete the store"
        )
    return key, manifest["images_per_shard"], shards
