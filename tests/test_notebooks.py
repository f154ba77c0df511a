"""Notebooks are committed without outputs, and one cell of each says what to change.

That they run is checked by ``scripts/run_notebooks.py``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SWITCHES = {"MODEL", "PRETRAINED", "DATASET", "ROOT"}

pytestmark = [
    pytest.mark.docs,
    pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem),
]


def _code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def _assigned(source: str) -> set[str]:
    """Names that a cell binds at its top level."""
    found = set()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                found |= {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
    return found


def test_valid(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_without_outputs(path):
    for cell in _code(path):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_one_cell_switches_model_and_data(path):
    """It is the first one, so that everything after it follows."""
    first, *others = _code(path)
    assert first.metadata.tags == ["parameters"]
    assert _assigned(first.source) >= SWITCHES
    for cell in others:
        assert "tags" not in cell.metadata
        assert not _assigned(cell.source) & _assigned(first.source)


def test_runs_on_what_is_there(path):
    """The embedded model, drawn pictures, and no path of one machine."""
    first, *others = _code(path)
    values = {}
    exec(first.source, values)
    assert values["MODEL"] == "tiny"
    assert values["ROOT"] is None
    for cell in others:
        assert not re.search(r"""["'](/|~|[A-Za-z]:\\|https?:)""", cell.source)


def test_reads_like_a_lecture(path):
    """The question first, and at the end what it shows and what it does not."""
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].cell_type == "markdown"
    assert re.match(r"# \d\. .+\n\n\*\*The (question|questions|task)\.\*\*", cells[0].source)
    assert cells[-1].cell_type == "markdown"
    ends = cells[-1].source
    paper = path.stem.startswith("07")
    assert paper or ("**What it shows.**" in ends and "**What it does not show.**" in ends)


def test_listed_in_the_documentation(path):
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert page.count(f"notebooks/{path.name}") == 1
