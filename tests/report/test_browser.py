"""The page in a real browser with the network off."""

from __future__ import annotations

import pytest

from lakeviz.report import write_report

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def opened(browser, make, tmp_path):
    """Open a report of three categories, one with a hostile name."""

    def open_page(**options):
        evaluations = [make(category=EVIL, names=tuple(f"{EVIL}{i}" for i in range(6)))]
        evaluations += [make(category=name, text=True) for name in ("b", "c")]
        path = write_report(evaluations, {"dataset": EVIL}, tmp_path / "report.html")
        browser.log()  # forget what earlier pages said
        browser.open(path, **options)
        return browser

    return open_page


def draw_everything(browser):
    """Scroll to every figure, and wait until all are drawn."""
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    for number in range(browser.run("return document.querySelectorAll('.canvas').length")):
        browser.run(f"document.querySelectorAll('.canvas')[{number}].scrollIntoView()")
        browser.wait(f"document.querySelectorAll('.canvas')[{number}].querySelector('.main-svg')")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_opens_offline_without_a_word_on_the_console(opened, width, dark):
    browser = opened(width=width, dark=dark)
    draw_everything(browser)
    assert browser.log() == []
    requested = browser.run(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(name => !name.startsWith('data:') && !name.startsWith('blob:'))"
    )
    assert requested == []
    # Nothing but the tables scrolls sideways.
    assert browser.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (390, 844)])
@pytest.mark.parametrize("dark", [False, True])
def test_first_screen_answers(opened, width, height, dark):
    browser = opened(width=width, height=height, dark=dark)
    ends = browser.run(
        "return [...document.querySelectorAll('.answers li')]"
        ".map(li => li.getBoundingClientRect().bottom)"
    )
    assert len(ends) == 3
    assert max(ends) <= height
    strip = browser.run(
        "return [...document.querySelectorAll('.pairs li')]"
        ".map(li => [li.getBoundingClientRect().top, li.querySelectorAll('img').length])"
    )
    assert [n for _, n in strip] == [3, 3, 3, 3]  # a photograph; a photograph and its heat
    assert strip[0][0] < height
    # Photographs are in colour.
    assert browser.run("return getComputedStyle(document.querySelector('.photo')).filter") == "none"
    settings = "return document.getElementById('provenance').getBoundingClientRect().top"
    assert browser.run(settings) > 2 * height
    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_tables_that_do_not_fit_say_so(opened):
    browser = opened(width=390, height=844)
    cut = "return document.querySelector('.scroll.more-right + .cue:not([hidden])') !== null"
    browser.wait(cut.removeprefix("return "))
    browser.run(
        "for (const b of document.querySelectorAll('.scroll')) b.scrollLeft = b.scrollWidth"
    )
    browser.wait("document.querySelector('.more-right') === null")
    assert browser.run(cut) is False


def test_switch_shows_the_bare_photograph_everywhere(opened):
    browser = opened()
    shown = (
        "return [...document.querySelectorAll('.heat')]"
        ".filter(i => getComputedStyle(i).display !== 'none').length"
    )
    assert browser.run(shown) > 3
    browser.run("document.querySelector('.heat-on').focus()")
    browser.press(" ")
    assert browser.run(shown) == 0
    assert browser.run("return document.querySelector('#viewer .heat-on').checked") is False
    browser.press(" ")
    assert browser.run(shown) > 3


def test_search_leaves_the_category_that_is_looked_for(browser, make, tmp_path):
    evaluations = [make(category=f"c{number:02d}") for number in range(13)]
    browser.open(write_report(evaluations, {}, tmp_path / "report.html"))
    browser.run("document.getElementById('find').focus()")
    browser.press("C07")
    left = browser.run(
        "return [...document.querySelectorAll('[data-find]')]"
        ".filter(one => getComputedStyle(one).display !== 'none').map(one => one.dataset.find)"
    )
    assert left == ["c07"] * 4  # contents, card, row and section
    browser.run("document.querySelector('nav li.inner:not([hidden]) a').click()")
    opened = "return [...document.querySelectorAll('#category-8 details.body')].every(d => d.open)"
    assert browser.run(opened) is True


def test_hostile_names_stay_text(opened):
    browser = opened()
    draw_everything(browser)
    sources = browser.run("return [...document.images].map(i => i.src.slice(0, 11))")
    assert set(sources) == {"data:image/"}
    assert EVIL in browser.run("return document.querySelector('h1').textContent")
    assert EVIL in browser.run("return document.querySelector('nav').textContent")
    # The tick label of the overview figure, which plotly made.
    labels = browser.run(
        "return [...document.querySelectorAll('.ytick text')].map(t => t.textContent)"
    )
    assert EVIL in labels


def test_theme_switches_page_and_figures(opened):
    browser = opened(dark=False)
    draw_everything(browser)
    ink = "return getComputedStyle(document.querySelector('.xtick text')).fill"
    before = browser.run("return getComputedStyle(document.body).backgroundColor"), browser.run(ink)
    browser.run("document.getElementById('theme').click()")
    browser.wait("getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 28)'")
    assert before[0] == "rgb(255, 255, 255)"
    assert browser.run(ink) != before[1]
    browser.run("localStorage.clear()")


def test_viewer_reads_patches_by_key_and_closes(opened):
    browser = opened()
    browser.run("document.querySelector('button.picture').click()")
    read = "return document.querySelector('.readout').textContent"
    assert browser.log() == []
    # It starts at the highest patch: the last one, of the normal image with the highest score.
    assert browser.run(read) == "Row 2, column 3: patch score 2.917"
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: '{}'}}))"
    for key in ("ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown"):
        browser.run(press.format(key))
    assert browser.run(read) == "Row 2, column 2: patch score 2.833"
    assert EVIL in browser.run("return document.querySelector('.viewer-title').textContent")
    browser.run("document.querySelector('#viewer .close').click()")
    assert browser.run("return document.getElementById('viewer').open") is False


def test_opacity_and_outlines_are_one_setting(opened):
    browser = opened()
    browser.run(
        "const s = document.querySelectorAll('.opacity')[1]; s.value = 0.25;"
        "s.dispatchEvent(new Event('input')); document.querySelector('.outlines').click()"
    )
    assert browser.run("return getComputedStyle(document.querySelector('.heat')).opacity") == "0.25"
    assert browser.run("return document.querySelector('.opacity').value") == "0.25"
    shown = "return getComputedStyle(document.querySelector('path.line')).display"
    assert browser.run(shown) == "none"
    assert browser.run("return document.querySelectorAll('.outlines')[2].checked") is False


def test_contents_lead_to_every_section(opened):
    browser = opened()
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")
    for number in range(browser.run("return document.querySelectorAll('nav a').length")):
        browser.run(f"document.querySelectorAll('nav a')[{number}].click()")
        where = "return document.getElementById(location.hash.slice(1)).getBoundingClientRect().top"
        assert abs(browser.run(where)) < 900
    assert browser.log() == []
