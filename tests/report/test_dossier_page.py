"""Dossiers in a report and a real browser: index, folded pages, a category of a hostile name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worlds import World

from lakeviz import write_report
from lakeviz.metrics import Bootstrap
from lakeviz.studies.dossier import DossierResult, dossier

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=alert(1)>"
ENTER = "\ue007"


@pytest.fixture(scope="module")
def result() -> DossierResult:
    """Dossiers of two categories."""
    return DossierResult.join(
        [
            dossier(
                replace(World(shift=shift, seed=seed).data(k=3), category=name),
                n_random=4,
                bootstrap=Bootstrap(n_resamples=30),
            )
            for seed, (name, shift) in enumerate(((EVIL, 3.0), ("gear", 1.0)))
        ]
    )


@pytest.fixture
def report(result, make, tmp_path) -> Path:
    evaluations = [make(category=name) for name in (EVIL, "gear")]
    return write_report(evaluations, {}, tmp_path / "report.html", studies=[result])


@pytest.fixture
def page(browser, report):
    browser.log()
    browser.open(report)
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    browser.run("document.getElementById('index').open = true")
    return browser


def complaints(browser) -> list:
    """What the console said, but for how slowly a machine without a graphics card draws."""
    return [entry for entry in browser.log() if entry["source"] != "rendering"]


def sort_by(browser, column: str) -> tuple[list[str], str]:
    """Sort by a column as a reader without a mouse would; its cells, and what is announced."""
    browser.run(
        "const button = [...document.querySelectorAll('table.sortable thead button')]"
        ".find(b => b.textContent === arguments[0]); button.focus();",
        column,
    )
    browser.press(ENTER)
    return browser.run(
        "const heads = [...document.querySelectorAll('table.sortable thead th')];"
        "const n = heads.findIndex(h => h.textContent === arguments[0]);"
        "const rows = [...document.querySelector('table.sortable').tBodies[0].rows];"
        "return [rows.map(r => r.cells[n].textContent), heads[n].getAttribute('aria-sort')]",
        column,
    )


def test_columns_sort_by_their_numbers_and_back(page, result):
    ranks = sorted(result.neurons["variance_rank"].tolist())
    assert any(rank >= 10 for rank in ranks) and any(rank < 10 for rank in ranks)
    cells, order = sort_by(page, "rank")
    assert [int(cell) for cell in cells] == ranks
    assert order == "ascending"
    cells, order = sort_by(page, "rank")
    assert [int(cell) for cell in cells] == ranks[::-1]
    assert order == "descending"
    cells, _ = sort_by(page, "Cliff's δ")
    shown = [float(cell.replace("−", "-")) for cell in cells]
    known = np.sort(result.neurons["cliffs_delta"].to_numpy())
    np.testing.assert_allclose(shown, known, atol=0.00501)
    assert page.run("return document.querySelectorAll('th[aria-sort]').length") == 1
    assert complaints(page) == []


def test_a_link_of_the_index_unfolds_its_page(page, result):
    pages = "document.querySelectorAll('details.folded')"
    assert page.run(f"return {pages}.length") == (result.neurons["group"] == "selected").sum()
    assert page.run(f"return [...{pages}].every(d => !d.open)")
    page.run("document.querySelector('table.sortable a').focus()")
    page.press(ENTER)
    page.wait(f"[...{pages}].filter(d => d.open).length === 1")
    page.wait("document.querySelector('details.folded[open] .main-svg')")
    target = page.run("return document.querySelector('details.folded[open]').id")
    assert page.run("return location.hash") == f"#{target}"
    assert page.run(
        "return document.querySelector('table.sortable a').textContent.split('· ')[1]"
    ) in page.run("return document.querySelector('details.folded[open] summary').textContent")
    assert complaints(page) == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_hostile_names_stay_text_and_the_page_fits(browser, report, width, dark):
    browser.log()
    browser.open(report, width=width, dark=dark)
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    canvases = "document.querySelectorAll('#study-dossier .canvas')"
    for number in range(browser.run(f"return {canvases}.length")):
        browser.run(f"{canvases}[{number}].scrollIntoView()")
        browser.wait(f"{canvases}[{number}].querySelector('.main-svg')")
    shown = browser.run(
        "return [...document.querySelectorAll('details.folded')].map(d => d.textContent)"
    )
    # Its three neurons name it in the summary and in the title of the figure.
    assert sorted(text.count(EVIL) >= 2 for text in shown) == [False] * 3 + [True] * 3
    assert browser.run("return [...document.images].every(i => i.src.startsWith('data:image/'))")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert complaints(browser) == []
