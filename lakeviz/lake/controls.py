"""The visual branch compared with other neurons, and other towers, on the same test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.lake.score_maps import ScoreMaps
from lakeviz.lake.scoring import CONTROL_PREFIX
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.measurement import Metric

CONTROL_METRICS: tuple[Metric, ...] = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))

COLUMNS = pd.Index(
    [
        *("control", "level", "metric", "value", "low", "high"),
        *("control_mean", "control_min", "control_max", "n_members"),
        *("difference", "difference_low", "difference_high", "estimand"),
        *("difference_to_mean_low", "difference_to_mean_high", "p_value", "n_draws"),
        *("share_images", "share_draws", "share_sets", "n_images", "n_regions", "reason"),
    ]
)


def control_maps(draws: Sequence[ScoreMaps]) -> dict[str, list[list[np.ndarray]]]:
    """Patch maps of every control branch: by its name, draw by draw, those of its members."""
    found: dict[str, list[list[np.ndarray]]] = {}
    for number, maps in enumerate(draws):
        for part, own in maps.parts.items():
            if part.startswith(CONTROL_PREFIX):
                name = part.removeprefix(CONTROL_PREFIX).split("#")[0]
                rows = found.setdefault(name, [[] for _ in draws])
                rows[number].append(own)
    return found


def compare_controls(
    visual: Sequence[np.ndarray],
    controls: Mapping[str, Sequence[Sequence[np.ndarray]]],
    missing: Mapping[str, str],
    evaluator: PairedEvaluator,
) -> pd.DataFrame:
    """Compare the visual branch with every control.

    Parameters
    ----------
    visual : sequence of float arrays [image, row, column]
        Patch maps, draw by draw.
    controls : mapping of name to sequences of float arrays
        Patch maps of each control: draw by draw, those of its members.
    missing : mapping of name to str
        Why a control could not be made.

    Returns
    -------
    DataFrame
        A row per control and metric, see :func:`~lakeviz.lake.paired_evaluator.compare`, with a
        ``reason`` where there is no comparison; none where there are no controls.
    """
    rows: list[dict[str, Any]] = []
    if controls:
        members = [m for draws in controls.values() for row in draws for m in row]
        found = iter(evaluator.measure_all([*visual, *members]))
        own = Replicates.over_draws([next(found) for _ in visual])
        measured = {
            name: Replicates.over_draws([[next(found) for _ in row] for row in draws])
            for name, draws in controls.items()
        }
        rows = compare(own, measured, evaluator)
    for name, reason in missing.items():
        for level, metric in CONTROL_METRICS:
            about = {"control": name, "level": level, "metric": metric, "reason": reason}
            rows.append({**about, **evaluator.counts})
    return pd.DataFrame([{"reason": "", **row} for row in rows], columns=COLUMNS)
