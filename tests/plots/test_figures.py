"""Spectrum, distributions, controls and overview show the numbers of their tables."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import ConfigError
from lakeviz.plots import (
    caption_of,
    controls_figure,
    controls_overview_figure,
    metrics_figure,
    score_figure,
    spectrum_figure,
)
from lakeviz.plots.template import PALETTE, TEMPLATES, new_figure


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", TEMPLATES)
def test_every_colour_stands_out_from_the_page(theme):
    page = luminance(TEMPLATES[theme].layout.paper_bgcolor)
    for colour in PALETTE:
        bright, dark = sorted([luminance(colour), page], reverse=True)
        assert (bright + 0.05) / (dark + 0.05) > 2.8


def test_captions_are_escaped_and_kept():
    fig = new_figure("a <b>", "n < 5 & more")
    assert fig.layout.title.text == "a &lt;b&gt;"
    assert fig.layout.title.subtitle.text == "n &lt; 5 &amp; more"
    assert caption_of(fig) == ("a <b>", "n < 5 & more")


def test_plots_know_no_model():
    code = (
        "import sys, lakeviz.plots; "
        "print([m for m in sys.modules if m == 'torch' or m.startswith('lakeviz.lake')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SPECTRUM = pd.DataFrame(
    {
        "point": ["p"] * 4 + ["q"] * 2,
        "channel": [0, 1, 2, 3, 0, 1],
        "variance": [0.5, 4.0, 0.0, 2.0, 1.0, 3.0],
        "selected": [False, True, False, True, True, False],
    }
)


def test_spectrum_is_sorted_and_marks_the_chosen():
    fig = spectrum_figure(SPECTRUM, n_images=4)
    rest, chosen, rest_q, chosen_q = fig.data
    assert (list(chosen.x), list(chosen.y), list(chosen.customdata)) == ([1, 2], [4, 2], [1, 3])
    assert (list(rest.x), list(rest.y), list(rest.customdata)) == ([3], [0.5], [0])
    assert (list(rest_q.y), list(chosen_q.y), list(chosen_q.x)) == ([3], [1], [2])
    assert chosen.name == "p: 2 neurons chosen"
    assert fig.layout.yaxis.type == "log"
    caption = fig.layout.meta["caption"]
    assert "4 normal images" in caption
    assert "1 neuron of zero variance" in caption


def test_empty_spectrum_is_refused():
    with pytest.raises(ConfigError):
        spectrum_figure(SPECTRUM.iloc[:0])


def scores_table(normal: list[float], anomalous: list[float]) -> pd.DataFrame:
    values = normal + anomalous
    return pd.DataFrame(
        {
            "sample_id": [f"<{i}>" for i in range(len(values))],
            "label": [0] * len(normal) + [1] * len(anomalous),
            "defect_type": "kind",
            "score": values,
        }
    )


def test_distribution_has_shares_and_every_image():
    fig = score_figure(scores_table([0.0, 0.1, 0.9, 1.0], [4.0, 1.5]), threshold=1.25, n_bins=4)
    normal, normal_marks, anomalous, anomalous_marks = fig.data
    assert list(normal.x) == [0.5, 1.5, 2.5, 3.5]
    assert list(normal.y) == [75, 25, 0, 0]
    assert list(anomalous.y) == [0, 50, 0, 50]
    assert list(normal_marks.x) == [0.0, 0.1, 0.9, 1.0]
    assert list(anomalous_marks.x) == [4.0, 1.5]
    assert normal_marks.text[0].startswith("&lt;0&gt;")
    (line,) = fig.layout.shapes
    assert (line.x0, line.x1) == (1.25, 1.25)
    assert line.name == "F1-max threshold 1.25"


@pytest.mark.parametrize("threshold", [None, float("nan")])
def test_distribution_of_one_class(threshold):
    fig = score_figure(scores_table([1.0], []), threshold=threshold)
    assert len(fig.data) == 2
    assert not fig.layout.shapes
    assert "There is no anomalous image" in fig.layout.meta["caption"]


def test_distribution_of_no_image_is_refused():
    with pytest.raises(ConfigError):
        score_figure(scores_table([], []))


def controls_table(category: str = "c", shift: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "category": category,
            "control": ["pca", "random"],
            "level": "pixel",
            "metric": "aupro",
            "value": 0.9,
            "control_mean": [0.8, 0.5],
            "control_min": [0.8, 0.3],
            "control_max": [0.8, 0.6],
            "n_members": [1, 5],
            "difference": [0.1 + shift, 0.4 + shift],
            "difference_low": [-0.05, 0.2],
            "difference_high": [0.3, 0.7],
            "n_images": 12,
        }
    )


@pytest.mark.parametrize("stacked", [False, True])
def test_controls_and_differences(stacked):
    fig = controls_figure(controls_table(), level="pixel", metric="aupro", stacked=stacked)
    values, differences = fig.data
    assert list(fig.layout.yaxis.ticktext) == ["random neurons", "truncated PCA"]
    assert list(values.y) == list(differences.y) == [0, 1]
    assert list(values.x) == [0.5, 0.8]
    assert values.error_x.array == pytest.approx([0.1, 0])
    assert values.error_x.arrayminus == pytest.approx([0.2, 0])
    assert list(differences.x) == [0.4, 0.1]
    assert differences.error_x.array == pytest.approx([0.3, 0.2])
    assert differences.error_x.arrayminus == pytest.approx([0.2, 0.15])
    own, zero = fig.layout.shapes
    assert (own.x0, own.xref) == (0.9, "x")
    assert (zero.x0, zero.xref) == (0, "x2")
    assert fig.layout.meta["caption"].startswith("12 test images")


def test_controls_over_categories():
    table = pd.concat([controls_table("a"), controls_table("b", 0.2), controls_table("<i>", 0.1)])
    fig = controls_overview_figure(table, level="pixel", metric="aupro")
    random, pca, means = fig.data
    assert list(random.x) == pytest.approx([0.4, 0.6, 0.5])
    assert list(random.text) == [f"{c}, random neurons" for c in ("a", "b", "&lt;i&gt;")]
    assert list(pca.x) == pytest.approx([0.1, 0.3, 0.2])
    assert list(means.x) == pytest.approx([0.5, 0.2])
    # Student's t for 3 categories, 4.3027, times their standard error, 0.1 / sqrt(3).
    assert means.error_x.array == pytest.approx([0.24841, 0.24841], abs=1e-5)
    assert "Student's 95 % interval over categories" in fig.layout.meta["caption"]
    with pytest.raises(ConfigError, match="controls_overview_figure"):
        controls_figure(table, level="pixel", metric="aupro")


def test_missing_controls_are_refused():
    with pytest.raises(ConfigError, match="image AUROC"):
        controls_figure(controls_table(), level="image", metric="auroc")


def test_one_category_alone_has_its_own_interval():
    fig = controls_overview_figure(controls_table(), level="pixel", metric="aupro")
    (marks,) = fig.data
    assert list(marks.x) == [0.4, 0.1]
    assert marks.error_x.array == pytest.approx([0.3, 0.2])
    assert "alone: 12 test images. Bars: 95 % interval, paired" in fig.layout.meta["caption"]


def test_metrics_by_category():
    table = pd.DataFrame(
        {
            "category": ["a", "a", "b", "b"],
            "branch": "lake",
            "level": ["image", "pixel"] * 2,
            "metric": "auroc",
            "value": [0.9, 0.8, 0.7, np.nan],
            "low": [0.8, np.nan, 0.6, np.nan],
            "high": [0.95, np.nan, 0.9, np.nan],
            "n_images": [10, 10, 20, 20],
        }
    )
    fig = metrics_figure(table)
    image, pixel = fig.data
    assert list(image.x) == [0.9, 0.7]
    assert image.error_x.array == pytest.approx([0.05, 0.2])
    assert list(pixel.x) == [0.8]
    assert np.isnan(pixel.error_x.array).all()
    assert list(fig.layout.yaxis.ticktext) == ["a", "b"]
    assert "2 categories of 10 to 20 test images" in fig.layout.meta["caption"]
    with pytest.raises(ConfigError, match="text"):
        metrics_figure(table, branch="text")
