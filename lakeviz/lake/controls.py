"""The visual branch compared with branches of other neurons on the same test images."""

from __future__ import annotations

import pandas as pd

from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.lake.score_maps import ScoreMaps
from lakeviz.metrics.measurement import Measurement, Metric

CONTROL_METRICS: tuple[Metric, ...] = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))
CONTROL_PREFIX = "control/"

_COLUMNS = pd.Index(
    [
        *("control", "level", "metric", "value", "low", "high"),
        *("control_mean", "control_min", "control_max", "n_members"),
        *("difference", "difference_low", "difference_high", "estimand"),
        *("difference_to_mean_low", "difference_to_mean_high", "p_value", "n_draws"),
        *("share_images", "share_draws", "share_sets", "n_images"),
    ]
)


def compare_controls(maps: ScoreMaps, evaluator: PairedEvaluator) -> pd.DataFrame:
    """Compare the visual branch with every control branch of the maps.

    Returns
    -------
    DataFrame
        A row per control and metric, see :func:`~lakeviz.lake.paired_evaluator.compare`; none where
        there are no controls.
    """
    controls: dict[str, list[Measurement]] = {}
    for part, own in maps.parts.items():
        if part.startswith(CONTROL_PREFIX):
            selector = part.removeprefix(CONTROL_PREFIX).split("#")[0]
            controls.setdefault(selector, []).append(evaluator.measure(own))
    if not controls:
        return pd.DataFrame(columns=_COLUMNS)
    visual = evaluator.measure(maps.parts["visual"])
    return pd.DataFrame(compare(visual, controls, evaluator), columns=_COLUMNS)
