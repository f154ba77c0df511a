"""Exports: true sizes in print, a sidecar that says what a file shows, clear words where not."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError, OutputError
from lakeviz.plots import TEMPLATES, Scored, open_browser, roc_figure, save_figure
from lakeviz.plots.print import export as browser
from lakeviz.plots.print.export import suiting_width
from lakeviz.plots.print.figure_metadata import describe_figure
from lakeviz.plots.print.layout import fit_to_page
from lakeviz.plots.print.panels import TooNarrowError
from lakeviz.plots.template import new_figure

EVIL = "</script><img src=x onerror=alert(1)>"
MM = 1 / 25.4
COLUMN = 85 * MM * 96 / 0.8  # pixels of the layout


@pytest.fixture
def figure() -> go.Figure:
    fig = new_figure("A title & more", "n = 3; line: nothing", legend_above=True, height=300)
    fig.add_scatter(x=[0, 1, np.nan], y=np.array([2.0, 3.0, 4.0]), name="a &lt;b&gt;")
    fig.add_scatter(x=[0, 1], y=[1, 1], name="other", line={"width": 2}, marker={"size": 10})
    fig.update_xaxes(title_text="rank of the neuron by variance, one of a thousand (1 = highest)")
    return fig


def two_runs() -> go.Figure:
    labels = np.array([0, 0, 1, 1])
    runs = {
        name: Scored(np.array(scores), labels, 0.75, 0.5, 1.0)
        for name, scores in {"one": [0.1, 0.4, 0.3, 0.9], "two": [0.2, 0.1, 0.3, 0.4]}.items()
    }
    return roc_figure(runs)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """Files of one figure in every format, drawn by one browser."""
    if browser.find_browser() is None:
        pytest.skip("no Chrome or Chromium")
    folder = tmp_path_factory.mktemp("exported")
    fig = two_runs()
    table = pd.DataFrame({"run": ["one"], "value": [np.nan], "n": np.array([4], dtype=np.int32)})
    with open_browser():
        save_figure(fig, folder / "roc.pdf", command="lakeviz figure roc", provenance={"seed": 1})
        save_figure(fig, folder / "roc.png")
        save_figure(fig, folder / "wide.pdf", "page", 60, data=table)
        save_figure(fig, folder / "own.svg", 120, template="lakeviz")
        save_figure(fig, folder / "paper.svg", sidecar=False)
    return folder


@pytest.mark.browser
@pytest.mark.parametrize(("name", "width", "height"), [("roc", 85, None), ("wide", 178, 60)])
def test_pdf_has_the_size_asked_for(exported, name, width, height):
    content = (exported / f"{name}.pdf").read_bytes()
    (box,) = re.findall(rb"/MediaBox ?\[([^\]]*)\]", content)
    left, bottom, right, top = (float(number) / 72 / MM for number in box.split())
    told = json.loads((exported / f"{name}.json").read_text())["files"][f"{name}.pdf"]
    # Chromium rounds a page to whole pixels of 1/96 inch.
    assert right - left == pytest.approx(width, abs=0.3)
    assert top - bottom == pytest.approx(height or told["height_mm"], abs=0.3)
    assert told["width_mm"] == width


@pytest.mark.browser
def test_png_has_300_dots_per_inch(exported):
    with Image.open(exported / "roc.png") as image:
        assert image.width == round(85 * MM * 300)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        # Something is drawn up to the outer parts, which a page with a margin would cut off.
        ink = np.argwhere(np.asarray(image.convert("L")) < 128)
    assert ink[:, 1].max() > 0.93 * 1004
    assert ink[:, 0].max() > 0.9 * image.height


@pytest.mark.browser
def test_sizes_in_svg_are_those_of_print(exported):
    root = ElementTree.parse(exported / "paper.svg").getroot()
    assert root.get("width") == "85mm"
    scale = 85 / float(root.get("viewBox", "").split()[2])
    text = (exported / "paper.svg").read_text()
    points = {
        float(size) * scale / 25.4 * 72 for size in re.findall(r"font-size: ([\d.]+)px", text)
    }
    assert points
    assert min(points) > 6.95
    assert max(points) < 9.05


@pytest.mark.browser
def test_paper_has_no_title_and_the_others_do(exported):
    shown = {
        name: "".join(ElementTree.parse(exported / name).getroot().itertext())
        for name in ("paper.svg", "own.svg")
    }
    assert ElementTree.parse(exported / "own.svg").getroot().get("width") == "120mm"
    assert "Brackets: 95 %" not in shown["paper.svg"]
    assert "Brackets: 95 %" in shown["own.svg"]
    for text in shown.values():
        assert "one: AUROC 0.750 [0.500, 1.000]" in text


@pytest.mark.browser
def test_sidecar_tells_all_files_of_a_figure(exported):
    told = json.loads((exported / "roc.json").read_text())
    assert set(told["files"]) == {"roc.pdf", "roc.png"}
    for name, file in told["files"].items():
        assert file["sha256"] == hashlib.sha256((exported / name).read_bytes()).hexdigest()
    assert told["title"] == "ROC"
    assert "2 normal images" in told["caption"]
    assert told["versions"].keys() >= {"lakeviz", "plotly", "kaleido", "python"}
    first = told["data"]["traces"][0]
    drawn = two_runs().data[0]
    assert first["x"] == list(drawn.x)
    assert first["y"] == list(drawn.y)
    # The first threshold is infinite, which JSON has no word for.
    assert first["customdata"][0] is None
    assert not (exported / "paper.json").exists()


@pytest.mark.browser
def test_sidecar_takes_the_table_given(exported):
    told = json.loads((exported / "wide.json").read_text())
    table = told["data"]["tables"]["table"]
    assert table == {"columns": ["run", "value", "n"], "rows": [["one", None, 4]]}


def test_a_new_figure_replaces_the_sidecar(figure, tmp_path):
    save_figure(figure, tmp_path / "a.html", command="first", provenance={"seed": 3})
    told = json.loads((tmp_path / "a.json").read_text())
    assert (told["command"], told["provenance"]) == ("first", {"seed": 3})
    assert told["data"]["traces"][0]["x"] == [0, 1, None]
    figure.data[1].y = (5, 5)
    save_figure(figure, tmp_path / "a.html")
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["command"] is None
    assert told["data"]["traces"][1]["y"] == [5, 5]
    assert list(told["files"]) == ["a.html"]


def test_html_is_one_file_that_asks_for_nothing(tmp_path):
    fig = new_figure(EVIL, "caption")
    fig.add_scatter(x=[EVIL], y=[1], name="&lt;/script&gt;")
    page = save_figure(fig, tmp_path / "deep" / "a.html").read_text()
    assert "default-src 'none'" in page
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page.replace(EVIL, ""))
    assert "<title>&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;</title>" in page
    assert EVIL not in page
    assert "plotly.js v" in page


def test_no_browser_says_what_to_install(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "find_browser", lambda: None)
    with pytest.raises(OutputError) as error:
        save_figure(figure, tmp_path / "a.pdf")
    for word in ("apt-get install chromium", "plotly_get_chrome", "BROWSER_PATH", ".html"):
        assert word in str(error.value)
    with pytest.raises(OutputError, match="Chromium"), open_browser():
        pass
    assert not any(tmp_path.iterdir())
    assert save_figure(figure, tmp_path / "a.html").is_file()


def test_a_browser_named_wrongly_is_named(figure, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    with pytest.raises(OutputError, match=r"BROWSER_PATH names .*none"):
        save_figure(figure, tmp_path / "a.svg")


def test_a_browser_that_fails_is_told_of(figure, tmp_path, monkeypatch):
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(broken))
    with pytest.raises(OutputError, match="could not draw the figure"):
        save_figure(figure, tmp_path / "a.svg")


def test_the_browser_reads_nothing_from_a_network():
    page = browser._options("/usr/bin/chromium")["page_generator"].generate_index()
    sources = re.findall(r'src="([^"]*)"', page)
    assert sources
    assert all(source.startswith("file:///") for source in sources)


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [
        ("a.jpg", "column", r"'\.jpg'.*\.pdf, \.svg, \.png, \.html"),
        ("a", "column", r"'a'; known are"),
        ("a.html", "colum", r"neither a number of mm nor one of 'column' \(85 mm\)"),
        ("a.html", 0, "0 mm is outside"),
        ("a.html", -85, "-85 mm is outside"),
        ("a.html", float("nan"), "nan mm is outside"),
    ],
)
def test_bad_names_and_sizes(figure, tmp_path, name, width, message):
    with pytest.raises(ConfigError, match=message):
        save_figure(figure, tmp_path / name, width)


def test_unknown_template(figure, tmp_path):
    with pytest.raises(ConfigError, match="nearest: paper"):
        save_figure(figure, tmp_path / "a.html", template="papr")


def test_what_cannot_be_written_is_named(figure, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*a\.html"):
        save_figure(figure, tmp_path / "file" / "a.html")


def test_a_foreign_file_is_not_overwritten(figure, tmp_path):
    (tmp_path / "a.json").write_text('{"mine": 1}')
    with pytest.raises(OutputError, match="in the way"):
        save_figure(figure, tmp_path / "a.html")
    assert json.loads((tmp_path / "a.json").read_text()) == {"mine": 1}
    assert not (tmp_path / "a.html").exists()
    assert save_figure(figure, tmp_path / "a.html", sidecar=False).is_file()


def test_arrays_of_every_kind_become_lists():
    fig = go.Figure()
    z = np.arange(6, dtype=np.float32).reshape(2, 3)
    custom = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    fig.add_heatmap(z=z, customdata=custom)
    fig.add_scatter(x=["a", "b"], y=np.array([1, 2]), error_x={"array": np.array([0.5, np.inf])})
    heatmap, scatter = describe_figure(fig)["data"]["traces"]
    assert heatmap["z"] == z.tolist()
    assert heatmap["customdata"] == custom.tolist()
    assert (scatter["x"], scatter["y"]) == (["a", "b"], [1, 2])
    assert scatter["error_x"]["array"] == [0.5, None]


# --- layout ---


def test_layout_for_a_column(figure):
    before = figure.to_json()
    fitted = fit_to_page(figure, COLUMN)
    assert figure.to_json() == before
    assert fitted.layout.template == go.Figure(layout={"template": "paper"}).layout.template
    assert not fitted.layout.title.text
    assert fitted.layout.xaxis.title.text.count("<br>") == 1
    assert "<br>" not in fit_to_page(figure, 2 * COLUMN).layout.xaxis.title.text
    assert fitted.data[1].line.width < 2
    assert fitted.data[1].marker.size < 10


@pytest.mark.parametrize("template", TEMPLATES)
def test_sizes_of_a_figure_itself_are_brought_into_range(figure, template):
    figure.add_annotation(text="tiny", font={"size": 3})
    figure.update_layout(title={"font": {"size": 40}}, legend={"title": {"font": {"size": 30}}})
    layout = fit_to_page(figure, COLUMN, template=template).layout
    assert layout.annotations[0].font.size == pytest.approx(7 / 0.6)
    assert layout.legend.title.font.size == pytest.approx(9 / 0.6)


def test_captions_are_broken_for_the_width(figure):
    caption = "many words " * 30
    figure.update_layout(meta={"title": "<i>", "caption": caption})
    layout = fit_to_page(figure, COLUMN, template="lakeviz").layout
    assert layout.title.text == "&lt;i&gt;"
    lines = layout.title.subtitle.text.split("<br>")
    assert " ".join(lines) == caption.strip()
    assert max(map(len, lines)) < 70
    assert layout.margin.t > 15 * len(lines)


def test_a_long_legend_makes_the_figure_taller(figure):
    short = fit_to_page(figure, COLUMN)
    figure.data[0].name = "a name of many letters, far too long to lie beside another one"
    long = fit_to_page(figure, COLUMN)
    assert long.layout.height > short.layout.height
    axes = [one.layout.height - one.layout.margin.t for one in (long, short)]
    assert axes[0] == pytest.approx(axes[1])


def test_what_is_for_screens_is_left_out(figure):
    figure.update_layout(sliders=[{"steps": []}], margin={"b": 140})
    figure.data[1].visible = "legendonly"
    fitted = fit_to_page(figure, COLUMN)
    assert not fitted.layout.sliders
    assert fitted.layout.margin.b < 80
    assert [trace.name for trace in fitted.data] == [figure.data[0].name]


def test_equal_axes_keep_their_shape():
    fig = new_figure("t", "c", height=900)
    fig.update_xaxes(range=[0, 200])
    fig.update_yaxes(range=[100, 0], scaleanchor="x")
    layout = fit_to_page(fig, COLUMN).layout
    plot = layout.height - layout.margin.t - layout.margin.b
    assert plot == pytest.approx(COLUMN / 2, rel=0.15)
    fig.update_yaxes(domain=[0, 0.5])
    layout = fit_to_page(fig, COLUMN).layout
    assert layout.height - layout.margin.t - layout.margin.b == pytest.approx(2 * plot)


LONG_TITLE = "a title of several words that is long"


def panels_figure(n_columns: int, n_rows: int = 1) -> go.Figure:
    fig = new_figure("t", "c", height=300 * n_rows)
    make_subplots(rows=n_rows, cols=n_columns, horizontal_spacing=0.02, figure=fig)
    for row in range(1, n_rows + 1):
        for column in range(1, n_columns + 1):
            fig.add_scatter(x=[1, 2], y=[1, 2], row=row, col=column)
    fig.update_yaxes(title_text="metric")
    fig.update_xaxes(title_text=LONG_TITLE)
    return fig


def test_gaps_between_panels_hold_their_labels():
    fig = panels_figure(2)
    fig.add_annotation(x=0.51, xref="paper", y=1, yref="paper", text="second", yanchor="bottom")
    layout = fit_to_page(fig, COLUMN).layout
    left, right = layout.xaxis.domain, layout.xaxis2.domain
    assert (right[0] - left[1]) * COLUMN > 40
    assert left[1] - left[0] == pytest.approx(right[1] - right[0])
    assert (left[0], right[1]) == pytest.approx((0, 1))
    # A title moves with its panel.
    name = layout.annotations[0]
    assert (name.xref, name.yref, name.y) == ("x2 domain", "y2 domain", 1)
    assert 0 <= name.x < 0.05


def test_rows_of_panels_get_the_height_for_their_titles():
    fig = panels_figure(2, 2)
    for axis in ("x", "x3"):
        note = {"text": "a long title of one panel", "yanchor": "bottom", "x": 0, "y": 1}
        fig.add_annotation(**note, xref=f"{axis} domain", yref=f"{axis.replace('x', 'y')} domain")
    layout = fit_to_page(fig, COLUMN).layout
    upper, lower = layout.yaxis.domain, layout.yaxis3.domain
    plot = layout.height - layout.margin.t - layout.margin.b
    lines = layout.annotations[1].text.count("<br>") + 1
    assert (upper[0] - lower[1]) * plot > 15 * lines + 20
    # The title that all panels share stands once, in the middle.
    (shared,) = [note for note in layout.annotations if note.text == LONG_TITLE]
    assert (shared.x, shared.y) == (0.5, 0)
    assert layout.margin.b > 20 - shared.yshift
    # The uppermost titles lie within the figure.
    assert layout.margin.t > 15 * (layout.annotations[0].text.count("<br>") + 1)


@pytest.mark.parametrize(("n_columns", "width"), [(1, "column"), (2, "column"), (3, "page")])
def test_three_panels_side_by_side_are_for_the_page(n_columns, width):
    assert suiting_width(panels_figure(n_columns)) == width


def test_many_names_are_for_the_page(figure):
    names = [f"category {i}" for i in range(20)]
    figure.update_xaxes(tickvals=list(range(20)), ticktext=names)
    assert suiting_width(figure) == "page"
    figure.update_xaxes(tickvals=[0, 1], ticktext=names[:2])
    assert suiting_width(figure) == "column"


def test_crowded_tick_labels_are_thinned_out():
    fig = new_figure("t", "c")
    values = [1, 2, 4, 8, 16, 20, 32, 64, 100, 128]
    fig.add_scatter(x=values, y=values)
    fig.update_xaxes(type="log", tickvals=values)
    narrow = fit_to_page(fig, COLUMN / 2).layout.xaxis
    assert narrow.tickvals == tuple(values)
    assert narrow.ticktext[-1] == "128"
    assert narrow.ticktext[8] == ""
    kept = [value for value, label in zip(values, narrow.ticktext, strict=True) if label]
    assert 4 < len(kept) < len(values)
    # Half as wide as the column and less, over 2.1 decades; two digits are 12 pixels wide.
    steps = np.diff(np.log10(kept)) * COLUMN / 2 / np.log10(128)
    assert steps.min() > 12
    fig.update_xaxes(ticktext=["", *map(str, values[1:])])
    assert fit_to_page(fig, COLUMN / 2).layout.xaxis.ticktext[0] == ""
    fig.update_xaxes(ticktext=None)
    wide = fit_to_page(fig, 4 * COLUMN).layout.xaxis
    assert "" not in wide.ticktext
    fig.update_xaxes(ticktext=[f"word {v}" for v in values])
    with pytest.raises(TooNarrowError, match="the 10 names below it would touch"):
        fit_to_page(fig, 0.45 * COLUMN)
    assert "" not in fit_to_page(fig, COLUMN).layout.xaxis.ticktext
