"""Towers: the parts of each architecture under one interface, chosen by the class of a tower."""

from __future__ import annotations

from torch import nn

from lakeviz.errors import ModelError
from lakeviz.models.towers.base import TowerAdapter


def adapter_for(tower: nn.Module) -> TowerAdapter:
    """Return the adapter of an open_clip or timm image tower."""
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if isinstance(tower, VisionTransformer):
        from lakeviz.models.towers.open_clip_vit import OpenClipViT

        return OpenClipViT(tower)
    if isinstance(tower, ModifiedResNet):
        from lakeviz.models.towers.convolutional import OpenClipResNet

        return OpenClipResNet(tower)
    from lakeviz.models.towers.timm_vit import TimmViT, missing_parts

    missing = missing_parts(tower.trunk if isinstance(tower, TimmModel) else tower)
    if not missing:
        return TimmViT(tower)
    if isinstance(tower, TimmModel):
        from lakeviz.models.towers.convolutional import TimmStages

        return TimmStages(tower)
    raise ModelError(
        f"no hook points are known for a tower of class {type(tower).__name__}: it is none of "
        "open_clip's, and as a timm vision transformer, with one stream of tokens, it lacks "
        f"{', '.join(missing)}"
    )
