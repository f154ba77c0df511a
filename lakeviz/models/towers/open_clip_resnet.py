"""open_clip's ``ModifiedResNet`` (CLIP RN50 and kin): stem, bottlenecks, attention pool.

Its ReLUs work in place, so a stored reference would be overwritten by the next layer; every point
here is volatile and hooks are shown copies.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn

from lakeviz.models.hooks.hook_points import InputTap, OutputTap, Point, Tap
from lakeviz.models.towers.base import BlockParts, TowerAdapter

_MAP = ("batch", "channel", "height", "width")


class OpenClipResNet(TowerAdapter):
    """Adapter of ``open_clip.modified_resnet.ModifiedResNet``."""

    architecture = "open_clip_resnet"
    n_prefix_tokens = 0
    patch_size = (32, 32)

    def __init__(self, tower: ModifiedResNet) -> None:
        self.tower = self.resnet = tower
        size: Any = tower.image_size
        self.image_size = (size, size) if isinstance(size, int) else tuple(size)
        self.stages: list[list[Any]] = [
            list(stage) for stage in (tower.layer1, tower.layer2, tower.layer3, tower.layer4)
        ]
        self.blocks = [BlockParts(block) for stage in self.stages for block in stage]
        self.d_model = self.stages[-1][-1].conv3.out_channels

    def points(self) -> list[Point]:
        """Stem, the three tensors of every bottleneck, and the pooled output."""
        points = [self._map("hook_stem", OutputTap(self.resnet.avgpool), self._stem(), 4, -1)]
        index, stride, channels = 0, 4, self._stem()
        for number, stage in enumerate(self.stages, start=1):
            for j, block in enumerate(stage):
                name = f"layer{number}.{j}."
                points.append(
                    self._map(name + "hook_resid_pre", InputTap(block), channels, stride, index)
                )
                points.append(self._act(name + "hook_act1", block.act1, block, stride, index))
                points.append(self._act(name + "hook_act2", block.act2, block, stride, index))
                stride, channels = stride * block.stride, block.conv3.out_channels
                points.append(
                    self._map(name + "hook_resid_post", OutputTap(block), channels, stride, index)
                )
                index += 1
        joint = self.resnet.output_dim
        return points + self._head_points(None, False, joint, "joint")

    def project_tokens(
        self, tokens: Float[Tensor, "batch token d_model"]
    ) -> Float[Tensor, "batch token joint"]:
        """Refuse: the attention pool is not linear in the positions."""
        raise self._no_projection("it pools with attention, which is not linear in the positions")

    def _stem(self) -> int:
        return self.resnet.conv3.out_channels

    def _act(self, name: str, act: nn.Module, block: Any, stride: int, index: int) -> Point:
        return self._map(name, OutputTap(act), block.conv1.out_channels, stride, index)

    def _map(self, name: str, tap: Tap, channels: int, stride: int, index: int) -> Point:
        sizes = (channels, self.image_size[0] // stride, self.image_size[1] // stride)
        formula = _FORMULAS[name.rsplit(".", 1)[-1]]
        return Point(name, tap, _MAP, sizes, formula, index, volatile=True)


_FORMULAS = {
    "hook_stem": "three convolutions and an average pool",
    "hook_resid_pre": "input of the bottleneck",
    "hook_act1": "relu(bn1(conv1(hook_resid_pre)))",
    "hook_act2": "relu(bn2(conv2(hook_act1)))",
    "hook_resid_post": "relu(bn3(conv3(pool(hook_act2))) + skip(hook_resid_pre))",
}
