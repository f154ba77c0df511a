"""What the page says, and what it must never hold."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lakeviz.errors import DataError, OutputError
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.report import SECTIONS, Section, write_report
from lakeviz.report.curves import pixel_curves
from lakeviz.report.numbers import Footnotes, show

EVIL = "<img src=x onerror=alert(1)>"
MANIFEST = {"dataset": "folder", "command": ["lakeviz", "run", "folder", "--root", "a b"]}


class Page(HTMLParser):
    """Tags, attributes and text of a page; scripts and styles apart."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._raw = ""
        self.style = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._raw = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._raw = ""

    def handle_data(self, data):
        if self._raw == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._raw == "style":
            self.style += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def specs(self) -> list[dict]:
        """Data of the figures."""
        found = [json.loads(t) for a, t in self.scripts if a.get("type") == "application/json"]
        return [spec for spec in found if "data" in spec]

    def all(self, tag: str, name: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag and name in (a.get("class") or "").split()]


@pytest.fixture
def page(tmp_path):
    """Write a report and parse it."""

    def write(*evaluations, manifest=MANIFEST, **options) -> Page:
        path = write_report(evaluations, manifest, tmp_path / "report.html", **options)
        return Page(path)

    return write


def test_numbers_of_the_tables_are_on_the_page(make, page):
    text = page(make()).text
    assert "LAKE on nut" in text
    assert re.search(r"0\.900 \[0\.850, 0\.950\]", text)  # image AUROC with its interval
    assert re.search(r"0\.870 \[0\.820, 0\.920\]", text)  # AUPRO
    assert "+0.200 [+0.100, +0.300] higher" in text
    assert "−0.200 [−0.300, −0.100] lower" in text
    assert "+0.000 [−0.100, +0.100] cannot tell" in text
    said = "AUPRO of LAKE's neurons: cannot tell for all neurons; higher than random neurons; lower"
    assert said in text
    assert "nut: image AUROC 0.900 [0.850, 0.950]" in text  # the evaluation's own summary
    assert "abc123" in text
    assert "f1f1f1" in text
    assert "lakeviz run folder --root 'a b'" in text
    assert "2 channels by variance, variance 3 to 2" in text


def test_pictures_are_ordered_by_how_wrong_they_are(make, page):
    made = page(make(labels=(1, 0, 0, 1, 0, 1)))
    shown = [a["data-name"] for a in made.all("button", "picture")]
    # Normal by falling score, then anomalous by rising score; nothing is left for "most right".
    assert shown == ["4.png", "2.png", "1.png", "0.png", "3.png", "5.png"]
    # Image scores are 11/12, 23/12, ...; the threshold is 2.
    assert made.text.count("false alarm") == 2
    assert made.text.count("missed") == 1


def test_pictures_carry_patch_scores_and_outlines(make, page):
    made = page(make())
    by_name = {a["data-name"]: a for a in made.all("button", "picture")}
    assert by_name["1.png"]["data-patches"].split(",") == [
        f"{value:.4g}" for value in np.arange(12, 24) / 12
    ]
    assert (by_name["1.png"]["data-rows"], by_name["1.png"]["data-columns"]) == ("3", "4")
    paths = {a["d"] for a in made.all("path", "line")}
    assert "M5 6L15 6L15 12L5 12Z" in paths  # the mask of image 3, in pixels
    assert len(paths) == 3


def test_figures_hold_the_data(make, page):
    evaluation = make()
    names = {
        trace.get("name"): trace for spec in page(evaluation).specs() for trace in spec["data"]
    }
    marks = names["normal"]
    held = np.frombuffer(base64.b64decode(marks["x"]["bdata"]), dtype=marks["x"]["dtype"])
    assert held == pytest.approx(evaluation.maps.image_scores[:3])
    assert "LAKE: AUROC 0.900 [0.850, 0.950]" in names
    assert "blocks.1: 2 neurons chosen" in names


