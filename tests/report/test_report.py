"""What the page says, and what it must never hold."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import DataError, OutputError
from lakeviz.lake.figures import pixel_curves
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.report import SECTIONS, Section, write_report
from lakeviz.report.numbers import Footnotes, show
from lakeviz.report.page_model import Page as PageModel
from lakeviz.report.pictures import typical
from lakeviz.report.sections.categories import categories, common_notes
from lakeviz.studies.base.result import StudyResult


@dataclass
class Plain(StudyResult):
    """A study of the least that there can be."""

    name = "plain"
    title = "A plain study"
    rows: pd.DataFrame

    def opening(self) -> str:
        return "One sentence."

    def summary(self) -> str:
        return "One sentence. And another: -0.5 [-0.7, -0.3] of x-1."

    def figures(self) -> list:
        return []


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
    assert "In AUPRO, LAKE's neurons are not shown to differ from all neurons; beat " in text
    assert "; beat random neurons; do worse" in text
    assert "lakeviz run folder --root 'a b'" in text
    assert "2 channels by variance, variance 3 to 2" in text


def test_pictures_are_ordered_by_how_wrong_they_are(make, page):
    made = page(make(labels=(1, 0, 0, 1, 0, 1)))
    shown = [a["data-name"] for a in made.all("button", "picture")]
    # Image scores are 11/12, 23/12, ...; the threshold is 2. Those that are wrong come first:
    # normal by falling score, anomalous by rising score; then those that are right.
    assert shown == ["4.png", "2.png", "0.png", "5.png", "3.png", "1.png"]
    assert "Most wrong, normal 2 of 3 are wrong; the highest scores of normal images" in made.text
    assert "Most wrong, anomalous 1 of 3 are wrong" in made.text
    assert made.text.count("false alarm") == 2
    assert made.text.count("missed") == 2  # here, and in the strip of the first screen


def test_nothing_is_called_wrong_where_nothing_is(make, page):
    text = page(make(labels=(0, 0, 1, 1))).text  # scores 11/12, 23/12, 35/12, 47/12; threshold 2
    assert "Most wrong" not in text
    assert "Closest to the threshold, normal none is wrong" in text
    assert "Closest to the threshold, anomalous none is wrong" in text


def test_three_sentences_open_the_page(make, page):
    text = page(make()).text
    first = text[text.index("In three sentences LAKE") : text.index("Overview LAKE:")]
    assert (
        "LAKE detects defective images and localises the defects: image AUROC 0.900 [0.850, 0.950],"
        " chance 0.5; AUPRO 0.870 [0.820, 0.920], chance 0.15; nut; 95 % intervals; visual branch,"
        " maps of 24x32 pixels."
    ) in first
    # Of the variances 3, 1, 2, 0.5, 0.2 and 0.1: 6.8 squared by 14.3, and 3 of 6.8.
    assert (
        "It reads the 2 of 6 channels at blocks.1 of highest variance: first blocks.1: 0, 2; the "
        "variance lives in 3 channels (participation ratio; the first holds at most 44 %); whether "
        "the result hangs on the first was not measured (control variance_without_first)."
    ) in first
    assert (
        "LAKE's neurons are not shown to differ from all neurons, beat random neurons and were "
        "not compared with an untrained tower: AUPRO +0.000 [−0.100, +0.100] against all neurons; "
        "AUPRO +0.200 [+0.100, +0.300] against random neurons; LAKE minus control, visual branch "
        "alone."
    ) in first


def test_one_channel_left_out_is_read_from_its_control(make, page):
    evaluation = make()
    table = evaluation.controls
    own = table[table["control"] == "random"].assign(control="variance_without_first")
    evaluation.controls = pd.concat([table, own], ignore_index=True)
    said = "moves AUPRO by −0.200 [−0.300, −0.100]: part of the effect is its own."
    assert said in page(evaluation).text


def test_an_undecided_or_missing_detector_is_not_praised(make, page):
    evaluation = make(missing={("pixel", "aupro"): "no masks"})
    evaluation.metrics.loc[evaluation.metrics["metric"] == "auroc", "low"] = 0.5
    said = "LAKE is not shown to detect defective images, and was not measured to localise the def"
    assert said in page(evaluation).text


def test_hashes_and_settings_stand_once_and_last(make, page):
    manifest = MANIFEST | {
        "model": {"name": "tiny", "weights_hash": "abc123"},
        "categories": {"nut": {"fingerprint": "f1" * 32}},
        "digest": "d1" * 32,
        "spec": {"dataset": "folder", "root": "/data", "options": {"k": 2}},
    }
    text = page(make(), manifest=manifest).text
    for once in ("abc123", "f1" * 32):
        assert text.count(once) == 1, once
        assert text.index(once) > text.index("Settings and provenance The same numbers again")
    assert "d1" * 32 not in text


def test_one_value_of_a_metric_on_the_whole_page(make, page):
    categories = [make(category=name) for name in ("a", "b", "c")]
    for number, evaluation in enumerate(categories):
        evaluation.metrics["value"] += 0.01 * number
    text = page(*categories).text
    # 0.90, 0.91, 0.92: Student's interval over three is 0.01 * 4.303 / sqrt(3) wide on each side.
    assert "image AUROC 0.910 [0.885, 0.935], chance 0.5" in text
    assert re.search(r"mean of 3 18 0\.910 \[0\.885, 0\.935\]", text)
    assert "lowest image AUROC 0.900 (a)" in text


def test_neurons_are_ranked_over_categories_and_link_to_dossiers(make, page):
    categories = [make(category=name) for name in ("a", "b")]
    categories[1].neurons["channel"] = [2, 5]

    class Study(Plain):
        def page_context(self):
            neuron = ("b", "blocks.1.hook_resid_post", 5)
            return {"pages": [{"neuron": neuron, "anchor": "dossier-7"}]}

    text = page(*categories, studies=[Study({}, pd.DataFrame())])
    ranks = text.text[text.text.index("Neurons Chosen by") :]
    # Channel 2 is second in a and first in b; of 6.8 it holds 2.
    assert "blocks.1 · 2 2 of 2 1.5 29 % blocks.1 · 0 1 of 2 1 44 % blocks.1 · 5 1 of 2 2" in ranks
    assert [a["href"] for t, a in text.tags if t == "a"].count("#dossier-7") == 2


def test_many_categories_have_cards_and_a_search_field(make, page):
    few = page(*(make(category=f"c{n}") for n in range(3)))
    assert not few.all("ul", "cards")
    many = page(*(make(category=f"c{n:02d}") for n in range(13)))
    assert [a["id"] for t, a in many.tags if t == "input" and "id" in a] == ["find"]
    found = [a["data-find"] for t, a in many.tags if "data-find" in a and t == "li"]
    assert found == 2 * [f"c{n:02d}" for n in range(13)]  # contents and cards
    assert len(many.all("details", "body")) == 2 * 13
    assert not [a for a in many.all("details", "body") if "open" in a]


def test_a_study_opens_with_one_sentence_and_its_baseline(make, page):
    class Study(Plain):
        def baseline(self):
            return "visual branch on all channels"

    made = Study({"options": {"map_size": [128, 128]}}, pd.DataFrame())
    text = page(make(), studies=[made]).text
    assert (
        "A plain study One sentence. Measured here: visual branch on all channels, maps of 128x128 "
        "pixels. Measured in the overview: visual branch, 2 of 6 channels at blocks.1, maps of "
        "24x32 pixels."
    ) in text
    assert text.index("One sentence.") < text.index(
        "One sentence. And another: −0.5 [−0.7, −0.3] of x-1."
    )


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
    kinds = {a["src"].partition(",")[0] for t, a in made.tags if t == "img"}
    assert kinds == {"data:image/jpeg;base64", "data:image/png;base64"}
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
    overview = text[text.index("Overview LAKE:") : text.index("The branches of the score")]
    assert overview.index("held-out") < overview.index("trained")
    held_out = overview[overview.index("held-out") : overview.index("trained")]
    assert "mean of 2 12 0.925" in held_out  # images, then the mean of 0.92 and 0.93
    trained = overview[overview.index("trained") :]
    assert "mean of the 1 of 2 that have a value" in trained
    assert re.search(r"mean of 2 12 0\.900 \w", trained)
    assert "image AUROC 0.925 [0.861, 0.989] held-out (2); 0.900 [0.850, 0.950] trained (1)" in text


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
    parts = text[text.index("The branches of the score") : text.index("Controls In image AUROC")]
    assert "text weight 0.3" in parts
    for number in ("0.900", "0.800", "0.700", "0.600"):
        assert number in parts
    assert "no text branch" in page(make()).text


def test_controls_over_categories_count_verdicts(make, page):
    text = page(make(category="a"), make(category="b")).text
    assert "higher in 2" in text


def test_a_category_without_masks_is_in_no_mean_of_the_first_screen(make, page):
    text = page(
        make(category="a"),
        make(category="b", masks=False, missing={("pixel", "aupro"): "no masks"}),
    ).text
    assert "AUPRO 0.870 [0.820, 0.920] (1 of 2), chance 0.15" in text


def test_means_over_draws_are_told_from_what_is_of_the_first(make, page):
    evaluation = make()
    once = page(evaluation).text
    assert "of the first." not in once
    assert "draws (seed" not in once
    evaluation.metrics = evaluation.metrics.assign(n_draws=3, share_draws=0.1)
    text = page(evaluation).text
    assert "Numbers are means over 3 draws of the normal images; heat maps" in text
    assert ", 3 draws (seed" in text
    assert "fitted on, in the first of 3 draws" in text


def test_the_least_p_value_of_ranks_is_said(make, page):
    evaluation = make()
    evaluation.controls = evaluation.controls.assign(p_value=0.2, n_members=4)
    assert "among the sets of a control; with 4 it is never below 0.2." in page(evaluation).text


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
    assert len(figures) == 10
    assert re.findall(r'<div class="canvas".*?</div>', stored, re.DOTALL) == figures


def test_further_sections_join(make, page):
    def extra(run):
        context = {"conventions": [], "limits": ["my own"]}
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


def test_one_kind_of_defect_gives_several_pictures_next_to_its_median(make):
    evaluation = make()
    scores = np.asarray(evaluation.maps.image_scores)[3:]
    low, middle, high = (3 + np.argsort(scores)).tolist()
    assert typical(evaluation, 4) == [middle]
    assert typical(evaluation, 4, several=True) == [middle, low, high]
    assert typical(evaluation, 2, several=True) == [middle, low]


def test_notes_of_every_category_are_said_once(make):
    both, one = "the tower is old", "the lens was dirty"
    nut, gear = make(notes=(both,)), make(category="gear", notes=(both, one))
    page = PageModel([nut, gear], {}, [])
    assert both in common_notes(page)
    assert one not in common_notes(page)
    assert [section.context["notes"] for section in categories(page)] == [[], [one]]
    assert common_notes(PageModel([nut], {}, [])) == []
