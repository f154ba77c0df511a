"""Figures of sweeps hold the numbers of the tables, averaged as their captions say."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from lakeviz.errors import ConfigError
from lakeviz.plots.template import DASHES, MARKERS, PALETTE
from lakeviz.studies.sweep.figures import (
    sweep_contrasts_figure,
    sweep_heat_figure,
    sweep_lines_figure,
    sweep_parallel_figure,
)

SHOWN = {"level": "image", "metric": "auroc"}


def table(**axes) -> pd.DataFrame:
    """Cells whose value is the sum of the places of their axes, in tenths."""
    given = {"category": ["tile"], "seed": [0], "k": [100, 5], "layer": ["3", "10"]} | axes
    rows = []
    for places in itertools.product(*(range(len(v)) for v in given.values())):
        row = {name: given[name][i] for name, i in zip(given, places, strict=True)}
        value = sum(places) / 10
        rows.append(row | {"value": value, "low": value - 0.01, "high": value + 0.02})
    return pd.DataFrame(rows).assign(**SHOWN, n_images=23, error="")


def traces(fig: go.Figure, name: str, **where) -> list:
    return [t for t in fig.data if t.name == name and all(t[k] == v for k, v in where.items())]


def caption(fig: go.Figure) -> str:
    return fig.layout.meta["caption"]


def test_lines_of_single_cells_have_their_own_intervals():
    fig = sweep_lines_figure(table(), **SHOWN, x="k", series="layer")
    (line,) = traces(fig, "3", mode="lines+markers")
    # Rising values of k, evenly spaced.
    assert list(line.x) == [0, 1]
    assert list(line.y) == pytest.approx([0.1, 0.0])
    assert list(fig.layout.xaxis.ticktext) == ["5", "100"]
    (band,) = traces(fig, "3", fill="toself")
    assert list(band.y) == pytest.approx([0.12, 0.02, -0.01, 0.09])
    assert "4 cells on 23 test images." in caption(fig)
    assert "95 % bootstrap over the images of each cell" in caption(fig)
    looks = {(t.line.dash, t.marker.symbol, t.line.color) for t in fig.data if t.mode != "lines"}
    assert looks == {(DASHES[i], MARKERS[i], PALETTE[i]) for i in range(2)}
    assert line.text == (
        "3<br>k 5: 0.1000 [0.0900, 0.1200]",
        "3<br>k 100: 0.0000 [-0.0100, 0.0200]",
    )


def test_lines_are_means_over_what_is_not_shown():
    cells = table(seed=[0, 1, 2], category=["tile", "gear"])
    fig = sweep_lines_figure(cells, **SHOWN, x="layer")
    (line,) = [t for t in fig.data if t.mode == "lines+markers"]
    assert list(line.y) == pytest.approx([0.1 + 0.05 + 0.05, 0.1 + 0.05 + 0.05 + 0.1])
    (band,) = [t for t in fig.data if t.fill == "toself"]
    assert band.y[1] > line.y[1] > band.y[2]
    said = caption(fig)
    assert "averaged over 2 of category, 3 of seed, 2 of k" in said
    assert "Student's 95 % interval of the mean over 6 units at most" in said
    # A single unit, several settings: a mean without a band.
    alone = sweep_lines_figure(table(), **SHOWN, x="layer")
    assert [t.mode for t in alone.data] == ["lines+markers"]
    assert "No band" in caption(alone)


def test_panels_by_a_third_axis():
    cells = table(distance=["cosine", "euclidean"])
    fig = sweep_lines_figure(cells, **SHOWN, x="k", series="layer", panel="distance")
    assert [note.text for note in fig.layout.annotations] == [
        "distance cosine",
        "distance euclidean",
    ]
    first, second = traces(fig, "10", mode="lines+markers")
    assert list(second.y) == pytest.approx([y + 0.1 for y in first.y])
    assert [first.showlegend, second.showlegend] == [True, False]
    many = table(distance=[f"d{i}" for i in range(8)])
    assert "first 6 of 8 panels" in caption(
        sweep_lines_figure(many, **SHOWN, x="k", panel="distance")
    )


def test_heat_table_shows_means_and_leaves_gaps():
    cells = table(seed=[0, 1])
    cells.loc[(cells["k"] == 5) & (cells["layer"] == "3"), "value"] = np.nan
    fig = sweep_heat_figure(cells, **SHOWN, x="k", y="layer")
    (heat,) = fig.data
    assert list(heat.x) == ["5", "100"]
    assert list(heat.y) == ["3", "10"]
    np.testing.assert_allclose(heat.z, [[np.nan, 0.05], [0.25, 0.15]])
    np.testing.assert_array_equal(heat.text, [["", "0.050"], ["0.250", "0.150"]])
    assert "over 2 cells (0 at least)" in caption(fig)
    assert "no choice for others" in caption(fig)


def test_parallel_coordinates_end_in_the_metric():
    fig = sweep_parallel_figure(table(), **SHOWN, axes=["k", "layer"])
    (lines,) = fig.data
    k, layer, metric = lines.dimensions
    assert list(k.ticktext) == ["5", "100"]
    assert list(np.round(k["values"])) == [1, 1, 0, 0]
    assert list(np.round(layer["values"])) == [0, 1, 0, 1]
    assert list(metric["values"]) == pytest.approx([0.0, 0.1, 0.1, 0.2])
    assert metric.label == "image AUROC"


def test_colours_and_axes_of_equal_values_end_where_the_metric_ends():
    perfect = table().assign(value=1.0)
    (heat,) = sweep_heat_figure(perfect, **SHOWN, x="k", y="layer").data
    assert (heat.zmin, heat.zmax) == (0.95, 1)
    (lines,) = sweep_parallel_figure(perfect, **SHOWN, axes=["k", "layer"]).data
    assert lines.dimensions[-1].range == (0.95, 1)
    (heat,) = sweep_heat_figure(table(), **SHOWN, x="k", y="layer").data
    assert (heat.zmin, heat.zmax) == pytest.approx((0, 0.2))


def test_contrasts_are_sorted_and_marked_where_clear_of_zero():
    rows = [
        {"control": c, "k": k, "difference": d, "difference_low": d - 0.1}
        | {"difference_high": d + 0.1, "n_images": 23, **SHOWN}
        for c, k, d in (("random", 5, 0.3), ("random", 9, -0.05), ("all", 5, -0.2), ("all", 9, 0.0))
    ]
    rows.append({**rows[0], "difference": np.nan})
    fig = sweep_contrasts_figure(pd.DataFrame(rows), **SHOWN, varied=["k"])
    every, open_every, clear, open_ = fig.data
    assert (list(open_.x), list(open_.y), open_.marker.symbol) == ([1], [-0.05], "diamond-open")
    assert (list(clear.x), list(clear.y), clear.marker.symbol) == ([2], [0.3], "diamond")
    assert clear.text == ("k 5<br>+0.3000 [+0.2000, +0.4000]",)
    assert (every.marker.symbol, open_every.marker.symbol) == ("circle", "circle-open")
    np.testing.assert_allclose(clear.error_y.arrayminus, 0.1)
    names = ["minus all neurons", "minus random neurons"]
    assert [note.text for note in fig.layout.annotations] == names
    assert "top-variance neurons minus the control on the same 23 test images" in caption(fig)


def test_what_cannot_be_drawn():
    cells = table()
    empty = cells.assign(value=np.nan)
    for draw in (
        lambda t: sweep_lines_figure(t, **SHOWN, x="k"),
        lambda t: sweep_heat_figure(t, **SHOWN, x="k", y="layer"),
        lambda t: sweep_parallel_figure(t, **SHOWN, axes=["k"]),
    ):
        with pytest.raises(ConfigError, match="no cell was measured by image AUROC"):
            draw(empty)
    with pytest.raises(ConfigError, match="shown twice: k, k"):
        sweep_lines_figure(cells, **SHOWN, x="k", series="k")
    with pytest.raises(ConfigError, match="two axes, not k twice"):
        sweep_heat_figure(cells, **SHOWN, x="k", y="k")
    with pytest.raises(ConfigError, match="need an axis"):
        sweep_parallel_figure(cells, **SHOWN, axes=[])
    none = pd.DataFrame(columns=["level", "metric", "difference"])
    with pytest.raises(ConfigError, match="no control was measured"):
        sweep_contrasts_figure(none, **SHOWN, varied=[])
