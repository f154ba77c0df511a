"""Study data: the same numbers as the detector, from tokens that were captured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lakeviz.activations.token_subsets import capture_tokens
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.lake import Lake, LakeOptions, TextOptions
from lakeviz.models import load_model
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData, TextMaps
from lakeviz.studies.contamination import contamination


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture(scope="module")
def wood(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    write_benchmark(root, categories=("tile",), size=48, n_train=6, n_good=4, n_per_defect=2)
    return read_dataset("mvtec", root).category("tile")


@pytest.mark.parametrize("attention", ["plain", "value_value"])
def test_maps_are_the_detectors(model, wood, attention):
    options = LakeOptions(k=20, map_size=(24, 24), text=TextOptions(attention=attention))
    draw = wood.few_shot(3, seed=1)
    lake = Lake.from_options(model, options).fit(draw, controls=[("random", 5)])
    expected = lake.score(wood.split("test"))
    data = capture_study(model, draw, wood, options=options)
    selections = [data.select(20), data.select(20, "random", 5)]
    visual, random = data.visual_maps(data.branches(selections))
    np.testing.assert_allclose(visual, expected.parts["visual"], atol=1e-6)
    np.testing.assert_allclose(random, expected.parts["control/random#5"], atol=1e-6)
    assert data.text is not None
    np.testing.assert_allclose(data.text.patch, expected.parts["text"], atol=1e-5)
    np.testing.assert_allclose(data.text.image, expected.image_parts["text_image"], atol=1e-5)
    np.testing.assert_allclose(data.fuse(visual), expected.patch, atol=1e-5)
    measured = data.evaluator().measure(data.fuse(visual)).values
    evaluation = lake.evaluate(wood)
    assert measured["image", "auroc"] == pytest.approx(evaluation.value("auroc"))
    assert measured["pixel", "aupro"] == pytest.approx(evaluation.value("aupro", "pixel"), abs=1e-4)


def test_images_are_named_by_their_place_in_the_data_set(model, wood):
    draw = wood.few_shot(3, seed=0)
    data = capture_study(model, draw, wood, options=LakeOptions(k=20, text_weight=0), points=[2])
    assert data.normal_names == list(draw.sample_ids)
    settings = {"shots": 2, "fractions": (0.5,), "n_repeats": 2, "controls": (), "what": ()}
    described = contamination(data, **settings).provenance["categories"]["tile"]
    named = [name for draws in described["draws"] for name in draws["normal"]]
    assert set(named) <= set(draw.sample_ids)
    assert not any(Path(name).is_absolute() for name in (*named, *described["contaminants"]))


def test_pixel_maps_of_full_size_where_they_are_asked_for(model, wood):
    draw, options = wood.few_shot(1, seed=0), LakeOptions(k=20, text_weight=0)
    small = capture_study(model, draw, wood, options=options, points=[2])
    full = capture_study(model, draw, wood, options=options, points=[2], full_size=True)
    assert {m.shape for m in small.truth.masks} == {(128, 128)}
    assert {m.shape for m in full.truth.masks} == {(48, 48)}
    assert full.options.map_size is None


def test_a_cache_is_read_and_not_captured_again(model, wood, tmp_path, monkeypatch):
    draw = wood.few_shot(2, seed=0)
    options = LakeOptions(k=20, text_weight=0)
    first = capture_study(model, draw, wood, options=options, points=[1, 2], cache=tmp_path)

    def refuse(*_args, **_kwargs):
        raise AssertionError("the tower ran again")

    monkeypatch.setattr(type(model.tower), "forward", refuse)
    # Fewer points than the store has are read from it too.
    second = capture_study(model, draw, wood, options=options, points=[2], cache=tmp_path)
    point = "blocks.2.hook_resid_post"
    assert second.points == (point,)
    assert torch.equal(first.test.patches(point), second.test.patches(point))
    assert first.test.all(point).shape[1] == first.test.patches(point).shape[1] + 1
    with pytest.raises(AssertionError, match="ran again"):
        capture_tokens(model, wood.split("test"), ["blocks.3.hook_resid_post"], cache=tmp_path)


def test_bad_input(model, wood):
    draw = wood.few_shot(2, seed=0)
    with pytest.raises(DataError, match="are anomalous"):
        capture_study(model, wood.split("test"), wood)
    with pytest.raises(DataError, match="is a test image, which fitting must not see"):
        capture_study(model, wood.split("test").normal(), wood)
    with pytest.raises(DataError, match="no test image"):
        capture_study(model, draw, wood.where(np.zeros(len(wood), bool)))
    data = StudyData.of_arrays(
        {"p": torch.randn(2, 4, 8)}, {"p": torch.randn(3, 4, 8)}, np.array([0, 1, 1]), grid=(2, 2)
    )
    with pytest.raises(SelectionError, match="k must be between 1 and 8, not 9"):
        data.select(9)
    with pytest.raises(SelectionError, match="no selection"):
        data.branches([])
    with pytest.raises(ConfigError, match="needs a text branch, and there is none"):
        data.fuse(np.zeros((3, 2, 2)), 0.3)
    with pytest.raises(DataError, match="3 test images and 2 labels"):
        StudyData.of_arrays(
            {"p": torch.randn(2, 4, 8)}, {"p": torch.randn(3, 4, 8)}, np.array([0, 1]), grid=(2, 2)
        )


def test_arrays_with_text_are_fused():
    text = TextMaps(np.full((2, 1, 1), 0.5), np.array([0.1, 0.9]))
    data = StudyData.of_arrays(
        {"p": torch.randn(2, 1, 8)},
        {"p": torch.randn(2, 1, 8)},
        np.array([0, 1]),
        grid=(1, 1),
        options=LakeOptions(k=4, text_weight=0.25),
        text=text,
    )
    np.testing.assert_allclose(data.fuse(np.ones((2, 1, 1))), np.full((2, 1, 1), 0.875))
    first = data.absences(data.evaluator())[0]
    assert first == "category: no pixel-level metrics, because there are no masks"