def test_nothing_is_loaded_from_elsewhere(make, page):
    made = page(make(text=True))
    for tag, attributes in made.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("data:image/", "#")), (tag, name, value[:80])
        assert "url(" not in (attributes.get("style") or "")
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    assert not [tag for tag, _ in made.tags if tag in ("link", "iframe", "object", "base", "form")]
    assert "url(" not in made.style
    assert "@import" not in made.style


def test_policy_allows_the_two_scripts_alone(make, page):
    made = page(make())
    (policy,) = [
        a["content"] for t, a in made.tags if t == "meta" and a.get("http-equiv") is not None
    ]
    assert "default-src 'none'" in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    code = [text for attrs, text in made.scripts if attrs.get("type") != "application/json"]
    digests = {base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in code}
    assert allowed == digests
    assert len(digests) == 2


def test_names_stay_text(make, page):
    evaluation = make(
        category=EVIL,
        names=(EVIL, "</script><script>alert(2)</script>", "c", "d", "e", "f"),
        notes=(EVIL,),
        skipped=((EVIL, "<b>truncated</b>"),),
        missing={("pixel", "aupro"): EVIL},
    )
    made = page(
        evaluation,
        make(category="b"),
        manifest={"dataset": EVIL, "command": EVIL, "groups": {EVIL: [EVIL], "rest": ["b"]}},
    )
    assert all(a["src"].startswith("data:image/jpeg;base64,") for t, a in made.tags if t == "img")
    assert made.text.count(EVIL) > 10
    assert "<b>truncated</b>" in made.text
    # Scripts: those of the page and JSON, nothing that a name brought in.
    kinds = [attrs.get("type") for attrs, _ in made.scripts]
    assert kinds.count(None) == 1
    assert "alert(2)" not in made.scripts[-1][1]
    # Plotly reads its own little HTML, so names are escaped once more for it.
    for spec in made.specs():
        assert "<img" not in json.dumps(spec).replace("\\u003c", "<")


def test_missing_numbers_show_their_reason(make, page):
    reasons = {
        ("pixel", name): "the data set has no masks"
        for name in ("auroc", "average_precision", "f1_max", "aupro", "aupimo")
    }
    text = page(make(masks=False, missing=reasons)).text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "— a" in text
    assert "a the data set has no masks" in text
    assert "3 of 3 anomalous images have no mask" in text
    assert "Not drawn: the data set has no masks" in text
    assert "nothing is said about localisation" in text


@pytest.mark.parametrize("labels", [(0, 0), (1, 1), (0,), (1,)])
def test_one_class_and_one_image(make, page, labels):
    missing = {("image", m): "one class only" for m in ("auroc", "average_precision", "f1_max")}
    made = page(make(labels=labels, missing=missing, controls=False))
    assert "one class only" in made.text
    assert "Not drawn:" in made.text
    assert len(made.all("button", "picture")) == len(labels)
    assert "No control was measured" in made.text
    assert ("(none is normal)" in made.text) == (0 not in labels)


def test_an_image_that_is_gone_is_named(make, page):
    evaluation = make()
    Path(evaluation.dataset.frame["path"].iloc[0]).unlink()
    made = page(evaluation)
    assert "cannot be shown" in made.text
    assert "0.png does not exist" in made.text
    assert len(made.all("button", "picture")) == 5


def test_groups_are_reported_apart_with_means(make, page):
    categories = [make(category=name) for name in ("a", "b", "c", "d")]
    for number, evaluation in enumerate(categories):
        evaluation.metrics["value"] += 0.01 * number
    categories[1].metrics.loc[0, ["value", "reason"]] = [np.nan, "because"]
    manifest = {"groups": {"held-out": ["c", "d"], "trained": ["a", "b"]}}
    text = page(*categories, manifest=manifest).text
    overview = text[text.index("Overview LAKE's fused") : text.index("The branches of the score")]
    assert overview.index("held-out") < overview.index("trained")
    held_out = overview[overview.index("held-out") : overview.index("trained")]
    assert "mean of 2 12 0.925" in held_out  # images, then the mean of 0.92 and 0.93
    trained = overview[overview.index("trained") :]
    assert "mean of the 1 of 2 that have a value" in trained
    assert re.search(r"mean of 2 12 0\.900 \w", trained)
    said = "held-out, mean over 2 categories: image AUROC 0.925, pixel AUROC 0.925, AUPRO 0.895"
    assert f"{said}; lowest image AUROC 0.920, c." in text


