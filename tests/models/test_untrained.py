"""An untrained tower shares nothing with the trained one but its architecture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lakeviz.errors import ModelError
from lakeviz.models import load_model
from lakeviz.models.hooks.hooked_tower import HookedTower

NAMES = {
    "tiny": None,
    "RN50": "random",
    "ViT-B-32": "random",
    "timm/vit_tiny_patch16_224": "random",
}
SIZES = {"timm/vit_tiny_patch16_224": 32, "ViT-B-32": 32}


@pytest.fixture(scope="module", params=list(NAMES))
def models(request):
    """A model, which random weights of another seed stand for where none are trained."""
    size = SIZES.get(request.param)
    model = load_model(request.param, NAMES[request.param], image_size=size, seed=7)
    before = model.weights_hash
    return model, model.untrained(seed=0), before


def constant(parameter: torch.Tensor) -> bool:
    return bool((parameter == parameter.flatten()[0]).all())


def test_no_parameter_is_kept(models):
    model, fresh, before = models
    assert model.weights_hash == before != fresh.weights_hash
    was = dict(model.tower.tower.named_parameters())
    for name, parameter in fresh.tower.tower.named_parameters():
        if torch.equal(parameter, was[name]):  # a norm as it starts: weight 1 (or 0), bias 0
            assert constant(parameter), name
            assert parameter.flatten()[0] in (0, 1), name
    assert not set(map(id, fresh.tower.tower.parameters())) & set(map(id, was.values()))


def test_it_runs_and_says_what_it_is(models):
    model, fresh, _ = models
    images = torch.randn(1, 3, *model.image_size)
    output = fresh.encode_image(images)
    assert torch.isfinite(output).all()
    assert output.shape == model.encode_image(images).shape
    assert not torch.allclose(output, model.encode_image(images))
    assert fresh.describe()["pretrained"] == "untrained, seed 0"
    assert fresh.preprocess is model.preprocess
    assert fresh.text is None
    assert list(fresh.tower.points) == list(model.tower.points)
    assert not any(p.requires_grad for p in fresh.tower.tower.parameters())


def test_the_seed_makes_the_weights():
    model = load_model("tiny")
    state = torch.random.get_rng_state()
    one, same, other = (model.untrained(seed).weights_hash for seed in (1, 1, 2))
    assert one == same != other
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.untrained(1).untrained(2).weights_hash == other


def test_what_has_no_initialiser_is_named():
    model = load_model("tiny")

    def keeps_one(seed: int) -> nn.Module:
        tower = build(seed)
        tower.proj.data.copy_(model.tower.tower.proj)
        return tower

    def not_a_number(seed: int) -> nn.Module:
        tower = build(seed)
        tower.class_embedding.data[0] = torch.nan
        return tower

    build = model.build_tower
    for spoiled, named in ((keeps_one, "proj"), (not_a_number, "class_embedding")):
        model.build_tower = spoiled
        with pytest.raises(ModelError, match=rf"1 parameters .*\({named}\)"):
            model.untrained()
    model.build_tower = lambda seed: load_model("ViT-B-32", "random", image_size=32).module.visual
    with pytest.raises(ModelError, match="another architecture"):
        model.untrained()
    model.build_tower = None
    with pytest.raises(ModelError, match="not made by load_model"):
        model.untrained()


def test_knows_its_hooks():
    assert isinstance(load_model("tiny").untrained().tower, HookedTower)
