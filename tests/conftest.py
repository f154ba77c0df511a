"""Fixtures shared by all floors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; set before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["browser"]

if TYPE_CHECKING:
    from lakeviz.models import VisionModel


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the public data sets and weights, or skip: named by LAKEVIZ_TEST_DATA."""
    root = os.environ.get("LAKEVIZ_TEST_DATA")
    if not root:
        pytest.skip("LAKEVIZ_TEST_DATA does not name a data folder")
    path = Path(root)
    if not path.is_dir():
        pytest.fail(f"LAKEVIZ_TEST_DATA names {path}, which is not a folder")
    return path


class WordTokenizer:
    """A word is its checksum; the end of text is the largest id, as CLIP's pooling expects."""

    def __init__(self, context_length: int, vocab_size: int) -> None:
        self.context_length, self.vocab_size = context_length, vocab_size

    def __call__(self, texts: list[str]) -> Any:
        import zlib

        import torch

        ids = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in zip(ids, texts, strict=True):
            words = [zlib.crc32(w.encode()) % (self.vocab_size - 2) + 1 for w in text.split()]
            words = [*words[: self.context_length - 1], self.vocab_size - 1]
            row[: len(words)] = torch.tensor(words)
        return ids


def _tiny_module(kind: str, text: dict[str, int]) -> tuple[Any, Any]:
    """The module that holds all weights, and its image tower."""
    if kind == "timm":
        from timm.models.vision_transformer import VisionTransformer

        shape = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 4}
        tower = VisionTransformer(**shape, num_classes=0, reg_tokens=2)
        return tower, tower
    from open_clip import CLIP

    vision: dict[str, Any] = {
        "layers": 4,
        "width": 32,
        "head_width": 8,
        "patch_size": 8,
        "image_size": 32,
        "mlp_ratio": 2.0,
    }
    if kind == "resnet":
        vision = {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64}
    clip = CLIP(16, vision, {**text, "width": 16, "heads": 2, "layers": 1})
    return clip, clip.visual


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., VisionModel]:
    """Build a tiny random model: ``"clip"`` (ViT and text), ``"timm"`` or ``"resnet"`` (CLIP)."""
    import torch

    from lakeviz.models import HookedTower, Preprocess, TextEncoder, VisionModel

    def make(kind: str = "clip", seed: int = 0) -> VisionModel:
        text = {"context_length": 24, "vocab_size": 400}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module, tower = _tiny_module(kind, text)
        module.eval().requires_grad_(False)
        hooked = HookedTower(tower).eval()
        is_clip = kind != "timm"
        size = hooked.adapter.image_size
        return VisionModel(
            name=f"tiny-{kind}",
            pretrained="random",
            module=module,
            tower=hooked,
            preprocess=Preprocess(size, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            text=TextEncoder(module, lambda: WordTokenizer(**text)) if is_clip else None,
            logit_scale=float(module.logit_scale.exp()) if is_clip else None,
        )

    return make
