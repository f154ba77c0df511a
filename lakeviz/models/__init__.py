"""Models and hooks: load a vision(-language) model, read and edit tensors in its image tower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.models.hooks.hooked_tower import HookedTower as HookedTower
    from lakeviz.models.hooks.taps import read_only as read_only
    from lakeviz.models.hooks.weight_removal import weights_removed as weights_removed
    from lakeviz.models.load.catalog import models_table as models_table
    from lakeviz.models.load.load_model import load_model as load_model
    from lakeviz.models.preprocess import Preprocess as Preprocess
    from lakeviz.models.text import TextEncoder as TextEncoder
    from lakeviz.models.vision_model import VisionModel as VisionModel

__getattr__, __dir__, __all__ = lazy_face(__name__)
