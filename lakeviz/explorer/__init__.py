"""The explorer: a look into one detector, image by image and neuron by neuron, in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.explorer.sources import explore as explore
    from lakeviz.explorer.state import Explorer as Explorer
    from lakeviz.explorer.views import ExchangedView as ExchangedView
    from lakeviz.explorer.views import ImageView as ImageView
    from lakeviz.explorer.views import KnockedView as KnockedView
    from lakeviz.explorer.views import NeuronView as NeuronView
    from lakeviz.explorer.views import PatchView as PatchView

__getattr__, __dir__, __all__ = lazy_face(__name__)
