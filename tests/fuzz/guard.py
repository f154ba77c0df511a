"""What comes of one input: read, refused by name, or a finding."""

from __future__ import annotations

import faulthandler
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lakeviz.errors import LakevizError

LIMIT_S, LIMIT_GIB, LONGEST = 20, 2, 2000
_GIB = 2**30


class HangError(BaseException):
    """Not an Exception, so that no reader takes it for a damaged file."""


@dataclass(frozen=True)
class Outcome:
    """``read``, ``refused`` or ``finding``, and what was said."""

    kind: str
    said: str = ""
    place: str = ""  # deepest line of lakeviz in the traceback of a finding

    @property
    def clean(self) -> bool:
        """Whether nothing is to be mended."""
        return self.kind != "finding"


def attempt(call: Callable[[], object]) -> Outcome:
    """Call a reader, for 20 s and 2 GiB at most."""
    before = _peak()
    try:
        with _watched():
            call()
        outcome = Outcome("read")
    except LakevizError as error:
        outcome = Outcome("refused", str(error))
        if "\n" in outcome.said or len(outcome.said) > LONGEST:
            kind = f"{type(error).__name__} of {len(outcome.said)} characters, not of one line"
            outcome = Outcome("finding", f"{kind}: {outcome.said[:300]!r}", _place(error))
    except (Exception, HangError) as error:
        outcome = Outcome("finding", f"{type(error).__name__}: {str(error)[:200]}", _place(error))
    grown = (_peak() - before) / _GIB
    if grown > LIMIT_GIB:
        outcome = Outcome("finding", f"memory grew by {grown:.1f} GiB; {outcome.said[:200]}")
    return outcome


@contextmanager
def limited_memory(gib: float = 6) -> Iterator[None]:
    """Let an absurd allocation fail at once instead of taking the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + int(gib * _GIB)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _watched() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangError(f"no answer in {LIMIT_S} s")

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    # A loop in C never comes to the signal: say where, and end.
    faulthandler.dump_traceback_later(3 * LIMIT_S, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        faulthandler.cancel_dump_traceback_later()


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _place(error: BaseException) -> str:
    own = [f for f in traceback.extract_tb(error.__traceback__) if "lakeviz/" in f.filename]
    if not own:
        return "the harness"
    return f"{own[-1].filename.rpartition('lakeviz/')[2]}:{own[-1].lineno}"
