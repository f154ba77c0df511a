"""Removing the weights that write a channel, against zeroing the output of every writer."""

from __future__ import annotations

import re

import pytest
import torch
from timm.layers.mlp import GluMlp
from torch import nn

from lakeviz.errors import HookError, UnknownHookPointError
from lakeviz.models import HookedTower, weights_removed

from .conftest import VITS, build, open_clip_vit, timm_vit

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
CHANNELS = [3, 17]
MORE = {
    "open_clip-no-ln-pre": lambda: open_clip_vit(no_ln_pre=True),
    "open_clip-scaled-attention": lambda: open_clip_vit(block_type="custom", scale_attn=True),
    "timm-pre-norm": lambda: timm_vit(pre_norm=True),
    "timm-registers-without-class": lambda: timm_vit(
        class_token=False, reg_tokens=2, global_pool="avg"
    ),
}


def perturb(tower: nn.Module) -> None:
    """Give biases and tokens values, so that a writer that is forgotten shows."""
    generator = torch.Generator().manual_seed(3)
    for parameter in tower.parameters():
        if parameter.ndim <= 1 or parameter.shape[0] == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture(params=[*VITS, *MORE])
def tower(request) -> HookedTower:
    torch.manual_seed(0)
    bare = MORE[request.param]() if request.param in MORE else build(request.param).bare
    perturb(bare.eval().requires_grad_(False))
    return HookedTower(bare).eval()


@pytest.fixture
def images(tower) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, *tower.adapter.image_size)


def zero(tensor, hook):
    tensor[..., CHANNELS] = 0
    return tensor


def written_at(tower: HookedTower, point: str) -> list[str]:
    """Points at which the writers of a point put out what they write."""
    number, name = re.fullmatch(r"blocks\.(\d+)\.(.+)", point).groups()
    if not name.startswith("hook_resid"):
        return [point]
    outputs = ["blocks.0.hook_resid_pre"]
    for block in range(int(number) + 1):
        if block < int(number) or name != "hook_resid_pre":
            outputs.append(f"blocks.{block}.hook_attn_out")
        if block < int(number) or name == "hook_resid_post":
            outputs.append(f"blocks.{block}.hook_mlp_out")
    return outputs


@pytest.mark.parametrize(
    "name",
    ["hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out"],
)
def test_it_equals_zeroing_the_output_of_every_writer(tower, images, name) -> None:
    point = f"blocks.1.{name}"
    hooks = [(tower.resolve(written_at(tower, point)), zero)]
    expected = tower.run_with_hooks(images, fwd_hooks=hooks)
    intact = tower(images)
    with weights_removed(tower, point, CHANNELS):
        output, cache = tower.run_with_cache(images, names_filter=point, stop_at=None)
    assert (cache[point][..., CHANNELS] == 0).all()
    kept = [c for c in range(cache[point].shape[-1]) if c not in CHANNELS]
    assert (cache[point][..., kept] != 0).any(dim=(0, 1)).all()
    torch.testing.assert_close(output, expected, **TOLERANCE)
    assert not torch.allclose(output, intact, **TOLERANCE)


@pytest.mark.parametrize("name", ["mlp.hook_pre", "mlp.hook_post"])
def test_neurons_of_the_mlp(tower, images, name) -> None:
    point = f"blocks.1.{name}"
    expected = tower.run_with_hooks(images, fwd_hooks=[(point, zero)])
    with weights_removed(tower, point, CHANNELS):
        output, cache = tower.run_with_cache(images, names_filter=point, stop_at=None)
    assert (cache[point][..., CHANNELS] == 0).all()
    torch.testing.assert_close(output, expected, **TOLERANCE)


def test_the_state_is_bit_equal_afterwards_also_after_an_error(tower, images) -> None:
    before = {name: (t, t.clone()) for name, t in tower.tower.named_parameters()}
    order, output = list(tower.state_dict()), tower(images)
    point = "blocks.2.hook_resid_post"
    with pytest.raises(RuntimeError, match="stop"), weights_removed(tower, point, CHANNELS):
        tower(images)
        raise RuntimeError("stop")
    with weights_removed(tower, point, CHANNELS):
        assert not torch.equal(tower(images), output)
    for name, parameter in tower.tower.named_parameters():
        same, value = before[name]
        assert parameter is same, name
        assert torch.equal(parameter, value), name
    assert list(tower.state_dict()) == order
    assert torch.equal(tower(images), output)


