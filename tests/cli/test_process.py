"""What a command sets in its own process, and does not in that of a caller."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys

import pytest

from lakeviz.cli import main

_SAID = """
import ctypes, gc, json, os, sys
from lakeviz.cli import main
sys.argv = ["lakeviz", "--version"]
calls = []
class Libc:
    def mallopt(self, *given): calls.append(given)
ctypes.CDLL = lambda name: Libc()
try:
    main()
except SystemExit:
    pass
print(json.dumps([gc.get_threshold()[0], os.environ["OMP_WAIT_POLICY"], len(calls)]))
"""


def _said(**environment: str) -> list:
    """Threshold of the garbage collector, policy of threads, and settings of malloc."""
    ours = {n: v for n, v in os.environ.items() if not n.startswith(("OMP_WAIT", "MALLOC_"))}
    done = subprocess.run(
        [sys.executable, "-c", _SAID], capture_output=True, text=True, env=ours | environment
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="malloc of glibc")
def test_a_command_sets_what_the_user_has_not():
    assert _said() == [100_000, "PASSIVE", 2]
    assert _said(OMP_WAIT_POLICY="ACTIVE", MALLOC_ARENA_MAX="2") == [100_000, "ACTIVE", 0]


def test_a_command_called_from_python_sets_nothing():
    before = gc.get_threshold(), os.environ.get("OMP_WAIT_POLICY")
    with pytest.raises(SystemExit):
        main(["figure"])
    assert (gc.get_threshold(), os.environ.get("OMP_WAIT_POLICY")) == before
