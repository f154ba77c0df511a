"""The explorer: a look into one detector, image by image and neuron by neuron, in a notebook."""

from lakeviz.explorer.sources import explore
from lakeviz.explorer.state import Explorer
from lakeviz.explorer.views import ImageView, KnockedView, NeuronView, PatchView

__all__ = ["Explorer", "ImageView", "KnockedView", "NeuronView", "PatchView", "explore"]
