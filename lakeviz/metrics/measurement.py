"""What one condition measured: exact values of some metrics, and their values on resamples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

Metric = tuple[str, str]
"""Level (``"image"`` or ``"pixel"``) and name of a metric."""

DEFAULT_METRICS: tuple[Metric, ...] = (
    ("image", "auroc"),
    ("image", "average_precision"),
    ("image", "cohens_d"),
    ("pixel", "auroc"),
    ("pixel", "aupro"),
)
"""What studies measure where nothing else is asked for."""

_ROUNDING = 1e-4  # of distances in single precision, computed in another order


@dataclass(frozen=True)
class Measurement:
    """What one condition measured.

    Attributes
    ----------
    values : mapping of metric to float
        Exact, on all images.
    resampled : mapping of metric to float array [resample]
        On each resample of the images. Equal positions are equal images in every measurement of
        one bootstrap, so that any two can be subtracted resample by resample.
    n_images : mapping of level to (int, int)
        Images with and without a defect, the units that intervals are over.
    scores : float array [image], optional
        Image scores, by which two conditions that are one and the same detector are recognised.
    """

    values: Mapping[Metric, float]
    resampled: Mapping[Metric, Float[np.ndarray, " resample"]] = field(repr=False)
    n_images: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    scores: Float[np.ndarray, " image"] | None = field(default=None, repr=False)

    def __or__(self, other: Measurement) -> Measurement:
        """Both together."""
        return Measurement(
            {**self.values, **other.values},
            {**self.resampled, **other.resampled},
            {**self.n_images, **other.n_images},
            self.scores if self.scores is not None else other.scores,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays by name, in the order of the metrics."""
        found = {"scores": self.scores} if self.scores is not None else {}
        for part in ("values", "resampled", "n_images"):
            for key, value in getattr(self, part).items():
                name = "|".join((key,) if isinstance(key, str) else key)
                found[f"{part}|{name}"] = np.asarray(value)
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Measurement:
        """Restore what :meth:`arrays` gave."""
        parts: dict[str, dict[Any, Any]] = {"values": {}, "resampled": {}, "n_images": {}}
        for name, value in arrays.items():
            part, *key = name.split("|")
            if part == "resampled":
                parts[part][tuple(key)] = value
            elif part == "values":
                parts[part][tuple(key)] = value.item()
            elif part == "n_images":
                parts[part][key[0]] = tuple(value.tolist())
        return cls(**parts, scores=arrays.get("scores"))

    def same_detector(self, other: Measurement) -> bool:
        """Whether the image scores of both agree but for rounding."""
        if self.scores is None or other.scores is None or len(self.scores) != len(other.scores):
            return False
        return bool(np.allclose(self.scores, other.scores, rtol=_ROUNDING, atol=0.0))


def metric_columns(metrics: Sequence[Metric]) -> Iterator[tuple[Metric, dict[str, str]]]:
    """Yield each metric with its two columns of a tidy table."""
    for level, name in metrics:
        yield (level, name), {"level": level, "metric": name}
