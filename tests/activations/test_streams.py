"""Streams: changes against earlier frames, and renderings of depth maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from lakeviz import Lake, capture_study, load_model
from lakeviz.activations import (
    Loading,
    TokenBatches,
    capture_activations,
    capture_to_store,
    token_grid,
)
from lakeviz.activations.changes import Changes, have_tokens
from lakeviz.data import Dataset, Sample
from lakeviz.data.streams import check_stream
from lakeviz.data.table import build_frame
from lakeviz.errors import ConfigError, DataError
from lakeviz.lake import VisualOptions
from lakeviz.lake.visual import normal_distance

POINT = "blocks.1.hook_resid_post"


@pytest.fixture
def model():
    return load_model("tiny")


@pytest.fixture
def clips(tmp_path) -> Dataset:
    """Two clips of four frames of noise to fit on, and one of six to test."""
    random, samples = np.random.default_rng(0), []
    for split, clip, n in (("train", "a", 4), ("train", "b", 4), ("test", "a", 6)):
        folder = tmp_path / split / clip
        folder.mkdir(parents=True)
        for number in range(n):
            path = folder / f"{number:03}.png"
            Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
            samples.append(Sample(path, "scene", split, clip=clip, frame=number))
    return Dataset("clips", tmp_path, build_frame(samples, tmp_path))


def test_changes_are_differences_within_a_clip():
    tokens = torch.arange(5.0).square().reshape(5, 1, 1)
    frames = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]
    points = ["p@change_1", "p@change_2", "p@deviation_3"]
    whole = Changes(points).update({"p": tokens}, frames)
    assert [v.flatten().tolist() for v in whole[0].values()] == [
        [0, 1, 3, 0, 7],
        [0, 0, 4, 0, 0],
        [0, 0, pytest.approx(np.std([0, 1, 4])), 0, 0],
    ]
    assert [m.tolist() for m in whole[1].values()] == [
        [True, False, False, True, False],
        [True, True, False, True, True],
        [True, True, False, True, True],
    ]
    assert have_tokens(points, frames, 5).tolist() == [False, False, True, False, False]
    parts = Changes(points)
    first = parts.update({"p": tokens[:2]}, frames[:2])
    second = parts.update({"p": tokens[2:]}, frames[2:])
    for number, mapping in enumerate(whole):
        for point, values in mapping.items():
            assert torch.equal(torch.cat([first[number][point], second[number][point]]), values)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_frame_that_is_missing_repeated_or_out_of_order_is_named(after):
    changes = Changes(["p@change_1"])
    with pytest.raises(DataError, match=f"frame {after} of a comes after frame 1"):
        changes.update({"p": torch.zeros(3, 1, 1)}, [("a", 0), ("a", 1), ("a", after)])
    changes = Changes(["p@change_1"], gaps=True)
    found, missing = changes.update(
        {"p": torch.arange(3.0)[:, None, None]}, [("a", 0), ("a", 1), ("a", after)]
    )
    assert found["p@change_1"].flatten().tolist() == [0, 1, 0]
    assert missing["p@change_1"].tolist() == [True, False, True]


def test_batches_hold_the_change_of_every_frame_wherever_they_begin(model, clips):
    test = clips.split("test")
    plain = capture_activations(model, test, [POINT]).read(POINT)
    expected = torch.zeros_like(plain)
    expected[2:] = plain[2:] - plain[:-2]
    for loading in (Loading(batch_size=1), Loading(batch_size=4), Loading(batch_size=16)):
        batches = TokenBatches(model, test, [POINT, f"{POINT}@change_2"], loading=loading)
        assert batches.points == (POINT, f"{POINT}@change_2")
        for start in (0, 1, 3):
            found = torch.cat([b.tokens[f"{POINT}@change_2"] for b in batches.after(start)])
            torch.testing.assert_close(found, expected[start:])


def test_a_store_holds_changes_across_its_shards(model, clips, tmp_path):
    point = f"{POINT}@change_1"
    held = capture_activations(model, clips.split("test"), [point])
    store = capture_to_store(
        model, clips.split("test"), [point], tmp_path / "store", images_per_shard=2
    )
    torch.testing.assert_close(store.read(point), held.read(point))


def test_a_detector_reads_streams_and_comes_back_from_its_files(model, clips, tmp_path):
    draw = clips.split("train")
    options = {"layers": [1], "k": 5, "text_weight": 0, "streams": ("image", "change_1")}
    with pytest.raises(ConfigError, match="need distance='euclidean'"):
        Lake(model, **options)
    lake = Lake(model, visual=VisualOptions(distance="euclidean"), **options).fit(draw)
    assert lake.points == (POINT, f"{POINT}@change_1")
    found = lake.score(clips.split("test"))
    parts = [found.parts[f"visual/{p}"] for p in lake.points]
    assert np.isnan(parts[1][0]).all()  # the first frame has no change
    assert np.allclose(found.patch[0], parts[0][0])
    assert np.allclose(found.patch[1:], (parts[0] + parts[1])[1:] / 2)
    for point in lake.points:  # divided by the distance of held-out normal patches
        gallery = lake.visual.points[point].gallery.tokens
        assert normal_distance(gallery, point) == pytest.approx(1)
    again = Lake.load(lake.save(tmp_path / "lake"), model).score(clips.split("test"))
    assert np.array_equal(found.patch, again.patch)


def test_streams_without_their_data_are_refused(model, clips, tmp_path):
    with pytest.raises(DataError, match="change_1 needs frames of clips"):
        TokenBatches(model, clips.paths, [f"{POINT}@change_1"])
    with pytest.raises(DataError, match="normals needs depth maps"):
        TokenBatches(model, clips, [f"{POINT}@normals"])
    for wrong in ("change_0", "chnage_1", "flow"):
        with pytest.raises(ConfigError, match=f"no stream '{wrong}'"):
            check_stream(wrong)


def test_equal_normal_patches_add_nothing(caplog):
    assert normal_distance(torch.ones(9, 3), "p@depth") == float("inf")
    assert "p@depth: all normal patches are alike" in caplog.text


def test_clips_that_are_too_short_are_refused_by_name(model, clips):
    lake = Lake(model, streams=["change_4"], visual=VisualOptions(distance="euclidean"), k=5)
    said = r"change_4 has no normal token: no normal frame has 4 frames of its clip before it"
    with pytest.raises(DataError, match=said):
        lake.fit(clips.split("train"))
    with pytest.raises(DataError, match=r"no frame has 4 frames of its clip before it, at which"):
        capture_study(model, clips.split("train"), clips, options=lake.options)


def test_frames_without_a_change_are_no_normal_tokens(model, clips):
    euclidean = VisualOptions(distance="euclidean")
    lake = Lake(
        model, layers=[1], streams=["image", "change_2"], visual=euclidean, k=5, text_weight=0
    ).fit(clips.split("train"))
    # Two clips of four frames: the first two of each have no change.
    n = math.prod(token_grid(model.tower, POINT))
    assert [len(own.gallery) for own in lake.visual.points.values()] == [8 * n, 4 * n]
    assert lake.statistics is not None
    assert [s.count for s in lake.statistics.values()] == [8 * n, 4 * n]
    data = capture_study(model, clips.split("train"), clips, options=lake.options)
    assert data.test.sample_ids == [f"test/a/{i:03}.png" for i in range(2, 6)]
    assert len(data.normal) == len(data.normal_paths) == 4
    whole = lake.score(clips.split("test"))
    branch = data.branches([{p: own.selection for p, own in lake.visual.points.items()}])
    assert data.visual_maps(branch)[0].shape == whole.patch[2:].shape
