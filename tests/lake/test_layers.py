"""Which hook points the visual branch reads."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.errors import ActivationError, ConfigError, UnknownHookPointError
from lakeviz.lake import default_layers, layer_points


def test_numbers_names_and_globs(tiny_model) -> None:
    model = tiny_model("clip")
    post = "blocks.{}.hook_resid_post".format
    assert layer_points(model, [1, 3]) == (post(1), post(3))
    assert layer_points(model, ["2", np.int64(0)]) == (post(2), post(0))
    assert layer_points(model, ["blocks.*.hook_resid_post"]) == tuple(post(i) for i in range(4))
    assert layer_points(model, 1) == layer_points(model, post(1)) == (post(1),)
    assert layer_points(model, [1, post(1), 1]) == (post(1),)
    assert layer_points(model, ["blocks.1.mlp.hook_post"]) == ("blocks.1.mlp.hook_post",)


def test_what_does_not_exist(tiny_model) -> None:
    model = tiny_model("clip")
    for layer in (4, -1, "9"):
        with pytest.raises(ConfigError, match="blocks 0 to 3"):
            layer_points(model, [layer])
    with pytest.raises(UnknownHookPointError):
        layer_points(model, ["blocks.1.hook_resid_pots"])
    with pytest.raises(ConfigError, match="no layer"):
        layer_points(model, [])
    with pytest.raises(ActivationError, match="no neurons per patch token"):
        layer_points(model, ["hook_image_features"])


@pytest.mark.parametrize("kind", ["clip", "timm", "resnet"])
def test_default_exists_for_every_architecture(tiny_model, kind: str) -> None:
    model = tiny_model(kind)
    points = default_layers(model)
    assert points
    assert layer_points(model, None) == layer_points(model, points) == points


def test_default_of_a_staged_tower() -> None:
    from types import SimpleNamespace

    from open_clip.timm_model import TimmModel
    from timm.models.convnext import ConvNeXt

    from lakeviz.models import HookedTower

    wrapper = TimmModel("vit_tiny_patch16_224", 16, image_size=64)
    wrapper.trunk = ConvNeXt(depths=(1, 1, 1, 1), dims=(4, 4, 8, 8))
    tower = HookedTower(wrapper)
    model = SimpleNamespace(tower=tower, n_blocks=4, architecture=tower.adapter.architecture)
    assert default_layers(model) == ("stages.1.hook_resid_post", "stages.2.hook_resid_post")
