"""Preprocessing against the libraries' own transforms, and the whole image kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm.data
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_eval

from lakeviz.errors import DataError
from lakeviz.models.preprocess import Preprocess, preprocess_of

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("side", [20, 32, 77])
def test_on_square_images_it_is_open_clips_own_transform(interpolation, side):
    cfg = PreprocessCfg(size=(32, 32), mean=MEAN, std=STD, interpolation=interpolation)
    ours = preprocess_of(vars(cfg), (32, 32))
    expected = image_transform_v2(cfg, is_train=False)(picture(side, side))
    assert torch.equal(ours(picture(side, side)), expected)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_on_square_images_it_is_timms_own_transform_without_the_crop(interpolation):
    cfg = {"mean": MEAN, "std": STD, "interpolation": interpolation}
    ours = preprocess_of(cfg, (32, 32))
    theirs = transforms_imagenet_eval(32, crop_pct=1.0, **cfg)
    torch.testing.assert_close(ours(picture(50, 50)), theirs(picture(50, 50)))


def test_the_settings_come_from_the_model():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    cfg = timm.data.resolve_model_data_config(model)
    ours = preprocess_of(cfg, (224, 224))
    assert (ours.mean, ours.std, ours.interpolation) == (cfg["mean"], cfg["std"], "bicubic")


def test_the_whole_image_is_kept_at_any_aspect_ratio():
    """Left half black, right half white: no crop moves the boundary from the middle."""
    pixels = np.zeros((10, 200, 3), dtype=np.uint8)
    pixels[:, 100:] = 255
    transform = Preprocess((16, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")
    tensor = transform(Image.fromarray(pixels))
    assert tensor.shape == (3, 16, 32)
    assert (tensor[:, :, :15] == 0).all() and (tensor[:, :, 17:] == 1).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_eight_bit_modes_are_read_as_their_rgb_form(mode):
    transform = Preprocess((16, 16), MEAN, STD)
    image = picture(16, 16, mode)
    assert torch.equal(transform(image), transform(image.convert("RGB")))


def test_sixteen_bits_are_refused_rather_than_clipped():
    image = Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16))
    with pytest.raises(DataError, match="I;16"):
        Preprocess((8, 8), MEAN, STD)(image)


def test_describe_is_plain_and_complete():
    described = Preprocess((16, 32), MEAN, STD).describe()
    assert json.loads(json.dumps(described)) == described
    assert described == {
        "size": [16, 32],
        "mean": list(MEAN),
        "std": list(STD),
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
