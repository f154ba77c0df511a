"""The explorer in a real JupyterLab: shown, clicked, and left as a still view without a kernel."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest
from lab import open_notebook, run_all, serving
from nbconvert import HTMLExporter

from lakeviz.explorer import explore

pytestmark = pytest.mark.browser
HERE = Path(__file__).parent
CELL = f"""
import importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("planted", {str(HERE / "conftest.py")!r})
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
from lakeviz import explore
explore(made.planted(Path("plate")))
"""


def _notebook(folder: Path) -> Path:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(CELL)]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "explore.ipynb")
    return folder / "explore.ipynb"


@pytest.fixture
def lab(tmp_path_factory, tmp_path):
    """Address of a JupyterLab on a notebook that explores a planted world."""
    _notebook(tmp_path)
    with serving(tmp_path, tmp_path_factory.mktemp("lab")) as address:
        yield address


def test_runs_in_jupyterlab(browser, lab, tmp_path):
    browser.log()
    open_notebook(browser, lab, "explore.ipynb", width=1400, height=1250)
    run_all(browser)
    here = "document.querySelector('.jp-OutputArea .lakeviz-explorer')"
    browser.wait(f"{here} && {here}.querySelector('.heat').src.startsWith('data:')", 120)

    box = f"const root = {here}; const b = root.querySelector('.stage').getBoundingClientRect();"
    browser.run(
        box + "root.querySelector('.stage').dispatchEvent(new MouseEvent('click', {clientX: "
        "b.left + b.width * 1.5 / 8, clientY: b.top + b.height * 2.5 / 6, bubbles: true}))"
    )
    head = f"{here}.querySelector('.patch h3').textContent"
    browser.wait(f"{head} === 'Patch in row 2, column 1'")
    before = browser.run(f"return {here}.querySelector('.heat').src")
    browser.run(f"{here}.querySelector('.neurons input').click()")
    browser.wait(f"{here}.querySelector('.heat').src !== {json.dumps(before)}")
    browser.run(f"{here}.querySelector('.neurons .link').click()")
    browser.wait(f"{here}.querySelectorAll('.across .crop img').length === 6")
    # The test set is measured in a thread of the kernel.
    browser.wait(f"{here}.querySelector('.effects').textContent.includes('[')")
    if folder := os.environ.get("LAKEVIZ_SCREENSHOTS"):
        browser.run(f"{here}.scrollIntoView()")
        browser.screenshot(Path(folder) / "lab-light.png")
        browser.run(
            "window.themed = false; jupyterapp.commands.execute('apputils:change-theme', "
            "{theme: 'JupyterLab Dark'}).then(() => { window.themed = true; })"
        )
        browser.wait("window.themed && document.body.dataset.jpThemeLight === 'false'")
        browser.screenshot(Path(folder) / "lab-dark.png")
    said = [entry for entry in browser.log() if entry["level"] == "SEVERE"]
    ours = [
        entry for entry in said if "lakeviz" in entry["message"] or "anywidget" in entry["message"]
    ]
    assert ours == [], said
    assert browser.run(f"return {here}.querySelector('.problem').textContent") == ""


def test_without_a_kernel_a_still_view_is_shown(browser, world, tmp_path):
    evil = "<img src=x onerror=alert(1)>"
    data = world(tmp_path / "plate", category=evil)
    widget = explore(data)
    channel = int(widget.patch["points"][0]["channel"][0])
    widget._receive(
        widget, {"do": "toggle", "dropped": {data.points[0]: [channel]}, "serial": 1}, []
    )
    bundle, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    output = nbformat.v4.new_output("display_data", data=dict(bundle))
    cell = nbformat.v4.new_code_cell("explore(data)", outputs=[output])
    page, _ = HTMLExporter(exclude_input=True).from_notebook_node(
        nbformat.v4.new_notebook(cells=[cell])
    )
    (tmp_path / "page.html").write_text(page)
    browser.open((tmp_path / "page.html").as_uri())
    text = browser.run("return document.body.innerText")
    assert "lakeviz explorer, a still view" in text and evil in text
    assert "1 of the selected neurons are off" not in text
    assert "1 selected neuron is off" in text and "as many random ones off" in text
    assert browser.run("return document.querySelectorAll('svg image').length") == 2
    sources = browser.run("return [...document.images].map(i => i.src.slice(0, 5))")
    assert set(sources) <= {"data:"}
    rows = browser.run("return [...document.querySelectorAll('td')].map(cell => cell.textContent)")
    assert len(rows) == 3 * 7 and str(channel) not in rows[::3]
    if folder := os.environ.get("LAKEVIZ_SCREENSHOTS"):
        browser.screenshot(Path(folder) / "still.png")
