"""Kills at moments drawn by a seed: every command ends bit-equal, and does little twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).parents[1] / "benchmarks" / "kills.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_no_kill_loses_more_than_what_was_in_flight():
    names = ["run", "store", "detector", "neurons"]
    found = subprocess.run(
        [sys.executable, KILLS, "--kills", "5", "--seed", "1", "--only", *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert found.returncode == 0, found.stderr
    rows = [line.split() for line in found.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == names
    for _, _, tried, survived, _, twice, *_ in rows:
        assert tried == survived == "5", found.stderr
        assert int(twice) <= 4  # a batch of each pass, and the few-shot images
