"""Metrics of the test set without some neurons, compared with as many random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from lakeviz.explorer.fitted import Fitted, Stopped
from lakeviz.explorer.views import Dropped
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.contrasts import difference, difference_to
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.studies.base.captured import StudyData

METRICS: tuple[Metric, ...] = (("image", "auroc"), ("pixel", "aupro"))
_BOOTSTRAP = Bootstrap(n_resamples=200)


def evaluator_of(data: StudyData) -> PairedEvaluator:
    """The explorer's evaluator: two metrics, few draws, as someone is waiting."""
    return data.evaluator(METRICS, _BOOTSTRAP)


def effects(
    fitted: Fitted,
    off: Dropped,
    controls: Sequence[Dropped],
    intact: Measurement,
    go_on: Callable[[], bool],
) -> pd.DataFrame:
    """Measure the test images without the chosen neurons and without each control.

    The columns are those of :meth:`lakeviz.explorer.state.Explorer.measure`. Without controls there
    is nothing off, and the intact values stand alone.

    Raises
    ------
    Stopped
        If ``go_on`` says so.
    """
    evaluator = evaluator_of(fitted.data)
    measured = []
    for one in fitted.all_maps([off, *controls] if controls else [], go_on):
        if not go_on():
            raise Stopped
        measured.append(evaluator.measure(one))
    chosen, *members = measured or [intact]
    return pd.DataFrame(
        [
            {
                "category": fitted.data.category,
                "level": metric[0],
                "metric": metric[1],
                "n_random_sets": len(members),
                "n_images": evaluator.n_images,
                "reason": evaluator.reasons.get(metric[0], ""),
                **_values(metric, intact, chosen, members),
            }
            for metric in METRICS
        ]
    )


def _values(
    metric: Metric, intact: Measurement, chosen: Measurement, members: Sequence[Measurement]
) -> dict[str, float]:
    if metric not in chosen.values:
        return {"intact": np.nan, "value": np.nan}
    row = {"intact": intact.values[metric], "value": chosen.values[metric]}
    if not members:
        return row
    values = [m.values[metric] for m in members]
    return {
        **row,
        **difference(chosen, intact, metric, _BOOTSTRAP).columns("change"),
        "control_mean": float(np.mean(values)),
        "control_min": min(values),
        "control_max": max(values),
        **difference_to(chosen, members, metric, _BOOTSTRAP).columns("difference"),
    }
