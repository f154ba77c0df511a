"""open_clip towers without one stream of tokens: CLIP's ResNets, and staged networks of timm.

The ReLUs of a ResNet work in place, so a stored reference would be overwritten by the next layer;
every point here is volatile and hooks are shown copies.
"""

from __future__ import annotations

from typing import Any

from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel

from lakeviz.errors import ModelError
from lakeviz.models.hooks.attention import Stream
from lakeviz.models.hooks.hook_points import InputTap, OutputTap, Point, Tap
from lakeviz.models.towers.base import BlockParts, Joint, TowerAdapter, pair

_MAP = ("batch", "channel", "height", "width")


class OpenClipResNet(TowerAdapter):
    """Adapter of open_clip's ``ModifiedResNet``: stem, bottlenecks, attention pool."""

    architecture = "open_clip_resnet"
    n_prefix_tokens = 0
    patch_size = (32, 32)

    def __init__(self, tower: ModifiedResNet) -> None:
        self.tower = self.resnet = tower
        self.image_size = pair(tower.image_size)
        self.stages: list[list[Any]] = [
            list(stage) for stage in (tower.layer1, tower.layer2, tower.layer3, tower.layer4)
        ]
        self.blocks = [BlockParts(block) for stage in self.stages for block in stage]
        self.d_model = self.stages[-1][-1].conv3.out_channels

    def points(self) -> list[Point]:
        """Stem, the three tensors of every bottleneck, and the pooled output."""
        channels, stride, index = self.resnet.conv3.out_channels, 4, 0
        points = [self._map("hook_stem", OutputTap(self.resnet.avgpool), channels, stride, -1)]
        for number, stage in enumerate(self.stages, start=1):
            for j, block in enumerate(stage):
                inner, out = block.conv1.out_channels, block.conv3.out_channels
                for role, tap, width, scale in (
                    ("hook_resid_pre", InputTap(block), channels, stride),
                    ("hook_act1", OutputTap(block.act1), inner, stride),
                    ("hook_act2", OutputTap(block.act2), inner, stride),
                    ("hook_resid_post", OutputTap(block), out, stride * block.stride),
                ):
                    points.append(self._map(f"layer{number}.{j}.{role}", tap, width, scale, index))
                channels, stride, index = out, stride * block.stride, index + 1
        return points + self._head_points(None, False, self.resnet.output_dim, "joint")

    def project_tokens(self, tokens: Stream) -> Joint:
        """Refuse: the attention pool is not linear in the positions."""
        raise self._no_projection("it pools with attention, which is not linear in the positions")

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


class TimmStages(TowerAdapter):
    """Adapter of an open_clip ``TimmModel`` around a staged network (ConvNeXt, FastViT, Swin).

    Every stage that timm lists in ``feature_info`` becomes one ``stages.i`` with its input and
    output; there are no tokens, heads or neurons to name.
    """

    architecture = "open_clip_timm"
    n_prefix_tokens = 0

    def __init__(self, tower: TimmModel) -> None:
        self.tower = tower
        self.trunk: Any = tower.trunk
        if not getattr(self.trunk, "feature_info", None):
            raise ModelError(
                f"no hook points are known for the timm tower {type(self.trunk).__name__}: it "
                "lists no stages"
            )
        self.info: list[dict[str, Any]] = list(self.trunk.feature_info)
        self.blocks = [BlockParts(self.trunk.get_submodule(stage["module"])) for stage in self.info]
        self.image_size = pair(tower.image_size)
        last = self.info[-1]
        self.patch_size = (last["reduction"], last["reduction"])
        self.d_model = last["num_chs"]

    def points(self) -> list[Point]:
        """Input and output of every stage, and the pooled output."""
        points = []
        for index, parts in enumerate(self.blocks):
            if index:
                tap, before = InputTap(parts.block), self.info[index - 1]
                points.append(self._map(index, "hook_resid_pre", tap, before, "input of the stage"))
            tap, own = OutputTap(parts.block), self.info[index]
            points.append(self._map(index, "hook_resid_post", tap, own, "output of the stage"))
        return points + self._head_points(None, False, self._joint(), "joint")

    def project_tokens(self, tokens: Stream) -> Joint:
        """Refuse: these networks pool maps, and their heads differ."""
        raise self._no_projection("it is no vision transformer")

    def _joint(self) -> int:
        head = [m for m in self.tower.modules() if hasattr(m, "out_features")]
        return int(getattr(head[-1], "out_features", self.d_model))

    def _map(self, index: int, role: str, tap: Tap, info: dict[str, Any], formula: str) -> Point:
        size = tuple(side // info["reduction"] for side in self.image_size)
        if getattr(self.trunk, "output_fmt", "NCHW") == "NHWC":
            sizes, axes = (*size, info["num_chs"]), ("height", "width", "channel")
        else:
            sizes, axes = (info["num_chs"], *size), ("channel", "height", "width")
        name = f"stages.{index}.{role}"
        return Point(name, tap, ("batch", *axes), sizes, formula, index, volatile=True)
