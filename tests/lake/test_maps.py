"""Pixel maps against hand-worked and scipy's results; image scores by their rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from lakeviz.errors import ConfigError
from lakeviz.lake import ImageScoreRule, ScoreMaps, upsample


def test_bilinear_between_patch_centres_by_hand() -> None:
    """Two patches, four pixels: centres at 1/4 and 3/4, so pixels weigh 0, 1/4, 3/4, 1."""
    assert upsample(np.array([[0.0, 4.0]]), (1, 4)).tolist() == [[0.0, 1.0, 3.0, 4.0]]
    assert upsample(np.array([[0.0], [4.0]]), (4, 1)).ravel().tolist() == [0.0, 1.0, 3.0, 4.0]


def test_bilinear_equals_torch_at_odd_sizes() -> None:
    patch = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(patch)[None, None], size=(17, 40), mode="bilinear", align_corners=False
    )
    assert np.array_equal(upsample(patch, (17, 40)), expected[0, 0].numpy())


def test_bilinear_stays_in_range_and_keeps_constants() -> None:
    patch = np.random.default_rng(1).random((4, 6))
    pixels = upsample(patch, (50, 61))
    assert patch.min() - 1e-6 <= pixels.min() <= pixels.max() <= patch.max() + 1e-6
    np.testing.assert_allclose(upsample(np.full((3, 3), 0.7), (20, 10), 2.0), 0.7, rtol=1e-6)


def test_smoothing_equals_scipy() -> None:
    patch = np.random.default_rng(2).random((6, 6)).astype(np.float32)
    expected = gaussian_filter(upsample(patch, (48, 48)), 4.0, mode="nearest")
    np.testing.assert_allclose(upsample(patch, (48, 48), 4.0), expected, rtol=1e-6)


def test_rules_by_hand() -> None:
    maps = np.arange(20.0).reshape(2, 2, 5)
    assert ImageScoreRule()(maps).tolist() == [9.0, 19.0]
    assert ImageScoreRule("top_mean", 0.3)(maps).tolist() == [8.0, 18.0]  # of 7, 8, 9
    assert ImageScoreRule("top_mean", 1.0)(maps).tolist() == [4.5, 14.5]
    assert ImageScoreRule("top_mean", 0.01)(maps).tolist() == [9.0, 19.0]  # one at least
    assert ImageScoreRule().describe() == "max"
    assert ImageScoreRule("top_mean", 0.25).describe() == "mean of the top 0.25 of patches"


@pytest.mark.parametrize(
    "bad", [{"name": "mean"}, {"fraction": 0.0}, {"fraction": 1.5}, {"fraction": float("nan")}]
)
def test_rules_out_of_range(bad: dict) -> None:
    with pytest.raises(ConfigError):
        ImageScoreRule(**bad)


def make_maps(**options) -> ScoreMaps:
    patch = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    return ScoreMaps(
        patch=patch,
        parts={"visual": patch * 2, "text": patch * 0},
        image_scores=patch.max((1, 2)),
        image_parts={},
        sample_ids=["a", "b"],
        sizes=[(4, 6), (10, 3)],
        **options,
    )


def test_pixel_maps_have_the_size_of_each_image() -> None:
    maps = make_maps()
    assert [m.shape for m in maps.pixel_maps()] == [(4, 6), (10, 3)]
    assert np.array_equal(maps.pixel_map(1, "visual"), upsample(maps.patch[1] * 2, (10, 3)))
    assert (len(maps), maps.grid) == (2, (2, 2))


def test_pixel_maps_of_one_size_smoothed() -> None:
    maps = make_maps(map_size=(16, 16), smoothing=1.5)
    assert [m.shape for m in maps.pixel_maps("text")] == [(16, 16)] * 2
    assert np.array_equal(maps.pixel_map(0), upsample(maps.patch[0], (16, 16), 1.5))


def test_unknown_part_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no part 'texture'.*visual, text"):
        make_maps().pixel_map(0, "texture")


def test_the_repr_rounds_scores():
    maps = make_maps()
    maps.image_scores = np.array([0.44990000128, 7], dtype=np.float32)
    assert "image scores 0.4499, 7;" in repr(maps)
