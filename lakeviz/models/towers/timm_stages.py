"""timm towers that are no vision transformers (ConvNeXt, FastViT, Swin): their stage outputs.

Some open_clip models carry such a tower. Every stage timm lists in ``feature_info`` becomes one
``stages.i`` with its input and output; there are no tokens, heads or neurons to name.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from open_clip.timm_model import TimmModel
from torch import Tensor

from lakeviz.errors import ModelError
from lakeviz.models.hooks.hook_points import InputTap, OutputTap, Point, Tap
from lakeviz.models.towers.base import BlockParts, TowerAdapter


class TimmStages(TowerAdapter):
    """Adapter of an open_clip ``TimmModel`` around a staged network."""

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
        height, width = tower.image_size
        self.image_size = (int(height), int(width))
        last = self.info[-1]
        self.patch_size = (last["reduction"], last["reduction"])
        self.d_model = last["num_chs"]

    def points(self) -> list[Point]:
        """Input and output of every stage, and the pooled output."""
        points = []
        for index, parts in enumerate(self.blocks):
            before = self.info[index - 1] if index else None
            if before is not None:
                tap = InputTap(parts.block)
                points.append(self._map(index, "hook_resid_pre", tap, before, "input of the stage"))
            tap = OutputTap(parts.block)
            formula = "output of the stage"
            points.append(self._map(index, "hook_resid_post", tap, self.info[index], formula))
        image = OutputTap(self.tower)
        joint = self._joint()
        formula = "output of the tower"
        features = Point(
            "hook_image_features", image, ("batch", "joint"), (joint,), formula, len(self.blocks)
        )
        return [*points, features]

    def project_tokens(
        self, tokens: Float[Tensor, "batch token d_model"]
    ) -> Float[Tensor, "batch token joint"]:
        """Refuse: these networks pool maps, and their heads differ."""
        raise self._no_projection("it is no vision transformer")

    def _joint(self) -> int:
        head = [m for m in self.tower.modules() if hasattr(m, "out_features")]
        return int(getattr(head[-1], "out_features", self.d_model))

    def _map(self, index: int, role: str, tap: Tap, info: dict[str, Any], formula: str) -> Point:
        size = (self.image_size[0] // info["reduction"], self.image_size[1] // info["reduction"])
        channels_last = getattr(self.trunk, "output_fmt", "NCHW") == "NHWC"
        chs = info["num_chs"]
        sizes = (*size, chs) if channels_last else (chs, *size)
        axes = ("height", "width", "channel") if channels_last else ("channel", "height", "width")
        name = f"stages.{index}.{role}"
        return Point(name, tap, ("batch", *axes), sizes, formula, index, volatile=True)
