"""The widget's own page in a real browser: the ES module, and the Python widget as its kernel."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import lakeviz.explorer
from lakeviz.explorer import explore
from lakeviz.explorer.widget import ExplorerWidget
from lakeviz.metrics import Bootstrap
from lakeviz.studies.dossier import dossier
from lakeviz.wording import minus

pytestmark = pytest.mark.browser
STATIC = Path(lakeviz.explorer.__file__).parent / "static"
EVIL = "<img src=x onerror=alert(1)>"
TRAITS = (
    "listing",
    "picture",
    "knocked",
    "exchanged",
    "metrics",
    "patch",
    "neuron",
    "problem",
    "answered",
)

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<title>explorer</title><style>body {{ margin: 0; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14171c; }} }}
{css}</style><body><div id="here"></div><script type="module">
class Model {{
  state = {{}}; handlers = new Map(); sent = [];
  get(name) {{ return this.state[name]; }}
  on(event, f) {{ this.handlers.set(event, [...(this.handlers.get(event) || []), f]); }}
  off(event, f) {{
    this.handlers.set(event, (this.handlers.get(event) || []).filter((g) => g !== f));
  }}
  send(message) {{ this.sent.push(message); }}
  push(update) {{
    Object.assign(this.state, update);
    for (const name of Object.keys(update)) {{
      for (const f of this.handlers.get(`change:${{name}}`) || []) f();
    }}
  }}
}}
window.model = new Model();
window.mount = async () => {{
  const made = await import("data:text/javascript;base64,{js}");
  window.unmount = made.default.render({{ model, el: document.getElementById("here") }});
  window.mounted = true;
}};
window.ready = true;
</script></body></html>"""


class Live:
    """A page with the explorer, whose kernel is this process."""

    def __init__(self, browser, widget, folder: Path, **options):
        js = base64.b64encode(ExplorerWidget._esm.encode()).decode()
        page = folder / "page.html"
        page.write_text(PAGE.format(css=(STATIC / "explorer.css").read_text(), js=js))
        self.browser, self.widget = browser, widget
        browser.log()
        browser.open(page.as_uri(), **options)
        browser.wait("window.ready")
        widget.wait()
        self.known: dict[str, str] = {}
        self.push()
        browser.run("mount()")
        browser.wait("window.mounted")

    def push(self) -> None:
        """Send what has changed, as a kernel does."""
        update = {}
        for name in TRAITS:
            text = json.dumps(getattr(self.widget, name))
            if self.known.get(name) != text:
                self.known[name] = text
                update[name] = json.loads(text)
        self.browser.run("model.push(arguments[0])", update)

    def answer(self) -> list[str]:
        """Answer until the page has no more questions; return what it asked."""
        asked = []
        while messages := self.browser.run("return model.sent.splice(0)"):
            for message in messages:
                asked.append(message["do"])
                self.widget._receive(self.widget, message, [])
                self.push()
        self.widget.wait()
        self.push()
        return asked

    def do(self, script: str) -> list[str]:
        self.browser.run(script)
        return self.answer()

    def text(self, selector: str) -> str:
        return self.browser.run(f"return document.querySelector({selector!r}).textContent")

    def count(self, selector: str) -> int:
        return self.browser.run(f"return document.querySelectorAll({selector!r}).length")

    def shoot(self, name: str) -> None:
        """Keep a picture where LAKEVIZ_SCREENSHOTS names a folder."""
        if folder := os.environ.get("LAKEVIZ_SCREENSHOTS"):
            self.browser.screenshot(Path(folder) / f"{name}.png")


@pytest.fixture
def live(browser, world, tmp_path):
    def start(*data, **options):
        given = list(data) or [world(tmp_path / "plate"), world(tmp_path / "disc", category=EVIL)]
        return Live(browser, explore(given), tmp_path, **options)

    return start


