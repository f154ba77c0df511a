"""Units of a hook point: neurons, other bases, directions, attention heads, latents of an SAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.units.autoencoder import AutoencoderUnits as AutoencoderUnits
    from lakeviz.units.base import Units as Units
    from lakeviz.units.base import encoded as encoded
    from lakeviz.units.base import units_by_point as units_by_point
    from lakeviz.units.formats import load_sae as load_sae
    from lakeviz.units.linear import ChannelUnits as ChannelUnits
    from lakeviz.units.linear import HeadUnits as HeadUnits
    from lakeviz.units.linear import LinearUnits as LinearUnits
    from lakeviz.units.linear import channels as channels
    from lakeviz.units.linear import directions as directions
    from lakeviz.units.linear import heads as heads
    from lakeviz.units.linear import principal_components as principal_components
    from lakeviz.units.linear import rotated as rotated
    from lakeviz.units.training import reconstruction as reconstruction
    from lakeviz.units.training import save_sae as save_sae
    from lakeviz.units.training import train_sae as train_sae

__getattr__, __dir__, __all__ = lazy_face(__name__)
