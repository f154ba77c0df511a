"""Detectors and evaluations come back from disk as they went."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from stored import read_unsealed

from lakeviz import load_evaluation, load_lake, save_evaluation, save_lake
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, NotFittedError, StoreError
from lakeviz.lake import (
    Lake,
    LakeOptions,
    Normalisation,
    PromptEnsemble,
    TextOptions,
    VisualOptions,
)
from lakeviz.lake.options import ImageScoreRule
from lakeviz.lake.provenance import as_plain
from lakeviz.models import load_model


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    write_benchmark(root, categories=("tile",), size=64, n_train=2, n_good=3, n_per_defect=1)
    return read_dataset("mvtec", root)


def test_options_survive_json():
    options = LakeOptions(
        k=7,
        layers=(1, "blocks.2.hook_resid_post"),
        text_weight=0.1,
        visual=VisualOptions("euclidean", 3, Normalisation("zscore", "after"), 0.5),
        text=TextOptions(PromptEnsemble(("a {}",), ("b {}",), ("{}",)), layer=2),
        image_score=ImageScoreRule("top_mean", 0.1),
        map_size=(10, 20),
    )
    assert LakeOptions.from_plain(json.loads(json.dumps(as_plain(options)))) == options


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"selector": "pca", "k": 5},
        {"visual": VisualOptions("euclidean", 2, Normalisation("zscore", "after"), 0.5)},
        {"text": TextOptions(attention="value_value", value_blocks=2)},
    ],
    ids=["default", "pca", "zscore", "value_value"],
)
def test_a_detector_comes_back_and_scores_the_same(model, tile, tmp_path, options):
    lake = Lake(model, **options).fit(tile.few_shot(2))
    save_lake(lake, tmp_path / "lake")
    back = load_lake(tmp_path / "lake", model)
    test = tile.split("test")
    before, after = lake.score(test), back.score(test)
    assert np.array_equal(before.patch, after.patch)
    assert np.array_equal(before.image_scores, after.image_scores)
    assert before.parts.keys() == after.parts.keys()
    assert not list((tmp_path / "lake").glob("*.pkl"))


def test_a_detector_without_its_model_is_told_what_to_name(tmp_path):
    with pytest.raises(ConfigError, match=r"load_lake\(path, model\)"):
        load_lake(tmp_path)


def test_an_unfitted_detector_cannot_be_saved(model, tmp_path):
    with pytest.raises(NotFittedError, match="not fitted"):
        save_lake(Lake(model), tmp_path)


def test_a_detector_of_other_weights_is_refused(model, tile, tmp_path):
    save_lake(Lake(model).fit(tile.few_shot(1)), tmp_path / "lake")
    path = tmp_path / "lake" / "lake.json"
    described = read_unsealed(path)
    described["model"]["weights_hash"] = "0" * 64
    path.write_text(json.dumps(described))
    with pytest.raises(StoreError, match="weights hash"):
        load_lake(tmp_path / "lake", model)


def test_a_gallery_that_was_damaged_or_is_of_another_detector_is_refused(model, tile, tmp_path):
    for seed in (0, 1):
        save_lake(Lake(model, k=5 + seed).fit(tile.few_shot(1)), tmp_path / str(seed))
    arrays = tmp_path / "0" / "lake.safetensors"
    whole = arrays.read_bytes()
    arrays.write_bytes((tmp_path / "1" / "lake.safetensors").read_bytes())
    with pytest.raises(StoreError, match=r"0/lake\.safetensors belongs to something else"):
        load_lake(tmp_path / "0", model)
    arrays.write_bytes(whole[:-400] + bytes(400))
    with pytest.raises(StoreError, match=r"0/lake\.safetensors is damaged: .* delete it and run"):
        load_lake(tmp_path / "0", model)


def test_maps_that_were_damaged_or_are_of_another_evaluation_are_refused(model, tile, tmp_path):
    for seed in (0, 1):
        lake = Lake(model, k=5 + seed).fit(tile.few_shot(1))
        save_evaluation(lake.evaluate(tile), tmp_path / str(seed))
    maps = tmp_path / "0" / "maps.safetensors"
    whole = maps.read_bytes()
    maps.write_bytes((tmp_path / "1" / "maps.safetensors").read_bytes())
    with pytest.raises(StoreError, match=r"0/maps\.safetensors belongs to something else"):
        load_evaluation(tmp_path / "0", tile)
    maps.write_bytes(whole[:-400] + bytes(400))
    with pytest.raises(StoreError, match=r"0/maps\.safetensors is damaged"):
        load_evaluation(tmp_path / "0", tile)


def test_an_evaluation_comes_back(model, tile, tmp_path):
    lake = Lake(model).fit(tile.few_shot(2), controls=[("random", 0), ("all", 0)])
    evaluation = lake.evaluate(tile)
    save_evaluation(evaluation, tmp_path / "tile")
    back = load_evaluation(tmp_path / "tile", tile)
    for name in ("metrics", "scores", "controls", "neurons", "spectrum"):
        pd.testing.assert_frame_equal(getattr(evaluation, name), getattr(back, name))
    assert np.array_equal(evaluation.maps.patch, back.maps.patch)
    assert back.maps.sizes == evaluation.maps.sizes
    assert back.summary() == evaluation.summary()
    assert np.array_equal(back.mask(4), evaluation.mask(4))
    (tmp_path / "tile" / "maps.safetensors").write_bytes(b"junk")
    with pytest.raises(StoreError, match="damaged"):
        load_evaluation(tmp_path / "tile", tile)