def test_nested_removals_add_up_and_are_undone_in_turn(tower, images) -> None:
    point, deeper = "blocks.0.hook_resid_post", "blocks.2.hook_resid_post"
    with weights_removed(tower, deeper, [3, 17]):
        both = tower(images)
    with weights_removed(tower, point, [5]), weights_removed(tower, deeper, [3]):
        with weights_removed(tower, deeper, [17]):
            _, cache = tower.run_with_cache(images, names_filter=[point, deeper])
            assert (cache[point][..., [3, 5, 17]] == 0).all()
            assert (cache[deeper][..., [3, 17]] == 0).all()
            assert (cache[deeper][..., 5] != 0).any()
        _, cache = tower.run_with_cache(images, names_filter=deeper)
        assert (cache[deeper][..., 17] != 0).any()
    with weights_removed(tower, deeper, [3]), weights_removed(tower, deeper, [17]):
        assert torch.equal(tower(images), both)


def test_no_channel_is_no_removal() -> None:
    case = build("timm-cls")
    own = list(case.bare.parameters())
    with weights_removed(case.hooked, "blocks.1.hook_resid_post", []):
        assert torch.equal(case.hooked(case.images), case.output)
        assert all(a is b for a, b in zip(case.bare.parameters(), own, strict=True))


def test_what_cannot_be_removed_is_refused() -> None:
    vit, resnet = build("timm-cls").hooked, build("resnet").hooked

    def remove(tower: HookedTower, point: str, channels=(0,)) -> None:
        with weights_removed(tower, point, channels):
            pytest.fail("entered")

    with pytest.raises(UnknownHookPointError, match="nearest"):
        remove(vit, "blocks.1.hook_resid_pst")
    with pytest.raises(HookError, match=r"ln1.hook_normalized are not known.*hook_resid_post"):
        remove(vit, "blocks.1.ln1.hook_normalized")
    with pytest.raises(HookError, match="of a vision transformer"):
        remove(resnet, "layer2.0.hook_resid_post")
    with pytest.raises(HookError, match="use a vision transformer"):
        resnet.adapter.embedding_writers()
    for channel in (-1, 32):
        with pytest.raises(HookError, match=f"channels 0 to 31, not {channel}"):
            remove(vit, "blocks.1.hook_resid_post", [channel])


def test_neurons_that_do_not_vanish_with_their_row_are_refused() -> None:
    """A sigmoid of 0 is a half; a normalisation after the gate moves every neuron."""

    def sigmoid_gated(in_features, hidden_features, **options):
        return GluMlp(in_features, hidden_features * 2, gate_last=False, act_layer=nn.Sigmoid)

    def normed(in_features, hidden_features, **options):
        return GluMlp(in_features, hidden_features * 2, norm_layer=nn.LayerNorm)

    for mlp_layer in (sigmoid_gated, normed):
        tower = HookedTower(timm_vit(mlp_layer=mlp_layer).eval().requires_grad_(False))
        with (
            pytest.raises(HookError, match=r"use mlp\.hook_pre"),
            weights_removed(tower, "blocks.1.mlp.hook_post", [0]),
        ):
            pytest.fail("entered")
        with weights_removed(tower, "blocks.1.mlp.hook_pre", [0]):
            pass


def test_affine_free_normalisation_has_no_rows() -> None:
    def norm(width, **options):
        return nn.LayerNorm(width, elementwise_affine=False)

    tower = HookedTower(timm_vit(pre_norm=True, norm_layer=norm).eval())
    with (
        pytest.raises(HookError, match=r"normalised embedding.*one row of weights per channel"),
        weights_removed(tower, "blocks.0.hook_resid_pre", [0]),
    ):
        pytest.fail("entered")
