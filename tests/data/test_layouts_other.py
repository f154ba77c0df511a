"""VisA, BMAD, MTD and Kolektor, read from hand-made folders."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.data import read_dataset
from lakeviz.errors import ConfigError, DataError, DatasetLayoutError, MaskError


def rows(dataset, *columns):
    return [tuple(r) for r in dataset.frame[list(columns)].to_numpy(dtype=object)]


@pytest.fixture
def visa(tmp_path, put_image, put_mask):
    images = "candle/Data/Images"
    put_image(tmp_path / f"{images}/Normal/0000.JPG")
    put_image(tmp_path / f"{images}/Normal/0001.JPG")
    put_image(tmp_path / f"{images}/Anomaly/000.JPG")
    put_mask(tmp_path / "candle/Data/Masks/Anomaly/000.png", [(1, 2)], value=3)
    table = tmp_path / "split_csv/1cls.csv"
    table.parent.mkdir()
    table.write_text(
        "object,split,label,image,mask\n"
        f"candle,train,normal,{images}/Normal/0000.JPG,\n"
        f"candle,test,normal,{images}/Normal/0001.JPG,\n"
        f"candle,test,anomaly,{images}/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
    )
    return tmp_path


def test_visa_follows_its_split_file(visa):
    data = read_dataset("visa", visa)
    assert rows(data, "sample_id", "label", "defect_type", "category", "split") == [
        ("candle/Data/Images/Anomaly/000.JPG", 1, "anomaly", "candle", "test"),
        ("candle/Data/Images/Normal/0000.JPG", 0, "good", "candle", "train"),
        ("candle/Data/Images/Normal/0001.JPG", 0, "good", "candle", "test"),
    ]
    # VisA's masks hold small class numbers, not 255: any non-zero value is a defect.
    np.testing.assert_array_equal(np.argwhere(data.mask(0, (4, 6))), [[1, 2]])
    assert read_dataset("auto", visa).name == "visa"


def test_visa_names_absent_files_columns_and_masks(visa):
    table = visa / "split_csv/1cls.csv"
    (visa / "candle/Data/Images/Normal/0001.JPG").unlink()
    with pytest.raises(DatasetLayoutError, match=r"0001\.JPG does not exist"):
        read_dataset("visa", visa)
    table.write_text("object,split,image\n")
    with pytest.raises(DatasetLayoutError, match="lacks the columns label, mask"):
        read_dataset("visa", visa)


@pytest.mark.parametrize("inside", ["", "visa_pytorch", "1cls", "visa_pytorch/1cls"])
def test_visa_converted_is_detected(tmp_path, put_image, put_mask, inside):
    folder = tmp_path / inside / "candle"
    put_image(folder / "train/good/0000.JPG")
    put_image(folder / "test/good/0001.JPG")
    put_image(folder / "test/bad/000.JPG")
    put_mask(folder / "ground_truth/bad/000.png", [(0, 0)], value=1)
    data = read_dataset("visa", tmp_path)
    assert rows(data, "sample_id", "defect_type", "split") == [
        ("candle/test/bad/000.JPG", "bad", "test"),
        ("candle/test/good/0001.JPG", "good", "test"),
        ("candle/train/good/0000.JPG", "good", "train"),
    ]
    assert data.has_masks


def test_visa_says_both_forms_it_looked_for(tmp_path, put_image):
    put_image(tmp_path / "candle/a.png")
    with pytest.raises(DatasetLayoutError, match=r"1cls\.csv, or CATEGORY/train/good.*candle/"):
        read_dataset("visa", tmp_path)


def test_bmad_reads_brain_and_its_differing_sisters(tmp_path, put_image, put_mask):
    brain, liver, chest = tmp_path / "Brain_AD", tmp_path / "Liver_AD/hist_DIY", tmp_path / "Chest"
    put_image(brain / "train/good/0.png")
    for split in ("valid", "test"):
        put_image(brain / split / "good/img/1.png")
        put_mask(brain / split / "good/label/1.png", [])
        put_image(brain / split / "Ungood/img/2.png")
        put_mask(brain / split / "Ungood/label/2.png", [(2, 2)])
    put_image(liver / "train/good/0.png")
    put_image(liver / "val/good/img/1.png")
    put_image(liver / "test/good/img/1.png")
    put_image(liver / "test/ungood/img/2.png")
    put_mask(liver / "test/ungood/label/2.png", [(0, 0)])
    put_image(chest / "train/good/0.png")
    put_image(chest / "test/good/1.png")
    put_image(chest / "test/Ungood/2.png")
    data = read_dataset("bmad", tmp_path)
    assert rows(data, "sample_id", "label", "category", "split") == [
        ("Brain_AD/test/Ungood/img/2.png", 1, "Brain_AD", "test"),
        ("Brain_AD/test/good/img/1.png", 0, "Brain_AD", "test"),
        ("Brain_AD/train/good/0.png", 0, "Brain_AD", "train"),
        ("Brain_AD/valid/Ungood/img/2.png", 1, "Brain_AD", "valid"),
        ("Brain_AD/valid/good/img/1.png", 0, "Brain_AD", "valid"),
        ("Chest/test/Ungood/2.png", 1, "Chest", "test"),
        ("Chest/test/good/1.png", 0, "Chest", "test"),
        ("Chest/train/good/0.png", 0, "Chest", "train"),
        ("Liver_AD/hist_DIY/test/good/img/1.png", 0, "Liver_AD", "test"),
        ("Liver_AD/hist_DIY/test/ungood/img/2.png", 1, "Liver_AD", "test"),
        ("Liver_AD/hist_DIY/train/good/0.png", 0, "Liver_AD", "train"),
        ("Liver_AD/hist_DIY/val/good/img/1.png", 0, "Liver_AD", "valid"),
    ]
    assert data.category("Brain_AD").has_masks
    assert data.category("Liver_AD").has_masks
    assert not data.category("Chest").has_masks
    assert read_dataset("bmad", brain).categories == ["Brain_AD"]
    assert read_dataset("auto", tmp_path).name == "bmad"


@pytest.fixture
def mtd(tmp_path, put_image, put_mask):
    for i in range(10):
        put_image(tmp_path / f"MT_Free/Imgs/f{i}.jpg")
        put_mask(tmp_path / f"MT_Free/Imgs/f{i}.png", [])
    for i in range(3):
        put_image(tmp_path / f"MT_Crack/Imgs/c{i}.jpg")
        put_mask(tmp_path / f"MT_Crack/Imgs/c{i}.png", [(0, i)])
    put_image(tmp_path / "MT_Uneven/Imgs/u.jpg")
    put_mask(tmp_path / "MT_Uneven/Imgs/u.png", [])
    return tmp_path


def test_mtd_splits_by_seed_and_notes_empty_masks(mtd):
    data = read_dataset("mtd", mtd)
    assert data.categories == ["magnetic_tile"]
    assert len(data) == 14
    assert len(data.split("train")) == 5
    assert data.split("train").labels.sum() == 0
    assert rows(data.anomalous(), "sample_id", "defect_type", "split") == [
        *((f"MT_Crack/Imgs/c{i}.jpg", "Crack", "test") for i in range(3)),
        ("MT_Uneven/Imgs/u.jpg", "Uneven", "test"),
    ]
    assert len(data.notes) == 1
    assert data.notes[0].startswith("1 defective images have an empty mask")
    assert "MT_Uneven/Imgs/u.jpg" in data.notes[0]
    assert data.has_masks
    position = data.sample_ids.index("MT_Uneven/Imgs/u.jpg")
    assert not data.mask(position, (4, 6)).any()

    again = read_dataset("mtd", mtd, split_seed=0)
    assert again.split("train").sample_ids == data.split("train").sample_ids
    others = {
        tuple(read_dataset("mtd", mtd, split_seed=s).split("train").sample_ids) for s in range(6)
    }
    assert len(others) > 1
    assert len(read_dataset("mtd", mtd, train_fraction=0.8).split("train")) == 8


def test_mtd_refuses_a_bad_fraction_and_another_category(mtd):
    with pytest.raises(ConfigError, match="split_seed must be 0 or more, got -1"):
        read_dataset("mtd", mtd, split_seed=-1)
    with pytest.raises(ConfigError, match="train_fraction"):
        read_dataset("mtd", mtd, train_fraction=1.0)
    with pytest.raises(DataError, match="no category 'tile'"):
        read_dataset("mtd", mtd, categories=["tile"])


def test_mtd_defect_without_mask_is_named(mtd):
    (mtd / "MT_Crack/Imgs/c1.png").unlink()
    with pytest.raises(MaskError, match=r"c1\.jpg"):
        read_dataset("mtd", mtd)


def test_kolektor_sdd_takes_labels_from_masks(tmp_path, put_image, put_mask):
    for item in ("kos01", "kos02"):
        for part in range(4):
            put_image(tmp_path / item / f"Part{part}.jpg")
            defect = item == "kos02" and part == 3
            put_mask(tmp_path / item / f"Part{part}_label.bmp", [(1, 1)] if defect else [])
    data = read_dataset("kolektor_sdd", tmp_path)
    assert len(data) == 8
    assert rows(data.anomalous(), "sample_id", "defect_type", "split") == [
        ("kos02/Part3.jpg", "defect", "test")
    ]
    assert len(data.split("train")) == 4  # round(0.5 * 7), half to even
    assert data.has_masks
    assert read_dataset("auto", tmp_path).name == "kolektor_sdd"
    (tmp_path / "kos01/Part0_label.bmp").unlink()
    with pytest.raises(MaskError, match=r"kos01/Part0\.jpg has no mask Part0_label"):
        read_dataset("kolektor_sdd", tmp_path)


def test_kolektor_sdd2_keeps_its_split(tmp_path, put_image, put_mask):
    for split, name, pixels in [
        ("train", "10000", []),
        ("train", "10001", [(0, 0)]),
        ("test", "20000", []),
        ("test", "20001", [(3, 3)]),
    ]:
        put_image(tmp_path / split / f"{name}.png")
        put_mask(tmp_path / split / f"{name}_GT.png", pixels)
    data = read_dataset("kolektor_sdd2", tmp_path)
    assert rows(data, "sample_id", "label", "split") == [
        ("test/20000.png", 0, "test"),
        ("test/20001.png", 1, "test"),
        ("train/10000.png", 0, "train"),
        ("train/10001.png", 1, "train"),
    ]
    # A defective training image is never drawn as a normal one.
    assert data.few_shot("all").sample_ids == ("train/10000.png",)
    assert read_dataset("auto", tmp_path).name == "kolektor_sdd2"


@pytest.mark.parametrize("folder", ["1cls", "visa_pytorch/1cls"])
def test_a_converted_visa_is_found(tmp_path, put_image, folder):
    for name in ("train/good/0", "test/good/1", "test/bad/2"):
        put_image(tmp_path / folder / "candle" / f"{name}.png")
    data = read_dataset("auto", tmp_path)
    assert (data.name, data.categories) == ("visa", ["candle"])


def test_mvtec_without_masks_is_found(tmp_path, put_image):
    for name in ("train/good/0", "test/good/1", "test/broken_large/2"):
        put_image(tmp_path / "bottle" / f"{name}.png")
    assert read_dataset("auto", tmp_path).name == "mvtec"
    put_image(tmp_path / "bottle/test/Ungood/2.png")
    assert read_dataset("auto", tmp_path).name == "bmad"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"object,split,label,image,mask\nwood,train\n", "row 1: 2 cells for 5 columns"),
        (b"object,split,label,image,mask\nw\xe9,train,normal,a,\n", "is not UTF-8"),
        (b"object,object,label,image,mask\n", "two columns called 'object'"),
    ],
)
def test_visa_names_damaged_split_files(tmp_path, text, message):
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_bytes(text)
    with pytest.raises(DatasetLayoutError, match=message):
        read_dataset("visa", tmp_path)
