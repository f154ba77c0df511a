"""Single neurons: results and pictures."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from neuron_rows import FEW, POINT
from PIL import Image

from lakeviz import load_model, read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.lake import LakeOptions
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.registry import load_study
from lakeviz.studies.neurons import neurons
from lakeviz.studies.neurons.example_patches import crop_patch
from lakeviz.studies.neurons.result import NeuronsResult

# --- results ---


def test_report_of_one_category(world):
    points = (POINT, "blocks.1.hook_resid_post")
    result = neurons(world(points=points, signal=range(4)), k=4, bootstrap=FEW)
    table = result.headline()
    assert table.loc[0, "measure"] == "mean image AUROC of single neurons"
    assert table.loc[0, "reading"] == "higher"
    assert len(table) <= 12
    assert len(result.figures()) == 5  # no pictures without files
    bare = neurons(world(masks=False), k=16, bootstrap=FEW)
    assert set(bare.headline()["reading"]) == {"not measured"}
    assert len(bare.figures()) == 4


def test_round_trip_join_and_means(world, tmp_path):
    points = (POINT, "blocks.1.hook_resid_post")
    result = neurons(world(points=points), k=4, bootstrap=FEW)
    again = load_study(result.to_parquet(tmp_path))
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name], check_dtype=False)
    assert again.summary() == result.summary()
    image = result.groups[result.groups["measure"] == "image_auroc"].set_index("point")
    mean = image.loc["mean of points"]
    assert mean["difference"] == pytest.approx(image.loc[list(points), "difference"].mean())
    assert (mean["n_selected"], mean["n_random"]) == (8, 8)
    other = neurons(world(points=points, seed=1), k=4, bootstrap=FEW)
    for table in other.tables.values():
        table["category"] = "other"
    other.provenance["categories"] = {"other": {}}
    joined = NeuronsResult.join([result, other])
    assert "Mean over 2 categories" in joined.summary()
    assert "95 % over 2 categories" in joined.summary()
    assert len(joined.figures()) == 5
    assert "<table" in joined._repr_html_()


def test_several_metrics_become_columns(world):
    metrics = [("image", "average_precision"), ("pixel", "aupro")]
    result = neurons(world(), k=4, metrics=metrics, bootstrap=FEW)
    assert {"image_average_precision_low", "pixel_aupro_high"} <= set(result.neurons)
    assert "mean image average precision" in result.summary()


# --- pictures ---


def test_a_crop_has_its_patch_in_the_middle():
    pixels = np.zeros((60, 80, 3), dtype=np.uint8)
    pixels[10:20, 20:40] = (255, 0, 0)  # cell (1, 1) of a 6 x 4 grid
    crop = np.asarray(crop_patch(Image.fromarray(pixels), 1, 1, (6, 4), longest=60))
    assert crop.shape == (30, 60, 3)
    assert (crop[12:18, 24:36] == (255, 0, 0)).all()
    assert (crop[:8, :16] == 0).all()
    corner = np.asarray(crop_patch(Image.fromarray(pixels), 0, 0, (6, 4), longest=60))
    assert (corner[2, 2] == (0x86, 0x8E, 0x99)).all()
    assert (corner[15, 30] == 0).all()


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    root = tmp_path_factory.mktemp("benchmark")
    write_benchmark(root, categories=("wood",), size=64, n_train=2, n_good=3, n_per_defect=1)
    wood = read_dataset("mvtec", root).category("wood")
    return capture_study(load_model("tiny"), wood.few_shot(2, 0), wood, options=LakeOptions(k=6))


def test_pictures_of_driving_patches(captured):
    result = neurons(captured, n_top=2, bootstrap=FEW, metrics=[("image", "auroc")])
    pictured = result.patches[result.patches["crop"].notna()]
    assert pictured.groupby("point")["channel"].nunique().eq(5).all()
    selected = result.neurons[result.neurons["group"] == "selected"]
    kept = set(zip(pictured["point"], pictured["channel"], strict=True))
    shown = [own in kept for own in zip(selected["point"], selected["channel"], strict=True)]
    for _, own in selected.assign(shown=shown).groupby("point"):
        assert own["image_auroc"][own["shown"]].min() >= own["image_auroc"][~own["shown"]].max()
    sizes = {Image.open(io.BytesIO(picture)).size for picture in pictured["crop"]}
    assert max(max(size) for size in sizes) <= 48
    bare = neurons(captured, n_top=2, bootstrap=FEW, metrics=[("image", "auroc")], crops=False)
    assert bare.patches["crop"].isna().all()
