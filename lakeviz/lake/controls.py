"""The visual branch beside branches of other neurons: every effect with its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from lakeviz.lake.score_maps import PixelMaps, ScoreMaps
from lakeviz.metrics import Bootstrap, Comparison, Conventions, compare_images, compare_pixels

if TYPE_CHECKING:
    from lakeviz.data import Dataset
    from lakeviz.lake.ground_truth import Truth

CONTROL_METRICS = ("auroc", "aupro")
CONTROL_PREFIX = "control/"


class _Lazy(Sequence[Any]):
    """The maps of several controls, one control at a time."""

    def __init__(self, maps: ScoreMaps, parts: Sequence[str]):
        self.maps, self.parts = maps, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: Any) -> Any:
        if index >= len(self):
            raise IndexError(index)
        return list(PixelMaps(self.maps, str(self.parts[index])))


def compare_controls(
    test: Dataset,
    maps: ScoreMaps,
    truth: Truth,
    conventions: Conventions,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Compare the visual branch with branches of other neurons, number for number."""
    groups: dict[str, list[str]] = {}
    for part in maps.parts:
        if part.startswith(CONTROL_PREFIX):
            selector = part.removeprefix(CONTROL_PREFIX).split("#")[0]
            groups.setdefault(selector, []).append(part)
    rows: list[dict[str, Any]] = []
    if groups and 0 < test.labels.sum() < len(test):
        scores = {g: [maps.image_parts[p] for p in parts] for g, parts in groups.items()}
        found = compare_images(
            maps.image_parts["visual"], scores, test.labels, ("auroc",), bootstrap, conventions
        )
        rows += [_control_row("image", comparison) for comparison in found]
    if groups and not truth.reason and truth.fits_in_memory:
        pixel = {group: _Lazy(maps, parts) for group, parts in groups.items()}
        found = compare_pixels(
            list(PixelMaps(maps, "visual")),
            pixel,
            truth.masks,
            CONTROL_METRICS,
            replace(bootstrap, n_resamples=min(bootstrap.n_resamples, 1000)),
            conventions,
        )
        rows += [_control_row("pixel", comparison) for comparison in found]
    columns = ["control", "level", "metric", "value", "control_mean", "control_min", "control_max"]
    columns += [
        "n_members",
        "difference",
        "difference_low",
        "difference_high",
        "share_above_zero",
        "n_images",
    ]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _control_row(level: str, comparison: Comparison) -> dict[str, Any]:
    return {
        "control": comparison.control,
        "level": level,
        "metric": comparison.metric,
        "value": comparison.value,
        "control_mean": comparison.control_mean,
        "control_min": min(comparison.members),
        "control_max": max(comparison.members),
        "n_members": len(comparison.members),
        "difference": comparison.difference.estimate,
        "difference_low": comparison.difference.low,
        "difference_high": comparison.difference.high,
        "share_above_zero": comparison.share_above_zero,
        "n_images": comparison.difference.n_images,
    }
