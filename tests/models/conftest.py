"""Tiny random towers of every architecture, and what a test needs to look at them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.eva import Eva
from timm.models.vision_transformer import ResPostBlock
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn

from lakeviz.models.hooks.hooked_tower import HookedTower


def open_clip_vit(**options: Any) -> nn.Module:
    return VisionTransformer(32, 8, 32, 3, 4, 2.0, output_dim=16, **options)


def timm_vit(cls: Any = TimmVisionTransformer, **options: Any) -> nn.Module:
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4}
    return cls(**shape, num_classes=0, **options)


def in_open_clip(trunk: nn.Module, image_size: int) -> nn.Module:
    """open_clip's own wrapper around a timm network too small to be in timm's list."""
    tower = TimmModel("vit_tiny_patch16_224", 16, image_size=image_size, pool="token")
    tower.trunk = trunk
    tower.head = nn.Sequential()
    tower.head.add_module("proj", nn.Linear(32, 16, bias=False))
    return tower


def resnet() -> nn.Module:
    tower = ModifiedResNet([1, 1, 1, 2], 16, 4, 64, 8)
    for name, parameter in tower.named_parameters():
        if name.endswith("bn3.weight"):  # zero at the start: the branch would write nothing
            nn.init.ones_(parameter)
    return tower


TOWERS: dict[str, Callable[[], nn.Module]] = {
    "open_clip-tok": open_clip_vit,
    "open_clip-avg": lambda: open_clip_vit(pool_type="avg", final_ln_after_pool=True),
    "open_clip-layerscale": lambda: open_clip_vit(ls_init_value=0.3),
    "open_clip-qknorm": lambda: open_clip_vit(qk_norm=True, ls_init_value=0.5),
    "open_clip-inner-norm": lambda: open_clip_vit(scale_attn_inner=True, scale_fc=True),
    "open_clip-nonsquare": lambda: VisionTransformer((32, 16), 8, 32, 3, 4, 2.0, output_dim=16),
    "open_clip-timm": lambda: in_open_clip(timm_vit(), 32),
    "timm-cls": timm_vit,
    "timm-registers": lambda: timm_vit(reg_tokens=4, init_values=0.2),
    "timm-no-prefix": lambda: timm_vit(class_token=False, global_pool="map", qk_norm=True),
    "timm-avg": lambda: timm_vit(class_token=False, global_pool="avg"),
    "eva-rope": lambda: timm_vit(Eva, use_rot_pos_emb=True, init_values=0.2),
    "eva-swiglu": lambda: timm_vit(Eva, use_rot_pos_emb=True, rope_type="mixed", swiglu_mlp=True),
    "timm-postnorm": lambda: timm_vit(block_fn=ResPostBlock),
    "resnet": resnet,
}
"""One of each: architecture, pooling, LayerScale, prefix tokens, attention form."""

VITS = [name for name in TOWERS if name != "resnet"]


def build(name: str) -> SimpleNamespace:
    """A bare tower, the same tower wrapped, images, and the bare tower's output."""
    torch.manual_seed(0)
    tower = TOWERS[name]().eval().requires_grad_(False)
    hooked = HookedTower(tower)
    hooked.eval()
    images = torch.randn(2, 3, *hooked.adapter.image_size)
    return SimpleNamespace(
        name=name, bare=tower, hooked=hooked, images=images, output=tower(images)
    )


@pytest.fixture(params=list(TOWERS))
def case(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Every architecture in turn."""
    return build(request.param)


@pytest.fixture(params=VITS)
def vit(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Every vision transformer in turn."""
    return build(request.param)


@pytest.fixture
def plain() -> SimpleNamespace:
    """open_clip's plain vision transformer."""
    return build("open_clip-tok")


@pytest.fixture
def make() -> Callable[[str], SimpleNamespace]:
    """Build a case by name."""
    return build


@pytest.fixture
def untouched() -> Callable[[nn.Module], None]:
    """Assert that a tower carries no hook, no shadowed forward and no foreign attribute."""

    def check(tower: nn.Module) -> None:
        for name, module in tower.named_modules():
            assert not module._forward_hooks, name
            assert not module._forward_pre_hooks, name
            assert not module._backward_hooks, name
            assert "forward" not in module.__dict__, name
            assert "name" not in module.__dict__, name

    return check
