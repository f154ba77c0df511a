"""The guard of these tests sees what it is for."""

from __future__ import annotations

import pickle
import sys

import pytest


def test_a_command_an_import_and_a_write_are_seen(lair, harmless, payload, monkeypatch):
    (lair / "evil_module.py").write_text("x = 1\n")
    monkeypatch.setattr(sys, "path", [str(lair), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for bad in (
        lambda: pickle.loads(payload),
        lambda: __import__("evil_module"),
        lambda: (lair.parent / "outside").write_text("x"),
        lambda: (lair / "evil_module.py").unlink(),
    ):
        with pytest.raises(AssertionError), harmless():
            bad()
    sys.modules.pop("evil_module", None)
