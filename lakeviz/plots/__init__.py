"""Figures: functions of tables and arrays to ``plotly.graph_objects.Figure``; they know no model.

Importing this package registers the plotly templates ``lakeviz``, ``lakeviz_dark`` and ``paper``.
"""

from lakeviz.plots.colours import ColourRange, colour_range, heat_layer
from lakeviz.plots.curves import Scored, pr_figure, pro_figure, roc_figure
from lakeviz.plots.difference_plot import controls_figure, controls_overview_figure
from lakeviz.plots.distributions import score_figure
from lakeviz.plots.gallery import Tile, choose_images, gallery_figure
from lakeviz.plots.heatmap import heatmap_figure, overlay, png_bytes
from lakeviz.plots.layers import layer_ranges, layers_figure
from lakeviz.plots.matrix import neuron_category_figure, neuron_patch_figure
from lakeviz.plots.outlines import mask_outlines
from lakeviz.plots.overview import metrics_figure
from lakeviz.plots.print.chromium import open_browser
from lakeviz.plots.print.export import save_figure
from lakeviz.plots.spectrum import selection_figure, spectrum_figure
from lakeviz.plots.template import TEMPLATES, caption_of
from lakeviz.plots.timeline import timeline_figure

__all__ = [
    "TEMPLATES",
    "ColourRange",
    "Scored",
    "Tile",
    "caption_of",
    "choose_images",
    "colour_range",
    "controls_figure",
    "controls_overview_figure",
    "gallery_figure",
    "heat_layer",
    "heatmap_figure",
    "layer_ranges",
    "layers_figure",
    "mask_outlines",
    "metrics_figure",
    "neuron_category_figure",
    "neuron_patch_figure",
    "open_browser",
    "overlay",
    "png_bytes",
    "pr_figure",
    "pro_figure",
    "roc_figure",
    "save_figure",
    "score_figure",
    "selection_figure",
    "spectrum_figure",
    "timeline_figure",
]
