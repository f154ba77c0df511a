"""Tokens are gathered from where they lie, views capture nothing, text maps are made once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lakeviz.activations import Activations
from lakeviz.activations.token_subsets import GatheredTokens, capture_tokens
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, StoreError
from lakeviz.lake import LakeOptions, Normalisation, TextOptions, VisualOptions
from lakeviz.models import load_model
from lakeviz.studies.base import text_maps as text_maps_module
from lakeviz.studies.base.capture import capture_study

POINT = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    write_benchmark(root, categories=("tile",), size=48, n_train=6, n_good=3, n_per_defect=1)
    return read_dataset("mvtec", root).category("tile")


@pytest.fixture
def passed(model, monkeypatch):
    """Number of images in each forward pass of the tower."""
    counts = []
    tower = type(model.tower)
    forward = tower.run_with_cache

    def counted(self, images, *args, **kwargs):
        counts.append(len(images))
        return forward(self, images, *args, **kwargs)

    monkeypatch.setattr(tower, "run_with_cache", counted)
    return counts


def held(n: int, seed: int) -> Activations:
    tokens = torch.randn(n, 4, 3, generator=torch.Generator().manual_seed(seed))
    return Activations({"p": tokens}, [f"{seed}/{i}" for i in range(n)], [])


def test_images_of_several_sources_in_any_order():
    a, b = held(3, 0), held(2, 1)
    both = GatheredTokens((a, b), ((1, 0), (0, 2), (1, 1), (0, 0)), ["w", "x", "y", "z"])
    whole = torch.stack(
        [b.tensors["p"][0], a.tensors["p"][2], b.tensors["p"][1], a.tensors["p"][0]]
    )
    assert torch.equal(both.read("p"), whole)
    assert torch.equal(both.read("p", [3, 0]), whole[[3, 0]])
    assert torch.equal(both.read("p", slice(1, 3)), whole[1:3])
    some = GatheredTokens.some(both, [2, 1])
    assert some.sample_ids == ["y", "x"]
    assert torch.equal(some.read("p"), whole[[2, 1]])
    assert some.sources == both.sources
    with pytest.raises(StoreError, match="counted from 0; asked for 4"):
        both.read("p", [4])
    with pytest.raises(StoreError, match="no image was asked for"):
        both.read("p", [])


def test_only_images_that_lie_nowhere_are_captured(model, tile, tmp_path, passed):
    paths = tile.few_shot("all", 0).paths
    first = capture_tokens(model, paths[:3], [POINT], cache=tmp_path)
    assert sum(passed) == 3
    more = capture_tokens(model, [paths[4], *paths[1:4]], [POINT], cache=tmp_path)
    assert sum(passed) == 5
    assert torch.equal(more.patches(POINT)[1:3], first.patches(POINT)[1:])
    whole = capture_tokens(model, paths, [POINT])
    torch.testing.assert_close(
        more.patches(POINT), whole.patches(POINT, [4, 1, 2, 3]), atol=1e-5, rtol=1e-5
    )
    passed.clear()
    # By content: the same images as a data set, under other names.
    again = capture_tokens(model, tile.split("train").normal(), [POINT], cache=tmp_path)
    assert sum(passed) == 1
    assert again.sample_ids == tile.split("train").normal().sample_ids


def test_a_view_has_the_numbers_of_a_capture_of_its_own(model, tile):
    options = LakeOptions(k=20, layers=(1, 2), map_size=(24, 24), text_weight=0.3)
    draw = tile.few_shot(4, 0)
    wide = capture_study(model, draw, tile, options=options)
    visual = VisualOptions(normalisation=Normalisation("l2"), coreset=0.5)
    other = replace(options, k=7, layers=(2,), seed=3, text_weight=0.5, visual=visual)
    two = replace(draw, sample_ids=draw.sample_ids[:2], paths=draw.paths[:2])
    view = wide.view(images=[0, 1], points=["blocks.2.hook_resid_post"], options=other)
    own = capture_study(model, two, tile, options=other)
    for data in (view, own):
        assert data.normal_paths == two.paths
        assert data.provenance["fit"]["sample_ids"] == list(two.sample_ids)
    maps = [d.fuse(d.visual_maps(d.branches([d.select(7)]))[0]) for d in (view, own)]
    np.testing.assert_allclose(*maps, atol=1e-5)


def test_views_refuse_what_was_not_captured(model, tile):
    options = LakeOptions(k=20, layers=(1,), map_size=(24, 24), text_weight=0)
    data = capture_study(model, tile.few_shot(2, 0), tile, options=options)
    with pytest.raises(StoreError, match="holds 2 images"):
        data.view(images=[2])
    with pytest.raises(ConfigError, match=r"blocks\.3\.hook_resid_post was not captured"):
        data.view(points=["blocks.3.hook_resid_post"])
    with pytest.raises(ConfigError, match="no point was not captured"):
        data.view(points=[])
    with pytest.raises(ConfigError, match="the map size and text branch of its capture"):
        data.view(options=replace(options, map_size=(8, 8)))


def test_text_maps_are_kept_and_made_anew_for_other_settings(model, tile, tmp_path, monkeypatch):
    options = LakeOptions(k=20, layers=(1,), text_weight=0.3)
    draw = tile.few_shot(2, 0)
    first = capture_study(model, draw, tile, options=options, cache=tmp_path)
    made = []
    score = text_maps_module._score
    monkeypatch.setattr(text_maps_module, "_score", lambda *a: made.append(1) or score(*a))
    second = capture_study(model, draw, tile, options=options, cache=tmp_path)
    assert not made
    assert first.text is not None
    assert second.text is not None
    np.testing.assert_array_equal(first.text.patch, second.text.patch)
    np.testing.assert_array_equal(first.text.image, second.text.image)
    capture_study(model, draw, tile, options=options, cache=tmp_path, class_name="gear")
    capture_study(
        model, draw, tile, options=replace(options, text=TextOptions(layer=4)), cache=tmp_path
    )
    assert len(made) == 2
    for kept in (tmp_path / "text").glob("*.safetensors"):
        kept.write_bytes(b"damaged")
    capture_study(model, draw, tile, options=options, cache=tmp_path)
    assert len(made) == 3
