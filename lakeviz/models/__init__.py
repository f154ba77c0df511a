"""Models and hooks: load a vision(-language) model, read and edit tensors in its image tower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.models.hooks.hooked_tower import HookedTower
    from lakeviz.models.hooks.taps import read_only
    from lakeviz.models.hooks.weight_removal import weights_removed
    from lakeviz.models.load.catalog import models_table
    from lakeviz.models.load.load_model import load_model
    from lakeviz.models.preprocess import Preprocess
    from lakeviz.models.text import TextEncoder
    from lakeviz.models.vision_model import VisionModel

__all__ = [
    "HookedTower",
    "Preprocess",
    "TextEncoder",
    "VisionModel",
    "load_model",
    "models_table",
    "read_only",
    "weights_removed",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "HookedTower": "hooks.hooked_tower",
        "Preprocess": "preprocess",
        "TextEncoder": "text",
        "VisionModel": "vision_model",
        "load_model": "load.load_model",
        "models_table": "load.catalog",
        "read_only": "hooks.taps",
        "weights_removed": "hooks.weight_removal",
    },
)
