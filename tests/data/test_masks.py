"""Masks and images by name, words for labels, and files that are none: nothing is silent."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pandas as pd
import pytest

from lakeviz.data import from_dataframe, read_dataset
from lakeviz.data.files import file_sha256, list_images
from lakeviz.data.masks import is_mask_folder, pair
from lakeviz.data.text_tables import label_of, split_of
from lakeviz.errors import DatasetLayoutError, ImageReadError, MaskError


@pytest.fixture
def put(tmp_path, put_image):
    def write(*names):
        for name in names:
            put_image(tmp_path / name)
        return tmp_path

    return write


@pytest.mark.parametrize(
    "mask",
    [
        *("001.png", "001_mask.bmp", "001_gt.png", "GT-001.png", "mask_001.png", "001 Label.png"),
        *("001_MASK.PNG", "001.jpg.png", "001_ground_truth.tif", "001_gt_mask.png", "001.GIF"),
    ],
)
def test_a_mask_is_known_by_its_name(mask):
    image = Path("a/001.jpg")
    assert pair([image, Path("a/002.jpg")], [Path("m", mask)]) == ({image: Path("m", mask)}, [])


@pytest.mark.parametrize("mask", ["01.png", "001_2.png", "x001.png", "001mask.png", "mask.png"])
def test_no_mask_is_guessed(mask):
    assert pair([Path("a/001.jpg")], [Path("m", mask)]) == ({}, [Path("m", mask)])


def test_equal_names_go_before_similar_ones():
    images = [Path("a/x.png"), Path("a/X.png"), Path("a/img_7.png")]
    masks = [Path("m/X.png"), Path("m/x.png"), Path("m/7_mask.png")]
    assert pair(images, masks)[0] == dict(zip(images, [masks[1], masks[0], masks[2]], strict=True))


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        (["s/1.png", "c/1.png"], ["m/1.png"], "m/1.png would be the mask of 2 images: s/1.png"),
        (["s/1.png", "s/1.jpg"], ["m/1_gt.png"], "would be the mask of 2 images"),
        (["s/1.png"], ["m/1.png", "m/1.bmp"], "two masks of s/1.png: m/1.png and m/1.bmp"),
        (["s/1.png"], ["m/1.png", "m/1_mask.png"], "two masks of s/1.png"),
        (["s/1.png"], ["m/1_gt.png", "m/mask_1.png"], "two masks of s/1.png"),
    ],
)
def test_what_names_leave_open_is_an_error(images, masks, message):
    with pytest.raises(MaskError, match=message):
        pair([*map(Path, images)], [*map(Path, masks)])


def test_words_are_the_same_everywhere():
    assert [label_of(w) for w in ("Good", " OK ", "defect-free", "No", "0.0")] == [0] * 5
    assert [label_of(w) for w in ("KO", "Defective", "YES", "Not OK", "1")] == [1] * 5
    assert label_of("scratch") is None
    assert [split_of(w) for w in ("Train", "VAL", "testing", "dev")] == [
        "train",
        "valid",
        "test",
        None,
    ]
    assert all(map(is_mask_folder, ["Masks", "GT", "ground truth", "labels", "binary_mask"]))
    assert not any(map(is_mask_folder, ["wrong_label", "scratch", "mask1"]))


@pytest.mark.parametrize("word", ["normal", "Good", "ok", "NOMINAL", "no", "0"])
def test_normal_words_in_every_column_and_folder(put, word):
    root = put(f"{word}/1.png", f"{word}/2.png", "yes/3.png")
    paths = [f"{word}/1.png", f"{word}/2.png", "yes/3.png"]
    for column, kind in (("label", "bad"), ("defect_type", "dent")):
        frame = pd.DataFrame({"path": paths, column: [word, word, kind]})
        assert from_dataframe(frame, root).labels.tolist() == [0, 0, 1]
    assert read_dataset("folder", root).frame["defect_type"].tolist() == (["good", "good", "yes"])
    both = pd.DataFrame({"path": paths, "label": [0, 0, 1], "defect_type": [word, word, "dent"]})
    assert from_dataframe(both, root).labels.tolist() == [0, 0, 1]


def test_mvtec_reads_any_word_and_case(put):
    root = put("Train/OK/1.png", "Test/0/2.png", "Test/1/3.PNG", "Ground_Truth/1/3_MASK.png")
    data = read_dataset("auto", root)
    assert (data.name, data.has_masks) == ("mvtec", True)
    assert dict(zip(data.sample_ids, data.labels.tolist(), strict=True)) == {
        "Test/0/2.png": 0,
        "Test/1/3.PNG": 1,
        "Train/OK/1.png": 0,
    }


def test_masks_that_match_nothing_name_both_sides(put):
    names = [f"test/1/{i}.png" for i in range(5)] + [f"ground_truth/front/{i}.png" for i in "abcd"]
    root = put("train/good/1.png", "test/good/2.png", *names)
    with pytest.raises(MaskError, match=r"5 of 5 .*1/0.png, .*1/1.png, .*1/2.png and 2 more; 1 "):
        read_dataset("mvtec", root)
    assert not read_dataset("mvtec", root, on_missing_mask="none").has_masks
    (root / "ground_truth/front").rename(root / "ground_truth/1")
    with pytest.raises(MaskError, match=r"4 masks belong to no image: .*a.png, .*b.png, .*c.png"):
        read_dataset("mvtec", root)


def test_masks_that_are_left_over_are_said(put):
    root = put("normal/1.png", "normal/2.png", "bad/3.png", "masks/3.png", "masks/9.png")
    root = put("masks/1_mask.png", "masks/good/7.png")  # of normal images: no remark
    (note,) = read_dataset("folder", root).notes
    assert note.endswith(f"1 masks belong to no image: {root / 'masks/9.png'}")


def test_masks_are_no_kind_of_defect(put):
    root = put("normal/1.png", "normal/2.png", "bad/3.png", "GT/3.png")
    assert read_dataset("folder", root).anomalous().sample_ids == ["bad/3.png"]
    assert read_dataset("folder", root).has_masks
    put("labels/8.png")
    with pytest.raises(DatasetLayoutError, match="several folders that may hold masks: GT, labels"):
        read_dataset("folder", root)
    named = read_dataset("folder", root, anomalous=["bad", "labels"], on_missing_mask="none")
    assert named.anomalous().sample_ids == ["bad/3.png", "labels/8.png"]


def test_masks_beside_their_images(put):
    root = put("ok/1.png", "ok/1_gt.png", "ok/2.png", "bad/3.png", "bad/3_gt.png", "bad/gt_4.png")
    data = read_dataset("folder", root, on_missing_mask="none")
    assert data.sample_ids == ["bad/3.png", "bad/gt_4.png", "ok/1.png", "ok/2.png"]
    assert data.frame["mask_path"][0] == str(root / "bad/3_gt.png")
    put("masks/3.png")
    with pytest.raises(MaskError, match="two masks of"):
        read_dataset("folder", root)


def test_a_kind_of_defect_may_be_called_label(put):
    root = put(
        "train/good/1.png", "test/good/2.png", "test/label/3.png", "ground_truth/label/3.png"
    )
    assert read_dataset("mvtec", root).anomalous().frame["defect_type"].tolist() == ["label"]
    put("test/masks/3.png")
    with pytest.raises(DatasetLayoutError, match="may both hold masks"):
        read_dataset("mvtec", root)


def test_a_test_split_without_normal_images_says_so(put):
    root = put("train/good/1.png", "train/odd/5.png", "test/bad/2.png")
    unread, note = read_dataset("mvtec", root).notes
    assert unread == f"{root.name}: the images of train/odd are not read"
    assert "the test split has no normal image" in note


def test_one_mask_for_two_rows_of_a_table(put):
    root = put("a.png", "b.png", "m.png")
    frame = pd.DataFrame({"path": ["a.png", "b.png"], "label": 1, "mask": "m.png"})
    with pytest.raises(MaskError, match=r"m\.png would be the mask of 2 images"):
        from_dataframe(frame, root)


def socket_at(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p.symlink_to("/gone/x.png"), "001.png is a broken link to /gone/x.png"),
        (lambda p: p.symlink_to(p), "001.png is not to be followed"),
        (os.mkfifo, "001.png is a named pipe"),
        (lambda p: p.symlink_to("/dev/zero"), "001.png is a device"),
        (socket_at, "001.png is a socket"),
        (lambda p: p.with_suffix(".heic").touch(), "001.heic is a format that is not read"),
        (lambda p: os.mknod(os.fsencode(p.parent) + b"/\xe9.png"), r"\\xe9.png is a name that is"),
    ],
)
def test_what_is_no_image_file_is_named(put, make, reason, monkeypatch):
    root = put("normal/1.png", "normal/2.png", "bad/3.png")
    monkeypatch.chdir(root)
    make(root / "bad/001.png")
    with pytest.raises(DatasetLayoutError, match=reason):
        read_dataset("folder", root)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageReadError, match="named pipe"):
        file_sha256(tmp_path / "a.png")


def test_other_files_and_hidden_ones_are_passed_over(put):
    root = put("a/1.png", "a/2.gif", "a/._1.png")
    for name in ("a/readme.txt", "a/Thumbs.db", "a/.hidden.heic"):
        (root / name).touch()
    assert [p.name for p in list_images(root / "a")] == ["1.png", "2.gif"]
