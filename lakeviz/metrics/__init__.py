"""Metrics of anomaly detection: exact, fast, and open about their conventions.

Everything takes numpy arrays or torch tensors; nothing here needs torch or knows of models.
"""

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.metrics.cohens_d import cohens_d
from lakeviz.metrics.comparison import (
    Comparison,
    compare_images,
    compare_pixels,
    paired_difference,
    paired_pixel_difference,
)
from lakeviz.metrics.compat import COMPAT_MODES, CompatMode, CompatResult, compat
from lakeviz.metrics.conventions import Conventions
from lakeviz.metrics.curve_bands import Band, pr_band, pro_band, roc_band
from lakeviz.metrics.curves import Curve, pr_curve, pro_curve, roc_curve
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.image import auroc, average_precision, f1_max, image_metrics
from lakeviz.metrics.image_intervals import image_intervals
from lakeviz.metrics.pixel import (
    aupimo,
    aupro,
    pixel_auroc,
    pixel_average_precision,
    pixel_f1_max,
    pixel_metrics,
)
from lakeviz.metrics.pixel_intervals import pixel_intervals
from lakeviz.metrics.regions import RegionMask
from lakeviz.metrics.registry import (
    MetricDefinition,
    get_metric,
    known_metrics,
    metric_title,
    register_metric,
)
from lakeviz.metrics.results import (
    DEPTH_METRICS,
    IMAGE_METRICS,
    PIXEL_METRICS,
    Aupimo,
    F1Max,
    ImageMetrics,
    PixelMetrics,
)
from lakeviz.metrics.streaming import PixelScorer

__all__ = [
    "COMPAT_MODES",
    "DEPTH_METRICS",
    "IMAGE_METRICS",
    "PIXEL_METRICS",
    "Aupimo",
    "Band",
    "Bootstrap",
    "Comparison",
    "CompatMode",
    "CompatResult",
    "Conventions",
    "Curve",
    "Estimate",
    "F1Max",
    "ImageMetrics",
    "MetricDefinition",
    "PixelMetrics",
    "PixelScorer",
    "RegionMask",
    "aupimo",
    "aupro",
    "auroc",
    "average_precision",
    "cohens_d",
    "compare_images",
    "compare_pixels",
    "compat",
    "f1_max",
    "get_metric",
    "image_intervals",
    "image_metrics",
    "known_metrics",
    "metric_title",
    "paired_difference",
    "paired_pixel_difference",
    "pixel_auroc",
    "pixel_average_precision",
    "pixel_f1_max",
    "pixel_intervals",
    "pixel_metrics",
    "pr_band",
    "pr_curve",
    "pro_band",
    "pro_curve",
    "register_metric",
    "roc_band",
    "roc_curve",
]
