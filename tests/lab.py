"""A JupyterLab of its own: its settings, its kernels, its folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOKEN = "lakeviz"
IDLE = "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
"""JavaScript that is true once the kernel of the open notebook waits for work."""


@contextmanager
def serving(folder: Path, own: Path) -> Iterator[str]:
    """Serve a folder; yields the start of an address, to which ``?token=`` and more is added.

    Parameters
    ----------
    folder : Path
        With the notebooks.
    own : Path
        Where settings, kernels and the log are kept.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = own / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    homes = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=",
    ]
    environment = {**os.environ, **{name: str(own / home) for name, home in homes.items()}}
    address = f"http://127.0.0.1:{port}"
    with (own / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(server, address, own / "server.log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while True:
        try:
            opener.open(f"{address}/api?token={TOKEN}", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text()[-2000:]) from None
            time.sleep(0.3)


def open_notebook(browser, address: str, name: str, **options) -> None:
    """Open a notebook and wait for its kernel: a cell run before asks which one to take."""
    browser.open(f"{address}/lab/tree/{name}?token={TOKEN}&reset", **options)
    browser.wait("window.jupyterapp && document.querySelector('.jp-Notebook .jp-Cell')")
    browser.wait(IDLE)
    browser.run("jupyterapp.commands.execute('application:toggle-left-area')")


def run_all(browser) -> None:
    """Start all cells of the open notebook; ``window.finished`` says whether they went well."""
    browser.run(
        "window.finished = null; jupyterapp.commands.execute('notebook:run-all-cells')"
        ".then(done => { window.finished = done; })"
    )
