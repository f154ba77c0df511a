"""The explorer in a real JupyterLab: shown, clicked, and left as a still view without a kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

from lakeviz.explorer import explore

pytestmark = pytest.mark.browser
HERE = Path(__file__).parent
TOKEN = "explorer"
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
def lab(tmp_path, free_port):
    """Address of a JupyterLab of its own: its settings, its kernels, its folder."""
    _notebook(tmp_path)
    own = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    own |= {
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "IPYTHONDIR": str(tmp_path / "i"),
    }
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces")}
    quiet = tmp_path / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={free_port}",
        "--ServerApp.port_retries=0",
    ]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={tmp_path}"]
    command += [
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=",
    ]
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{free_port}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while True:
        try:
            opener.open(f"{address}/api?token={TOKEN}", timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            if server.poll() is not None or time.monotonic() > end:
                server.terminate()
                pytest.fail((tmp_path / "server.log").read_text()[-2000:])
            time.sleep(0.3)
    yield address
    server.terminate()
    server.wait(timeout=30)


def test_runs_in_jupyterlab(browser, lab, tmp_path):
    browser.log()
    browser.open(f"{lab}/lab/tree/explore.ipynb?token={TOKEN}&reset", width=1400, height=1250)
    browser.wait("window.jupyterapp && document.querySelector('.jp-Notebook .jp-Cell')")
    # A cell that is run before the kernel is there asks which one to take.
    browser.wait(
        "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    browser.run(
        "jupyterapp.commands.execute('application:toggle-left-area');"
        "window.ran = jupyterapp.commands.execute('notebook:run-all-cells')"
    )
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
