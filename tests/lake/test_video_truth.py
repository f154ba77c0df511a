"""Planted truth: defects of motion are found by changes, and not by single frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lakeviz import Lake, load_model
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_video_benchmark
from lakeviz.lake.options import VisualOptions
from lakeviz.metrics.image import auroc

KINDS = ("jump", "speed", "dirt")


@pytest.fixture(scope="module")
def belt(tmp_path_factory):
    root = tmp_path_factory.mktemp("video")
    write_video_benchmark(
        root, scenes=["belt"], kinds=KINDS, n_train=3, n_good=1, n_frames=32, size=96
    )
    return read_dataset("clips", root)


@pytest.fixture(scope="module")
def found(belt):
    """AUROC of each kind of defect against all normal frames, by stream."""
    model = load_model("tiny")

    def measure(stream, data):
        visual = VisualOptions(distance="euclidean")
        lake = Lake(model, streams=[stream], visual=visual, text_weight=0)
        maps = lake.fit(data.few_shot(3)).score(data.evaluated())
        kinds = data.evaluated().frame["defect_type"].to_numpy()
        # The first frames have no change.
        counted = data.evaluated().frame["frame"].to_numpy() >= 4
        return {
            kind: auroc(maps.image_scores[counted & keep], (kinds == kind)[counted & keep])
            for kind in KINDS
            for keep in [(kinds == "good") | (kinds == kind)]
        }

    mixed = belt.shuffled_frames(0)
    return {
        "image": measure("image", belt),
        "change": measure("change_4", belt),
        "image, shuffled": measure("image", mixed),
        "change, shuffled": measure("change_4", mixed),
    }


@pytest.mark.parametrize("kind", ["jump", "speed"])
def test_defects_of_motion_are_seen_in_changes_alone(found, kind):
    assert found["change"][kind] > 0.9
    assert found["image"][kind] < 0.7


def test_dirt_that_stands_still_is_better_seen_in_frames(found):
    assert found["image"]["dirt"] > 0.95
    assert found["change"]["dirt"] < found["image"]["dirt"] - 0.1


def test_the_order_of_frames_is_what_changes_see(found):
    for kind in ("jump", "speed"):
        assert 0.2 < found["change, shuffled"][kind] < 0.75
    shuffled, ordered = found["image, shuffled"], found["image"]
    np.testing.assert_allclose([*shuffled.values()], [*ordered.values()], atol=0.05)


def test_the_image_stream_does_not_know_of_clips(belt):
    model, train = load_model("tiny"), belt.few_shot(1)
    test = belt.evaluated()[:8]
    plain = replace(test, frame=test.frame.drop(columns=["clip", "frame"]))
    lake = Lake(model, text_weight=0).fit(train.paths)
    np.testing.assert_array_equal(lake.score(test).patch, lake.score(plain).patch)


def test_a_clip_of_one_frame_has_no_change(belt):
    lake = Lake(
        load_model("tiny"),
        streams=["change_1"],
        visual=VisualOptions(distance="euclidean"),
        text_weight=0,
    ).fit(belt.few_shot(1))
    first = belt.evaluated()[:2]
    single = replace(first, frame=first.frame.assign(clip=["a", "b"], frame=0))
    assert not lake.score(single).patch.any()
    assert lake.score(first).patch[1].any()