CHOOSE = "document.querySelector('.images li[id$=image-{}]').click()"
KEY = (
    "document.querySelector({!r}).dispatchEvent("
    "new KeyboardEvent('keydown', {{key: {!r}, bubbles: true, cancelable: true}}))"
)


@pytest.mark.parametrize("width", [1280, 900, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_opens_offline_without_a_word_on_the_console(live, width, dark):
    page = live(width=width, height=1300, dark=dark)
    page.do("document.querySelector('.neurons .link').click()")
    page.do("document.querySelectorAll('.neurons input')[0].click()")
    page.shoot(f"page-{width}-{'dark' if dark else 'light'}")
    assert page.browser.log() == []
    assert page.browser.run("return document.documentElement.scrollWidth") <= width
    resources = page.browser.run(
        "return performance.getEntriesByType('resource').map(e => e.name.slice(0, 5))"
    )
    assert set(resources) <= {"data:"}


def test_a_click_on_a_patch_shows_its_neurons(live):
    page = live()
    asked = page.do(
        "const b = document.querySelector('.stage').getBoundingClientRect();"
        "document.querySelector('.stage').dispatchEvent(new MouseEvent('click', "
        "{clientX: b.left + b.width * 2.5 / 8, clientY: b.top + b.height * 4.5 / 6}))"
    )
    assert asked == ["patch"]
    assert page.text(".patch h3") == "Patch in row 4, column 2"
    view = page.widget.explorer.patch(page.widget.picture["index"], 4, 2)
    first = view.points[0].shares.iloc[0]
    shown = page.browser.run(
        "const row = document.querySelector('.neurons li');"
        "return [row.querySelector('.link').textContent, row.querySelector('.number').textContent]"
    )
    assert shown == [str(int(first["channel"])), f"{100 * first['share']:.1f} %"]
    place, _ = view.points[0].neighbours[0]
    assert f"{place.sample_id}, row {place.row}, column {place.column}" in page.text(".pair")
    assert page.count(".pair img") == 2


def test_a_neuron_off_changes_map_score_and_metrics_beside_random_ones(live):
    page = live()
    heat = "return document.querySelector('.heat').src"
    before = page.browser.run(heat)
    first = int(page.text(".neurons .link"))
    assert page.do("document.querySelector('.neurons input').click()") == ["toggle"]
    point = "blocks.0.hook_resid_post"
    assert page.widget.dropped == {point: [first]}
    assert page.browser.run(heat) != before
    view = page.widget.explorer.knock_out(page.widget.dropped, page.widget.picture["index"])
    digits = page.widget.listing["decimals"]
    rows = page.browser.run(
        "return [...document.querySelectorAll('.effects tbody tr')]"
        ".map(r => [...r.children].map(c => c.textContent))"
    )
    assert [row[0] for row in rows] == ["Score of this image", "Image AUROC", "AUPRO"]
    assert rows[0][1:3] == [f"{view.intact:.{digits}f}", f"{view.score:.{digits}f}"]
    assert rows[0][3].startswith(f"{view.control_scores.mean():.{digits}f} (")
    table = page.widget.explorer.measure(page.widget.dropped)
    for row, (_, expected) in zip(rows[1:], table.iterrows(), strict=True):
        assert row[1:3] == [f"{expected['intact']:.3f}", f"{expected['value']:.3f}"]
        assert row[3].startswith(f"{expected['control_mean']:.3f} (") and "[" in row[4]
    # The neuron is listed as off, and can be put back.
    assert "off" in page.text(".neurons li.off .number")
    assert page.do("document.querySelector('.neurons li.off input').click()") == ["toggle"]
    assert page.browser.run(heat) == before and page.widget.dropped == {}


def test_a_twin_that_cannot_be_made_is_said(live):
    page = live()
    page.do("document.querySelectorAll('.neurons input')[0].click()")
    page.do("document.querySelector('.exchange').click()")
    said = page.browser.run("return document.querySelector('.problem').textContent")
    assert "an exchange runs the model" in said


def test_fast_clicks_end_in_the_last_state(live):
    page = live()
    page.browser.run(
        "for (const n of [0, 1, 2]) document.querySelectorAll('.neurons input')[n].click()"
    )
    # One question under way, the later clicks joined into one more.
    assert page.answer() == ["toggle", "toggle"]
    off = page.widget.dropped["blocks.0.hook_resid_post"]
    assert len(off) == page.count(".neurons li.off") == 3


def test_all_neurons_off_is_refused_and_the_boxes_go_back(live):
    page = live()
    page.do("document.querySelectorAll('.patch .settings button')[0].click()")
    assert page.count(".neurons li.off") == 5
    page.do("document.querySelectorAll('.patch .settings button')[0].click()")
    assert "leave at least one on" in page.text(".problem")
    assert page.count(".neurons li.off") == 5
    page.do("document.querySelectorAll('.patch .settings button')[1].click()")
    assert page.text(".problem") == "" and page.count(".neurons li.off") == 0


def test_images_are_filtered_sorted_and_chosen_by_key(live):
    page = live()
    names = "return [...document.querySelectorAll('.images .number')].map(n => +n.textContent)"
    scores = page.browser.run(names)
    assert len(scores) == 16 and scores == sorted(scores, reverse=True)
    page.browser.run("document.querySelector('.images input[value=\"0\"]').click()")
    assert page.count(".images li") == 8
    assert "8 of 16 test images" in page.text(".images .hint")
    page.browser.run("document.querySelector('.images input[value=\"1\"]').click()")
    for key, at in (("End", 7), ("ArrowUp", 6), ("Home", 0), ("ArrowDown", 1)):
        assert page.do(KEY.format(".images ul", key)) == ["image"]
        chosen = page.browser.run(
            "return [...document.querySelectorAll('.images li')]"
            ".findIndex(i => i.getAttribute('aria-selected') === 'true')"
        )
        assert chosen == at
    shown = page.widget.listing["images"][page.widget.picture["index"]]
    assert shown["label"] == 1 and shown["name"] in page.text(".name")


def test_a_clip_is_played_frame_by_frame(live, world, tmp_path):
    data = world(tmp_path / "plate")
    n = len(data.dataset)
    clips = {"clip": ["a"] * (n - 1) + ["b"], "frame": [*range(n - 1), 0]}
    frame = data.dataset.frame.assign(**clips)
    page = live(replace(data, dataset=replace(data.dataset, frame=frame)))
    page.do(CHOOSE.format(0))
    assert page.browser.run("return document.querySelector('.film input').max") == str(n - 2)
    move = "const s = document.querySelector('.film input'); s.value = 1; "
    assert page.do(move + "s.dispatchEvent(new Event('input'))") == ["image"]
    assert page.widget.picture["index"] == 1
    page.browser.run("document.querySelector('.film button').click()")
    page.browser.wait("model.sent.length > 0")
    page.answer()
    assert page.widget.picture["index"] >= 2
    page.browser.run("document.querySelector('.film button').click()")
    page.answer()
    # A clip of one frame is no film.
    page.do(CHOOSE.format(n - 1))
    assert page.browser.run("return document.querySelector('.film').hidden")


def test_patches_are_walked_by_key(live):
    page = live()
    start = page.widget.patch["row"], page.widget.patch["column"]
    up = "ArrowUp" if start[0] else "ArrowDown"
    assert page.do(KEY.format(".stage", up)) == ["patch"]
    assert abs(page.widget.patch["row"] - start[0]) == 1
    assert page.widget.patch["column"] == start[1]


def test_a_neuron_is_shown_across_categories_and_leads_to_its_examples(live):
    page = live()
    assert page.do("document.querySelector('.neurons .link').click()") == ["neuron"]
    assert page.count(".across .row") == 2 and page.count(".across .crop img") == 12
    assert "8 images" in page.text(".bars")
    assert page.do("document.querySelectorAll('.across .row')[1].querySelector('.crop').click()")
    assert page.widget.category == EVIL
    place, _, _ = page.widget.explorer.neuron(
        page.widget.neuron["point"], page.widget.neuron["channel"]
    ).examples[EVIL][0]
    assert page.widget.picture["index"] == place.image
    assert (page.widget.patch["row"], page.widget.patch["column"]) == (place.row, place.column)


def test_hostile_names_stay_text(live, world, tmp_path):
    from dataclasses import replace

    data = world(tmp_path / "evil", category=EVIL)
    data.dataset.frame["defect_type"] = EVIL
    data.test.source.sample_ids[:] = [f"{EVIL}{i}" for i in range(16)]
    page = live(replace(data, normal_paths=data.normal_paths))
    page.do("document.querySelector('.neurons .link').click()")
    page.do("document.querySelector('.neurons input').click()")
    sources = page.browser.run("return [...document.images].map(i => i.src.slice(0, 11))")
    assert set(sources) == {"data:image/"}
    for selector in ("h2", ".name", ".images li"):
        assert EVIL in page.text(selector)
    assert page.browser.log() == []


def test_without_image_files_the_map_is_shown_alone(live, world):
    page = live(world())
    assert page.browser.run("return document.querySelector('.photo').hidden")
    assert "came without image files" in page.text(".shown")
    assert page.browser.run("return document.querySelector('.heat').style.opacity") == "1"
    page.do("document.querySelector('.neurons .link').click()")
    assert page.browser.log() == []


def test_a_kernel_that_does_not_answer_is_said(live):
    page = live()
    page.browser.run("document.querySelector('.neurons .link').click()")
    page.browser.wait("document.querySelector('.status').textContent.includes('no answer yet')", 10)
    page.answer()
    assert page.text(".status") == ""


def test_a_closed_view_listens_no_more(live):
    page = live()
    page.browser.run("unmount()")
    assert page.browser.run("return [...model.handlers.values()].flat().length") == 0


def test_several_hook_points(live, world, tmp_path):
    page = live(world(tmp_path / "two", points=("blocks.1.hook_resid_post", "blocks.5.hook_x")))
    assert page.browser.run(
        "return [...document.querySelectorAll('.patch .choice span')].map(s => s.textContent)"
    ) == ["block 1 · resid_post", "block 5 · x"]
    page.browser.run("document.querySelectorAll('.patch .choice input')[1].click()")
    page.do("document.querySelector('.neurons input').click()")
    assert list(page.widget.dropped) == ["blocks.5.hook_x"]
    assert page.browser.log() == []


def test_a_neuron_with_a_dossier_folds_it_under_its_category(live, world, tmp_path):
    plate, disc = world(tmp_path / "plate"), world(tmp_path / "disc", category=EVIL, seed=1)
    made = dossier(disc, k=8, n_random=2, crops=False, bootstrap=Bootstrap(n_resamples=20))
    page = live(plate, disc, height=1300)
    page.widget.explorer.dossiers = made
    page.do("document.querySelector('.neurons .link').click()")
    channel = page.widget.neuron["channel"]
    said = [minus(one) for one in made.sentences(EVIL, page.widget.neuron["point"], channel)]
    # The one category that has dossiers shows one; there it is folded, and text.
    assert page.count(".across .row") == 2
    assert page.count(".across .dossier") == page.count(".across .row:last-child .dossier") == 1
    assert not page.browser.run("return document.querySelector('.across .dossier').open")
    page.do("document.querySelector('.across .dossier summary').click()")
    assert (
        page.browser.run(
            "return [...document.querySelectorAll('.across .dossier li')].map(e => e.textContent)"
        )
        == said
    )
    page.browser.run("document.querySelector('.across .dossier').scrollIntoView()")
    page.shoot("dossier")
    assert page.browser.log() == []
