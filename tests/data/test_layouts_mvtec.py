"""MVTec AD and its likes, read from hand-made folders."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.data import read_dataset
from lakeviz.errors import DataError, DatasetLayoutError, MaskError


def rows(dataset, *columns):
    return [tuple(r) for r in dataset.frame[list(columns)].to_numpy(dtype=object)]


def test_mvtec_table_is_as_written(tmp_path, mvtec_category):
    mvtec_category(tmp_path / "cable")
    (tmp_path / "license.txt").write_text("")
    (tmp_path / "cable/train/good/._000.png").write_text("a macOS companion, no image")
    data = read_dataset("mvtec", tmp_path)
    assert rows(data, "sample_id", "label", "defect_type", "category", "split") == [
        ("cable/test/bent/000.png", 1, "bent", "cable", "test"),
        ("cable/test/good/000.png", 0, "good", "cable", "test"),
        ("cable/test/good/001.png", 0, "good", "cable", "test"),
        ("cable/test/scratch/000.png", 1, "scratch", "cable", "test"),
        ("cable/test/scratch/001.png", 1, "scratch", "cable", "test"),
        *((f"cable/train/good/{i:03d}.png", 0, "good", "cable", "train") for i in range(5)),
    ]
    masks = data.frame.set_index("sample_id")["mask_path"]
    expected = tmp_path / "cable/ground_truth/scratch/001_mask.png"
    assert masks["cable/test/scratch/001.png"] == str(expected)
    assert masks["cable/test/good/001.png"] is None
    assert data.frame["path"][0] == str(tmp_path / "cable/test/bent/000.png")
    assert data.license == "CC BY-NC-SA 4.0"
    assert "Bergmann" in data.citation


def test_root_may_be_one_category_and_masks_may_lack_the_suffix(tmp_path, mvtec_category):
    folder = mvtec_category(tmp_path / "nut")
    for mask in (folder / "ground_truth").rglob("*_mask.png"):
        mask.rename(mask.with_name(mask.name.replace("_mask", "")))
    data = read_dataset("mvtec", folder)
    assert data.categories == ["nut"]
    assert data.sample_ids[0] == "test/bent/000.png"
    assert data.has_masks
    np.testing.assert_array_equal(np.argwhere(data.mask(0, (4, 6))), [[3, 5]])


def test_categories_are_chosen_by_name(tmp_path, mvtec_category):
    for name in ("cable", "screw", "tile"):
        mvtec_category(tmp_path / name)
    assert read_dataset("mvtec", tmp_path).categories == ["cable", "screw", "tile"]
    assert read_dataset("mvtec", tmp_path, categories=["tile", "cable"]).categories == [
        "cable",
        "tile",
    ]
    assert len(read_dataset("mvtec", tmp_path, categories="screw")) == 10
    with pytest.raises(DataError, match="no category 'cabel'; nearest: cable"):
        read_dataset("mvtec", tmp_path, categories=["cabel"])


def test_loco_merges_the_masks_of_an_image(tmp_path, put_image, put_mask):
    folder = tmp_path / "pins"
    put_image(folder / "train/good/000.png")
    put_image(folder / "validation/good/000.png")
    put_image(folder / "test/good/000.png")
    put_image(folder / "test/logical_anomalies/000.png")
    put_mask(folder / "ground_truth/logical_anomalies/000/000.png", [(0, 1)], value=255)
    put_mask(folder / "ground_truth/logical_anomalies/000/001.png", [(2, 3)], value=7)
    data = read_dataset("mvtec_loco", tmp_path)
    assert rows(data, "sample_id", "split") == [
        ("pins/test/good/000.png", "test"),
        ("pins/test/logical_anomalies/000.png", "test"),
        ("pins/train/good/000.png", "train"),
        ("pins/validation/good/000.png", "valid"),
    ]
    np.testing.assert_array_equal(np.argwhere(data.mask(1, (4, 6))), [[0, 1], [2, 3]])
    assert read_dataset("auto", tmp_path).name == "mvtec_loco"


def test_ad2_reads_the_public_test_set_only(tmp_path, put_image, put_mask):
    folder = tmp_path / "vial"
    put_image(folder / "train/good/000_regular.png")
    put_image(folder / "validation/good/000_regular.png")
    put_image(folder / "test_public/good/000_regular.png")
    put_image(folder / "test_public/bad/001_shift_1.png")
    put_mask(folder / "test_public/ground_truth/bad/001_shift_1_mask.png", [(1, 1)])
    put_image(folder / "test_private/000.png")
    data = read_dataset("mvtec_ad2", tmp_path)
    assert rows(data, "sample_id", "defect_type", "split") == [
        ("vial/test_public/bad/001_shift_1.png", "bad", "test"),
        ("vial/test_public/good/000_regular.png", "good", "test"),
        ("vial/train/good/000_regular.png", "good", "train"),
        ("vial/validation/good/000_regular.png", "good", "valid"),
    ]
    assert data.has_masks
    assert read_dataset(None, tmp_path).name == "mvtec_ad2"


def test_btad_mixes_bmp_and_png(tmp_path, put_image, put_mask):
    put_image(tmp_path / "01/train/ok/0000.bmp")
    put_image(tmp_path / "01/test/ok/0001.BMP")
    put_image(tmp_path / "01/test/ko/0000.bmp")
    put_mask(tmp_path / "01/ground_truth/ko/0000.png", [(0, 0)])
    put_image(tmp_path / "03/train/ok/0000.png")
    put_image(tmp_path / "03/test/ok/0000.png")
    put_image(tmp_path / "03/test/ko/0007.png")
    put_mask(tmp_path / "03/ground_truth/ko/0007.bmp", [(0, 0)])
    data = read_dataset("btad", tmp_path)
    assert data.categories == ["01", "03"]
    assert rows(data.anomalous(), "sample_id", "defect_type") == [
        ("01/test/ko/0000.bmp", "ko"),
        ("03/test/ko/0007.png", "ko"),
    ]
    assert [m.rsplit("/", 1)[1] for m in data.anomalous().frame["mask_path"]] == [
        "0000.png",
        "0007.bmp",
    ]
    assert read_dataset("auto", tmp_path).name == "btad"


def test_mpdd_reads_as_mvtec(tmp_path, mvtec_category):
    mvtec_category(tmp_path / "tubes")
    assert rows(read_dataset("mpdd", tmp_path), "sample_id", "mask_path") == rows(
        read_dataset("mvtec", tmp_path), "sample_id", "mask_path"
    )


def test_one_missing_mask_is_an_error_that_names_the_image(tmp_path, mvtec_category):
    folder = mvtec_category(tmp_path / "cable")
    (folder / "ground_truth/bent/000_mask.png").unlink()
    with pytest.raises(MaskError, match=r"1 of 3 defective .*cable.*bent/000\.png"):
        read_dataset("mvtec", tmp_path)
    data = read_dataset("mvtec", tmp_path, on_missing_mask="none")
    assert not data.has_masks
    assert data.frame["mask_path"][0] is None
    with pytest.raises(MaskError, match=r"bent/000\.png is anomalous and has no mask"):
        data.mask(0, (4, 6))


def test_a_category_without_any_mask_is_labelled_at_image_level(tmp_path, mvtec_category):
    mvtec_category(tmp_path / "cable")
    bare = mvtec_category(tmp_path / "bare")
    for mask in (bare / "ground_truth").rglob("*.png"):
        mask.unlink()
    data = read_dataset("mvtec", tmp_path)
    assert data.category("cable").has_masks
    assert not data.category("bare").has_masks
    assert not data.has_masks


def test_a_category_without_test_folder_says_what_it_has(tmp_path, put_image):
    put_image(tmp_path / "cable/train/good/000.png")
    with pytest.raises(DatasetLayoutError, match=r"cable has no test/ folder; .*holds train/"):
        read_dataset("mvtec", tmp_path)
