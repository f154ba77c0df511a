"""Notebooks are committed with pictures, and one cell of each says what to change.

That they run, and still say what their outputs say, is checked by ``scripts/run_notebooks.py``.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import nbformat
import plotly.graph_objects as go
import pytest
from nbconvert import HTMLExporter

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from run_notebooks import FIGURE, MOST_BYTES, PICTURE, code_hash, stale, words  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SWITCHES = {"MODEL", "PRETRAINED", "DATASET", "ROOT"}

pytestmark = pytest.mark.docs
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


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


@every
def test_valid(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@every
def test_outputs_are_stored_as_pictures_of_this_code(path):
    assert path.stat().st_size < MOST_BYTES
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.lakeviz.outputs_of_code == code_hash(notebook), "run with --write"
    outputs = [output for cell in _code(path) for output in cell.outputs]
    n_pictures = sum(PICTURE in output.get("data", {}) for output in outputs)
    assert n_pictures >= 1
    for output in outputs:
        assert FIGURE not in output.get("data", {})
        assert output.get("name") != "stderr"
    said = path.read_text(encoding="utf-8")
    assert not re.search(r"/(?:tmp|home|root|Users)/", said)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert page.count('src="data:image/png;base64,') == n_pictures


@every
def test_one_cell_switches_model_and_data(path):
    """It is the first one, so that everything after it follows."""
    first, *others = _code(path)
    assert first.metadata.tags == ["parameters"]
    assert _assigned(first.source) >= SWITCHES
    for cell in others:
        assert "tags" not in cell.metadata
        assert not _assigned(cell.source) & _assigned(first.source)


@every
def test_runs_on_what_is_there(path):
    """The embedded model, drawn pictures, and no path of one machine."""
    first, *others = _code(path)
    values = {}
    exec(first.source, values)
    assert values["MODEL"] == "tiny"
    assert values["ROOT"] is None
    for cell in others:
        assert not re.search(r"""["'](/|~|[A-Za-z]:\\|https?:)""", cell.source)


@every
def test_reads_like_a_lecture(path):
    """The question first, and at the end what it shows and what it does not."""
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].cell_type == "markdown"
    assert re.match(r"# \d+\. .+\n\n\*\*The (question|questions|task)\.\*\*", cells[0].source)
    assert cells[-1].cell_type == "markdown"
    ends = cells[-1].source
    paper = path.stem.startswith("07")
    assert paper or ("**What it shows.**" in ends and "**What it does not show.**" in ends)


@every
def test_listed_in_the_documentation(path):
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert page.count(f"notebooks/{path.name}") == 1


def _notebook(text: str, title: str) -> nbformat.NotebookNode:
    figure = go.Figure(layout={"meta": {"title": title, "caption": "n = 3."}})
    shown = {FIGURE: figure.to_plotly_json(), "text/plain": "Figure({...})"}
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="10 %"),
        nbformat.v4.new_output("stream", name="stdout", text=text),
        nbformat.v4.new_output("display_data", data=shown),
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=outputs)])


def test_another_run_may_differ_in_numbers_alone():
    stored, cell = _notebook("AUROC 0.91 [0.8, 1.0] at <f 0x7f>", "ROC"), {"image/png": "..."}
    data = nbformat.from_dict({**cell, "text/plain": "ROC. n = 3"})
    stored.cells[0].outputs[2] = nbformat.v4.new_output("display_data", data=data)
    assert words(stored.cells[0].outputs[2]) == ("picture", "ROC. n = #")
    assert stale(stored, _notebook("AUROC \u22120.2 [-1e-3, nan] at <f 0x1a>", "ROC")) is None
    assert "cell 0" in (stale(stored, _notebook("AUROC undefined", "ROC")) or "")
    assert "cell 0" in (stale(stored, _notebook("AUROC 0.91 [0.8, 1.0] at <f 0x7f>", "PR")) or "")
    slow = _notebook("AUROC 0.91 [0.8, 1.0] at <f 0x7f>", "ROC")
    bar = nbformat.v4.new_output("display_data", {"text/plain": ""})  # a progress bar that closed
    slow.cells[0].outputs.insert(1, bar)
    assert stale(stored, slow) is None
