"""Files that try to run code or to write, and a guard that sees either."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import open_clip  # noqa: F401 - brings wandb, which makes folders, before anything is watched
import pytest

_STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pty.spawn")
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_watch: list[tuple[Path, list[str]]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _watch:
        return
    folder, seen = _watch[-1]
    if event in _STARTS:
        seen.append(f"{event} {args}")
    elif event == "import" and args[1] and Path(str(args[1])).is_relative_to(folder):
        seen.append(f"import of {args[1]}")
    elif event == "exec" and str(getattr(args[0], "co_filename", "")).startswith(str(folder)):
        seen.append(f"exec of {args[0].co_filename}")
    elif event == "open" and isinstance(args[2], int) and args[2] & _WRITES:
        if isinstance(args[0], int):
            return  # a descriptor, whose file was seen when it was opened
        path = str(args[0])
        if not path.endswith(".pyc") and ".pyc." not in path and path != "/dev/null":
            seen.append(f"write to {path}")
    elif event in _CHANGES and "__pycache__" not in str(args[0]):
        seen.append(f"{event} {args[0]}")


sys.addaudithook(_audit)


class Payload:
    """Pickled, it touches a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.fixture
def lair(tmp_path: Path) -> Path:
    """Folder of the hostile files; what they would leave behind is ``RAN`` above it."""
    folder = tmp_path / "lair"
    folder.mkdir()
    return folder


@pytest.fixture
def payload(tmp_path: Path) -> bytes:
    """A pickle that runs a command."""
    return pickle.dumps(Payload(tmp_path / "RAN"))


@pytest.fixture
def payload_object(tmp_path: Path) -> Payload:
    """The same, for a library that pickles by itself."""
    return Payload(tmp_path / "RAN")


@contextmanager
def _guard(tmp_path: Path, lair: Path, within: bool) -> Iterator[None]:
    seen: list[str] = []
    before = _outside(tmp_path, lair, within)
    _watch.append((lair, seen))
    try:
        yield
    finally:
        _watch.pop()
    own = tuple(f"{event} {lair}" for event in ("write to", *_CHANGES)) if within else ()
    assert not [what for what in seen if not what.startswith(own or ("\0",))]
    assert _outside(tmp_path, lair, within) == before


def _outside(tmp_path: Path, lair: Path, within: bool) -> list[Path]:
    return sorted(p for p in tmp_path.rglob("*") if not (within and p.is_relative_to(lair)))


@pytest.fixture
def harmless(tmp_path: Path, lair: Path) -> Callable[[], Any]:
    """``with harmless():`` nothing in it may start a program, import a hostile file, or write."""
    return partial(_guard, tmp_path, lair, within=False)


@pytest.fixture
def unharmed(tmp_path: Path, lair: Path) -> Callable[[], Any]:
    """The same, but the test itself may write in the folder of the hostile files."""
    return partial(_guard, tmp_path, lair, within=True)
