"""Every kind of figure in print: no text overlaps, is cut or small, by the browser's geometry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import print_geometry
import pytest
from browser import Browser
from PIL import Image

from lakeviz.errors import ConfigError
from lakeviz.lake.figures import Wanted
from lakeviz.metrics import Bootstrap
from lakeviz.plots import (
    ColourRange,
    Scored,
    Tile,
    controls_figure,
    controls_overview_figure,
    gallery_figure,
    metrics_figure,
    neuron_category_figure,
    pr_figure,
    roc_figure,
)
from lakeviz.plots.line_panels import Line, line_figure
from lakeviz.plots.panels import Look
from lakeviz.plots.print.axis_labels import fit_x_axis
from lakeviz.plots.print.export import fitted
from lakeviz.plots.template import new_figure
from lakeviz.report.figures import KINDS, make_figure
from lakeviz.runs.run_folder import RunFolder
from lakeviz.studies.base.registry import load_study

GOLDEN = Path(__file__).parents[1] / "golden" / "run_v1"
WIDTHS = ("column", "page")
MANY = 21


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory) -> Browser:
    browser.open(print_geometry.page(tmp_path_factory.mktemp("print")), width=1200, height=1400)
    return browser


@pytest.fixture(scope="module")
def run() -> RunFolder:
    return RunFolder.open(GOLDEN, root=GOLDEN / "data")


def printed(page: Browser, figures: Iterator[tuple[str, go.Figure]], width: str) -> list[str]:
    """Faults of figures at a width; where one is refused, at the width that it is said to fit."""
    found = []
    for name, figure in figures:
        at: str | float = width
        try:
            fitted(figure, width)
        except ConfigError as error:
            at = float(str(error).split("--width ")[1].rstrip(")"))
        found += [f"{name}: {fault}" for fault in page_faults(page, figure, at)]
    return found


def page_faults(page: Browser, figure: go.Figure, width: str | float) -> list[str]:
    drawn = print_geometry.read(page, figure, width)
    assert drawn["texts"] or drawn["plots"]
    return print_geometry.faults(drawn)


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].of_clips])
def test_every_kind_of_a_run(page, run, kind, width):
    scores = run.table("scores", ["gear"])
    image = str(scores.loc[scores["label"] == 1, "sample_id"].iloc[0])
    one = ("gear",) if KINDS[kind].one_category else ()
    wanted = Wanted(categories=one, image=image, narrow=width == "column")
    figures = iter([(kind, make_figure(kind, run, wanted).figure)])
    assert printed(page, figures, width) == []


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("study", sorted(p.name for p in (GOLDEN / "studies").iterdir()))
def test_every_figure_of_a_study(page, run, study, width):
    figures = load_study(run.study(study)).figures()
    assert figures
    named = ((f"{study} {i}", figure) for i, figure in enumerate(figures, start=1))
    assert printed(page, named, width) == []


def scored(seed: int) -> Scored:
    labels = np.repeat([0, 1], 12)
    scores = np.random.default_rng(seed).normal(labels * (1 + seed % 3))
    return Scored(scores, labels, 0.8, 0.6, 0.9)


def many(run: RunFolder, table: str) -> pd.DataFrame:
    """A table of a run as if it had 21 categories, some of them with long names."""
    own = run.table(table, ["gear"])
    return pd.concat(
        [own.assign(category=f"brushed_metal_{i}" if i % 4 else f"nut{i}") for i in range(MANY)]
    )


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_many_categories(page, run, width):
    runs = {f"brushed_metal_{i}": scored(i) for i in range(MANY)}
    of = {"level": "image", "metric": "auroc"}
    figures = {
        "roc": roc_figure(runs, bootstrap=Bootstrap(n_resamples=50)),
        "pr": pr_figure(runs),
        "metrics": metrics_figure(many(run, "metrics")),
        "controls": controls_overview_figure(many(run, "controls"), **of),
        "matrix": neuron_category_figure(many(run, "spectrum")),
    }
    assert printed(page, iter(figures.items()), width) == []


@pytest.mark.browser
def test_what_the_geometry_finds(page):
    """Each fault is found where it is, and nothing in a plain figure."""
    plain = new_figure("t", "c", height=300)
    plain.add_scatter(x=[0, 1], y=[0, 1], name="line")
    assert page_faults(page, plain, "column") == []
    note = {"xref": "x domain", "yref": "y domain", "showarrow": False}
    broken = {
        "overlap": {"text": "one", "x": 0.5, "y": 0.5, "font": {"size": 12}},
        "turned by 60": {"text": "two", "x": 0.2, "y": 0.5, "textangle": 60},
        "beyond the page": {"text": "a long text on the edge", "x": 1.1, "y": 0.2},
        "lies on a plot": {"text": "three", "x": 0.5, "y": 0.8},
    }
    for said, annotation in broken.items():
        figure = go.Figure(plain)
        figure.add_annotation(annotation | note)
        if said == "overlap":
            figure.add_annotation(annotation | note | {"text": "another"})
        assert any(said in fault for fault in page_faults(page, figure, "column")), said
    legend = go.Figure(plain)
    for i in range(9):
        legend.add_scatter(x=[0, 1], y=[0, i], name=f"series {i}")
    assert "the legend has 10 entries" in page_faults(page, legend, "column")


# --- axes ---


def test_axes_end_where_the_quantity_ends():
    table = pd.DataFrame(
        {
            "category": "gear",
            "level": "image",
            "metric": "auroc",
            "control": ["random", "all"],
            "value": 1.0,
            "control_mean": 1.0,
            "control_min": 1.0,
            "control_max": 1.0,
            "difference": 0.0,
            "difference_low": 0.0,
            "difference_high": 0.0,
            "n_members": 3,
            "n_images": 24,
        }
    )
    values, differences = controls_figure(table, level="image", metric="auroc").select_xaxes()
    assert values.range == (0.95, 1)
    assert differences.range == (-0.05, 0.05)
    wide = table.assign(control_min=0.3, difference_low=-0.7)
    values, differences = controls_figure(wide, level="image", metric="auroc").select_xaxes()
    assert values.range is None
    assert (values.autorangeoptions.clipmin, values.autorangeoptions.clipmax) == (0, 1)
    assert (differences.autorangeoptions.clipmin, differences.autorangeoptions.clipmax) == (-1, 1)


def axis_in_print(low: float, high: float, width: float, **axis: Any) -> dict[str, Any]:
    """An axis of numbers from ``low`` to ``high``, fitted to a width in pixels."""
    spec = {"data": [{"type": "scatter", "x": [low, high], "y": [0, 1]}], "layout": {}}
    fit_x_axis(spec, "x", axis, width)
    return axis


def test_an_axis_about_zero_has_a_label_beside_it():
    # Three labels at most: plotly would take steps of 0.2, and label zero alone.
    narrow = axis_in_print(-0.18, 0.18, 90)
    assert narrow["tickvals"] == pytest.approx([-0.1, 0, 0.1])
    assert narrow["ticktext"] == ["\u22120.1", "0", "0.1"]
    assert axis_in_print(-0.18, 0.18, 50)["ticktext"] == ["", "", "0.1"]  # else they touch
    assert "tickvals" not in axis_in_print(-0.3, 0.3, 90)  # steps of 0.2 label three
    assert "tickvals" not in axis_in_print(-0.18, 0.18, 400)
    assert "tickvals" not in axis_in_print(1.0, 1.0, 90)


def test_steps_of_whole_numbers_grow_until_their_labels_fit():
    assert axis_in_print(0, 22, 900, dtick=1)["dtick"] == 1
    assert axis_in_print(0, 22, 260, dtick=1)["dtick"] == 2
    assert axis_in_print(0, 22, 120, dtick=1)["dtick"] == 5
    assert axis_in_print(0, 1, 20, dtick=1)["dtick"] == 1


def test_many_series_have_a_panel_each():
    x = np.arange(3.0)
    lines = [Line(f"series {i}", x, x, Look.of(i)) for i in range(8)]
    both = Line("intact", x, x, Look.of(9), in_legend=False)
    few = line_figure({"AUROC": [*lines, both]}, title="t", caption="c", x="x")
    assert few.layout.showlegend
    assert len(list(few.select_xaxes())) == 1
    apart = line_figure(
        {"AUROC": [*lines, Line("ninth", x, x, Look.of(8)), both]},
        title="t", caption="c", x="x", ends=(0.0, 1.0),
    )  # fmt: skip
    names = [note.text for note in apart.layout.annotations]
    assert names == [*(f"AUROC: series {i}" for i in range(8)), "AUROC: ninth"]
    assert not apart.layout.showlegend
    assert len(apart.data) == 18
    assert apart.layout.yaxis9.autorangeoptions.clipmax == 1


@pytest.mark.browser
def test_long_titles_and_names_are_whole(page):
    """On a page of its own, as notebooks keep it, a figure has its title."""
    name = "minus top-variance directions of a rotated stream"
    x = np.arange(3.0)
    panels = {name: [Line("a", x, x, Look.of(0))], "other": [Line("a", x, x, Look.of(0))]}
    figure = line_figure(panels, title="A title that is " + "long " * 12, caption="c", x="x")
    assert figure.layout.annotations[0].text == name.replace(" rotated", "<br>rotated")
    assert print_geometry.faults(print_geometry.read(page, figure, "column", "lakeviz")) == []


# --- widths ---


def test_a_width_that_is_too_narrow_names_one_that_fits():
    figure = new_figure("t", "c", height=300)
    figure.add_bar(x=[f"neuron {i}" for i in range(40)], y=np.arange(40))
    with pytest.raises(ConfigError, match=r"85 mm wide: the 40 names .*--width \d+") as error:
        fitted(figure, "column")
    fits = float(str(error.value).split("--width ")[1].rstrip(")"))
    assert 85 < fits <= 178
    assert fitted(figure, fits).layout.width == pytest.approx(fits / 25.4 * 96 / 0.8)
    with pytest.raises(ConfigError):
        fitted(figure, fits - 10)


def test_pictures_whose_texts_would_touch_are_refused():
    image, scores = Image.new("RGB", (60, 40)), np.zeros((4, 4))
    tiles = [Tile(image, scores, str(i), 0.25, group="a", kind="misplaced part") for i in range(6)]
    figure = gallery_figure(tiles, ColourRange(0, 1, "by hand"))
    with pytest.raises(ConfigError, match=r"85 mm wide: .* would lie on .*--width \d+"):
        fitted(figure, "column")
    narrow = gallery_figure(tiles, ColourRange(0, 1, "by hand"), columns=3)
    assert fitted(narrow, "column").layout.width == pytest.approx(401.6, abs=0.1)
