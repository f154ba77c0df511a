"""One writer per folder: a second command waits until the first has ended, however it ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_log = logging.getLogger(__name__)

LOCK = ".lock"
"""Name of the lock's file in the folder."""


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold a folder for writing; wait, and say so, while another command holds it.

    The system gives the lock back when its owner dies. Readers need none. The thread that holds a
    folder may lock it again. A folder in which no file can be made is not locked: nothing can be
    written there. A folder that was missing is removed again where nothing was written to it.
    """
    folder = Path(folder).absolute()
    lock = FileLock(folder / LOCK, is_singleton=True)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder)
    except OSError:
        yield  # what is written next says why it cannot be
        return
    try:
        yield
    finally:
        lock.release()
        if made and is_free(folder):
            with suppress(OSError):  # the file stays elsewhere: others may wait for it
                (folder / LOCK).unlink()
                for path in made:
                    path.rmdir()


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        _log.error("waiting for another lakeviz command that writes to %s", folder)
        lock.acquire()


def is_locked(folder: Path) -> bool:
    """Whether another command writes to a folder now."""
    path = folder.absolute() / LOCK
    if not path.is_file():
        return False
    try:
        with FileLock(path, blocking=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False  # nothing can be written there


def is_free(folder: Path) -> bool:
    """Whether a folder holds nothing, but perhaps a lock, or is not there."""
    return not folder.exists() or (
        folder.is_dir() and all(path.name == LOCK for path in folder.iterdir())
    )
