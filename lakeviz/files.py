"""Reading and writing of result files: written in one step, read with errors that name the file.

A leaf: every floor may use it. pandas and pyarrow are imported where they are needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from lakeviz.errors import OutputError, StoreError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_log = logging.getLogger(__name__)

SCRATCH = ".tmp"
"""Suffix of files that are being written, or were left behind when a process was killed."""
_READY = ".ready"
_OF_SAFETENSORS = re.compile(r"\.tmp\w{6}")  # what it writes to, next to our own file


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Give an empty scratch file in the same folder, which takes the place of ``path`` in one step.

    A reader sees the old file or the new one, never half of one, also after a crash. The file gets
    the permissions that the umask gives to new files. Missing folders are made.
    """
    path = Path(path)
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(4)}{SCRATCH}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.touch()
        mode = scratch.stat().st_mode  # as the umask says; some writers make files of their own
        yield scratch
        scratch.chmod(mode)
        with scratch.open("rb+") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write {path}: {said}") from error
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


@contextmanager
def written_together(folder: str | Path) -> Iterator[Path]:
    """Give a scratch folder; its files take their places in ``folder`` all together, or none.

    One writer at a time. Where a kill comes between them, the next reader or writer puts the rest
    in place (:func:`settle`).
    """
    folder = Path(folder)
    scratch = folder / f"{secrets.token_hex(4)}{SCRATCH}"
    remove_scratch(folder)
    try:
        scratch.mkdir(parents=True)
        yield scratch
        settle(folder)
        scratch.rename(folder / _READY)
        settle(folder)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def settle(folder: str | Path) -> None:
    """Put in place what a writer had ready when it was killed."""
    ready = Path(folder) / _READY
    if not ready.is_dir():
        return
    try:
        for path in ready.iterdir():
            path.replace(ready.parent / path.name)
        ready.rmdir()
    except FileNotFoundError:
        pass  # another reader was faster
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error


def remove_scratch(folder: str | Path, pattern: str = "*") -> None:
    """Remove what a kill left half-written in a folder that no one else writes to."""
    for path in Path(folder).glob(pattern):
        if path.name.endswith(SCRATCH) or _OF_SAFETENSORS.fullmatch(path.name):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def remove(path: str | Path) -> None:
    """Remove a file, if it is there."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {path}: {error.strerror or error}") from error


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes in one step; errors as :func:`written`."""
    with written(path) as scratch:
        scratch.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, with its line ends as they are, in one step; errors as :func:`written`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, data: Any, *, sealed: bool = False) -> None:
    """Write JSON in one step; errors as :func:`written`.

    A sealed object carries the SHA-256 of what it says, which :func:`read_json` checks.
    """
    if sealed:
        data = data | {_SEAL: _content_sha256(json.loads(json.dumps(data)))}
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False))


def _content_sha256(data: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an object but for its seal."""
    said = {name: value for name, value in data.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, without its index, in one step; errors as :func:`written`."""
    with written(path) as scratch:
        table.to_csv(scratch, index=False)


def write_parquet(
    path: str | Path, table: pd.DataFrame, metadata: Mapping[bytes, bytes] | None = None
) -> str:
    """Write a table as Parquet, without its index, in one step; return the file's SHA-256.

    ``metadata`` is added to that of the file's schema. Errors as :func:`written`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pandas(table, preserve_index=False)
    made = made.replace_schema_metadata({**(made.schema.metadata or {}), **(metadata or {})})
    with written(path) as scratch:
        pq.write_table(made, scratch, write_page_checksum=True)
        return hashlib.sha256(scratch.read_bytes()).hexdigest()


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write arrays as safetensors, with their :func:`checksum`, in one step, and return that."""
    import numpy as np
    from safetensors.numpy import save_file

    ready = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    made = checksum(ready)
    with written(path) as scratch:
        save_file(ready, str(scratch), metadata={_SHA256: made})
    return made


def read_arrays(path: str | Path, expected: str | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file.

    Their checksum must be the one that the file carries (files of earlier versions have none), and
    the one ``expected``, where another file says it.
    """
    from safetensors import safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            own = (file.metadata() or {}).get(_SHA256)
    except FileNotFoundError:
        raise StoreError(f"cannot read {path}: there is no such file") from None
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} is damaged ({one_line(error)}); {REMEDY}") from error
    if own is None and expected is None:
        _log.info("%s carries no checksum: damage to it would not be noticed", path)
        return arrays
    found = checksum(arrays)
    if own is not None and found != own:
        raise StoreError(f"{path} is damaged: its checksum does not fit; {REMEDY}")
    if expected is not None and found != expected:
        raise StoreError(f"{path} belongs to something else than the files beside it; {REMEDY}")
    return arrays


def checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over ``NAME|DTYPE|SHAPE|`` and the bytes of each array, sorted by name."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.data if array.size and array.flags.c_contiguous else array.tobytes())
    return digest.hexdigest()


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds an object."""
    path = Path(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        _check_depth([found])
    except FileNotFoundError:
        raise StoreError(f"cannot read {path}: there is no such file") from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise StoreError(f"cannot read {path} as JSON ({why}); {REMEDY}") from error
    if not isinstance(found, dict):
        raise StoreError(f"{path} holds a {type(found).__name__}, not a JSON object; {REMEDY}")
    if _SEAL in found and found[_SEAL] != _content_sha256(found):
        raise StoreError(
            f"{path} was changed after it was written: its checksum does not fit; {REMEDY}"
        )
    return found


def _check_depth(value: Any) -> None:
    """Refuse what no document of lakeviz is: nested so deeply that its users would not return."""
    level = [value]
    for _ in range(_DEEPEST):
        members = (one.values() if isinstance(one, dict) else one for one in level)
        level = [m for of_one in members for m in of_one if isinstance(m, (dict, list)) and m]
    if level:
        raise RecursionError


def read_parquet(path: str | Path, expected: str | None = None) -> pd.DataFrame:
    """Read a table; ``expected`` is the SHA-256 of the file, where another file says it."""
    import pandas as pd
    from pyarrow import ArrowException

    try:
        content = Path(path).read_bytes()
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise StoreError(
                f"{path} was changed after it was written: its checksum does not fit; {REMEDY}"
            )
        return pd.read_parquet(
            io.BytesIO(content), engine="pyarrow", page_checksum_verification=True
        )
    except FileNotFoundError:
        raise StoreError(f"cannot read {path}: there is no such file") from None
    except (OSError, ValueError, ArrowException) as error:
        raise StoreError(f"{path} is damaged ({one_line(error)}); {REMEDY}") from error


def one_line(error: BaseException) -> str:
    """What a library says, for a message: in one line, and not longer than that."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= _LINE else f"{said[: _LINE - 3]}..."


_SEAL, _SHA256 = "checksum", "sha256"
_DEEPEST = 60
_LINE = 200  # characters
REMEDY = "restore the file, or delete it and run again what made it"
