"""A defect comes back at its place in the image, whichever rule made the input of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lakeviz import Lake, load_model
from lakeviz.data import read_dataset
from lakeviz.data.aspect import SQUASH, Geometry
from lakeviz.errors import ConfigError
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.score_maps import ScoreMaps, upsample
from lakeviz.models.preprocess import Preprocess
from lakeviz.runs.spec import RunSpec
from lakeviz.studies.neurons.example_patches import crop_patch
from lakeviz.studies.neurons.patch_labels import PatchTruth

TALL, INPUT, GRID = (1250, 500), (224, 224), (14, 14)  # KolektorSDD in a ViT
FINE = (56, 56)


@pytest.mark.parametrize(
    ("aspect", "placement", "box"),
    [
        ("squash", (INPUT, (0, 0)), (0, 0, 1, 1)),
        # 224 / 1250 = 0.1792: 224 x 90 pixels, 67 to the left of them.
        ("letterbox", ((224, 90), (0, 67)), (0, -67 / 90, 1, 224 / 90)),
        # 224 / 500 = 0.448: 560 x 224 pixels, of which the middle 0.4.
        ("crop", ((560, 224), (-168, 0)), (0.3, 0, 0.4, 1)),
    ],
)
def test_placement_and_box(aspect, placement, box):
    geometry = Geometry(aspect, INPUT)
    assert geometry.placement(TALL) == placement
    assert geometry.box(TALL) == pytest.approx(box)
    top, left, height, _ = geometry.patch_box(13, 7, GRID, TALL)
    assert top + height == pytest.approx(box[0] + box[2])  # the last row ends where the box does
    assert left == pytest.approx(box[1] + box[3] / 2)
    assert Geometry.from_plain(geometry.plain()) == geometry


@pytest.mark.parametrize("aspect", ["squash", "letterbox", "crop"])
@pytest.mark.parametrize("size", [TALL, TALL[::-1], (300, 300)])
def test_a_defect_comes_back_at_its_place(aspect, size):
    """The score of a patch is how white it is; the defect is white, off the centre."""
    height, width = size
    mask = np.zeros(size, dtype=bool)
    top, left = round(0.38 * height), round(0.36 * width)
    mask[top : top + height // 8, left : left + width // 8] = True
    image = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    preprocess = Preprocess(INPUT, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), aspect=aspect)
    patches = torch.nn.functional.avg_pool2d(preprocess(image)[:1], 4)[0].numpy()
    for map_size in (size, (256, 256)):
        found = upsample(patches, map_size, 0, preprocess.geometry, size)
        assert found.shape == map_size
        rows, columns = np.indices(map_size) + 0.5
        weight = found / found.sum()
        centre = (rows * weight).sum() / map_size[0], (columns * weight).sum() / map_size[1]
        expected = (top + height // 8 / 2) / height, (left + width // 8 / 2) / width
        assert centre == pytest.approx(expected, abs=0.025)  # half a patch
    covered = PatchTruth.of(
        Truth.of_masks(np.array([1]), [mask]), FINE, geometry=preprocess.geometry, sizes=[size]
    ).coverage
    assert np.abs(covered.reshape(FINE) - patches).max() < 0.15  # as the resized picture
    row, column = np.unravel_index(patches.argmax(), FINE)
    crop = crop_patch(image, int(row), int(column), FINE, geometry=preprocess.geometry)
    middle = np.asarray(crop)[crop.height // 2, crop.width // 2]
    assert middle.tolist() == [255, 255, 255]


def test_what_a_crop_leaves_out_has_the_lowest_score():
    patches = np.arange(196, dtype=np.float32).reshape(GRID) + 5
    found = Geometry("crop", INPUT).to_image(patches, TALL, (100, 40))
    assert (found[:30] == 5).all()  # the box is 0.3 to 0.7 of the height
    assert (found[70:] == 5).all()
    assert found[31:70].min() > 5
    np.testing.assert_allclose(np.diff(found[40:60, 3]), 14 * 14 / 40, rtol=1e-5)


def test_letterbox_of_a_square_is_the_squash():
    patches = np.random.default_rng(0).random(GRID, dtype=np.float32)
    for aspect in ("letterbox", "crop"):
        same = upsample(patches, (64, 48), 1.5, Geometry(aspect, INPUT), (300, 300))
        np.testing.assert_allclose(same, upsample(patches, (64, 48), 1.5), atol=1e-5)


def test_letterbox_is_filled_with_the_mean_colour():
    mean = (0.2, 0.4, 0.6)
    made = Preprocess((8, 8), mean, (1.0, 1.0, 1.0), aspect="letterbox")
    inputs = made(Image.new("RGB", (4, 8), "white"))
    np.testing.assert_allclose(inputs[:, :, :2], 0, atol=2e-3)
    assert inputs[:, :, 2:6].min() > 0.39
    assert made.describe()["resize_mode"] == "letterbox"


def test_pixel_metrics_are_of_the_place_in_the_image():
    """A perfect map of the patches is perfect over the image, and not if taken for squashed."""
    masks = [np.zeros((125, 50), bool) for _ in range(2)]
    masks[0][50:66, 10:40] = True
    truth = Truth.of_masks(np.array([1, 0]), masks)
    geometry = Geometry("crop", INPUT)
    seen = geometry.to_input(masks[0], TALL).astype(np.float32)
    cells = torch.nn.functional.interpolate(torch.from_numpy(seen)[None, None], GRID, mode="area")
    maps = np.stack([cells[0, 0].numpy(), np.zeros(GRID, np.float32)])
    options = {"map_size": (125, 50), "sizes": [TALL] * 2, "metrics": (("pixel", "auroc"),)}
    values = [
        PairedEvaluator(truth=truth, geometry=g, **options).measure(maps).values["pixel", "auroc"]
        for g in (geometry, SQUASH)
    ]
    assert values[1] < 0.985 < 0.99 < values[0]


def test_maps_and_runs_keep_the_rule():
    maps = ScoreMaps(
        np.zeros((1, 2, 2), np.float32), {}, np.zeros(1), {}, ["a"], [TALL], map_size=(4, 4)
    )
    assert "geometry" not in maps.plain()  # as earlier versions wrote them
    assert ScoreMaps.from_plain(maps.plain(), maps.arrays()).geometry == SQUASH
    own = replace(maps, geometry=Geometry("crop", INPUT))
    assert ScoreMaps.from_plain(own.plain(), own.arrays()).geometry == own.geometry
    spec = RunSpec("folder", "x")
    assert "aspect" not in str(spec.digest) and spec.digest != replace(spec, aspect="crop").digest
    assert RunSpec.from_plain(replace(spec, aspect="crop").to_plain()).aspect == "crop"
    old = spec.to_plain()
    del old["aspect"]
    assert RunSpec.from_plain(old) == spec
    for make in (lambda: load_model("tiny", aspect="pad"), lambda: Geometry("tile")):
        with pytest.raises(ConfigError, match="one of squash, letterbox, crop"):
            make()


def test_a_detector_measures_by_the_rule_of_its_model(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("normal/0", "normal/1", "normal/2", "normal/3", "bad/0"):
        values = generator.integers(90, 110, (60, 150, 3), dtype=np.uint8)
        if name == "bad/0":
            values[20:40, 70:90] = 255
            (tmp_path / "masks").mkdir()
            Image.fromarray(values[..., 0] == 255).save(tmp_path / "masks/0.png")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    data = read_dataset("folder", tmp_path)
    model = load_model("tiny", aspect="letterbox")
    lake = Lake(model, k=8, map_size=(60, 150), text_weight=0)
    found = lake.fit(data.few_shot(2)).evaluate(data)
    assert found.maps.geometry == Geometry("letterbox", model.image_size)
    top = found.maps.pixel_map(found.maps.sample_ids.index("bad/0.png"))
    row, column = np.unravel_index(top.argmax(), top.shape)
    assert 14 <= row <= 46 and 64 <= column <= 96
