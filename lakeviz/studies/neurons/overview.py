"""All figures of a result of the study ``neurons``, from its tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.plots.names import measure_title, short_point
from lakeviz.studies.neurons.figures import (
    neuron_detectors_figure,
    neuron_differences_figure,
    variance_auroc_figure,
)
from lakeviz.studies.neurons.group_figures import neuron_groups_figure
from lakeviz.studies.neurons.patch_figures import activation_figure, driving_patches_figure
from lakeviz.studies.neurons.pictures import decode
from lakeviz.tables import is_measured, numbers, rows, where

_SHOWN = 4  # neurons with histogram and pictures
_MEASURES = (*("image_auroc", "matched_auroc"), *("abs_matched_d", "deviation_matched_d"))
_PER_CATEGORY = 3  # categories whose patches are shown, of several


def result_figures(result: Any) -> list[go.Figure]:
    """Of a ``NeuronsResult``: one category in detail; of several the differences, some patches."""
    neurons, groups, confidence = result.neurons, result.groups, result.confidence
    measured = set(groups["measure"])
    if len(result.categories) > 1:
        made = [
            neuron_differences_figure(groups, measure=measure, confidence=confidence)
            for measure in _MEASURES[:3]
            if is_measured(where(groups, measure=measure), "difference")
        ]
        for category in result.categories[:_PER_CATEGORY]:
            made += _patches(result, category, f"{category}: ")
        return made
    made = [
        neuron_detectors_figure(neurons, measure=measure, confidence=confidence)
        for measure in _MEASURES[:2]
        if measure in measured
    ]
    if measured & set(_MEASURES):
        made.append(neuron_groups_figure(neurons, groups, confidence=confidence))
    if is_measured(result.channels, "image_auroc"):
        made.append(variance_auroc_figure(result.channels, result.trend, confidence=confidence))
    return made + _patches(result, result.categories[0])


def _patches(result: Any, category: str, prefix: str = "") -> list[go.Figure]:
    """Histograms and pictures of the best selected neurons of a category."""
    neurons, histograms, patches = (
        where(table, category=category)
        for table in (result.neurons, result.histograms, result.patches)
    )
    best = _best(neurons)
    chosen = list(zip(best["point"], best["channel"].tolist(), strict=True))
    which = f"the {len(best)} selected neurons of highest {_best_by(best)}"
    made = [
        activation_figure(histograms, best, chosen=chosen, title=f"{prefix}Activation of {which}")
    ]
    pictures, labels, names = [], [], []
    for point, channel in chosen:
        own = where(patches, point=point, channel=channel)
        own = rows(own, np.array([isinstance(crop, bytes) for crop in own["crop"]], dtype=bool))
        if len(own):
            pictures.append([np.asarray(decode(crop)) for crop in own["crop"]])
            labels.append([str(label) for label in own["label"]])
            names.append(f"{short_point(point)}\nchannel {channel}")
    if pictures:
        made.append(
            driving_patches_figure(
                pictures,
                labels,
                names,
                title=f"{prefix}What drives {which}",
                caption="These neurons were chosen by this very measure, as examples.",
            )
        )
    return made


def _best(table: pd.DataFrame) -> pd.DataFrame:
    chosen = where(table, group="selected")
    if is_measured(chosen, "image_auroc"):
        chosen = rows(chosen, np.argsort(-numbers(chosen, "image_auroc"), kind="stable"))
    return rows(chosen, np.arange(min(_SHOWN, len(chosen))))


def _best_by(best: pd.DataFrame) -> str:
    return measure_title("image_auroc") if is_measured(best, "image_auroc") else "variance"
