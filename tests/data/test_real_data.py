"""The public magnetic-tile and hazelnut images, counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lakeviz.data import ImageBatches, load_image, read_dataset
from lakeviz.data.depth import render, units_of

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def mtd(real_data):
    return read_dataset("mtd", real_data / "mtd")


@pytest.fixture(scope="module")
def hazelnut(real_data):
    return read_dataset("mvtec", real_data / "hazelnut_toy")


def test_mtd_has_the_published_counts(mtd):
    assert (len(mtd.normal()), len(mtd.anomalous())) == (952, 392)
    assert mtd.anomalous().frame["defect_type"].value_counts().to_dict() == {
        "Blowhole": 115,
        "Uneven": 103,
        "Break": 85,
        "Crack": 57,
        "Fray": 32,
    }
    assert len(mtd.split("train")) == 476
    assert mtd.split("train").labels.sum() == 0
    assert mtd.has_masks


def test_mtd_masks_fit_their_images_and_four_are_empty(mtd):
    defective = mtd.anomalous()
    empty = []
    for position, path in enumerate(defective.paths):
        image = load_image(path)
        if not defective.mask(position, (image.height, image.width)).any():
            empty.append(defective.sample_ids[position])
    assert len(empty) == 4
    assert all(name.startswith("MT_Uneven/") for name in empty)
    assert mtd.notes[0].endswith(", ".join(empty))


def test_hazelnut_counts_and_masks(hazelnut):
    assert hazelnut.categories == ["hazelnut_toy"]
    assert (
        len(hazelnut.split("train")),
        len(hazelnut.split("test").normal()),
        len(hazelnut.split("test").anomalous()),
    ) == (28, 6, 17)
    assert set(hazelnut.anomalous().frame["defect_type"]) == {"colour"}
    defective = hazelnut.anomalous()
    for position, path in enumerate(defective.paths):
        image = load_image(path)
        assert 0 < defective.mask(position, (image.height, image.width)).mean() < 0.5
    assert read_dataset("auto", hazelnut.root).name == "mvtec"


def test_batches_of_real_images_equal_single_reads(hazelnut):
    def shrink(image):
        return torch.from_numpy(np.asarray(image.resize((8, 8))).copy()).permute(2, 0, 1)

    drawn = hazelnut.few_shot(4, seed=1)
    (batch,) = ImageBatches(drawn.paths, shrink, workers=2)
    torch.testing.assert_close(
        batch.images, torch.stack([shrink(load_image(p)) for p in drawn.paths])
    )


def test_ped2_has_its_clips_and_masks(real_data):
    data = read_dataset("auto", real_data / "UCSDped2")
    assert (data.name, data.categories) == ("ucsd", ["ped2"])
    counts = data.split("test").frame.groupby("clip")["label"].agg(["size", "sum"])
    assert counts["size"].tolist() == [180, 180, 150, 180, 150, 180]
    assert counts["sum"].tolist() == [120, 86, 146, 150, 129, 159]
    first = data.anomalous()
    assert load_image(first.paths[0]).size == (360, 240)
    assert first.mask(0, (240, 360)).any()


def test_potholes_have_depth_and_their_holes_are_drawn_darker(real_data):
    data = read_dataset("auto", real_data / "pothole_rgbd")
    assert data.name == "rgbd"
    assert (len(data.split("train")), len(data.normal()), len(data.anomalous())) == (40, 100, 60)
    darker = []
    test = data.anomalous()
    for index, depth in enumerate(test.depths):
        drawn = np.asarray(render(depth.path, "depth", units_of(depth.normal)))[..., 0]
        hole = test.mask(index, drawn.shape)
        darker.append(drawn[hole].mean() < drawn[~hole].mean())
    assert np.mean(darker) > 0.9
