"""One colour range per category, and what the pictures show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lakeviz.errors import ConfigError, MetricError
from lakeviz.plots import ColourRange, colour_range, heat_layer, heatmap_figure, overlay, png_bytes

UNIT = ColourRange(0.0, 1.0, "by hand")


def test_range_comes_from_normal_images_alone():
    normal = np.linspace(0, 1, 1001)[:1000].reshape(10, 10, 10)
    defective = np.full((3, 10, 10), 50.0)
    labels = np.array([0] * 10 + [1] * 3)
    found = colour_range(np.concatenate([normal, defective]), labels)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(normal, [0.5, 0.995])))
    assert "10 normal test images" in found.rule
    # Whatever the anomalous images hold, the range stays, and what it cuts is said.
    other = colour_range(np.concatenate([normal, 9 * defective]), labels)
    assert (other.low, other.high) == (found.low, found.high)
    assert "23 % of patches above it, up to 50, have its last colour" in found.rule


def test_range_ends_at_the_threshold_of_image_scores():
    maps = np.array([[[0.0, 0.2]], [[0.1, 0.3]], [[0.1, 0.5]], [[0.0, 2.0]]])
    labels, highest = np.array([0, 0, 1, 1]), np.array([0.2, 0.3, 0.5, 2.0])
    found = colour_range(maps, labels, highest)
    assert (found.low, found.high) == pytest.approx((0.15, 0.5))
    assert "to the F1-max threshold of images; the 12 % of patches above it, up to 2" in found.rule
    assert found.labels() == ["≤ 0.150", "0.325", "≥ 0.500"]
    # Where images are scored otherwise, their threshold says nothing of a patch.
    assert colour_range(maps, labels, highest / 2) == colour_range(maps, labels)
    assert colour_range(maps[:2], labels[:2], highest[:2]).high < 0.31


def test_without_normal_images_the_rule_says_so():
    scores = np.arange(200.0).reshape(2, 10, 10)
    found = colour_range(scores, np.array([1, 1]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(scores, [0.5, 0.995])))
    assert "all 2 test images (none is normal)" in found.rule


@pytest.mark.parametrize("value", [0.0, 3.0, -1e-9])
def test_constant_normal_scores_still_have_a_range(value):
    found = colour_range(np.full((1, 2, 2), value), np.array([0]))
    assert found.low == value
    assert found.high > found.low


def test_bad_ranges_are_refused():
    with pytest.raises(MetricError, match="finite"):
        colour_range(np.full((1, 2, 2), np.nan), np.array([0]))
    with pytest.raises(MetricError, match="at least one"):
        colour_range(np.zeros((0, 2, 2)), np.zeros(0))
    with pytest.raises(ConfigError, match="empty"):
        ColourRange(1.0, 1.0, "")


def test_equal_scores_have_equal_colours_in_every_image():
    calm, loud = np.array([[0.1, 0.2]]), np.array([[0.2, 0.9]])
    assert (heat_layer(calm, UNIT)[0, 1] == heat_layer(loud, UNIT)[0, 0]).all()


def test_scale_is_linear_and_cut_at_its_ends():
    colours = ColourRange(1.0, 3.0, "by hand")
    scores = np.array([-9.0, 1, 1.5, 2, 3, 21])
    assert colours.place(scores) == pytest.approx([0, 0, 0.25, 0.5, 1, 1])
    assert [colours.score(place) for place in (0, 0.25, 1)] == pytest.approx([1, 1.5, 3])


def test_colours_run_from_dark_to_bright():
    below, low, high = heat_layer(np.array([-5.0, 0.0, 1e6]), UNIT).astype(int)
    assert (below == low).all()
    assert low.sum() < 30
    assert high.sum() > 500


def test_brightness_rises_with_the_score():
    rgb = heat_layer(np.linspace(0, 1, 64), UNIT).astype(float)
    assert (np.diff(rgb @ [0.2126, 0.7152, 0.0722]) >= 0).all()
    assert len(np.unique(rgb, axis=0)) > 50


def test_overlay_shows_the_image_in_colour_where_scores_are_low():
    image = Image.new("RGB", (8, 4), (200, 100, 50))
    low, middle, high = (np.full((4, 8), score) for score in (0.0, 0.5, 1.0))
    assert (np.asarray(overlay(image, low, UNIT)) == [200, 100, 50]).all()
    assert (np.asarray(overlay(image, high, UNIT, opacity=0.0)) == [200, 100, 50]).all()
    assert (np.asarray(overlay(image, high, UNIT, opacity=1.0)) == heat_layer(high, UNIT)).all()
    half = np.asarray(overlay(image, middle, UNIT, opacity=1.0)).astype(float)
    both = (heat_layer(middle, UNIT) + np.array([200.0, 100.0, 50.0])) / 2
    assert half == pytest.approx(both, abs=2)


def test_overlay_draws_the_outline_of_a_mask_of_another_size():
    image = Image.new("RGB", (40, 40), "black")
    mask = np.zeros((80, 80), dtype=bool)
    mask[20:60, 20:60] = True
    made = np.asarray(overlay(image, np.zeros((5, 5)), UNIT, mask)).astype(int)
    assert made[10, 20].tolist() == [64, 224, 255]
    assert made[20, 20].sum() < 30


def test_overlay_is_reduced_and_png():
    made = overlay(Image.new("RGB", (400, 200)), np.zeros((2, 2)), UNIT, longest=100)
    assert made.size == (100, 50)
    assert png_bytes(made).startswith(b"\x89PNG")


def test_figure_holds_the_scores_where_the_patches_are():
    scores = np.arange(6.0).reshape(2, 3)
    mask = np.zeros((20, 60), dtype=bool)
    mask[0:10, 20:40] = True
    fig = heatmap_figure(Image.new("RGB", (60, 20)), scores, ColourRange(1, 4, "so"), mask)
    heat, grid, outline = fig.data
    assert np.array_equal(heat.z, ColourRange(1, 4, "so").place(scores))
    assert np.array_equal(heat.customdata[..., 2], scores)
    assert (heat.zmin, heat.zmax) == (0, 1)
    assert list(heat.colorbar.ticktext) == ["≤ 1.00", "2.50", "≥ 4.00"]
    # Centres of the patches, in pixels of the image.
    assert (heat.x0, heat.dx, heat.y0, heat.dy) == (10, 20, 5, 10)
    assert heat.customdata[1, 2, :2].tolist() == [1, 2]
    assert grid.visible == "legendonly"
    assert [v for v in grid.x if v is not None].count(20) == 2
    assert {(x, y) for x, y in zip(outline.x, outline.y) if x is not None} == {
        (20, 0),
        (40, 0),
        (40, 10),
        (20, 10),
    }
    steps = fig.layout.sliders[0].steps
    assert [step.args[0]["opacity"] for step in steps] == pytest.approx(np.linspace(0, 1, 11))
    assert fig.layout.sliders[0].active == 8
    assert fig.layout.images[0].source.startswith("data:image/jpeg;base64,")


def test_figure_of_a_photograph_is_light():
    noise = np.random.default_rng(0).integers(0, 255, (3000, 2000, 3), dtype=np.uint8)
    fig = heatmap_figure(Image.fromarray(noise), np.zeros((14, 14)), UNIT)
    assert len(fig.to_json()) < 400_000


def facts() -> pd.DataFrame:
    """Two patches of a map of two, told of at two hook points."""
    return pd.DataFrame(
        {
            "point": ["a", "a", "<b>", "<b>"],
            "row": 0,
            "column": [0, 1, 0, 1],
            "nearest_image": ["good/1.png", "<img src=x>.png", "good/3.png", "good/4.png"],
            "nearest_row": [5, 6, 7, 8],
            "nearest_column": [1, 2, 3, 4],
            "distance": [0.5, 0.25, 0.125, 0.0625],
            "neurons": ["17 (64 %)", "3 (50 %)", "4 (9 %)", "5 (1 %)"],
        }
    )


def test_pointing_at_a_patch_says_where_its_score_comes_from():
    fig = heatmap_figure(Image.new("RGB", (20, 10)), np.zeros((1, 2)), UNIT, patches=facts())
    heat = fig.data[0]
    first, second = heat.text[0]
    assert "%{text}" in heat.hovertemplate
    assert "score %{customdata[2]" in heat.hovertemplate
    assert first.index("good/1.png") < first.index("row 5, column 1, distance 0.5")
    assert "neurons (share): 17 (64 %)" in first
    assert "row 7, column 3, distance 0.125" in first
    assert "&lt;img src=x&gt;.png" in second
    assert "<b>&lt;b&gt;</b>" in second
    assert "nearest normal patch" in fig.layout.meta["caption"]
    without = heatmap_figure(Image.new("RGB", (20, 10)), np.zeros((1, 2)), UNIT)
    assert without.data[0].text is None
    assert "Pointing" not in without.layout.meta["caption"]


def test_facts_that_do_not_fit_are_refused():
    image, scores = Image.new("RGB", (20, 10)), np.zeros((1, 2))
    with pytest.raises(ConfigError, match="lacks the column 'neurons'"):
        heatmap_figure(image, scores, UNIT, patches=facts().drop(columns="neurons"))
    with pytest.raises(ConfigError, match=r"patch \(0, 2\); the map has 1 x 2"):
        heatmap_figure(image, scores, UNIT, patches=facts().assign(column=2))
