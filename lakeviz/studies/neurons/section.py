"""How the study ``neurons`` is shown in a report."""

from __future__ import annotations

import io
from typing import cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from lakeviz.metrics.estimates import Estimate
from lakeviz.plots.names import measure_title, short_point
from lakeviz.studies.neurons import NeuronsResult
from lakeviz.studies.neurons.figures import (
    neuron_detectors_figure,
    neuron_differences_figure,
    variance_auroc_figure,
)
from lakeviz.studies.neurons.group_comparison import MEAN_POINT, mean_of_categories
from lakeviz.studies.neurons.group_figures import neuron_groups_figure
from lakeviz.studies.neurons.patch_figures import activation_figure, driving_patches_figure
from lakeviz.tables import numbers, rows, where

_SHOWN = 4  # neurons with histogram and pictures
_MEASURES = ("image_auroc", "pixel_auroc", "patch_auroc", "abs_matched_d", "deviation_matched_d")
_PER_CATEGORY = 3  # categories whose patches are shown, of several


def figures(result: NeuronsResult) -> list[go.Figure]:
    """One category in detail; of several their differences first, then the first few's patches."""
    categories = list(dict.fromkeys(result.neurons["category"]))
    if len(categories) == 1:
        return _detail(result, categories[0])
    made = []
    for measure in _MEASURES[:3]:
        table = where(result.groups, measure=measure)
        if len(table) and np.isfinite(numbers(table, "difference")).any():
            made.append(
                neuron_differences_figure(
                    result.groups, measure=measure, interval_level=result.confidence
                )
            )
    for category in categories[:_PER_CATEGORY]:
        made += _patches(result, category, f"{category}: ")
    return made


def headline(result: NeuronsResult) -> pd.DataFrame:
    """Selected beside random neurons, measure by measure; of several categories their means."""
    several = len(set(result.groups["category"])) > 1
    means = where(result.groups, point=MEAN_POINT)
    table = means if len(means) else result.groups
    made = []
    for measure in dict.fromkeys(table["measure"]):
        own = where(table, measure=measure)
        gaps = numbers(own, "difference")
        if several:
            gap = mean_of_categories(gaps, result.bootstrap)
        else:
            columns = ("difference", "difference_low", "difference_high")
            gap = Estimate(*(float(numbers(own, c)[0]) for c in columns))
        made.append(
            {
                "measure": _named(measure),
                "selected neurons": _mean(numbers(own, "value")),
                "random neurons": _mean(numbers(own, "control_mean")),
                "selected − random": _signed(gap),
                "verdict": _verdict(gap, measure, several=several),
            }
        )
    return pd.DataFrame(made)


def _detail(result: NeuronsResult, category: str) -> list[go.Figure]:
    level, made = result.confidence, []
    measured = set(result.groups["measure"])
    for measure in ("image_auroc", "pixel_auroc"):
        if measure in measured:
            made.append(
                neuron_detectors_figure(result.neurons, measure=measure, interval_level=level)
            )
    if measured & set(_MEASURES[:4]):
        made.append(neuron_groups_figure(result.neurons, result.groups, interval_level=level))
    if np.isfinite(numbers(result.channels, "image_auroc")).any():
        made.append(variance_auroc_figure(result.channels, result.trend, interval_level=level))
    return made + _patches(result, category)


def _patches(result: NeuronsResult, category: str, prefix: str = "") -> list[go.Figure]:
    """Histograms and pictures of the best selected neurons of a category."""
    best = _best(where(result.neurons, category=category))
    chosen = list(zip(best["point"], best["channel"].tolist(), strict=True))
    histograms = where(result.histograms, category=category)
    which = f"the {len(best)} selected neurons of highest {_best_by(best)}"
    made = [
        activation_figure(histograms, best, chosen=chosen, title=f"{prefix}Activation of {which}")
    ]
    patches = where(result.patches, category=category)
    pictures, labels, names = [], [], []
    for point, channel in chosen:
        own = where(patches, point=point, channel=channel)
        own = rows(own, np.array([isinstance(crop, bytes) for crop in own["crop"]], dtype=bool))
        if len(own):
            pictures.append([_decoded(cast(bytes, crop)) for crop in own["crop"]])
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


def _decoded(crop: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(crop)).convert("RGB"))


def _named(measure: str) -> str:
    shares = {
        "share_q_value_below_0.05": "share with q < 0.05 (activation)",
        "share_deviation_q_value_below_0.05": "share with q < 0.05 (deviation)",
        "share_image_auroc_above_chance": "share with image AUROC above 0.5",
    }
    return shares.get(measure) or f"mean {measure_title(measure)}"


def _mean(values: np.ndarray) -> str:
    """Mean of the categories that have a value."""
    there = values[np.isfinite(values)]
    return f"{there.mean():.3f}" if there.size else "–"


def _signed(gap: Estimate) -> str:
    if not np.isfinite(gap.value):
        return "–"
    said = gap.text(signed=True) if np.isfinite(gap.low) else f"{gap.value:+.3f}"
    return said.replace("-", "−")


def _verdict(gap: Estimate, measure: str, *, several: bool) -> str:
    if not np.isfinite(gap.value):
        return "no random neurons left"
    if measure.startswith("share_"):
        return "counted only"
    if several and not np.isfinite(gap.low):
        return "too few categories"
    return {"higher": "selected higher", "lower": "random higher"}.get(gap.verdict, "undecided")
