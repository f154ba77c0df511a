"""Regions keep their identity whatever the size of the map; expected values are worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from lakeviz.errors import MetricError
from lakeviz.metrics import (
    Bootstrap,
    Conventions,
    PixelScorer,
    RegionMask,
    compat,
    pixel_intervals,
    pixel_metrics,
    pr_curve,
    pro_band,
    pro_curve,
    roc_curve,
)
from lakeviz.metrics.curve_table import pixel_curve
from lakeviz.metrics.pixel_intervals import CountedPixels

EIGHT = np.ones((3, 3))


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def held(mask: RegionMask) -> dict[tuple[int, int], float]:
    """Share of the regions that each pixel of the map holds."""
    places = zip(*np.unravel_index(mask.pixels, mask.shape))
    return {
        (int(y), int(x)): s for (y, x), s in zip(places, mask.share.tolist(), strict=True) if s > 0
    }


def test_a_thin_diagonal_stays_one_region_at_half_and_at_a_third_of_its_size():
    line = np.eye(6, dtype=bool)
    half, third = RegionMask.of_mask(line, (3, 3)), RegionMask.of_mask(line, (2, 2))
    assert half.n_regions == third.n_regions == 1
    assert held(half) == pytest.approx({(i, i): 1 / 3 for i in range(3)})
    assert held(third) == pytest.approx({(i, i): 1 / 2 for i in range(2)})
    # The other diagonal touches only corners of the smaller grid, and breaks there under 4.
    assert RegionMask.of_mask(line[::-1], (3, 3)).n_regions == 1
    assert RegionMask.of_mask(line, (3, 3), connectivity=4).n_regions == 6


def test_a_line_that_nearest_neighbour_breaks_keeps_all_its_parts():
    # Rows 0, 1, 2 of columns 0-1, 2-3, 4-5: at 3 x 3 the centres sampled are (1, 1), (3, 3), ...
    mask = np.zeros((6, 6), bool)
    mask[0, :2] = mask[1, 2:4] = mask[2, 4:] = True
    laid = RegionMask.of_mask(mask, (3, 3))
    nearest = np.zeros((3, 3), bool)
    nearest[0, 1] = True  # of the three pieces, nearest neighbour samples the middle one
    np.testing.assert_array_equal(laid.defect, nearest)
    assert held(laid) == pytest.approx({(0, 0): 1 / 3, (0, 1): 1 / 3, (1, 2): 1 / 3})


def test_two_lines_in_one_pixel_of_the_map_stay_two():
    mask = np.zeros((4, 4), bool)
    mask[0], mask[2, :3] = True, True
    laid = RegionMask.of_mask(mask, (1, 2))
    assert laid.n_regions == 2
    # Left: half of the first line and 2 of 3 pixels of the second; right: the rest.
    assert held(laid) == pytest.approx({(0, 0): 1 / 2 + 2 / 3, (0, 1): 1 / 2 + 1 / 3})


def test_the_map_may_be_finer_than_the_mask():
    laid = RegionMask.of_mask(np.array([[True, False], [False, False]]), (4, 3))
    # Columns of the map lie in those of the mask as 0, 1 (its centre is on the border), 1.
    np.testing.assert_array_equal(np.argwhere(laid.defect), [[0, 0], [1, 0]])
    assert held(laid) == pytest.approx({(0, 0): 1 / 2, (1, 0): 1 / 2})


def test_sizes_need_not_divide_each_other():
    # Five pixels on two: the centre of the third lies on the border, and goes right.
    assert held(RegionMask.of_mask(np.ones((1, 5)), (1, 2))) == pytest.approx(
        {(0, 0): 2 / 5, (0, 1): 3 / 5}
    )
    # Three pixels on four: centres at 0.375, 1.125, 1.875 and 2.625.
    laid = RegionMask.of_mask(np.array([[False, True, False]]), (1, 4))
    assert held(laid) == pytest.approx({(0, 1): 1 / 2, (0, 2): 1 / 2})


def test_every_defect_pixel_counts_also_where_its_centre_lies_on_a_border():
    # Two pixels on seven: Pillow's nearest neighbour gives the middle one to the left.
    laid = RegionMask.of_mask(np.array([[True, False]]), (1, 7))
    assert laid.defect[0].tolist() == [True] * 4 + [False] * 3
    assert set(np.flatnonzero(laid.defect)) <= set(laid.pixels)
    found = pixel_metrics([np.arange(7.0)[None]], [laid])
    assert found.n_defect_pixels == 4
    assert found.auroc == 0


def test_an_image_whose_defect_nearest_neighbour_loses_keeps_one_defect_pixel():
    mask = np.zeros((8, 8), bool)
    mask[0, 0], mask[5, 4:7] = True, True
    laid = RegionMask.of_mask(mask, (2, 2))
    np.testing.assert_array_equal(np.argwhere(laid.defect), [[0, 0]])  # the first of equal ones
    result = pixel_metrics([np.arange(4.0).reshape(2, 2), np.zeros((2, 2))], [laid, laid.defect])
    assert (result.n_anomalous, result.n_regions, result.n_defect_pixels) == (2, 3, 2)


masks = hnp.arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)))
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(mask=masks, size=sizes)
@settings(max_examples=150, deadline=None)
def test_the_number_of_regions_never_depends_on_the_size_and_none_is_lost(mask, size):
    labels, n = ndimage.label(mask, EIGHT)  # pyright: ignore
    laid = RegionMask.of_mask(mask, size)
    assert laid.n_regions == n
    assert laid.shape == size
    assert laid.share.sum() == pytest.approx(n)
    assert laid.defect.any() == mask.any()
    for region in range(1, n + 1):
        alone = RegionMask.of_labels((labels == region).astype(int), size)
        assert alone.share.sum() == pytest.approx(1)
        assert set(held(alone)) <= set(held(laid))
    # The same from labels with gaps between their numbers.
    numbered = RegionMask.of_labels(labels * 7, size)
    np.testing.assert_array_equal(numbered.pixels, laid.pixels)
    np.testing.assert_allclose(numbered.share, laid.share)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_at_their_own_size_regions_are_scipys(rng, connectivity):
    maps = rng.normal(size=(6, 30, 20)).round(1)
    defects = rng.random((6, 30, 20)) < 0.3
    defects[:2] = False
    structure = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    for defect in defects:
        labels, n = ndimage.label(defect, structure)  # pyright: ignore
        laid = RegionMask.of_mask(defect, connectivity=connectivity)
        assert laid.n_regions == n
        share = 1 / np.bincount(labels.ravel())[labels[defect]]
        np.testing.assert_array_equal(laid.share, share)
        np.testing.assert_array_equal(laid.pixels, np.flatnonzero(defect))
    # Every metric is that of the plain masks, to the bit, and so are its draws.
    rules = Conventions(connectivity=connectivity)
    laid = [RegionMask.of_mask(d, connectivity=connectivity) for d in defects]
    plain = pixel_metrics(maps, defects, rules)
    assert pixel_metrics(list(maps), laid, rules).to_dict() == plain.to_dict()
    few = Bootstrap(n_resamples=20)
    assert pixel_intervals(maps, laid, None, few, rules) == pixel_intervals(
        maps, defects, None, few, rules
    )


def test_overlap_is_that_at_image_size_and_other_metrics_are_those_of_nearest_neighbour(rng):
    # Maps with distinct values; masks four times as large, thin lines two pixels wide, so that
    # nearest neighbour samples the background of the large mask evenly along both directions.
    maps = list(rng.permutation(5 * 64).reshape(5, 8, 8).astype(float))
    full = [np.zeros((32, 32), bool) for _ in maps]
    for mask, shift in zip(full[1:], (3, 7, 12, 14)):
        for i in range(20):
            mask[i : i + 2, (i + shift) % 31 : (i + shift) % 31 + 2] = True
    laid = [RegionMask.of_mask(mask, (8, 8)) for mask in full]
    rules = Conventions(aupimo_bounds=(0.02, 0.5))
    found = pixel_metrics(maps, laid, rules)
    nearest = pixel_metrics(maps, [one.defect for one in laid], rules)
    assert found.aupimo > 0
    for name in ("auroc", "average_precision", "f1_max", "f1_threshold", "aupimo"):
        np.testing.assert_equal(getattr(found, name), getattr(nearest, name))
    assert found.n_regions == sum(ndimage.label(m, EIGHT)[1] for m in full)  # pyright: ignore
    # PRO by its definition, threshold by threshold.
    background = np.concatenate([m[~one.defect] for m, one in zip(maps, laid)])
    curve = pro_curve(maps, laid)
    for x, y, threshold in zip(curve.x, curve.y, curve.thresholds):
        if np.isfinite(threshold):
            big = [np.kron(m, np.ones((4, 4))) >= threshold for m in maps]
            shares = []
            for mask, hit in zip(full, big):
                labels, n = ndimage.label(mask, EIGHT)  # pyright: ignore
                shares += [hit[labels == r].mean() for r in range(1, n + 1)]
            assert y == pytest.approx(np.mean(shares))
            assert x == pytest.approx((background >= threshold).mean())
    area = np.trapezoid(curve.up_to(0.3).y, curve.up_to(0.3).x) / 0.3
    assert found.aupro == pytest.approx(area)


def test_everything_that_takes_masks_takes_regions(rng):
    maps = list(rng.normal(size=(8, 8, 8)))
    full = rng.random((8, 32, 32)) < 0.02
    full[:3] = False
    laid = [RegionMask.of_mask(mask, (8, 8)) for mask in full]
    whole = pixel_metrics(maps, laid)
    with PixelScorer(buffer_pixels=50) as scorer:
        for one, mask in zip(maps, laid):
            scorer.update([one], [mask])
        assert scorer.compute().to_dict() == whole.to_dict()
    few = Bootstrap(n_resamples=50)
    intervals = pixel_intervals(maps, laid, None, few)
    for name, estimate in intervals.items():
        assert estimate.value == pytest.approx(getattr(whole, name))
        assert estimate.low <= estimate.high
    assert len(pro_band(maps, laid, few).x)
    for name in ("mvtec", "cflow"):
        assert 0 < compat(name, maps, laid, Conventions(aupro_limit=0.9)).value < 1
    # Other metrics and curves, and the draws behind them, are those of the defect pixels.
    defects = [one.defect for one in laid]
    rules = Conventions(aupimo_bounds=(0.02, 0.5))
    names = ["auroc", "average_precision", "f1_max", "aupimo"]
    for name in names:
        one, other = (pixel_intervals(maps, m, [name], few, rules)[name] for m in (laid, defects))
        assert one.columns() == pytest.approx(other.columns())
    counted = CountedPixels.of(maps, laid)
    np.testing.assert_array_equal(pixel_curve(counted, "pr").y, pr_curve(maps, defects).y)
    for make in (roc_curve, pr_curve):
        np.testing.assert_array_equal(make(maps, laid).y, make(maps, defects).y)


def test_the_draws_of_overlap_average_over_the_regions_that_were_drawn():
    # Two anomalous images, with 1 and 2 regions at image size, of overlap 1 and 0 at every rate.
    high, low = np.full((4, 4), 1.0), np.full((4, 4), -1.0)
    one, two = np.zeros((2, 16, 16), bool)
    one[5, 5:9] = two[5, 5:9] = two[11, 2:4] = True
    maps = [np.zeros((4, 4)), high, low]
    laid = [RegionMask.of_mask(m, (4, 4)) for m in (np.zeros((16, 16), bool), one, two)]
    flat = pixel_intervals(maps, laid, ["aupro"], Bootstrap(n_resamples=200))["aupro"]
    # All defects of the second image lie below every background pixel but its own.
    assert flat.value == pytest.approx(pixel_metrics(maps, laid).aupro)
    assert 0 <= flat.low < 0.05
    assert flat.high > flat.value > 0


def test_bad_input_is_named():
    mask = np.array([[1, 0], [0, 2]])
    with pytest.raises(MetricError, match=r"not binary.*RegionMask.of_labels"):
        pixel_metrics(np.zeros((1, 2, 2)), mask[None])
    assert RegionMask.of_labels(mask).n_regions == 2
    with pytest.raises(MetricError, match="dtype float64"):
        RegionMask.of_labels(mask.astype(float))
    with pytest.raises(MetricError, match="start at -1"):
        RegionMask.of_labels(-mask.clip(0, 1))
    with pytest.raises(MetricError, match="height x width"):
        RegionMask.of_mask(np.zeros((0, 3)))
    with pytest.raises(MetricError, match=r"map 0 has shape \(3, 3\), its mask \(2, 2\)"):
        pixel_metrics([np.zeros((3, 3))], [RegionMask.of_labels(mask)])
    diagonal = RegionMask.of_mask(np.eye(2, dtype=bool))
    with pytest.raises(MetricError, match="mask 0 are 8-connected and the conventions say 4"):
        pixel_metrics([np.zeros((2, 2))], [diagonal], Conventions(connectivity=4))
