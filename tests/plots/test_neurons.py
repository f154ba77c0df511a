"""Figures of single neurons show the numbers of their tables."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lakeviz.errors import ConfigError
from lakeviz.studies.neurons.figures import (
    neuron_detectors_figure,
    neuron_differences_figure,
    neuron_groups_figure,
    variance_auroc_figure,
)
from lakeviz.studies.neurons.patch_figures import activation_figure, driving_patches_figure

POINTS = ("blocks.1.hook_resid_post", "blocks.2.hook_resid_post")


def neurons_table(category: str = "c") -> pd.DataFrame:
    tables = []
    for point in POINTS:
        table = pd.DataFrame(
            {
                "channel": [7, 3, 9, 1],
                "group": ["selected", "selected", "random", "random"],
                "image_auroc": [0.6, 0.9, 0.5, 0.4],
                "cohens_d": [-2.0, 1.0, 0.5, 0.0],
                "matched_d": [-1.0, 0.5, 0.1, 0.0],
            }
        )
        table["image_auroc_low"] = table["image_auroc"] - 0.1
        table["image_auroc_high"] = table["image_auroc"] + 0.05
        tables.append(table.assign(point=point, category=category, n_images=30))
    return pd.concat(tables, ignore_index=True)


def groups_table(category: str = "c", gap: float = 0.3) -> pd.DataFrame:
    rows = [
        {"point": point, "measure": measure, "value": 0.75, "control_mean": 0.75 - gap}
        for point in (*POINTS, "mean of points")
        for measure in ("image_auroc", "abs_cohens_d")
    ]
    table = pd.DataFrame(rows).assign(category=category, n_images=30, difference=gap)
    for name, middle in (
        ("", "value"),
        ("control_mean_", "control_mean"),
        ("difference_", "difference"),
    ):
        table[f"{name}low"] = table[middle] - 0.2
        table[f"{name}high"] = table[middle] + 0.2
    return table


def test_detectors_are_sorted_within_their_group():
    fig = neuron_detectors_figure(neurons_table())
    selected, random, *others = fig.data
    assert list(selected.y) == [0.9, 0.6]
    assert [text.split("<br>")[0] for text in selected.text] == [
        "selected, channel 3",
        "selected, channel 7",
    ]
    assert list(selected.x) == pytest.approx([0.83, 1.83])
    assert selected.error_y.array == pytest.approx([0.05, 0.05])
    assert selected.error_y.arrayminus == pytest.approx([0.1, 0.1])
    assert list(random.y) == [0.5, 0.4]
    assert selected.marker.symbol != random.marker.symbol
    assert len(others) == 2
    assert [t.showlegend for t in fig.data] == [True, True, False, False]
    assert "4 selected neurons and 4 random neurons of 2 hook points" in fig.layout.meta["caption"]
    assert [shape.y0 for shape in fig.layout.shapes] == [0.5, 0.5]


def test_several_categories_or_no_measure_are_refused():
    two = pd.concat([neurons_table("a"), neurons_table("b")])
    with pytest.raises(ConfigError, match="neuron_differences_figure"):
        neuron_detectors_figure(two)
    with pytest.raises(ConfigError, match="pixel AUROC"):
        neuron_detectors_figure(neurons_table(), measure="pixel_auroc")


def test_groups_show_every_neuron_and_both_means():
    fig = neuron_groups_figure(
        neurons_table(), groups_table(), measures=("image_auroc", "pixel_auroc", "abs_cohens_d")
    )
    dots, mean, random_dots, random_mean = fig.data[:4]
    assert list(dots.x) == [0.6, 0.9]
    assert (list(mean.x), mean.error_x.array) == ([0.75], pytest.approx([0.2]))
    assert list(random_dots.x) == [0.5, 0.4]
    assert list(random_mean.x) == pytest.approx([0.45])
    assert len(fig.data) == 2 * 2 * 4  # two measures, two points: there is no pixel AUROC
    assert list(fig.data[8].x) == [2.0, 1.0]  # sizes of effects, whatever their sign
    assert "blocks.1: +0.300 [+0.100, +0.500]" in fig.layout.xaxis.title.text
    with pytest.raises(ConfigError, match="none of nothing"):
        neuron_groups_figure(neurons_table(), groups_table(), measures=("nothing",))


def test_differences_of_categories_use_the_mean_of_points():
    table = pd.concat([groups_table("a"), groups_table("<b>", 0.1)])
    fig = neuron_differences_figure(table)
    (trace,) = fig.data
    assert list(trace.x) == [0.3, 0.1]
    assert list(fig.layout.yaxis.ticktext) == ["a", "&lt;b&gt;"]
    assert list(trace.marker.symbol) == ["diamond", "circle-open"]  # clear, undecided
    with pytest.raises(ConfigError, match="no difference"):
        neuron_differences_figure(table.assign(difference=np.nan))


def test_variance_against_auroc_marks_the_groups():
    channels = pd.DataFrame(
        {
            "category": "c",
            "point": POINTS[0],
            "channel": [4, 5, 6],
            "group": ["selected", "random", "other"],
            "variance_rank": [1, 2, 3],
            "image_auroc": [0.9, 0.6, 0.7],
            "n_images": 30,
        }
    )
    trend = pd.DataFrame({"point": [POINTS[0]], "value": [0.4], "low": [0.1], "high": [0.6]})
    fig = variance_auroc_figure(channels, trend)
    found = {t.name: (list(t.x), list(t.y)) for t in fig.data}
    assert found == {"other": ([3], [0.7]), "random": ([2], [0.6]), "selected": ([1], [0.9])}
    assert len({t.marker.symbol for t in fig.data}) == 3
    assert "blocks.1 +0.40 [+0.10, +0.60]" in fig.layout.meta["caption"]
    undefined = trend.assign(value=np.nan)
    assert "undefined" in variance_auroc_figure(channels, undefined).layout.meta["caption"]


HISTOGRAMS = pd.DataFrame(
    {
        "point": POINTS[0],
        "channel": 7,
        "label": ["normal", "normal", "defect", "defect"],
        "bin_low": [0.0, 1.0, 0.0, 1.0],
        "bin_high": [1.0, 2.0, 1.0, 2.0],
        "count": [30, 10, 0, 4],
        "density": [0.75, 0.25, 0.0, 1.0],
    }
)


def test_activation_has_both_densities_and_the_effect():
    fig = activation_figure(HISTOGRAMS, neurons_table())
    normal, defect = fig.data
    assert list(normal.x) == [0, 0, 1, 2, 2]
    assert list(normal.y) == [0, 0.75, 0.25, 0.25, 0]
    assert list(defect.y) == [0, 0, 1, 1, 0]
    assert normal.line.dash != defect.line.dash
    assert fig.layout.xaxis.title.text == "blocks.1, channel 7<br>matched d −1.00, unmatched −2.00"
    assert "40 normal patches and 4 defect patches" in fig.layout.meta["caption"]
    with pytest.raises(ConfigError, match="histogram"):
        activation_figure(HISTOGRAMS, neurons_table(), chosen=[(POINTS[1], 7)])


def test_pictures_are_kept_whole_and_outlined():
    wide = np.random.default_rng(0).integers(255, size=(24, 48, 3), dtype=np.uint8)
    fig = driving_patches_figure(
        [[wide, wide], [wide]], [["anomalous image", "normal"], ["clear"]], ["<p>\nchannel 1", "q"]
    )
    assert len(fig.layout.images) == 3
    source = fig.layout.images[0].source.split(",")[1]
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))) == wide).all()
    image, outline = fig.layout.images[0], fig.layout.shapes[0]
    assert image.sizex == pytest.approx(2 * image.sizey)
    assert outline.x1 - outline.x0 == pytest.approx(image.sizex / 3)
    assert outline.y1 - outline.y0 == pytest.approx(image.sizey / 3)
    assert outline.line.dash != fig.layout.shapes[1].line.dash
    assert [note.text for note in fig.layout.annotations] == ["anomalous", "normal", "clear"]
    assert fig.layout.yaxis.ticktext[0] == "&lt;p&gt;<br>channel 1"


def test_no_picture_is_refused():
    with pytest.raises(ConfigError, match="no picture"):
        driving_patches_figure([[]], [[]], ["p"])
    with pytest.raises(ConfigError, match="1 rows of pictures, 0 of labels"):
        driving_patches_figure([[]], [], ["p"])
