"""Scripts that make tables of the docs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "tests/golden/run_v1/studies"


def test_the_table_of_stored_studies(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    folders = [str(STUDIES / name) for name in ("knockout", "overlap", "neurons", "pca")]
    monkeypatch.setattr(sys, "argv", ["study_table.py", *folders])
    runpy.run_path(str(ROOT / "scripts/study_table.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("### ")] == [
        "### Knock-out of neurons",
        "### Overlap of selected neurons",
        "### Single-neuron detectors",
        "### Neurons against truncated PCA",
    ]
    assert "| hook point | shots | neurons |" in printed
