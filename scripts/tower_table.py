"""Write docs/tables/towers.md: which image towers load, and why others are refused.

Tried are the towers of all models of open_clip, and one model of each family of timm's
transformers, built without numbers (on PyTorch's meta device), so that size does not matter.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from timm.models import get_arch_name, model_entrypoint
from torch import nn

from lakeviz.errors import LakevizError
from lakeviz.models import HookedTower

TABLE = Path(__file__).parents[1] / "docs/tables/towers.md"
MODULES = (
    *("beit", "cait", "coat", "convit", "crossvit", "davit", "deepseek_vit", "deit", "edgenext"),
    *("efficientformer", "eva", "gcvit", "gemma4_vit", "hiera", "hieradet_sam2", "levit"),
    *("maxxvit", "metaformer", "mobilevit", "mvitv2", "naflexvit", "nest", "nextvit", "pit"),
    *("pvt_v2", "qwen3_vit", "swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr"),
    *("tiny_vit", "tnt", "twins", "vision_transformer", "vision_transformer_hybrid"),
    *("vision_transformer_relpos", "vision_transformer_sam", "visformer", "vitamin", "volo"),
    "xcit",
)
HEAD = """| library | family | example | tower | prefix tokens | patches | hook points |
|---|---|---|---|---|---|---|
"""


def open_clip_towers() -> Iterator[tuple[str, str, Callable[[], nn.Module]]]:
    """Family, name and builder of the tower of every open_clip model."""
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    for name in open_clip.list_models():
        config: dict[str, Any] = open_clip.get_model_config(name) or {}
        vision = CLIPVisionCfg(**config["vision_cfg"])
        family = "ViT" if isinstance(vision.layers, int) else "ResNet"
        if vision.timm_model_name:
            family = vision.timm_model_name.partition("_")[0]

        def build(config: dict[str, Any] = config, vision: CLIPVisionCfg = vision) -> nn.Module:
            return _build_vision_tower(config["embed_dim"], vision, config.get("quick_gelu", False))

        yield family, name, build


def timm_towers() -> Iterator[tuple[str, str, Callable[[], nn.Module]]]:
    """Family, name and builder of one model of every family of timm's transformers."""
    seen = set()
    for name in timm.list_models():
        module = model_entrypoint(get_arch_name(name)).__module__.rpartition(".")[2]
        family = "_".join(name.split("_")[: 2 if name.startswith(("vit_", "swin")) else 1])
        size = family.rpartition("_")[2]
        if family == size:
            size = ""
        if size in ("tiny", "small", "base", "large", "huge", "giant", "medium", "little"):
            family = family.rpartition("_")[0]
        if module not in MODULES or (module, family) in seen:
            continue
        seen.add((module, family))
        yield f"{family} ({module})", name, lambda name=name: timm.create_model(name, num_classes=0)


def try_tower(build: Callable[[], nn.Module]) -> list[str]:
    """Class of the tower, prefix tokens, patches, and number of points or the reason."""
    try:
        with torch.device("meta"):
            tower = build()
    except (RuntimeError, NotImplementedError, TypeError):
        tower = build()
    kind = type(getattr(tower, "trunk", tower)).__name__
    try:
        hooked = HookedTower(tower.eval())
    except LakevizError as error:
        reason = str(error).rpartition("tokens, it lacks ")[2]
        reason = f"no {reason}" if reason != str(error) else reason.partition(": ")[2] or reason
        return [kind, "", "", f"refused: {reason}"]
    adapter = hooked.adapter
    rows, columns = adapter.grid()
    return [kind, str(adapter.n_prefix_tokens), f"{rows} x {columns}", str(len(hooked.points))]


def main() -> None:
    """Try all towers; models of one library, family and outcome share a row."""
    warnings.simplefilter("ignore")
    logging.disable()
    kept: dict[tuple[str, ...], list[str]] = {}
    for library, towers in (("open_clip", open_clip_towers()), ("timm", timm_towers())):
        for family, name, build in towers:
            outcome = try_tower(build)
            key = (library, family, outcome[0], outcome[1], outcome[3].partition(":")[0])
            key = key if outcome[3].startswith("refused") else key[:-1]
            kept.setdefault(key, [name, *outcome]).append(name)
            print(library, name, *outcome, flush=True)
    lines = []
    for (library, family, *_), (name, *outcome) in kept.items():
        n = len(outcome) - 5  # the first name stands twice
        more = f" and {n} more" if n else ""
        cells = [library, family, f"`{name}`{more}", *outcome[:4]]
        lines.append(f"| {' | '.join(cells)} |")
    TABLE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
