"""AUPRO of thin cracks hardly depends on the size of the maps: commutators of KolektorSDD."""

from __future__ import annotations

import pytest

from lakeviz import Lake, load_model
from lakeviz.data import read_dataset
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.score_maps import upsample
from lakeviz.metrics import pixel_metrics

pytestmark = pytest.mark.real_data

REGIONS = 53  # of the masks, 500 x 1250 pixels; labelled after resizing they were 139 and 224


def test_aupro_at_256_and_128_is_that_at_image_size(real_data):
    weights = real_data / "vit_tiny_patch16_224.safetensors"
    data = read_dataset("mvtec", real_data / "real").category("commutator")
    lake = Lake(load_model("timm/vit_tiny_patch16_224", str(weights)), k=20).fit(data.few_shot(4))
    test = data.split("test")
    maps = lake.score(test)

    def aupro(size):
        truth = Truth.of_dataset(test, maps.sizes, size)
        pixel = [upsample(one, size or own) for one, own in zip(maps.patch, maps.sizes)]
        found = pixel_metrics(pixel, truth.regions, metrics=("aupro",))
        assert found.n_regions == REGIONS
        return found.aupro, pixel_metrics(pixel, truth.masks, metrics=("aupro",)).aupro

    image, labelled_there = aupro(None)
    assert labelled_there == image
    for size in ((256, 256), (128, 128), (64, 64)):
        found, labelled_after_resizing = aupro(size)
        assert found == pytest.approx(image, abs=0.002)
        assert abs(labelled_after_resizing - image) > 0.02
