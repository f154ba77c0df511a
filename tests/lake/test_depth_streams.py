"""Planted truth: what shows in depth alone is found on depth alone, and colour the other way."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from sklearn.metrics import roc_auc_score

from lakeviz import Lake, load_lake, load_model
from lakeviz.activations import TokenBatches
from lakeviz.data import read_dataset
from lakeviz.data.depth import constant_picture, render
from lakeviz.data.synthetic import RELIEF_DEFECTS, write_relief_benchmark
from lakeviz.errors import ImageReadError
from lakeviz.files import read_arrays, read_json, write_arrays, write_json
from lakeviz.lake import Gallery, VisualOptions
from lakeviz.lake.attribution import NeuronGallery, split
from lakeviz.lake.visual import normal_distance
from lakeviz.studies.knockout.leave_one_out import SingleKnockouts


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


def test_cosine_distances_of_streams_are_in_units_of_normal_ones(leather, tmp_path):
    data = read_dataset("mvtec_3d", leather)
    draw, test = data.few_shot(4), data.split("test")[:6]
    lake = Lake(
        load_model("tiny"), k=8, layers=[2], text_weight=0, streams=("image", "normals")
    ).fit(draw)
    maps = lake.score(test)
    for point, own in lake.visual.points.items():
        gallery = own.gallery
        unit = normal_distance(gallery.tokens, point, "cosine")
        assert gallery.typical_distance == pytest.approx(unit)
        plain = Gallery(gallery.tokens, distance="cosine")
        (batch,) = TokenBatches(lake.model, test, [point])
        chosen = own.restriction(batch.tokens[point])
        expected = plain.score(chosen) / unit
        torch.testing.assert_close(own.score(batch.tokens[point]), expected)
        np.testing.assert_allclose(maps.parts[f"visual/{point}"].ravel(), expected.ravel(), 1e-5)
        # The parts of neurons, and the scores without each, are in the same unit.
        (normal,) = TokenBatches(lake.model, draw, [point])
        neurons = NeuronGallery.of_point(own, normal.tokens[point])
        parts = split(neurons, neurons.chosen(batch.tokens[point]).flatten(0, 1))
        np.testing.assert_allclose(parts.contribution.sum(1), parts.score, rtol=1e-3, atol=1e-5)
        without = SingleKnockouts(gallery, [3]).score(chosen)[..., 0]
        keep = [i for i in range(8) if i != 3]
        torch.testing.assert_close(
            without,
            gallery.of(gallery.tokens[:, keep]).score(chosen[..., keep]),
            rtol=1e-3,
            atol=1e-4,
        )
    again = Lake.load(lake.save(tmp_path / "lake"), lake.model).score(test)
    np.testing.assert_array_equal(again.patch, maps.patch)


def test_an_effect_is_the_rendering_beside_that_of_a_constant_depth(leather, tmp_path):
    model, data = load_model("tiny"), read_dataset("mvtec_3d", leather)
    test = data.split("test")[:3]
    point = "blocks.1.hook_resid_post"
    names = [f"{point}@normals_effect", f"{point}@normals"]
    (batch,) = TokenBatches(model, test, names)
    assert list(batch.tokens) == names
    flat = np.ones((48, 48))
    np.save(tmp_path / "flat.npy", flat)
    picture = render(tmp_path / "flat.npy", "normals")
    assert np.array_equal(np.asarray(picture), np.asarray(constant_picture("normals", (48, 48))))
    (of_flat,) = TokenBatches(model, picture, [point])
    torch.testing.assert_close(
        batch.tokens[names[0]], batch.tokens[names[1]] - of_flat.tokens[point], atol=1e-4, rtol=0
    )


def test_a_detector_saved_by_the_version_before_keeps_its_units(leather, tmp_path):
    data, visual = read_dataset("mvtec_3d", leather), VisualOptions(distance="euclidean")
    model, streams = load_model("tiny"), ("image", "normals")
    lake = Lake(model, k=8, layers=[2], text_weight=0, streams=streams, visual=visual)
    folder = lake.fit(data.few_shot(4)).save(tmp_path / "lake")
    arrays, described = read_arrays(folder / "lake.safetensors"), read_json(folder / "lake.json")
    old = {name.replace("|typical_distance", "|unit"): own for name, own in arrays.items()}
    assert len(old.keys() - arrays.keys()) == 2
    described["arrays_sha256"] = write_arrays(folder / "lake.safetensors", old)
    write_json(folder / "lake.json", described, sealed=True)
    test = data.split("test")[:4]
    again = load_lake(folder, model)
    np.testing.assert_array_equal(again.score(test).patch, lake.score(test).patch)
