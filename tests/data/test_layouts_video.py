"""Clips of frames, read from hand-made folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from lakeviz.data import read_dataset
from lakeviz.data.files import file_sha256
from lakeviz.errors import ConfigError, DataError, DatasetLayoutError, ImageReadError, MaskError


def labels(dataset, clip):
    rows = dataset.frame[dataset.frame["clip"] == clip]
    assert rows["frame"].tolist() == list(range(len(rows)))
    return rows["label"].tolist()


def cells(*masks):
    """Masks as a MATLAB cell array."""
    made = np.empty((1, len(masks)), dtype=object)
    for i, mask in enumerate(masks):
        made[0, i] = mask
    return made


@pytest.fixture
def put_clip(put_image):
    def put(folder: Path, n: int, first: int = 0, name: str = "{:03d}.png") -> Path:
        for i in range(first, first + n):
            put_image(folder / name.format(i), colour=i)
        return folder

    return put


@pytest.fixture
def ped2(tmp_path, put_clip, put_mask):
    root = tmp_path / "UCSDped2"
    put_clip(root / "Train/Train001", 3)
    put_clip(root / "Test/Test001", 3)
    # Frames count from 0 and masks from 1; the second frame is anomalous.
    for number, pixels in ((1, []), (2, [(1, 2)]), (3, [])):
        put_mask(root / f"Test/Test001_gt/{number:03d}.bmp", pixels)
    return root


def test_ucsd_pairs_frames_and_masks_in_order(ped2):
    data = read_dataset("auto", ped2.parent)
    assert (data.name, data.categories, data.notes) == ("ucsd", ["ped2"], ())
    assert labels(data, "Test001") == [0, 1, 0]
    assert labels(data, "Train001") == [0, 0, 0]
    (row,) = data.anomalous().frame.to_dict("records")
    assert (row["sample_id"], row["defect_type"]) == ("UCSDped2/Test/Test001/001.png", "anomaly")
    np.testing.assert_array_equal(np.argwhere(data.anomalous().mask(0, (4, 6))), [[1, 2]])
    assert len(read_dataset("ucsd", ped2)) == 6


def test_ucsd_reads_intervals_of_frames_where_a_clip_has_no_masks(ped2, put_clip):
    put_clip(ped2 / "Test/Test002", 5)
    listed = ped2 / "Test/UCSDped2.m"
    head = "TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [1:3];\n"
    listed.write_text(head + "TestVideoFile{end+1}.gt_frame = [1, 3:4];\n")
    data = read_dataset("ucsd", ped2, on_missing_mask="none")
    assert labels(data, "Test001") == [0, 1, 0]  # masks come first
    assert labels(data, "Test002") == [1, 0, 1, 1, 0]
    with pytest.raises(MaskError, match="3 of 4 defective images of ped2 have no mask"):
        read_dataset("ucsd", ped2)
    listed.write_text(head + "TestVideoFile{end+1}.gt_frame = [4:6];\n")
    with pytest.raises(MaskError, match=r"frame 6 of .*Test002 is labelled, and it has 5"):
        read_dataset("ucsd", ped2)
    listed.write_text(head)
    with pytest.raises(MaskError, match="labels 1 clips, and there are 2"):
        read_dataset("ucsd", ped2)


def test_ucsd_says_what_is_wrong(ped2, put_clip, put_image):
    put_clip(ped2 / "Test/Test002", 2)
    with pytest.raises(MaskError, match=r"nothing labels the frames of .*Test002"):
        read_dataset("ucsd", ped2)
    (ped2 / "Test/Test001_gt/003.bmp").unlink()
    with pytest.raises(MaskError, match=r"Test001_gt has 2 masks and the clip .*has 3 frames"):
        read_dataset("ucsd", ped2)
    put_image(ped2 / "Train/Train001/004.png")
    with pytest.raises(DatasetLayoutError, match=r"missing between .*002\.png and 004\.png"):
        read_dataset("ucsd", ped2)
    put_image(ped2 / "Train/Train001/03.png")
    put_image(ped2 / "Train/Train001/003.png")
    with pytest.raises(DatasetLayoutError, match="both have the number 3"):
        read_dataset("ucsd", ped2)
    for name in ("03", "003", "004"):
        (ped2 / f"Train/Train001/{name}.png").unlink()
    put_image(ped2 / "Train/Train001/last.png")
    with pytest.raises(DatasetLayoutError, match=r"last\.png has no number"):
        read_dataset("ucsd", ped2)


@pytest.fixture
def shanghai(tmp_path, put_clip):
    root = tmp_path / "shanghaitech"
    put_clip(root / "training/frames/01_001", 2)
    put_clip(root / "training/frames/02_001", 2)
    put_clip(root / "training/frames/13_001", 2)
    for clip, given in (("01_0014", [0, 1, 1]), ("02_0128", [0, 0, 1])):
        put_clip(root / f"testing/frames/{clip}", 3)
        masks = np.zeros((3, 4, 6), np.uint8)
        masks[2, 1, 2] = 1
        for name, values in (("frame", np.array(given)), ("pixel", masks)):
            file = root / f"testing/test_{name}_mask/{clip}.npy"
            file.parent.mkdir(exist_ok=True)
            np.save(file, values)
    return root


def test_shanghaitech_has_a_category_per_camera_and_masks_in_volumes(shanghai):
    data = read_dataset("auto", shanghai)
    assert data.name == "shanghaitech"
    assert data.categories == ["camera_01", "camera_02"]
    assert data.notes == ("camera_13 has no test clip and is left out",)
    assert labels(data, "01_0014") == [0, 1, 1]  # of test_frame_mask, where both are there
    one = data.category("camera_01").anomalous()
    assert one.has_masks
    assert not one.mask(0, (4, 6)).any()
    np.testing.assert_array_equal(np.argwhere(one.mask(1, (4, 6))), [[1, 2]])
    paths = one.frame["mask_path"].tolist()
    assert [p.rpartition("/")[2] for p in paths] == ["01_0014.npy#1", "01_0014.npy#2"]
    before = data.fingerprint, file_sha256(paths[0])
    assert before[1] != file_sha256(paths[1])
    np.save(paths[0].partition("#")[0], np.ones((3, 4, 6), np.uint8))
    again = read_dataset("auto", shanghai)
    assert (again.fingerprint, file_sha256(paths[0])) != before
    with pytest.raises(MaskError, match="width x height"):
        one.mask(0, (4, 5))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([0, 1]), "2 labels and the clip .* has 3 frames"),
        (np.array([0, 1, 2]), "not all 0 or 1"),
        (np.zeros((3, 4)), r"has the shape \[3, 4\]"),
        (np.array(["a", "b", "c"]), "not numbers"),
        (np.array([0.0, np.nan, 1.0]), "NaN"),
        (np.array([{}, {}, {}]), "allow_pickle=False"),
    ],
)
def test_volumes_that_are_none_are_named(shanghai, values, said):
    np.save(shanghai / "testing/test_frame_mask/01_0014.npy", values)
    with pytest.raises(MaskError, match=said):
        read_dataset("shanghaitech", shanghai)


def test_a_truncated_volume_is_named(shanghai):
    file = shanghai / "testing/test_pixel_mask/01_0014.npy"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(MaskError, match=r"cannot read .*01_0014\.npy"):
        read_dataset("shanghaitech", shanghai)


def test_a_file_that_is_no_video_is_named(shanghai):
    frames = shanghai / "training/frames"
    frames.rename(shanghai / "training/old")
    (shanghai / "training/videos").mkdir()
    (shanghai / "training/videos/01_001.avi").touch()
    with pytest.raises((ImageReadError, ConfigError), match=r"01_001\.avi|lakeviz\[video\]"):
        read_dataset("shanghaitech", shanghai)


@pytest.mark.parametrize("cell_array", [True, False])
def test_avenue_reads_matlab_volumes(tmp_path, put_clip, cell_array):
    put_clip(tmp_path / "training/frames/01", 2)
    put_clip(tmp_path / "testing/frames/01", 3, first=1, name="{:04d}.jpg")
    empty, full = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    full[1, 2] = 1
    masks = [empty, empty, full]
    folder = tmp_path / "ground_truth_demo/testing_label_mask"
    folder.mkdir(parents=True)
    volume = cells(*masks) if cell_array else np.stack(masks, axis=-1)
    savemat(folder / "1_label.mat", {"volLabel": volume})
    data = read_dataset("auto", tmp_path)
    assert (data.name, data.categories) == ("avenue", ["avenue"])
    assert labels(data.split("test"), "01") == [0, 0, 1]
    np.testing.assert_array_equal(np.argwhere(data.anomalous().mask(0, (4, 6))), [[1, 2]])
    (folder / "1_label.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    with pytest.raises(MaskError, match=r"cannot read .*1_label\.mat"):
        read_dataset("avenue", tmp_path)


@pytest.fixture
def scene(tmp_path, put_clip):
    put_clip(tmp_path / "belt/train/a", 3)
    # Eleven frames whose names sort otherwise than their numbers.
    put_clip(tmp_path / "belt/test/a", 11, first=5, name="f{}.png")
    return tmp_path / "belt"


def test_any_folder_of_clips_takes_a_table(scene):
    table = scene / "labels.csv"
    kinds = {6: "stop", 7: "1", 15: "reversal"}
    lines = [f"a,{i},{kinds.get(i, 'normal')}" for i in range(5, 16)]
    table.write_text("\n".join(["clip,frame,label", *lines]))
    data = read_dataset("auto", scene)
    assert (data.name, data.categories) == ("clips", ["belt"])
    test = data.split("test")
    assert [Path(p).name for p in test.paths] == [f"f{i}.png" for i in range(5, 16)]
    assert test.frame["defect_type"].tolist() == ["good", "stop", "anomaly"] + 7 * ["good"] + [
        "reversal"
    ]
    assert not test.has_masks
    table.write_text("\n".join(["clip,frame,label", *lines[:-1]]))
    with pytest.raises(MaskError, match="10 labels for the 11 frames of a: frame 15 has no label"):
        read_dataset("clips", scene)
    table.write_text("\n".join(["clip,frame,label", *lines, "a,16,0"]))
    with pytest.raises(MaskError, match="frame 16 has a label and no file"):
        read_dataset("clips", scene)
    table.write_text("\n".join(["clip,frame,label", *lines, "a,15,0"]))
    with pytest.raises(DatasetLayoutError, match="labels frame 15 of a twice"):
        read_dataset("clips", scene)
    table.write_text("\n".join(["clip,frame,label", *lines, "b,1,0"]))
    with pytest.raises(DatasetLayoutError, match="clips that are not there: b"):
        read_dataset("clips", scene)
    table.write_text("clip,frame,label\na,x,0")
    with pytest.raises(DatasetLayoutError, match="the frame 'x', no number"):
        read_dataset("clips", scene)
    table.write_text("clip,label\na,0")
    with pytest.raises(DatasetLayoutError, match="lacks the columns frame"):
        read_dataset("clips", scene)


def test_any_folder_of_clips_takes_arrays_and_masks(scene, put_clip, put_mask):
    (scene / "labels").mkdir()
    np.save(scene / "labels/a.npy", np.arange(11) > 8)
    for i in range(11):
        put_mask(scene / f"masks/a/{i}.png", [(0, 0)] if i > 8 else [])
    data = read_dataset("auto", scene.parent)
    assert labels(data.split("test"), "a") == 9 * [0] + [1, 1]
    assert data.has_masks
    np.save(scene / "labels/a.npy", np.arange(11) > 9)
    said = "1 frames of a are labelled normal and have a mask that is not empty, which is not read"
    assert read_dataset("clips", scene).notes == (said,)
    np.save(scene / "labels/a.npy", np.arange(11) > 8)
    put_clip(scene / "train/b", 1)
    (scene / "masks/c.npy").write_bytes((scene / "labels/a.npy").read_bytes())
    assert read_dataset("clips", scene).notes == (
        "1 labels or masks belong to no test clip: c.npy",
        "1 clips have a single frame, in which nothing changes: b",
    )
    with pytest.raises(DataError, match="no category 'belts'"):
        read_dataset("clips", scene, categories="belts")


def test_an_image_data_set_is_no_folder_of_clips(tmp_path, mvtec_category):
    assert read_dataset("auto", mvtec_category(tmp_path / "nut")).name == "mvtec"
