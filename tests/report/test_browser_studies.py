"""A report with every study and a category of a hostile name, in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lakeviz import RunSpec, StudyRun, execute, write_report
from lakeviz.data.synthetic import write_benchmark
from lakeviz.lake import LakeOptions
from lakeviz.metrics import Bootstrap
from lakeviz.studies import (
    StudyResult,
    SweepSpec,
    contamination,
    knockout,
    neurons,
    overlap,
    pca,
    sweep,
)
from lakeviz.studies.overlap import run_items
from lakeviz.wording import minus

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=alert(1)>"
FEW: dict[str, Any] = {"bootstrap": Bootstrap(n_resamples=20)}
CATEGORIES = (EVIL, "gear")


def made(run: StudyRun) -> list[StudyResult]:
    """Every study of the run, small."""
    data = [run.data(category) for category in CATEGORIES]
    pools = [run.data(category, shots="all") for category in CATEGORIES]
    results = [
        [knockout(one, sizes=[5, 10], n_random_sets=2, **FEW) for one in data],
        [pca(one, sizes=[2, 8], n_random_sets=2, **FEW) for one in data],
        [contamination(p, shots=4, fractions=[0.25], n_repeats=2, **FEW) for p in pools],
        [neurons(one, k=4, n_top=2, **FEW) for one in data],
        [overlap(run_items(run, 10, pool=6), 10, n_random_sets=20, n_resamples=20)],
        [sweep(SweepSpec(run.spec, {"k": (5, 10)}, n_random_sets=2, **FEW), run.folder, **HERE)],
    ]
    return [type(parts[0]).join(parts) for parts in results]


HERE = {"backend": "sequential", "progress": False}
STUDIES = ("knockout", "pca", "contamination", "neurons", "overlap", "sweep")
BY_CATEGORY = ("knockout", "neurons", "overlap", "sweep")
"""Studies whose figures or tables name each category."""


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> tuple[Path, list[StudyResult]]:
    """Report of a run of two categories, and the studies in it."""
    if not shutil.which("chromedriver"):
        pytest.skip("chromedriver is not installed")
    folder = tmp_path_factory.mktemp("studies")
    root = write_benchmark(
        folder / "data", categories=("tile", "gear"), size=48, n_train=6, n_good=3, n_per_defect=1
    )
    (root / "tile").rename(root / EVIL)
    options = LakeOptions(k=10, map_size=(24, 24))
    spec = RunSpec("mvtec", str(root), categories=CATEGORIES, options=options, random_controls=2)
    run = execute(spec, folder / "out")
    results = made(StudyRun.open(folder / "out", map_size=(24, 24)))
    path = write_report(run.evaluations, run.manifest, folder / "report.html", studies=results)
    return path, results


@pytest.fixture
def report(studies) -> Path:
    return studies[0]


def draw_all(browser) -> int:
    """Unfold all, scroll to every figure until all are drawn; returns how many there are."""
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    n = browser.run("return document.querySelectorAll('.canvas').length")
    for number in range(n):
        browser.run(f"document.querySelectorAll('.canvas')[{number}].scrollIntoView()")
        browser.wait(f"document.querySelectorAll('.canvas')[{number}].querySelector('.main-svg')")
    return n


def complaints(browser) -> list:
    """What the console said; a machine without a graphics card draws parallel coordinates slowly
    and says so, which is no fault of the page."""
    return [entry for entry in browser.log() if entry["source"] != "rendering"]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_every_study_draws_offline_as_text_and_fits(browser, report, width, dark):
    browser.log()
    browser.open(report, width=width, dark=dark)
    assert draw_all(browser) > 3 * len(STUDIES)
    assert complaints(browser) == []
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.run("return document.documentElement.scrollWidth") <= width
    # Figures stay inside their columns too, and none hides its text.
    wider = browser.run(
        "return [...document.querySelectorAll('.canvas')].filter("
        "c => c.querySelector('.main-svg').clientWidth > c.clientWidth + 1).length"
    )
    assert wider == 0
    # The hostile category is there, as text.
    assert browser.run("return [...document.images].every(i => i.src.startsWith('data:image/'))")
    for name in BY_CATEGORY:
        shown = browser.run(f"return document.getElementById('study-{name}').textContent")
        assert EVIL in shown, name


def test_contents_and_folds_work_by_keyboard(browser, report):
    browser.open(report)
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    links = browser.run("return [...document.querySelectorAll('nav a')].map(a => a.hash)")
    assert {f"#study-{name}" for name in STUDIES} <= set(links)
    for link in links:
        browser.run("document.querySelector(`nav a[href='${arguments[0]}']`).focus()", link)
        browser.press("\ue007")  # Enter
        top = browser.run(
            "return document.querySelector(arguments[0]).getBoundingClientRect().top", link
        )
        assert -5 < top < 900, link
    folded = browser.run("return document.querySelectorAll('main details:not([open])').length")
    assert folded >= len(STUDIES)
    for number in range(folded):
        browser.run("document.querySelector('main details:not([open]) summary').focus()")
        browser.press("\ue00d")  # Space
        left = browser.run("return document.querySelectorAll('main details:not([open])').length")
        assert left == folded - number - 1
    browser.run("document.querySelector('.skip').focus()")
    browser.press("\ue007")
    assert browser.run("return location.hash") == "#main"
    assert complaints(browser) == []


def test_a_study_opens_with_a_sentence_and_a_figure(browser, studies):
    report, results = studies
    browser.open(report)
    assert sorted(result.name for result in results) == sorted(STUDIES)
    for result in results:
        section = f"document.getElementById('study-{result.name}')"
        first = browser.run(f"return {section}.querySelector('.finding').textContent")
        assert " ".join(first.split()) == " ".join(minus(result.opening()).split())
        unfolded = browser.run(
            f"return [...{section}.querySelectorAll('.canvas')]"
            ".filter(c => !c.closest('details')).length"
        )
        assert unfolded == 1, result.name
        everything = " ".join(browser.run(f"return {section}.textContent").split())
        assert " ".join(minus(result.summary()).split()) in everything
