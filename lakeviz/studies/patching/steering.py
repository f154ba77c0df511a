"""Steering: deviations of units from the normal mean are made larger or smaller, dose by dose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lakeviz.lake.selection import NeuronSelection
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.metrics.pair_shares import share_difference, share_estimate
from lakeviz.studies.patching.effects import counts
from lakeviz.studies.patching.interchange import Chosen
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import ADD, CONTROL, DEFECTS, DENOISING, NEURONS

Rows = Iterator[dict[str, Any]]


def steering_rows(sets: UnitSets, confidence: float, *, basis: str = NEURONS) -> Rows:
    """Change of the read-outs of the defect image, by dose, for the units and for random ones.

    Edits of random units have, token by token, the length that the edit of the units in question
    has, so that a dose is the same size in both.
    """
    full, settings = sets.full, sets.settings
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
                "basis": basis,
                "units": settings.selector,
                "control": CONTROL,
                "steer": settings.steer,
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
    """Change some units of the defect patches, along their directions.

    Their deviations from the normal mean are scaled by 1 + dose, or as many normal standard
    deviations as the dose says are added.
    """
    interchange, point = sets.interchange, sets.point
    defect, _ = interchange.sides(point)
    known = interchange.encoded(point)[0]
    of_normal = sets.statistics[0]
    mean, spread = (
        torch.from_numpy(own).to(defect.dtype)
        for own in (of_normal.mean, np.sqrt(of_normal.variance))
    )
    chosen = interchange.group(DEFECTS, point)[..., None]

    def deviation(units: Chosen) -> Tensor:
        if not isinstance(units, NeuronSelection):
            return defect - interchange.mixed(defect, mean.expand_as(defect), units)
        index = units.channels.tolist()
        if sets.settings.steer == ADD:
            return interchange.replaced(defect, units, (known + spread)[..., index]) - defect
        return defect - interchange.replaced(defect, units, mean[index])

    own = deviation(sets.members(sets.settings.selector)[0][0])

    def edit(direction: str, units: Chosen) -> Tensor:
        away = deviation(units)
        if equal:
            length = own.norm(dim=-1, keepdim=True) / away.norm(dim=-1, keepdim=True).clamp(1e-12)
            away = away * length
        return defect + torch.where(chosen, dose * away, 0.0)

    return edit
