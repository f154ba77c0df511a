"""Pixel-level metrics against scikit-learn, a textbook AUPRO and hand-worked cases."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import (
    Conventions,
    RegionMask,
    aupimo,
    aupro,
    pixel_auroc,
    pixel_average_precision,
    pixel_f1_max,
    pixel_metrics,
)
from lakeviz.metrics.pixel_intervals import measure_pixels

NAMES = ("auroc", "average_precision", "f1_max", "aupro")


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_scikit_learn(smooth_set, levels, dtype):
    maps, masks = smooth_set(0, levels=levels)
    maps = maps.astype(dtype)
    y, s = masks.ravel(), maps.ravel().astype(np.float64)
    result = pixel_metrics(maps, masks)
    precision, recall, _ = sk.precision_recall_curve(y, s)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert result.auroc == pytest.approx(sk.roc_auc_score(y, s), abs=1e-9)
    assert result.average_precision == pytest.approx(sk.average_precision_score(y, s), abs=1e-9)
    assert result.f1_max == pytest.approx(f1.max(), abs=1e-9)
    assert sk.f1_score(y, s >= result.f1_threshold) == pytest.approx(f1.max(), abs=1e-9)


@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_aupro_equals_the_textbook(smooth_set, textbook_aupro, levels, limit, connectivity):
    maps, masks = smooth_set(1, n=4, side=12, levels=levels)
    conventions = Conventions(aupro_limit=limit, connectivity=connectivity)
    expected = textbook_aupro(maps, masks, limit, corners=connectivity == 8)
    assert aupro(maps, masks, conventions) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.int8, (2, 3, 4), elements=st.integers(0, 4)),
    hnp.arrays(bool, (2, 3, 4)),
    st.sampled_from([0.1, 0.3, 1.0]),
)
def test_aupro_equals_the_textbook_under_any_ties(textbook_aupro, maps, masks, limit):
    if masks.all() or not masks.any():
        return
    expected = textbook_aupro(maps, masks, limit)
    assert aupro(maps, masks, Conventions(aupro_limit=limit)) == pytest.approx(expected, abs=1e-12)


def test_aupro_by_hand():
    # Regions: {9} and {8, 1}. Normal pixels 7, 5, 3, 2: a rate step of 1/4 each.
    # PRO is 3/4 from rate 0 and 1 only after rate 1, so the area up to any limit is 3/4 of it.
    maps = np.array([[[9.0, 7.0, 8.0], [5.0, 3.0, 1.0], [2.0, 0.5, 0.25]]])
    masks = np.array([[[1, 0, 1], [0, 0, 1], [0, 0, 0]]])
    assert aupro(maps, masks) == pytest.approx(0.75)


def test_corner_neighbours_are_one_region_or_two():
    maps = np.array([[[9.0, 1.0], [2.0, 0.0]]])
    masks = np.array([[[1, 0], [0, 1]]])
    assert pixel_metrics(maps, masks).n_regions == 1
    assert pixel_metrics(maps, masks, Conventions(connectivity=4)).n_regions == 2


def test_aupro_weighs_regions_alike_whatever_their_size():
    # A region of one pixel found, one of eight pixels missed: PRO 1/2, recall 1/9.
    maps, masks = np.zeros((1, 5, 8)), np.zeros((1, 5, 8), dtype=int)
    masks[0, 0], masks[0, 4, 3] = 1, 1
    maps[0, 1:4], maps[0, 4, 3] = 0.5, 1.0
    maps[0, 4, :3] = maps[0, 4, 4:7] = 0.5
    expected = 0.5  # 24 + 6 of 31 normal pixels tie at 0.5, beyond the limit of 0.3
    assert aupro(maps, masks) == pytest.approx(expected)


def test_aupimo_by_hand():
    normal, mask = np.arange(10.0)[None], np.zeros((1, 10))
    defects = np.zeros((1, 10))
    defects[0, :4] = [9.5, 7.5, 0.5, 7.0]  # rates 0, 2/10, 9/10, and 3/10 (the tie counts)
    defect_mask = np.zeros((1, 10))
    defect_mask[0, :4] = 1
    conventions = Conventions(aupimo_bounds=(0.1, 0.5))
    result = aupimo([normal, defects], [mask, defect_mask], conventions)
    expected = (1 + np.log(0.5 / 0.2) / np.log(5) + 0 + np.log(0.5 / 0.3) / np.log(5)) / 4
    assert np.isnan(result.per_image[0])
    assert result.per_image[1] == pytest.approx(expected, abs=1e-12)
    assert result.mean == pytest.approx(expected, abs=1e-12)


def test_aupimo_equals_the_integral_over_log_rate(smooth_set):
    maps, masks = smooth_set(2)
    low, high = 1e-3, 0.2
    normal = np.sort(maps[~masks.any(axis=(1, 2))].ravel())
    grid = np.exp(np.linspace(np.log(low), np.log(high), 20_001))
    midpoints = np.sqrt(grid[1:] * grid[:-1])
    # Highest number of normal pixels allowed at each rate; a defect pixel counts if it beats more.
    allowed = np.floor(midpoints * normal.size + 1e-9).astype(int)
    reached = normal.size - np.searchsorted(normal, maps[1][masks[1]], side="left")
    recall = (reached[None, :] <= allowed[:, None]).mean(axis=1)
    result = aupimo(maps, masks, Conventions(aupimo_bounds=(low, high)))
    assert result.per_image[1] == pytest.approx(recall.mean(), abs=2e-4)


def test_aupimo_averages_the_rates_of_normal_images_of_any_size():
    # 1 of 4 and 6 of 6 pixels reach the threshold: the rate is the mean 5/8, not 7/10.
    maps = [np.array([[9.0, 0, 0, 0]]), np.full((2, 3), 9.0), np.array([[5.0, 0.0]])]
    masks = [np.zeros((1, 4)), np.zeros((2, 3)), np.array([[1, 0]])]
    result = aupimo(maps, masks, Conventions(aupimo_bounds=(0.5, 1.0)))
    assert result.mean == pytest.approx(np.log(1 / (5 / 8)) / np.log(2), abs=1e-12)


def test_many_maps_take_the_threaded_path_and_agree(smooth_set):
    maps, masks = smooth_set(3, n=8, side=600)
    assert maps.size > 2 << 20
    y, s = masks.ravel(), maps.ravel()
    result = pixel_metrics(maps, masks, metrics=("auroc", "average_precision"))
    assert result.auroc == pytest.approx(sk.roc_auc_score(y, s), abs=1e-9)
    assert result.average_precision == pytest.approx(sk.average_precision_score(y, s), abs=1e-9)


def test_single_functions_agree_with_the_whole(smooth_set):
    maps, masks = smooth_set(4)
    result = pixel_metrics(maps, masks)
    assert pixel_auroc(maps, masks) == result.auroc
    assert pixel_average_precision(maps, masks) == result.average_precision
    assert (pixel_f1_max(maps, masks).value, pixel_f1_max(maps, masks).threshold) == (
        result.f1_max,
        result.f1_threshold,
    )
    assert aupro(maps, masks) == result.aupro


def test_containers_and_mask_dtypes_do_not_matter(smooth_set):
    maps, masks = smooth_set(5)
    expected = pixel_metrics(maps, masks).to_dict()
    bytes_masks = masks.astype(np.uint8) * 255
    assert pixel_metrics(list(maps), list(masks)).to_dict() == expected
    assert pixel_metrics(maps[:, None], bytes_masks[:, None]).to_dict() == expected
    assert pixel_metrics(torch.tensor(maps), torch.tensor(bytes_masks)).to_dict() == expected
    tensors = [torch.tensor(m, dtype=torch.float64)[None] for m in maps]
    assert pixel_metrics(tensors, masks.astype(float)).to_dict() == expected
    big_endian = np.asfortranarray(maps.astype(">f8"))
    assert pixel_metrics(big_endian, masks).to_dict() == expected


def test_inputs_are_left_alone(smooth_set):
    maps, masks = smooth_set(5)
    before = maps.copy(), masks.copy()
    pixel_metrics(maps, masks)
    pixel_metrics(list(maps[:1]) + list(maps[1:2]), masks[:2])
    np.testing.assert_array_equal(maps, before[0])
    np.testing.assert_array_equal(masks, before[1])


def test_mixed_dtypes_are_compared_by_value():
    # 0.1 as float32 is above 0.1 as float64; casting down would make a tie of it.
    maps = [np.array([[np.float32(0.1)]]), np.array([[0.1]])]
    assert pixel_auroc(maps, [np.array([[1]]), np.array([[0]])]) == 1.0
    assert pixel_auroc(maps, [np.array([[0]]), np.array([[1]])]) == 0.0


def test_different_sizes_equal_scikit_learn():
    rng = np.random.default_rng(6)
    shapes = [(5, 7), (9, 3), (4, 4), (5, 7)]
    maps = [rng.normal(size=shape) for shape in shapes]
    masks = [rng.random(shape) < p for shape, p in zip(shapes, (0, 0.3, 0, 0.2))]
    y = np.concatenate([m.ravel() for m in masks])
    s = np.concatenate([m.ravel() for m in maps])
    result = pixel_metrics(maps, masks)
    assert result.auroc == pytest.approx(sk.roc_auc_score(y, s), abs=1e-12)
    assert result.conventions.resolution == "mixed"
    assert pixel_metrics(maps[:1] * 2, [masks[0], ~masks[0]]).conventions.resolution == "5x7"


def test_constant_maps_have_chance_values(smooth_set):
    _, masks = smooth_set(7)
    result = pixel_metrics(np.full(masks.shape, 0.5), masks)
    share = masks.mean()
    assert result.auroc == 0.5
    assert result.average_precision == pytest.approx(share)
    assert result.f1_max == pytest.approx(2 * share / (1 + share))
    assert result.aupro == pytest.approx(0.15)  # the diagonal up to 0.3, divided by 0.3


def test_a_perfect_detector_scores_one_everywhere(smooth_set):
    _, masks = smooth_set(8, side=64)
    result = pixel_metrics(masks.astype(float), masks)
    values = [result.auroc, result.average_precision, result.f1_max, result.aupro, result.aupimo]
    assert values == pytest.approx([1.0] * 5, abs=1e-12)
    assert result.f1_threshold == 1.0


def test_one_image_has_all_but_aupimo(smooth_set):
    maps, masks = smooth_set(9)
    result = pixel_metrics(maps[1:2], masks[1:2])
    assert set(result.reasons) == {"aupimo"}
    assert "no normal image" in result.reasons["aupimo"]
    assert 0 < result.aupro < 1 and np.isnan(result.aupimo)
    with pytest.raises(MetricError, match="no normal image"):
        aupimo(maps[1:2], masks[1:2])


def test_too_few_normal_pixels_leave_aupimo_undefined(smooth_set):
    maps, masks = smooth_set(10)
    assert "1728 normal pixels" in pixel_metrics(maps, masks).reasons["aupimo"]


def test_empty_masks_are_nan_with_reasons_or_errors(smooth_set):
    maps, masks = smooth_set(11)
    result = pixel_metrics(maps, np.zeros_like(masks))
    assert set(result.reasons) == {*NAMES, "aupimo"}
    assert all(np.isnan(getattr(result, name)) for name in (*NAMES, "aupimo", "f1_threshold"))
    assert result.n_anomalous == result.n_defect_pixels == result.n_regions == 0
    assert json.loads(json.dumps(result.to_dict()))["aupro"] is None
    for function in (pixel_auroc, pixel_average_precision, pixel_f1_max, aupro, aupimo):
        with pytest.raises(MetricError, match="no mask of the 6 images has a defect pixel"):
            function(maps, np.zeros_like(masks))


def test_masks_without_background_are_undefined(smooth_set):
    maps, masks = smooth_set(12)
    assert "every pixel" in pixel_metrics(maps, np.ones_like(masks)).reasons["auroc"]
    with pytest.raises(MetricError, match="every pixel of the 6 images is a defect pixel"):
        pixel_auroc(maps, np.ones_like(masks))


def test_only_what_was_asked_for(smooth_set):
    maps, masks = smooth_set(13)
    result = pixel_metrics(maps, masks, metrics=("auroc",))
    assert set(result.reasons) == {"average_precision", "f1_max", "aupro", "aupimo"}
    assert np.isnan([result.f1_max, result.f1_threshold, result.aupro]).all()
    assert result.n_regions is None
    with pytest.raises(MetricError, match="not asked for"):
        result.require("aupro")
    with pytest.raises(ConfigError, match=r"a pixel metric must be auroc, .* or aupimo, not 'iou'"):
        pixel_metrics(maps, masks, metrics=("iou",))


def _broken(maps, value):
    maps = maps.copy()
    maps[4, 3, 3] = value
    return maps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (_broken(a, np.nan), b), "map 4 hold NaN"),
        (lambda a, b: (_broken(a, np.inf), b), "map 4 hold infinite"),
        (lambda a, b: (a, b[:-1]), "6 maps but 5 masks"),
        (
            lambda a, b: (a, [*b[:-1], b[-1].T[:4]]),
            r"map 5 has shape \(24, 24\), its mask \(4, 24\)",
        ),
        (lambda a, b: (a, b * np.linspace(0.5, 1, 24)), "not binary"),
        (lambda a, b: (a[0], b[0]), "need .image, height, width."),
        (lambda a, b: (a[:0], b[:0]), "no maps"),
        (lambda a, b: ([m[0] for m in a], [m[0] for m in b]), "need height x width"),
        (lambda a, b: (a[:, :0], b[:, :0]), "need height x width"),
        (lambda a, b: (a.astype(complex), b), "map 0 have dtype complex128"),
        (lambda a, b: (a, b.astype(str)), "mask 0 has dtype"),
    ],
)
def test_bad_input_is_named(smooth_set, change, message):
    with pytest.raises(MetricError, match=message):
        pixel_metrics(*change(*smooth_set(14)))


@pytest.mark.parametrize("limit", [0.05, 0.01])
def test_aupro_at_the_limits_of_mvtec_3d_is_aupro_with_that_convention(limit):
    rng = np.random.default_rng(0)
    masks = [np.zeros((20, 20), bool) for _ in range(4)]
    masks[0][3:6, 4:8] = masks[1][10:12, 10:12] = True
    maps = [rng.random((20, 20)) + 0.5 * mask for mask in masks]
    found = measure_pixels(maps, masks, (f"aupro_{limit}",))
    expected = aupro(maps, masks, Conventions(aupro_limit=limit))
    assert expected < aupro(maps, masks) - 0.05
    assert found.values["pixel", f"aupro_{limit}"] == pytest.approx(expected, abs=1e-12)


def test_pixels_that_do_not_count_are_as_if_they_were_not_there():
    rng = np.random.default_rng(1)
    masks = [np.zeros((12, 12), bool) for _ in range(3)]
    masks[0][2:4, 2:9] = True  # partly outside of what counts: defect pixels count all the same
    maps = [rng.random((12, 12)) + 0.5 * mask for mask in masks]
    counted = np.zeros((12, 12), bool)
    counted[:, :6] = True
    regions = [RegionMask.of_mask(mask).counting(counted) for mask in masks]
    names = ("auroc", "average_precision", "aupro")
    found = pixel_metrics(maps, regions, metrics=names)
    scores = np.concatenate([m[mask | counted] for m, mask in zip(maps, masks)])
    labels = np.concatenate([mask[mask | counted] for mask in masks])
    assert found.auroc == pytest.approx(sk.roc_auc_score(labels, scores))
    assert found.average_precision == pytest.approx(sk.average_precision_score(labels, scores))
    assert found.n_pixels == labels.size
    # Resamples count as the exact value does: of one image drawn as it is, they agree.
    assert measure_pixels(maps, regions, names).values["pixel", "auroc"] == found.auroc
    with pytest.raises(MetricError, match="no normal pixel would count"):
        regions[1].counting(np.zeros((12, 12), bool))
