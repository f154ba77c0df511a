"""Results in a notebook: a table and a figure, whoever asks."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from lakeviz.lake import Evaluation, NeuronSelection
from lakeviz.runs.run_folder import RunFolder

EVIL = "<img src=x onerror=alert(1)>"


def selection(selector: str = "variance") -> NeuronSelection:
    return NeuronSelection("blocks.1", np.array([4, 2]), np.array([3.0, 1.5]), 6, selector)


def run_of(folder: Path, *evaluations: Evaluation) -> RunFolder:
    finished = {e.category: folder / str(i) for i, e in enumerate(evaluations)}
    for evaluation in evaluations:
        evaluation.save(finished[evaluation.category])
    return RunFolder(folder, {}, finished)


def framed(shown: str) -> str:
    """Page inside the frame."""
    (page,) = re.findall(r'srcdoc="([^"]*)"', shown)
    return html.unescape(page)


def test_evaluation_holds_its_table_and_its_figure(make):
    evaluation = make()
    shown = evaluation._repr_html_()
    assert "image AUROC 0.900 [0.850, 0.950]" in shown
    assert "<td>average_precision</td>" in shown
    page = framed(shown)
    assert "default-src 'none'" in page
    assert '"name":"normal"' in page
    assert evaluation._figure().data[0].name == "normal (n = 3)"


def test_names_stay_text(make, tmp_path):
    evaluation = make(category=EVIL, names=tuple(f"{EVIL}{i}" for i in range(6)))
    run = run_of(tmp_path / EVIL.replace("/", ""), evaluation)
    for result in (evaluation, run, selection(EVIL)):
        shown = result._repr_html_()
        assert "<img" not in shown
        assert html.escape(EVIL) in shown
        own = framed(shown).rsplit("Plotly.newPlot", 1)[1]
        assert "<img" not in own


def test_run_shows_every_category(make, tmp_path):
    run = run_of(tmp_path, make(category="a"), make(category="b"))
    shown = run._repr_html_()
    assert "LAKE on 2 categories" in shown
    assert "<td>mean</td>" in shown
    assert {"a", "b"} <= set(run._figure().layout.yaxis.ticktext)


def test_selection_shows_scores_in_their_order():
    figure = selection()._figure()
    assert list(figure.data[0].y) == [3.0, 1.5]
    assert list(figure.data[0].customdata) == [4, 2]
    assert "squared activation" in figure.layout.yaxis.title.text
    assert "squared activation" not in selection("mad")._figure().layout.yaxis.title.text


def test_what_cannot_be_drawn_says_so(make):
    empty = make()
    empty.scores = empty.scores.iloc[:0]
    shown = empty._repr_html_()
    assert "No figure: a distribution needs at least one image" in shown
    assert "iframe" not in shown


CELL = """
import numpy as np
from lakeviz import NeuronSelection
NeuronSelection("blocks.1", np.array([4, 2]), np.array([3.0, 1.5]), 6, "variance")
"""


def test_a_kernel_gets_table_and_plotly_figure(tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(CELL)]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    table, figure = notebook.cells[0].outputs
    assert "2 of 6 neurons of blocks.1" in table["data"]["text/html"]
    assert "iframe" not in table["data"]["text/html"]
    drawn = figure["data"]["application/vnd.plotly.v1+json"]
    assert drawn["layout"]["title"]["text"].startswith("Selected neurons")


def test_a_terminal_gets_text_and_no_browser(monkeypatch, capsys):
    import plotly.io as pio

    monkeypatch.setattr(pio, "show", lambda *_, **__: pytest.fail("a browser would open"))
    selection()._ipython_display_()
    assert "NeuronSelection(point='blocks.1'" in capsys.readouterr().out
