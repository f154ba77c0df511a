"""Filters, masks and the fingerprint."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lakeviz.data import COLUMNS, Dataset, Sample, from_dataframe, read_dataset
from lakeviz.data.table import build_frame
from lakeviz.errors import DataError, DatasetLayoutError, ImageReadError, MaskError


@pytest.fixture
def data(tmp_path, mvtec_category):
    for name in ("cable", "screw"):
        mvtec_category(tmp_path / "set" / name)
    return read_dataset("mvtec", tmp_path / "set")


def test_filters_count_as_written(data):
    assert len(data) == 20
    assert (len(data.normal()), len(data.anomalous())) == (14, 6)
    assert (len(data.split("train")), len(data.split("test")), len(data.split("valid"))) == (
        10,
        10,
        0,
    )
    assert len(data.category("screw").split("test").anomalous()) == 3
    assert data.category("screw").labels.tolist() == [1, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    assert [p.name for p in data.category("screw").paths[:2]] == ["000.png", "000.png"]
    assert len(data.where(data.frame["defect_type"] == "bent")) == 2
    assert data.has_masks
    assert not data.normal().has_masks
    assert "2 categories, 14 normal, 6 anomalous" in repr(data)


def test_filters_leave_the_original_alone(data):
    before = data.frame.copy()
    data.category("cable").normal().split("train")
    pd.testing.assert_frame_equal(data.frame, before)


def test_summary(data):
    assert data.summary().to_dict("split")["data"] == [
        ["cable", "test", 2, 3],
        ["cable", "train", 5, 0],
        ["screw", "test", 2, 3],
        ["screw", "train", 5, 0],
    ]


def test_unknown_names_are_errors(data):
    with pytest.raises(DataError, match="no category 'scew'; nearest: screw"):
        data.category("scew")
    with pytest.raises(DataError, match="split must be train, valid or test, not 'validation'"):
        data.split("validation")


def test_mask_of_a_normal_image_is_false_and_of_a_defective_one_as_drawn(data):
    assert data.mask(1, (4, 6)).shape == (4, 6)
    assert not data.mask(1, (4, 6)).any()
    scratch = data.sample_ids.index("cable/test/scratch/001.png")
    np.testing.assert_array_equal(np.argwhere(data.mask(scratch, (4, 6))), [[1, 0], [1, 1]])
    with pytest.raises(MaskError, match=r"001_mask\.png is 6x4 .* image .*001\.png 8x4"):
        data.mask(scratch, (4, 8))


def test_fingerprint_is_of_names_and_content_not_of_place(data, tmp_path):
    shutil.copytree(data.root, tmp_path / "copy")
    copy = read_dataset("mvtec", tmp_path / "copy")
    assert copy.fingerprint == data.fingerprint
    assert len(data.fingerprint) == 64
    shuffled = from_dataframe(data.frame.iloc[::-1].drop(columns="sample_id"), data.root)
    assert shuffled.fingerprint == data.fingerprint
    assert data.category("cable").fingerprint != data.fingerprint


@pytest.mark.parametrize(
    "file", ["cable/train/good/000.png", "cable/ground_truth/bent/000_mask.png"]
)
def test_fingerprint_sees_one_changed_byte(data, tmp_path, file):
    shutil.copytree(data.root, tmp_path / "copy")
    changed = tmp_path / "copy" / file
    content = bytearray(changed.read_bytes())
    content[-5] ^= 1
    changed.write_bytes(content)
    assert read_dataset("mvtec", tmp_path / "copy").fingerprint != data.fingerprint


@pytest.mark.parametrize("column", ["label", "defect_type", "split", "category"])
def test_fingerprint_sees_every_column(data, column):
    frame = data.frame.copy()
    new = {"label": 1, "defect_type": "dust", "split": "valid", "category": "other"}[column]
    frame.loc[frame.index[5], column] = new
    assert type(data)("mvtec", data.root, frame).fingerprint != data.fingerprint


def test_fingerprint_of_a_vanished_file_names_it(data):
    data.paths[0].unlink()
    with pytest.raises(ImageReadError, match=r"cannot read .*bent/000\.png"):
        _ = data.fingerprint


def test_fingerprint_covers_folders_of_masks(tmp_path, put_image, put_mask):
    put_image(tmp_path / "pins/train/good/000.png")
    put_image(tmp_path / "pins/test/structural/000.png")
    put_mask(tmp_path / "pins/ground_truth/structural/000/000.png", [(0, 1)])
    before = read_dataset("mvtec_loco", tmp_path).fingerprint
    put_mask(tmp_path / "pins/ground_truth/structural/000/001.png", [(0, 2)])
    assert read_dataset("mvtec_loco", tmp_path).fingerprint != before


def _rows(*names, **columns):
    return [
        Sample(Path("/d") / name, "c", "train", **{k: v[i] for k, v in columns.items()})
        for i, name in enumerate(names)
    ]


def test_frames_of_clips_are_in_their_order_and_images_without_have_no_column():
    samples = _rows("x/10.png", "x/9.png", "a.png", clip=["x", "x", "a"], frame=[10, 9, 0])
    frame = build_frame(samples, Path("/d"))
    assert frame["sample_id"].tolist() == ["a.png", "x/9.png", "x/10.png"]
    made = Dataset("clips", Path("/d"), frame)
    assert made.frames == [("train/a", 0), ("train/x", 9), ("train/x", 10)]
    assert made.depths == []
    plain = Dataset("images", Path("/d"), build_frame(_rows("a.png"), Path("/d")))
    assert plain.frames == []
    assert set(plain.frame) == set(COLUMNS)


def test_depth_of_some_images_alone_is_named():
    said = r"1 of 2 images have no depth map, such as b\.png"
    with pytest.raises(DatasetLayoutError, match=said):
        build_frame(_rows("a.png", "b.png", depth=[Path("/d/a.tiff"), None]), Path("/d"))


def test_frames_are_shuffled_within_their_clip(tmp_path, put_image):
    for split, clip in (("train", "a"), ("test", "a"), ("test", "b")):
        for i in range(12):
            put_image(tmp_path / f"{split}/{clip}/{i}.png")
    rows = [f"{clip},{i},{int(i > 5)}" for clip in "ab" for i in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["clip,frame,label", *rows]))
    data = read_dataset("clips", tmp_path)
    moved = data.shuffled_frames(3)
    assert moved.frames == data.frames
    assert moved.sample_ids != data.sample_ids
    for split, clip in (("train", "a"), ("test", "a"), ("test", "b")):
        own = moved.frame[(moved.frame["clip"] == clip) & (moved.frame["split"] == split)]
        assert sorted(own["sample_id"]) == sorted(f"{split}/{clip}/{i}.png" for i in range(12))
    keyed, was = (d.frame.set_index("sample_id")["label"] for d in (moved, data))
    assert keyed.to_dict() == was.to_dict()
    with pytest.raises(DataError, match="not frames of clips"):
        data.where(np.ones(len(data))).__class__(
            "made", tmp_path, data.frame.drop(columns="clip")
        ).shuffled_frames()
