"""All figures of a result of the study ``neurons``, from its tables."""

from __future__ import annotations

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
from lakeviz.tables import numbers, rows, where

_SHOWN = 4  # neurons with histogram and pictures
_MEASURES = (
    *("image_auroc", "matched_auroc"),
    *("abs_matched_d", "deviation_matched_d"),
)
_PER_CATEGORY = 3  # categories whose patches are shown, of several


def result_figures(
    neurons: pd.DataFrame,
    groups: pd.DataFrame,
    channels: pd.DataFrame,
    trend: pd.DataFrame,
    histograms: pd.DataFrame,
    patches: pd.DataFrame,
    *,
    confidence: float,
) -> list[go.Figure]:
    """One category in detail; of several their differences, then the first few's patches.

    The tables are those of ``NeuronsResult``.
    """
    categories = list(dict.fromkeys(neurons["category"]))
    made = []
    if len(categories) == 1:
        measured = set(groups["measure"])
        for measure in _MEASURES[:2]:
            if measure in measured:
                made.append(
                    neuron_detectors_figure(neurons, measure=measure, confidence=confidence)
                )
        if measured & set(_MEASURES[:4]):
            made.append(neuron_groups_figure(neurons, groups, confidence=confidence))
        if np.isfinite(numbers(channels, "image_auroc")).any():
            made.append(variance_auroc_figure(channels, trend, confidence=confidence))
        return made + _patches(neurons, histograms, patches, categories[0])
    for measure in _MEASURES[:3]:
        table = where(groups, measure=measure)
        if len(table) and np.isfinite(numbers(table, "difference")).any():
            made.append(neuron_differences_figure(groups, measure=measure, confidence=confidence))
    for category in categories[:_PER_CATEGORY]:
        made += _patches(neurons, histograms, patches, category, f"{category}: ")
    return made


def _patches(
    neurons: pd.DataFrame,
    histograms: pd.DataFrame,
    patches: pd.DataFrame,
    category: str,
    prefix: str = "",
) -> list[go.Figure]:
    """Histograms and pictures of the best selected neurons of a category."""
    best = _best(where(neurons, category=category))
    chosen = list(zip(best["point"], best["channel"].tolist(), strict=True))
    histograms = where(histograms, category=category)
    which = f"the {len(best)} selected neurons of highest {_best_by(best)}"
    made = [
        activation_figure(histograms, best, chosen=chosen, title=f"{prefix}Activation of {which}")
    ]
    patches = where(patches, category=category)
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
    by = "image_auroc"
    if np.isfinite(numbers(chosen, by)).any():
        chosen = rows(chosen, np.argsort(-numbers(chosen, by), kind="stable"))
    return rows(chosen, np.arange(min(_SHOWN, len(chosen))))


def _best_by(best: pd.DataFrame) -> str:
    known = np.isfinite(numbers(best, "image_auroc")).any()
    return measure_title("image_auroc") if known else "variance"
