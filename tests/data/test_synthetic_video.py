"""The synthetic video benchmark: what moves, what does not, and what the masks say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lakeviz.data import read_dataset
from lakeviz.data.synthetic.video import (
    APPEARANCE,
    DIRT,
    SCENES,
    TEMPORAL,
    render_clip,
    write_video_benchmark,
)
from lakeviz.errors import ConfigError

EVENT = slice(20, 30)


def grey(clip):
    return clip.frames.mean(axis=3)


def shift(before, after):
    """Columns that a lane moved to the right between two frames."""
    differences = [np.abs(np.roll(before, s, 1) - after)[:, 24:-24].mean() for s in range(-24, 24)]
    return int(np.argmin(differences)) - 24


@pytest.fixture(scope="module")
def normal():
    return render_clip("belt", "test", 3)


def test_lanes_run_to_the_right_at_one_speed(normal):
    pictures = grey(normal)
    assert normal.frames.shape == (40, 96, 96, 3)
    assert {shift(a[lane], b[lane]) for a, b in zip(pictures, pictures[4:]) for lane in LANES} == {
        8
    }
    assert not normal.masks.any()
    assert set(normal.kinds) == {"good"}
    again = render_clip("belt", "test", 3)
    np.testing.assert_array_equal(again.frames, normal.frames)


LANES = (slice(0, 47), slice(48, 95))


def lane_of(clip):
    (lane,) = [lane for lane in LANES if clip.masks[:, lane].any()]
    return lane


@pytest.mark.parametrize("kind", TEMPORAL)
def test_what_is_wrong_in_time_is_masked_and_nothing_else(normal, kind):
    clip = render_clip("belt", "test", 3, kind)
    marked = clip.masks.any(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(marked), np.arange(20, 30))
    assert clip.kinds == ("good",) * 20 + (kind,) * 10 + ("good",) * 10
    lane = lane_of(clip)
    (other,) = [one for one in LANES if one != lane]
    np.testing.assert_array_equal(clip.frames[:, other], normal.frames[:, other])
    np.testing.assert_array_equal(clip.frames[:20, lane], normal.frames[:20, lane])
    assert np.abs(clip.frames[EVENT, lane].astype(int) - normal.frames[EVENT, lane]).mean() > 3
    pictures = grey(clip)[:, lane]
    steps = [shift(a, b) for a, b in pairwise(pictures[19:30])]
    expected = {"stop": {0}, "reversal": {-2}, "speed": {5}}
    if kind in expected:
        assert set(steps) == expected[kind]
    # Afterwards the lane runs on as before, without a jump.
    assert {shift(a, b) for a, b in zip(pictures[30:38], pictures[32:])} == {4}


def test_a_shuffled_lane_shows_the_frames_of_the_normal_one(normal):
    clip = render_clip("belt", "test", 3, "order")
    lane = lane_of(clip)
    wrong, right = (c.frames[EVENT, lane].astype(int) for c in (clip, normal))
    nearest = [int(np.abs(right - frame).mean(axis=(1, 2, 3)).argmin()) for frame in wrong]
    assert sorted(nearest) == list(range(10))
    assert nearest != list(range(10))


@pytest.mark.parametrize("kind", [kind for kind in APPEARANCE if kind != DIRT])
@pytest.mark.parametrize("scene", SCENES)
def test_a_defect_runs_with_its_lane(scene, kind):
    clip = render_clip(scene, "test", 5, kind, n_frames=60)
    clean = render_clip(scene, "test", 5, n_frames=60)
    assert not clip.masks[:20].any()
    assert clip.masks[-1].any()
    axis = 1 if scene == "web" else 2
    centre = [np.argwhere(m)[:, axis - 1].mean() for m in clip.masks[-3:]]
    assert np.diff(centre) == pytest.approx([2, 2], abs=0.4)
    change = np.abs(clip.frames[-1].astype(int) - clean.frames[-1]).max(axis=2)
    assert change[clip.masks[-1]].mean() > 8
    assert change[~clip.masks[-1]].mean() < 0.1  # at edges, between pixels


def test_dirt_stands_still(normal):
    clip = render_clip("belt", "test", 3, DIRT)
    assert clip.masks[0].any()
    assert (clip.masks == clip.masks[0]).all()
    assert set(clip.kinds) == {DIRT}
    outside = ~clip.masks[0]
    np.testing.assert_array_equal(clip.frames[:, outside], normal.frames[:, outside])
    assert clip.frames[:, clip.masks[0]].std(axis=0).max() < 6  # noise alone


def test_the_ordinary_reader_reads_it(tmp_path):
    write_video_benchmark(
        tmp_path, scenes=["belt"], kinds=["stop", "stain"], n_train=2, n_good=1, n_frames=16
    )
    data = read_dataset("auto", tmp_path)
    assert (data.name, data.categories, data.notes) == ("clips", ["belt"], ())
    test = data.split("test").frame
    assert test.groupby("clip").size().to_dict() == {"good_00": 16, "stop_00": 16, "stain_00": 16}
    assert set(test["defect_type"]) == {"good", "stop", "stain"}
    assert data.has_masks
    clip = render_clip("belt", "test", 100, "stop", n_frames=16)
    stop = data.where(data.frame["clip"] == "stop_00")
    assert stop.frame["defect_type"].tolist() == list(clip.kinds)
    np.testing.assert_array_equal(stop.mask(8, (96, 96)), clip.masks[8])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("belts", "test", 0), "scene must be belt or web, not 'belts'"),
        (("belt", "valid", 0), "split must be train or test"),
        (("belt", "test", 0, "stops"), r"kind of defect must be .*, not 'stops'; nearest: stop"),
    ],
)
def test_unknown_names_are_said(arguments, said):
    with pytest.raises(ConfigError, match=said):
        render_clip(*arguments)


def test_a_clip_has_room_for_an_event():
    with pytest.raises(ConfigError, match="at least 16, got 15"):
        render_clip("belt", "test", 0, n_frames=15)
