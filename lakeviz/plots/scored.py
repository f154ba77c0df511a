"""What a curve is drawn from: scores and labels, and the metric that its legend shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scored:
    """Scores and labels of one curve: of images, or of the pixels of maps and masks.

    Attributes
    ----------
    scores, labels
        One value per image; or maps and masks as :func:`lakeviz.metrics.pixel_metrics` takes them.
    value : float, optional
        The metric to show in the legend (AUROC, AP or AUPRO), with its interval if there is one.
    low, high : float, optional
    level : float
        Of the interval.
    """

    scores: Any
    labels: Any
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95

    @property
    def of_images(self) -> bool:
        """Whether these are image scores, rather than maps."""
        return np.ndim(self.labels[0]) == 0

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval to show."""
        ends = (self.low, self.high)
        return all(end is not None and np.isfinite(end) for end in ends)
