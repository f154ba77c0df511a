"""Steering: deviations of units from the normal mean are made larger or smaller, dose by dose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.metrics.pair_shares import share_difference, share_estimate
from lakeviz.studies.patching.effects import counts
from lakeviz.studies.patching.interchange import Chosen
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import CONTROL, DEFECTS, DENOISING

Rows = Iterator[dict[str, Any]]


def steering_rows(sets: UnitSets, settings: Settings, confidence: float) -> Rows:
    """Change of the read-outs of the defect image, by dose, for the units and for random ones.

    Edits of random units have, token by token, the length that the edit of the units in question
    has, so that a dose is the same size in both.
    """
    full = sets.full
    for dose in settings.doses:
        own = sets.moved(settings.selector, DENOISING, _edit(sets, dose), ("steer", dose))
        random = sets.moved(CONTROL, DENOISING, _edit(sets, dose, equal=True), ("as long", dose))
        for readout in full:
            reason = sets.interchange.reaches(sets.point, readout)
            # ``moved`` counts towards the twin; steering asks what the score gains.
            mine, others = -own[readout].mean(1), -random[readout]
            change = share_estimate(mine, full[readout], confidence)
            control = share_estimate(others.mean(1), full[readout], confidence)
            gap, p_value = share_difference(mine, others, full[readout], confidence)
            yield {
                "units": settings.selector,
                "control": CONTROL,
                "dose": dose,
                "readout": readout,
                **(NOT_MEASURED if reason else change).columns("change"),
                **(NOT_MEASURED if reason else control).columns("control_change"),
                **(NOT_MEASURED if reason else gap).columns("difference"),
                "p_value": p_value,
                "n_members": others.shape[1],
                **counts(others),
                "reason": reason,
            }


def _edit(sets: UnitSets, dose: float, *, equal: bool = False) -> Any:
    """Scale deviations from the normal mean in some units of the defect patches by 1 + dose."""
    interchange, point = sets.interchange, sets.point
    defect, _ = interchange.sides(point)
    mean = torch.from_numpy(sets.statistics[0].mean).to(defect.dtype)
    chosen = interchange.group(DEFECTS, point)[..., None]
    middle = mean.expand_as(defect)

    def deviation(units: Chosen) -> Tensor:
        return defect - interchange.mixed(defect, middle, units)

    own = deviation(sets.members(sets.settings.selector)[0][0])

    def edit(direction: str, units: Chosen) -> Tensor:
        away = deviation(units)
        if equal:
            length = own.norm(dim=-1, keepdim=True) / away.norm(dim=-1, keepdim=True).clamp(1e-12)
            away = away * length
        return defect + torch.where(chosen, dose * away, 0.0)

    return edit
