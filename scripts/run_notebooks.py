"""Run every notebook from top to bottom in a scratch folder, and fail where one fails or is slow.

    python scripts/run_notebooks.py [--limit SECONDS] [--keep FOLDER] [NOTEBOOK ...]

Slow is judged by the shorter of the time on the clock and the time on the processors, so that a
machine that is busy with something else fails none.

The notebooks themselves are left as they are; executed copies, and what they wrote, lie in the
folder of ``--keep`` if one is named.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LIMIT = 120


def run(notebook: Path, folder: Path, limit: float) -> str | None:
    """Run one notebook; its copy with outputs goes to the folder. Returns what went wrong."""
    content = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        content,
        timeout=5 * round(limit),
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    started, used = time.monotonic(), _used()
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return str(error)
    finally:
        nbformat.write(content, folder / notebook.name)
    seconds = min(time.monotonic() - started, _used() - used)
    return f"took {seconds:.0f} s, more than {limit:g} s" if seconds > limit else None


def _used() -> float:
    """Seconds of processor time that kernels have taken which are closed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Run the notebooks named, or all, and say how long each took."""
    parser = argparse.ArgumentParser(description="Run notebooks from top to bottom.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="all by default")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for each notebook")
    parser.add_argument("--keep", type=Path, help="folder for executed copies")
    chosen = parser.parse_args()
    notebooks = chosen.notebooks or sorted(NOTEBOOKS.glob("*.ipynb"))
    if not notebooks:
        parser.error(f"there is no notebook in {NOTEBOOKS}")
    # Figures for every reader of the copies: JupyterLab and VS Code, and pages made by nbconvert.
    os.environ.setdefault("PLOTLY_RENDERER", "plotly_mimetype+notebook")
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for notebook in notebooks:
            started = time.monotonic()
            problem = run(notebook, folder, chosen.limit)
            failed += problem is not None
            said = "ok" if problem is None else f"FAILED\n{problem}"
            print(f"{notebook.name}: {time.monotonic() - started:.0f} s, {said}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
