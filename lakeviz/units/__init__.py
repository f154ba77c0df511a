"""Units of a hook point: neurons, other bases, directions, attention heads, latents of an SAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.units.autoencoder import AutoencoderUnits
    from lakeviz.units.base import Units, encoded, units_by_point
    from lakeviz.units.formats import load_sae
    from lakeviz.units.linear import (
        ChannelUnits,
        HeadUnits,
        LinearUnits,
        channels,
        directions,
        heads,
        principal_components,
        rotated,
    )
    from lakeviz.units.training import reconstruction, save_sae, train_sae

__all__ = [
    "AutoencoderUnits",
    "ChannelUnits",
    "HeadUnits",
    "LinearUnits",
    "Units",
    "channels",
    "directions",
    "encoded",
    "heads",
    "load_sae",
    "principal_components",
    "reconstruction",
    "rotated",
    "save_sae",
    "train_sae",
    "units_by_point",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "AutoencoderUnits": "autoencoder",
        "ChannelUnits": "linear",
        "HeadUnits": "linear",
        "LinearUnits": "linear",
        "Units": "base",
        "channels": "linear",
        "directions": "linear",
        "encoded": "base",
        "heads": "linear",
        "load_sae": "formats",
        "principal_components": "linear",
        "reconstruction": "training",
        "rotated": "linear",
        "save_sae": "training",
        "train_sae": "training",
        "units_by_point": "base",
    },
)
