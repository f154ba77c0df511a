"""Planted truth: what shows in depth alone is found on depth alone, and colour the other way."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from sklearn.metrics import roc_auc_score

from lakeviz import Lake, load_model
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import RELIEF_DEFECTS, write_relief_benchmark
from lakeviz.errors import ImageReadError
from lakeviz.lake import VisualOptions


@pytest.fixture(scope="module")
def leather(tmp_path_factory):
    counts = {"n_train": 8, "n_good": 12, "n_per_defect": 5}
    root = tmp_path_factory.mktemp("relief")
    return write_relief_benchmark(root, categories=("leather",), size=96, **counts)


def scored(root, **options):
    data = read_dataset("mvtec_3d", root)
    lake = Lake(load_model("tiny"), text_weight=0, **options).fit(data.few_shot(8, seed=0))
    return data.split("test"), lake.score(data.split("test"))


def test_each_stream_finds_what_shows_in_it_and_nothing_else(leather):
    test, maps = scored(leather, streams=("image", "normals"))
    kinds = test.frame["defect_type"].to_numpy()
    shown = np.array([RELIEF_DEFECTS.get(kind, ()) for kind in kinds], dtype=object)
    good = kinds == "good"
    only = {
        where: np.array([tuple(parts) == (where,) for parts in shown])
        for where in ("depth", "colour")
    }
    streams = maps.streams | {"fused": maps.patch}
    found = {}
    for stream, patch in streams.items():
        scores = patch.max(axis=(1, 2))
        for where, of in only.items():
            found[stream, where] = roc_auc_score(of[good | of], scores[good | of])
    assert found["normals", "depth"] > 0.95 > 0.75 > found["image", "depth"]
    assert found["image", "colour"] > 0.95 > 0.8 > found["normals", "colour"]
    assert min(found["fused", "depth"], found["fused", "colour"]) > 0.95


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_a_constant_depth_map_adds_nothing_and_says_so(tmp_path, distance, caplog):
    root = write_relief_benchmark(
        tmp_path, categories=("leather",), size=48, n_train=8, n_good=2, n_per_defect=1
    )
    for path in root.rglob("xyz/*.tiff"):
        points = tifffile.imread(path)
        points[..., 2] = 7
        tifffile.imwrite(path, points, photometric="rgb")
    visual = VisualOptions(distance=distance)
    data, both = scored(root, streams=("image", "depth"), visual=visual)
    _, alone = scored(root, visual=visual)
    depth, image = (both.streams[s] for s in ("depth", "image"))
    np.testing.assert_allclose(depth, 0, atol=1e-6)
    np.testing.assert_allclose(both.patch, image / 2, atol=1e-6)
    assert np.argsort(both.image_scores).tolist() == np.argsort(alone.image_scores).tolist()
    assert "is constant: it adds nothing to its image" in caplog.text
    assert "leather: its first 3 depth maps are constant and add nothing" in data.notes


def test_a_depth_map_of_another_size_than_its_image_is_named(tmp_path):
    root = write_relief_benchmark(
        tmp_path, categories=("leather",), size=48, n_train=8, n_good=1, n_per_defect=1
    )
    path = root / "leather/test/good/xyz/000.tiff"
    tifffile.imwrite(path, tifffile.imread(path)[:, :40], photometric="rgb")
    with pytest.raises(ImageReadError, match=r"000\.tiff is 40x48 .* .*rgb/000\.png 48x48"):
        scored(root, streams=("depth",))
