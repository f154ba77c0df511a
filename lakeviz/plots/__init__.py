"""Figures: functions of tables and arrays to ``plotly.graph_objects.Figure``; they know no model.

Importing this package registers the plotly templates ``lakeviz``, ``lakeviz_dark`` and ``paper``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.plots import template as template  # registers the templates

if TYPE_CHECKING:
    from lakeviz.plots.colours import ColourRange as ColourRange
    from lakeviz.plots.colours import colour_range as colour_range
    from lakeviz.plots.colours import heat_layer as heat_layer
    from lakeviz.plots.curves import Scored as Scored
    from lakeviz.plots.curves import pr_figure as pr_figure
    from lakeviz.plots.curves import pro_figure as pro_figure
    from lakeviz.plots.curves import roc_figure as roc_figure
    from lakeviz.plots.difference_plot import controls_figure as controls_figure
    from lakeviz.plots.difference_plot import controls_overview_figure as controls_overview_figure
    from lakeviz.plots.difference_plot import metrics_figure as metrics_figure
    from lakeviz.plots.distributions import score_figure as score_figure
    from lakeviz.plots.gallery import Tile as Tile
    from lakeviz.plots.gallery import choose_images as choose_images
    from lakeviz.plots.gallery import gallery_figure as gallery_figure
    from lakeviz.plots.heatmap import heatmap_figure as heatmap_figure
    from lakeviz.plots.heatmap import overlay as overlay
    from lakeviz.plots.heatmap import png_bytes as png_bytes
    from lakeviz.plots.layers import layer_ranges as layer_ranges
    from lakeviz.plots.layers import layers_figure as layers_figure
    from lakeviz.plots.matrix import neuron_category_figure as neuron_category_figure
    from lakeviz.plots.matrix import neuron_patch_figure as neuron_patch_figure
    from lakeviz.plots.outlines import mask_outlines as mask_outlines
    from lakeviz.plots.print.export import open_browser as open_browser
    from lakeviz.plots.print.export import save_figure as save_figure
    from lakeviz.plots.spectrum import selection_figure as selection_figure
    from lakeviz.plots.spectrum import spectrum_figure as spectrum_figure
    from lakeviz.plots.template import TEMPLATES as TEMPLATES
    from lakeviz.plots.template import caption_of as caption_of
    from lakeviz.plots.timeline import timeline_figure as timeline_figure

__getattr__, __dir__, __all__ = lazy_face(__name__)
