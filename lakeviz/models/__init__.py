"""Models and hooks: load a vision(-language) model and reach every tensor inside its image tower.

The names are resolved on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakeviz.models.catalog import models_table
    from lakeviz.models.hooked import HookedTower
    from lakeviz.models.loading import load_model
    from lakeviz.models.preprocess import Preprocess
    from lakeviz.models.removal import weights_removed
    from lakeviz.models.taps import read_only
    from lakeviz.models.text import TextEncoder
    from lakeviz.models.vision_model import VisionModel

_HOME = {
    "HookedTower": "hooked",
    "Preprocess": "preprocess",
    "TextEncoder": "text",
    "VisionModel": "vision_model",
    "load_model": "loading",
    "models_table": "catalog",
    "read_only": "taps",
    "weights_removed": "removal",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
