"""Run every notebook from top to bottom, and keep its pictures or compare them.

    python scripts/run_notebooks.py [--write] [--limit SECONDS] [--keep FOLDER] [NOTEBOOK ...]

Without ``--write`` the notebooks are left as they are: a notebook that fails, is slow, or whose
outputs are of another kind or say something else than the stored ones is reported. Numbers are left
out of the comparison, since they differ between machines in the last digits. Executed copies, and
what they wrote, lie in the folder of ``--keep`` if one is named.

``--write`` stores the outputs in the notebooks. Each interactive figure becomes one picture with
its title and caption as text, which GitHub, nbconvert and a mail attachment show; it needs Chromium
or Chrome. Running a cell brings the interactive figure back.

Slow is judged by the shorter of the time on the clock and the time on the processors, so that a
machine that is busy with something else fails none.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import plotly.graph_objects as go
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image

from lakeviz.plots import caption_of, open_browser, save_figure
from lakeviz.plots.print.export import suiting_width

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LIMIT = 120
MOST_BYTES = 1_000_000
FIGURE, PICTURE = "application/vnd.plotly.v1+json", "image/png"
SHOWN = {"column": 440, "page": 760}
"""Width of a picture on the page in pixels; it has half as many again."""

# Numbers, and addresses of objects.
_NUMBER = re.compile(r"0x[0-9a-f]+|[-+\u2212]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?|\bnan\b")


def run(notebook: Path, folder: Path, limit: float) -> tuple[nbformat.NotebookNode, str | None]:
    """Run one notebook in a folder, where its copy goes. Returns it, and what went wrong."""
    content = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        content,
        timeout=5 * round(limit),
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    started, used = time.monotonic(), _used()
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return content, str(error)
    finally:
        nbformat.write(content, folder / notebook.name)
    seconds = min(time.monotonic() - started, _used() - used)
    return content, f"took {seconds:.0f} s, more than {limit:g} s" if seconds > limit else None


def _used() -> float:
    """Seconds of processor time that kernels have taken which are closed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code_hash(notebook: nbformat.NotebookNode) -> str:
    """Hash of all code, by which stored outputs are known to be of this code."""
    code = "\0".join(cell.source for cell in code_cells(notebook))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def outputs(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Outputs of a cell but progress and warnings: the error stream, and bars that were closed."""
    shown = [o for o in cell.outputs if o.output_type != "stream" or o.name == "stdout"]
    return [o for o in shown if words(o) != ("text", "")]


def words(output: nbformat.NotebookNode) -> tuple[str, str]:
    """Kind of an output and what it says, without its numbers."""
    if output.output_type == "stream":
        kind, text = "text", output.text
    elif FIGURE in output.data:
        kind, text = "picture", _label(_figure(output))
    else:
        kind = "picture" if PICTURE in output.data else "text"
        text = output.data.get("text/plain", "")
    return kind, " ".join(_NUMBER.sub("#", text).split())


def stale(stored: nbformat.NotebookNode, made: nbformat.NotebookNode) -> str | None:
    """Say where stored outputs are not those of a new run."""
    for number, (old, new) in enumerate(zip(code_cells(stored), code_cells(made), strict=True)):
        before, now = [[words(o) for o in outputs(cell)] for cell in (old, new)]
        if before != now:
            return f"cell {number}: stored {before}, made {now}; run with --write"
    return None


def with_pictures(notebook: nbformat.NotebookNode) -> None:
    """Replace each figure by its picture, and leave out what differs between two runs."""
    for cell in code_cells(notebook):
        cell.outputs = outputs(cell)
        for output in cell.outputs:
            if FIGURE in output.get("data", {}):
                _draw(output)
    kernel = notebook.metadata.kernelspec
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": kernel,
            "language_info": {"name": "python"},
            "lakeviz": {"outputs_of_code": code_hash(notebook)},
        }
    )


def _draw(output: nbformat.NotebookNode) -> None:
    figure = _figure(output)
    width = suiting_width(figure)
    with tempfile.TemporaryDirectory() as scratch:
        path = save_figure(
            figure, Path(scratch) / "figure.png", width, template="lakeviz", sidecar=False
        )
        with Image.open(path) as drawn:
            picture = drawn.convert("RGB")
    shown = SHOWN["column" if width == "column" else "page"]
    pixels = 3 * shown // 2
    picture = picture.resize((pixels, round(picture.height * pixels / picture.width)))
    held = io.BytesIO()
    # Few colours are smaller; an octree keeps those of thin lines and of the colour bar.
    picture.quantize(256, Image.Quantize.FASTOCTREE).save(held, "png", optimize=True)
    label = _label(figure)
    output.data = nbformat.from_dict(
        {PICTURE: base64.b64encode(held.getvalue()).decode(), "text/plain": label}
    )
    output.metadata = nbformat.from_dict({PICTURE: {"width": shown, "alt": label}})


def _figure(output: nbformat.NotebookNode) -> go.Figure:
    spec = output.data[FIGURE]
    return go.Figure(data=spec["data"], layout=spec["layout"], skip_invalid=True)


def _label(figure: go.Figure) -> str:
    said = ". ".join(part.rstrip(".") for part in caption_of(figure) if part)
    layout: Any = figure.layout
    return said or layout.title.text or "Figure"


def main() -> int:
    """Run the notebooks named, or all, and say how long each took."""
    parser = argparse.ArgumentParser(description="Run notebooks from top to bottom.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="all by default")
    parser.add_argument("--write", action="store_true", help="store outputs and pictures")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for each notebook")
    parser.add_argument("--keep", type=Path, help="folder for executed copies")
    chosen = parser.parse_args()
    notebooks = chosen.notebooks or sorted(NOTEBOOKS.glob("*.ipynb"))
    if not notebooks:
        parser.error(f"there is no notebook in {NOTEBOOKS}")
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for path in notebooks:
            started = time.monotonic()
            problem = _checked(path, folder, chosen.limit, write=chosen.write)
            failed += problem is not None
            said = "ok" if problem is None else f"FAILED\n{problem}"
            print(f"{path.name}: {time.monotonic() - started:.0f} s, {said}", flush=True)
    return 1 if failed else 0


def _checked(path: Path, folder: Path, limit: float, *, write: bool) -> str | None:
    made, problem = run(path, folder, limit)
    if problem is not None:
        return problem
    if not write:
        return stale(nbformat.read(path, as_version=4), made)
    with open_browser():
        with_pictures(made)
    text: Any = nbformat.writes(made)
    if len(text) > MOST_BYTES:
        return f"{len(text):,} bytes with pictures, more than {MOST_BYTES:,}"
    path.write_text(text + "\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main())
