"""From a hook point's tensor to [image, token, channel], checked against the raw tensor."""

from __future__ import annotations

import pytest
import torch

from lakeviz.activations import neurons_of, select_tokens, token_grid
from lakeviz.errors import ActivationError, UnknownHookPointError


def captured(model, point: str) -> torch.Tensor:
    images = torch.randn(2, 3, *model.image_size, generator=torch.Generator().manual_seed(0))
    return model.tower.run_with_cache(images, names_filter=point)[1][point]


def test_patch_prefix_and_all_tokens_of_a_tower_with_registers(tiny_model) -> None:
    model, point = tiny_model("timm"), "blocks.1.hook_resid_post"
    raw = captured(model, point)
    prefix, patches = model.split_tokens(raw)
    assert (prefix.shape[1], patches.shape[1]) == (3, 16)  # class token and two registers, 4 x 4
    assert torch.equal(select_tokens(model.tower, point, raw), patches)
    assert torch.equal(select_tokens(model.tower, point, raw, "prefix"), prefix)
    assert torch.equal(select_tokens(model.tower, point, raw, "all"), raw)
    assert neurons_of(model.tower, point) == 32
    assert token_grid(model.tower, point) == (4, 4)


def test_heads_are_laid_side_by_side(tiny_model) -> None:
    model, point = tiny_model("clip"), "blocks.2.attn.hook_z"
    raw = captured(model, point)
    tokens = select_tokens(model.tower, point, raw)
    assert raw.shape == (2, 17, 4, 8)
    assert neurons_of(model.tower, point) == tokens.shape[-1] == 32
    for head in range(4):
        assert torch.equal(tokens[..., head * 8 : head * 8 + 8], raw[:, 1:, head])


def test_convolutional_map_row_by_row(tiny_model) -> None:
    model, point = tiny_model("resnet"), "layer2.0.hook_resid_post"
    raw = captured(model, point)
    tokens = select_tokens(model.tower, point, raw)
    rows, columns = token_grid(model.tower, point)
    assert raw.shape == (2, neurons_of(model.tower, point), rows, columns) == (2, 128, 8, 8)
    for row in range(rows):
        for column in range(columns):
            assert torch.equal(tokens[:, row * columns + column], raw[:, :, row, column])


def test_map_with_channels_last_row_by_row() -> None:
    from open_clip.timm_model import TimmModel
    from timm.models.swin_transformer import SwinTransformer

    from lakeviz.models import HookedTower

    wrapper = TimmModel("vit_tiny_patch16_224", 16, image_size=32)
    wrapper.trunk = SwinTransformer(
        32, 4, embed_dim=8, depths=(1, 1), num_heads=(1, 1), window_size=2
    )
    tower, point = HookedTower(wrapper).eval(), "stages.0.hook_resid_post"
    raw = tower.run_with_cache(torch.randn(1, 3, 32, 32), names_filter=point)[1][point]
    assert tower.points[point].axes[-1] == "channel"
    assert raw.shape == (1, 8, 8, neurons_of(tower, point))
    tokens = select_tokens(tower, point, raw)
    assert token_grid(tower, point) == (8, 8)
    assert torch.equal(tokens[:, 3 * 8 + 5], raw[:, 3, 5])


@pytest.mark.parametrize(
    "point", ["blocks.0.attn.hook_pattern", "blocks.0.attn.hook_attn_scores", "hook_image_features"]
)
def test_points_without_patch_tokens_are_refused(tiny_model, point: str) -> None:
    with pytest.raises(ActivationError, match="no neurons per patch token"):
        neurons_of(tiny_model("clip").tower, point)


def test_unknown_and_ambiguous_names(tiny_model) -> None:
    tower = tiny_model("clip").tower
    with pytest.raises(UnknownHookPointError, match="hook_resid_post"):
        neurons_of(tower, "blocks.0.hook_resid_pots")
    with pytest.raises(ActivationError, match="means 4 hook points"):
        neurons_of(tower, "blocks.*.hook_resid_post")
    with pytest.raises(ActivationError, match="patch, prefix or all"):
        select_tokens(tower, "hook_ln_pre", torch.zeros(1, 17, 32), "cls")


def test_prefix_of_a_tower_without_any_is_refused(tiny_model) -> None:
    model, point = tiny_model("resnet"), "layer1.0.hook_resid_post"
    with pytest.raises(ActivationError, match="no class token"):
        select_tokens(model.tower, point, torch.zeros(1, 64, 16, 16), "prefix")
