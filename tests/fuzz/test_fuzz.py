"""A small campaign of damaged inputs; ``LAKEVIZ_FUZZ_INPUTS=10000`` makes it a large one."""

from __future__ import annotations

import os

import pytest

from fuzz.campaign import campaign
from fuzz.world import make_world

pytestmark = pytest.mark.fuzz


def test_every_damaged_input_is_read_or_refused_by_name(tmp_path):
    inputs = int(os.environ.get("LAKEVIZ_FUZZ_INPUTS", "1500"))
    seed = int(os.environ.get("LAKEVIZ_FUZZ_SEED", "0"))
    tallies = campaign(make_world(tmp_path, quick=inputs < 5000), inputs, seed)
    assert [line for tally in tallies for line in tally.lines()] == []
    assert sum(tally.tried for tally in tallies) > 0.9 * inputs
    assert all(tally.refused for tally in tallies if tally.tried > 20)
