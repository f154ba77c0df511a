"""All that is measured of the neurons of one hook point."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.neurons.example_patches import driving_patches, histogram_table
from lakeviz.studies.neurons.measures import (
    EFFECTS,
    P_VALUES,
    NeuronMeasures,
    PatchSample,
    Resampled,
    image_aurocs,
    of_measurement,
    of_patches,
    rank_correlation,
    reach,
    stacked,
)
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.neurons.tested_neurons import Choice, Deviation, held_activations, image_scores

NO_TEST = "one class has a single image with patches to compare, so there is no p-value"
CONSTANT_VARIANCES = "all channels have equal variances or equal AUROCs, so there is no ranking"


@dataclass
class Found:
    """Tables of one hook point, without the column ``category``, and the resamples behind them."""

    point: str
    tested: pd.DataFrame
    channels: pd.DataFrame
    trend: pd.DataFrame
    histograms: pd.DataFrame
    patches: pd.DataFrame
    measures: dict[str, NeuronMeasures] = field(repr=False)
    truth: PatchTruth = field(repr=False)

    @property
    def selected(self) -> Bool[np.ndarray, " neuron"]:
        """Which of the tested neurons are selected, not random."""
        return (self.tested["group"] == "selected").to_numpy()


def study_point(
    data: StudyData,
    choice: Choice,
    evaluator: PairedEvaluator,
    *,
    deviation: str,
    share: float,
    n_top: int,
) -> Found:
    """Measure the chosen and the random neurons of one hook point."""
    point = choice.point
    own = Deviation.fit(data, point, deviation)
    truth = PatchTruth.of(data.truth, data.grids[point], share, data.geometry, data.sizes)
    obstacle = truth.obstacle
    sample = None if obstacle else PatchSample.of(truth, evaluator.bootstrap)
    drawn: list[dict[str, Resampled]] = []
    single: list[dict[str, float]] = []
    histograms, patches = [], []
    for places, held in held_activations(data, point, choice.tested):
        for place, activation in zip(places, held, strict=True):
            channel = int(choice.tested[place])
            index = torch.tensor([channel])
            deviations = own(activation[..., None], index)[..., 0].numpy()
            values = activation.numpy()
            maps = deviations.reshape(len(values), *data.grids[point])
            found, p_values = (
                of_measurement(evaluator.measure(maps)),
                dict.fromkeys(P_VALUES, np.nan),
            )
            if sample is not None:
                effects, p_values = of_patches(sample, values, deviations)
                found |= effects
            drawn.append(found)
            single.append(p_values | reach(deviations, truth.labels))
            histograms.append(_named(histogram_table(values, truth), point, channel))
            columns = data.grids[point][1]
            top = driving_patches(values, deviations, truth, data.test.sample_ids, columns, n_top)
            patches.append(_named(top, point, channel))
    measures = stacked(drawn)
    channels, trend = _all_channels(data, choice, own, evaluator)
    return Found(
        point,
        _tested(choice, own, measures, single, evaluator, truth),
        channels,
        trend,
        pd.concat(histograms, ignore_index=True),
        pd.concat(patches, ignore_index=True),
        measures,
        truth,
    )


def _named(table: pd.DataFrame, point: str, channel: int) -> pd.DataFrame:
    table.insert(0, "point", point)
    table.insert(1, "channel", channel)
    return table


def _tested(
    choice: Choice,
    deviation: Deviation,
    measures: dict[str, NeuronMeasures],
    single: list[dict[str, float]],
    evaluator: PairedEvaluator,
    truth: PatchTruth,
) -> pd.DataFrame:
    """The main table: one row per neuron under test."""
    table = choice.frame(choice.tested)
    table["constant"] = deviation.constant.numpy()[choice.tested]
    confidence = evaluator.bootstrap.confidence
    names = [f"{lv}_{metric}" for lv, metric in evaluator.metrics] + list(EFFECTS)
    for name in names:
        if name in measures:
            made = pd.DataFrame([e.columns(name) for e in measures[name].estimates(confidence)])
        else:
            made = pd.DataFrame(np.nan, table.index, [name, f"{name}_low", f"{name}_high"])
        table = pd.concat([table, made], axis=1)
    for name in single[0]:
        table[name] = [own[name] for own in single]
    table["direction"] = _directions(table) if "matched_d" in measures else "not measured"
    table["n_images"] = len(truth.labels)
    table["n_normal_images"] = len(truth.normal_images)
    table["n_defect_images"] = len(truth.defect_images)
    table["n_defect_patches"] = truth.n_defect
    table["reason"] = _reason(evaluator, truth)
    return table


def _directions(table: pd.DataFrame) -> Int[np.ndarray, " neuron"]:
    low, high = table["matched_d_low"], table["matched_d_high"]
    return np.select([low > 0, high < 0], ["raised", "lowered"], "undecided")


def _reason(evaluator: PairedEvaluator, truth: PatchTruth) -> str:
    """Why columns of the main table are empty; the same for every neuron."""
    asked = {level for level, _ in evaluator.metrics}
    said = [
        f"no {level} columns: {why}" for level, why in evaluator.reasons.items() if level in asked
    ]
    if truth.obstacle:
        said.append(f"no patch columns and effect sizes: {truth.obstacle}")
    elif min(len(truth.normal_images), len(truth.defect_images)) < 2:
        said.append(NO_TEST)
    return "; ".join(said)


def _all_channels(
    data: StudyData, choice: Choice, deviation: Deviation, evaluator: PairedEvaluator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Image AUROC of every channel of the point, and whether it goes with the variance."""
    table = choice.frame(np.arange(data.n_channels(choice.point)))
    n_images = evaluator.n_images
    row = {"point": choice.point, "measure": "spearman_variance_image_auroc"}
    reason = evaluator.reasons.get("image", "")
    value = low = high = np.nan
    table["image_auroc"] = np.nan
    if not reason:
        scores = image_scores(data, choice.point, deviation)
        found = image_aurocs(scores, evaluator.truth.labels, evaluator.bootstrap)
        table["image_auroc"] = found.values
        made = rank_correlation(choice.variance, found, evaluator.bootstrap)
        if made is None:
            reason = CONSTANT_VARIANCES
        else:
            value, low, high = made.value, made.low, made.high
    table["n_images"], table["reason"] = n_images, evaluator.reasons.get("image", "")
    row |= {"value": value, "low": low, "high": high, "n_channels": len(table)}
    return table, pd.DataFrame([row | {"n_images": n_images, "reason": reason}])
