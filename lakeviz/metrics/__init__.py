"""Metrics of anomaly detection: exact, fast, and open about their conventions.

Everything takes numpy arrays or torch tensors; nothing here needs torch or knows of models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.metrics.cohens_d import cohens_d as cohens_d
from lakeviz.metrics.compat import compat as compat
from lakeviz.metrics.image_intervals import image_intervals as image_intervals
from lakeviz.metrics.pixel_intervals import pixel_intervals as pixel_intervals

if TYPE_CHECKING:
    from lakeviz.metrics.bootstrap import Bootstrap as Bootstrap
    from lakeviz.metrics.comparison import Comparison as Comparison
    from lakeviz.metrics.comparison import compare_images as compare_images
    from lakeviz.metrics.comparison import compare_pixels as compare_pixels
    from lakeviz.metrics.comparison import paired_difference as paired_difference
    from lakeviz.metrics.comparison import paired_pixel_difference as paired_pixel_difference
    from lakeviz.metrics.compat import COMPAT_MODES as COMPAT_MODES
    from lakeviz.metrics.compat import CompatMode as CompatMode
    from lakeviz.metrics.compat import CompatResult as CompatResult
    from lakeviz.metrics.conventions import Conventions as Conventions
    from lakeviz.metrics.curve_bands import Band as Band
    from lakeviz.metrics.curve_bands import pr_band as pr_band
    from lakeviz.metrics.curve_bands import pro_band as pro_band
    from lakeviz.metrics.curve_bands import roc_band as roc_band
    from lakeviz.metrics.curves import Curve as Curve
    from lakeviz.metrics.curves import pr_curve as pr_curve
    from lakeviz.metrics.curves import pro_curve as pro_curve
    from lakeviz.metrics.curves import roc_curve as roc_curve
    from lakeviz.metrics.estimates import Estimate as Estimate
    from lakeviz.metrics.image import auroc as auroc
    from lakeviz.metrics.image import average_precision as average_precision
    from lakeviz.metrics.image import f1_max as f1_max
    from lakeviz.metrics.image import image_metrics as image_metrics
    from lakeviz.metrics.pixel import aupimo as aupimo
    from lakeviz.metrics.pixel import aupro as aupro
    from lakeviz.metrics.pixel import pixel_auroc as pixel_auroc
    from lakeviz.metrics.pixel import pixel_average_precision as pixel_average_precision
    from lakeviz.metrics.pixel import pixel_f1_max as pixel_f1_max
    from lakeviz.metrics.pixel import pixel_metrics as pixel_metrics
    from lakeviz.metrics.regions import RegionMask as RegionMask
    from lakeviz.metrics.registry import MetricDefinition as MetricDefinition
    from lakeviz.metrics.registry import get_metric as get_metric
    from lakeviz.metrics.registry import known_metrics as known_metrics
    from lakeviz.metrics.registry import metric_title as metric_title
    from lakeviz.metrics.registry import register_metric as register_metric
    from lakeviz.metrics.results import DEPTH_METRICS as DEPTH_METRICS
    from lakeviz.metrics.results import IMAGE_METRICS as IMAGE_METRICS
    from lakeviz.metrics.results import PIXEL_METRICS as PIXEL_METRICS
    from lakeviz.metrics.results import Aupimo as Aupimo
    from lakeviz.metrics.results import F1Max as F1Max
    from lakeviz.metrics.results import ImageMetrics as ImageMetrics
    from lakeviz.metrics.results import PixelMetrics as PixelMetrics
    from lakeviz.metrics.streaming import PixelScorer as PixelScorer

__getattr__, __dir__, __all__ = lazy_face(
    __name__, "cohens_d", "compat", "image_intervals", "pixel_intervals"
)
