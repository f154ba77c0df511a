"""How the process of a command waits for threads and keeps memory: time, not results."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST = 2**31 - 1


def tune_process() -> None:
    """Let threads sleep while they wait, and freed memory stay in the process.

    Call it before torch is loaded. What the user has set in the environment stays.
    """
    # Imports make many objects and no garbage, and with 700 new ones Python would look for some.
    gc.set_threshold(100_000)
    # Threads of torch that spin in a barrier take cores from processes that decode images.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # By default glibc returns the memory of every activation to the system, which clears it before
    # the next batch gets it: a fifth of the time of a forward pass.
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 2**30)
            mallopt(_M_TRIM_THRESHOLD, _MOST)
