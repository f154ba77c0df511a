"""The explorer: a look into one detector, image by image and neuron by neuron, in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.explorer.sources import explore
    from lakeviz.explorer.state import Explorer
    from lakeviz.explorer.views import ExchangedView, ImageView, KnockedView, NeuronView, PatchView

__all__ = [
    "ExchangedView",
    "Explorer",
    "ImageView",
    "KnockedView",
    "NeuronView",
    "PatchView",
    "explore",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Explorer": "state",
        "ExchangedView": "views",
        "ImageView": "views",
        "KnockedView": "views",
        "NeuronView": "views",
        "PatchView": "views",
        "explore": "sources",
    },
)