def test_categories_in_no_group_come_last(make, page):
    text = page(make(category="x"), make(category="y"), manifest={"groups": {"g": ["y"]}}).text
    assert text.index("Categories: g") < text.index("Categories: other")


def test_a_category_of_two_groups_is_shown_once(make, page):
    groups = {"first": ["x"], "second": ["x", "y"]}
    made = page(make(category="x"), make(category="y"), manifest={"groups": groups})
    assert [a["id"] for _, a in made.tags if (a.get("id") or "").startswith("category")] == [
        f"category-{number}{end}" for number in (1, 2) for end in ("", "-title")
    ]


def test_parts_of_the_score(make, page):
    text = page(make(text=True)).text
    parts = text[text.index("The branches of the score") : text.index("Controls The visual")]
    assert "text weight 0.3" in parts
    for number in ("0.900", "0.800", "0.700", "0.600"):
        assert number in parts
    assert "no text branch" in page(make()).text


def test_controls_over_categories_count_verdicts(make, page):
    text = page(make(category="a"), make(category="b")).text
    assert "higher in 2" in text
    assert "random neurons (higher in 2)" in text


def test_anchors_are_unique_and_reached(make, page):
    made = page(make(category="a"), make(category="b"))
    ids = [a["id"] for _, a in made.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for t, a in made.tags if t == "a"}
    assert targets <= set(ids)


def test_equal_runs_give_equal_files(make, tmp_path):
    evaluation = make(text=True)
    first = write_report([evaluation], MANIFEST, tmp_path / "a.html").read_bytes()
    assert first == write_report([evaluation], MANIFEST, tmp_path / "b.html").read_bytes()


def test_stored_curves_are_those_that_are_made_of_the_maps(make, tmp_path):
    evaluation = make()
    made = write_report([evaluation], MANIFEST, tmp_path / "a.html").read_bytes()
    assert b"Per-region overlap" in made
    evaluation.curves = pixel_curves(evaluation)
    evaluation.dataset.frame["mask_path"] = None  # the maps are not looked at again
    stored = write_report([evaluation], MANIFEST, tmp_path / "b.html").read_text()
    figures = re.findall(r'<div class="canvas".*?</div>', made.decode(), re.DOTALL)
    assert len(figures) == 9
    assert re.findall(r'<div class="canvas".*?</div>', stored, re.DOTALL) == figures


def test_further_sections_join(make, page):
    def extra(run):
        context = {
            "groups": [],
            "summaries": ["my own"],
            "comparisons": [],
            "studies": [],
            "conventions": [],
            "limits": [],
        }
        return [Section("mine", "A study", "closing.html", context)]

    assert "my own" in page(make(), sections=(*SECTIONS, extra)).text


def test_no_evaluation_and_no_folder(make, tmp_path):
    with pytest.raises(DataError, match="at least one"):
        write_report([], {}, tmp_path / "r.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_report([make()], {}, tmp_path / "file" / "r.html")


def test_footnotes_say_each_reason_once():
    notes = Footnotes()
    marks = [show(NOT_MEASURED, notes=notes, reason=r).mark for r in ("x", "y", "x")]
    assert marks == ["a", "b", "a"]
    many = [notes.mark(str(number)) for number in range(60)]
    assert len(set(many)) == 60
    assert many[23:26] == ["z", "aa", "ab"]
