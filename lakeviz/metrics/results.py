"""What the metric functions return: numbers, how they came about, and why one may be missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float

from lakeviz.errors import MetricError
from lakeviz.metrics.conventions import Conventions
from lakeviz.settings import check_choice

IMAGE_METRICS = ("auroc", "average_precision", "f1_max")
PIXEL_METRICS = ("auroc", "average_precision", "f1_max", "aupro", "aupimo")
DEPTH_METRICS = (*PIXEL_METRICS, "aupro_0.05", "aupro_0.01")


@dataclass(frozen=True)
class F1Max:
    """Best F1 and the lowest score to call positive for it (``score >= threshold``)."""

    value: float
    threshold: float


@dataclass(frozen=True)
class Aupimo:
    """AUPIMO of each image (NaN for normal images, which have none) and its mean over the rest."""

    mean: float
    per_image: Float[np.ndarray, " image"]


@dataclass(frozen=True)
class _Result:
    """What image and pixel results share; a metric that is NaN has its reason in ``reasons``."""

    auroc: float
    average_precision: float
    f1_max: float
    f1_threshold: float
    n_images: int
    n_anomalous: int
    conventions: Conventions
    reasons: dict[str, str] = field(default_factory=dict, kw_only=True)

    def require(self, metric: str) -> float:
        """Return a metric's value, or raise the reason why there is none.

        Raises
        ------
        MetricError
            The metric is undefined here or was not asked for.
        """
        if metric in self.reasons:
            raise MetricError(f"{metric} is undefined: {self.reasons[metric]}")
        return getattr(self, metric)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; an undefined number is None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class ImageMetrics(_Result):
    """Image-level metrics of one set of images."""


@dataclass(frozen=True)
class PixelMetrics(_Result):
    """Pixel-level metrics of one set of maps."""

    aupro: float
    aupimo: float
    aupimo_per_image: Float[np.ndarray, " image"]
    n_pixels: int
    n_defect_pixels: int
    n_regions: int | None


def check_metrics(metrics: Sequence[str]) -> None:
    """Raise ConfigError for a metric name that is not known."""
    for name in metrics or ("",):
        check_choice("a pixel metric", name, PIXEL_METRICS)


def _plain(value: Any) -> Any:
    if isinstance(value, Conventions):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, float) and math.isnan(value):
        return None
    return dict(value) if isinstance(value, dict) else value
