"""Make the pictures of the README and the front page: a heat map, a report, and the explorer.

Needs Chromium, chromedriver and the dev dependencies; borrows the tests' browser:

    uv run python scripts/readme_pictures.py --out docs/pictures
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import Browser, start
from lab import open_notebook, run_all, serving

from lakeviz import Lake, RunSpec, StudyRun, execute, load_model, read_dataset, write_report
from lakeviz.data.synthetic import TRAINED, write_benchmark
from lakeviz.lake import LakeOptions
from lakeviz.plots import save_figure
from lakeviz.studies import knockout

CATEGORY = "gear"
WIDTH, HEIGHT = 1360, 1000
KEPT = (1088, 800)
EXPLORER = "document.querySelector('.jp-OutputArea .lakeviz-explorer')"
CELL = """
from lakeviz import StudyRun, explore
explore(StudyRun.open("out").data("gear"))
"""


def main() -> None:
    """Draw the pictures and keep them small."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, start(Path(scratch) / "profile") as browser:
        folder = Path(scratch) / "work"
        report = make_report(folder)
        browser.open(report, WIDTH, HEIGHT)
        browser.wait("document.querySelector('.canvas .main-svg')", 60)
        shoot(browser, out / "report.png")
        explore(browser, folder, Path(scratch) / "lab", out / "explorer.png")
        heat_map(folder, out / "heatmap.png")


def heat_map(folder: Path, path: Path) -> None:
    """Draw the defective image of highest score of a category, in the middle of a page."""
    wood = read_dataset("mvtec", write_benchmark(folder / "wood", categories=("wood",), size=192))[
        "wood"
    ]
    evaluation = Lake(load_model("tiny")).fit(wood.few_shot(8, seed=0)).evaluate(wood)
    worst = evaluation.scores.set_index("sample_id")["score"].idxmax()
    save_figure(evaluation.heatmap(str(worst)), path, sidecar=False)
    with Image.open(path) as drawn:
        drawn.thumbnail(KEPT)
        page = Image.new("RGB", KEPT, "white")
        page.paste(drawn, ((KEPT[0] - drawn.width) // 2, (KEPT[1] - drawn.height) // 2))
    keep(page, path)


def make_report(folder: Path) -> Path:
    """Run some categories and one study, and write their report."""
    root = write_benchmark(folder / "data", categories=(CATEGORY, *TRAINED[:6]), size=128)
    spec = RunSpec("mvtec", str(root), options=LakeOptions(map_size=(128, 128)))
    run = execute(spec, folder / "out")
    data = StudyRun.open(folder / "out").data(CATEGORY)
    studies = [knockout(data, sizes=[20, 100], single=False)]
    return write_report(run.evaluations, run.manifest, folder / "report.html", studies=studies)


def explore(browser: Browser, folder: Path, own: Path, path: Path) -> None:
    """Run the explorer in JupyterLab, and click the first neuron of the patch away."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "explore.ipynb")
    with serving(folder, own) as address:
        open_notebook(browser, address, "explore.ipynb", width=WIDTH, height=HEIGHT)
        run_all(browser)
        browser.wait(
            f"{EXPLORER} && {EXPLORER}.querySelector('.heat').src.startsWith('data:')", 180
        )
        browser.run(f"{EXPLORER}.querySelector('.neurons input').click()")
        browser.wait(f"{EXPLORER}.querySelector('.effects').textContent.includes('[')", 180)
        browser.run(f"{EXPLORER}.querySelector('.neurons .link').click()")
        browser.wait(f"{EXPLORER}.querySelectorAll('.across .crop img').length > 0")
        browser.run(f"{EXPLORER}.scrollIntoView()")
        shoot(browser, path)


def shoot(browser: Browser, path: Path) -> None:
    """Take the window as a picture."""
    browser.screenshot(path)
    with Image.open(path) as picture:
        picture.load()
    keep(picture.convert("RGB").resize(KEPT), path)


def keep(picture: Image.Image, path: Path) -> None:
    """Save a picture with few colours, which keeps it small."""
    picture.quantize(128, Image.Quantize.FASTOCTREE).save(path, optimize=True)


if __name__ == "__main__":
    main()
