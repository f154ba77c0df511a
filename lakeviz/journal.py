"""Finished parts of a long computation, kept as they are made, so that a kill loses none of them.

A journal is one file that only grows. A record at its end that was cut off, and one that is
damaged, counts as not made.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lakeviz.errors import OutputError
from lakeviz.files import remove

Arrays = Mapping[str, np.ndarray]
_PLACE = 6  # digits of an array's place, before its name
_HEAD = struct.Struct("<32s32sQ")  # SHA-256 of the key and of the content, length of the content


def fingerprint(*parts: Any) -> str:
    """SHA-256 of arrays and of JSON types, in their order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str} {part.shape} ".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


class Journal:
    """Keeps arrays, in their order, by the key of what made them.

    The file is made with the first record. ``identity`` is what all records depend on (data,
    weights, settings): those of another identity do not count.
    """

    def __init__(self, path: str | Path, identity: Any = None):
        self.path, self.identity = Path(path), identity
        self._places: dict[bytes, tuple[int, int, bytes]] | None = None
        self._end = 0
        self._lock = threading.RLock()

    def get(self, key: Any) -> dict[str, np.ndarray] | None:
        """Arrays of a key; None where they were not kept whole."""
        with self._lock:
            place = self._index().get(self._digest(key))
        if place is None:
            return None
        start, length, sha256 = place
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                content = file.read(length)
            if hashlib.sha256(content).digest() != sha256:
                return None
            return {name[_PLACE:]: array for name, array in sorted(load(content).items())}
        except (OSError, SafetensorError):
            return None

    def put(self, key: Any, arrays: Arrays) -> None:
        """Keep the arrays of a key."""
        content = save(
            {
                f"{place:0{_PLACE}d}{name}": np.array(array, order="C")
                for place, (name, array) in enumerate(arrays.items())
            }
        )
        digest, sha256 = self._digest(key), hashlib.sha256(content).digest()
        with self._lock:
            places = self._index()
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab") as file:
                    if os.fstat(file.fileno()).st_size > self._end:
                        file.truncate(self._end)  # a record that a kill cut off
                    file.write(_HEAD.pack(digest, sha256, len(content)) + content)
            except OSError as error:
                said = error.strerror or error
                raise OutputError(f"cannot write {self.path}: {said}") from error
            places[digest] = (self._end + _HEAD.size, len(content), sha256)
            self._end += _HEAD.size + len(content)

    def keep(self, key: Any, make: Callable[[], Arrays]) -> dict[str, np.ndarray]:
        """Arrays of a key, made and kept where they are not there yet."""
        return self.keep_all([key], lambda _: [make()])[0]

    def keep_all(
        self, keys: Sequence[Any], make: Callable[[list[int]], Iterable[Arrays]]
    ) -> list[dict[str, np.ndarray]]:
        """Arrays of some keys; ``make`` is told the positions of those that are not there yet."""
        found = [self.get(key) for key in keys]
        missing = [place for place, one in enumerate(found) if one is None]
        for place, arrays in zip(missing, make(missing) if missing else (), strict=True):
            self.put(keys[place], arrays)
            found[place] = dict(arrays)
        return [one for one in found if one is not None]

    def remove(self) -> None:
        """Remove the file: the result that it was kept for is finished."""
        remove(self.path)
        self._places, self._end = None, 0

    def _digest(self, key: Any) -> bytes:
        return bytes.fromhex(fingerprint(self.identity, key))

    def _index(self) -> dict[bytes, tuple[int, int, bytes]]:
        if self._places is not None:
            return self._places
        self._places = {}
        try:
            size = self.path.stat().st_size
            with self.path.open("rb") as file:
                while len(head := file.read(_HEAD.size)) == _HEAD.size:
                    digest, sha256, length = _HEAD.unpack(head)
                    start = file.tell()
                    if start + length > size:
                        break
                    self._places[digest] = (start, length, sha256)
                    self._end = file.seek(length, os.SEEK_CUR)
        except OSError:
            pass  # there is none yet
        return self._places
