"""RBDC and TBDC on regions that are counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.errors import MetricError
from lakeviz.metrics.region_detection import detect_regions


def picture(**blocks):
    """A row of 30 pixels that are 0 but for ``level=slice`` blocks."""
    one = np.zeros((1, 30), dtype=np.float32)
    for level, where in blocks.items():
        one[0, where] = float(level[1:]) / 10
    return one


def mask(*blocks):
    one = np.zeros((1, 30), dtype=bool)
    for where in blocks:
        one[0, where] = True
    return one


# Two frames of a clip. Frame 0 has a region of 10 pixels, frame 1 one of 10 at the same place and
# one of 5. Scores: at 0.9 one pixel of the first region (overlap 1/10), at 0.8 a false region, at
# 0.5 the region of 5, at 0.3 another false region.
MASKS = [mask(slice(0, 10)), mask(slice(0, 10), slice(20, 25))]
MAPS = [
    picture(s9=slice(0, 1), s8=slice(15, 20), s3=slice(27, 28)),
    picture(s5=slice(20, 25)),
]
FRAMES = [("a", 0), ("a", 1)]


def test_regions_and_false_positives_are_counted():
    found = detect_regions(MAPS, MASKS, FRAMES)
    at = {round(float(t), 1): i for i, t in enumerate(found.thresholds)}
    np.testing.assert_array_equal(found.hits[:, at[0.9]], [True, False, False])
    np.testing.assert_array_equal(found.false[:, at[0.9]], [0, 0])
    np.testing.assert_array_equal(found.hits[:, at[0.5]], [True, False, True])
    np.testing.assert_array_equal(found.false[:, at[0.5]], [1, 0])
    np.testing.assert_array_equal(found.frame, [0, 1, 1])
    # The regions of 10 are one track, that of 5 another.
    assert found.track[0] == found.track[1] != found.track[2]


def test_rbdc_and_tbdc_by_hand():
    found = detect_regions(MAPS, MASKS, FRAMES)
    # At 0.9: (0 false per frame, 1 of 3 regions); at 0.5: (1/2, 2/3); lower: (1, 2/3).
    rbdc = 0.5 * (1 / 3 + 2 / 3) / 2 + 0.5 * 2 / 3
    assert found.rbdc() == pytest.approx([rbdc])
    # Half of the regions of the first track is more than a tenth: (0, 1 of 2), (1/2, 2/2), (1, 1).
    assert found.tbdc() == pytest.approx([0.5 * 0.75 + 0.5])


def test_a_perfect_map_reaches_one_and_an_empty_one_nothing():
    perfect = [m.astype(np.float32) for m in MASKS]
    found = detect_regions(perfect, MASKS, FRAMES)
    assert (found.rbdc(), found.tbdc()) == (pytest.approx([1]), pytest.approx([1]))
    wrong = [picture(s9=slice(12, 18))] * 2
    found = detect_regions(wrong, MASKS, FRAMES)
    assert (found.rbdc(), found.tbdc()) == (pytest.approx([0]), pytest.approx([0]))


@pytest.mark.parametrize(("pixels", "hit"), [(1, True), (0, False)])
def test_an_overlap_of_a_tenth_is_enough(pixels, hit):
    # One pixel of the 10 of the region and one outside: 1 / 11 is too little; alone it is 1 / 10.
    maps = [picture(s9=slice(9, 11) if not pixels else slice(9, 10))]
    found = detect_regions(maps, [mask(slice(0, 10))], [("a", 0)])
    assert found.hits[0, 0] == hit
    assert found.false[0, 0] == (not hit)


@pytest.mark.parametrize(
    ("second", "joined"), [(("a", 1), True), (("a", 2), False), (("b", 1), False)]
)
def test_tracks_end_with_a_gap_and_with_the_clip(second, joined):
    masks = [mask(slice(0, 4)), mask(slice(3, 8))]
    found = detect_regions([m.astype(np.float32) for m in masks], masks, [("a", 0), second])
    assert (found.track[0] == found.track[1]) == joined


def test_a_track_needs_a_tenth_of_its_regions():
    masks = [mask(slice(0, 4))] * 11
    maps = [picture(s9=slice(0, 4))] + [picture()] * 10
    frames = [("a", i) for i in range(11)]
    assert detect_regions(maps, masks, frames).tbdc() == pytest.approx([0])  # 1 of 11
    assert detect_regions(maps[:10], masks[:10], frames[:10]).tbdc() == pytest.approx([1])


def test_resamples_weigh_frames():
    found = detect_regions(MAPS, MASKS, FRAMES)
    weights = np.array([[1, 1], [2, 0], [0, 2]])
    assert found.rbdc(weights)[0] == found.rbdc()[0]
    # The first frame alone has one region, hit at once. The second has no false positive, and its
    # share of a half holds to the end.
    assert found.rbdc(weights)[1:] == pytest.approx([1, 0.5])
    # Both tracks of the second frame: one begins in the first frame.
    assert found.tbdc(weights)[2] == pytest.approx(1)


def test_bad_input_is_named():
    with pytest.raises(MetricError, match="no mask has a region"):
        detect_regions(MAPS, [mask(), mask()], FRAMES)
    with pytest.raises(MetricError, match=r"frame 1 of a has the shape \[2, 2\]"):
        detect_regions([MAPS[0], np.zeros((2, 2))], MASKS, FRAMES)
