"""The study ``neurons``: every selected neuron as a detector of its own, and random neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.estimates import benjamini_hochberg, estimate, mean_over_draws
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.neurons.example_patches import add_crops, driving_patches, histogram_table
from lakeviz.studies.neurons.group_comparison import (
    MEAN_POINT,
    Compared,
    compare,
    compared_rows,
    counted_rows,
    mean_of_points,
    over_draws,
)
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
from lakeviz.studies.neurons.result import NeuronsResult, Settings
from lakeviz.studies.neurons.tested_neurons import (
    Choice,
    Deviation,
    choose,
    held_activations,
    image_scores,
)
from lakeviz.tables import equals, is_measured, numbers, records, rows, where

NO_TEST = "one class has a single image with patches to compare, so there is no p-value"
CONSTANT_VARIANCES = "all channels have equal variances or equal AUROCs, so there is no ranking"
_PICTURED = 5  # selected neurons per point whose patches are kept as pictures


def measure(
    draws: tuple[StudyData, ...], settings: Settings, evaluator: PairedEvaluator
) -> Measured:
    """Measure each selected neuron as a detector of its own, and as many random ones.

    Random neurons are drawn from the channels that are not selected; all of them are taken where
    there are fewer than asked for. A neuron's deviation map is measured by the detector's image
    score and map size; see :class:`~lakeviz.studies.neurons.tested_neurons.Deviation`.
    Of several draws of the normal images, each has its own selected and random neurons; the group
    means and the trend are over all draws, the tables of single neurons are those of the first.

    Raises
    ------
    SelectionError
        If ``k`` or ``n_random`` is out of range, or the selector gives no channels.
    ConfigError
        If ``coverage`` is 0.
    """
    data = draws[0]
    k = data.options.k if settings.k is None else settings.k
    chosen = [choose(one, k, settings.selector, settings.n_random, settings.seed) for one in draws]
    n_tested = [sum(len(choice.tested) for choice in own.values()) for own in chosen]
    expect(max(n_tested), len(draws))
    every = [
        [
            study_point(
                one,
                choice,
                evaluator,
                deviation=settings.deviation,
                share=settings.coverage,
                n_top=settings.n_top,
            )
            for choice in own.values()
        ]
        for one, own in zip(draws, chosen, strict=True)
    ]
    listed = [_neurons(found) for found in every]
    found, table = every[0], listed[0]
    trends = [pd.concat([f.trend for f in own], ignore_index=True) for own in every]
    tables = {
        "neurons": table,
        "groups": _groups(every, listed, evaluator),
        "trend": _trend(trends, evaluator.bootstrap.confidence),
        **{
            name: pd.concat([getattr(f, name) for f in found], ignore_index=True)
            for name in ("channels", "histograms", "patches")
        },
    }
    notes = _notes(data, found, table, settings.deviation)
    if settings.crops:
        patches = tables["patches"]
        notes += add_crops(data, patches, _pictured(table, patches))
    return Measured(tables, notes)


class NeuronsStudy(Study):
    """The number of neurons is recorded as it was, also where it is the detector's own."""

    def provenance(self, settings: Any, data: StudyData) -> dict[str, Any]:
        """Settings with the number of neurons."""
        k = data.options.k if settings.k is None else settings.k
        return settings.to_plain() | {"k": k}


STUDY = NeuronsStudy(Settings, NeuronsResult, measure, over_draws=True)


def _neurons(found: Sequence[Found]) -> pd.DataFrame:
    """All tested neurons of one draw, with p-values corrected over all of them."""
    table = pd.concat([f.tested for f in found], ignore_index=True)
    for p, q in P_VALUES.items():
        table.insert(list(table.columns).index(p) + 1, q, benjamini_hochberg(table[p].to_numpy()))
    return table


def _groups(
    every: Sequence[Sequence[Found]], listed: Sequence[pd.DataFrame], evaluator: PairedEvaluator
) -> pd.DataFrame:
    """Selected against random neurons at each point and, where there are several, their mean."""
    bootstrap = evaluator.bootstrap
    compared: dict[str, Compared] = {}
    counted: dict[str, list[dict[str, Any]]] = {}
    sizes: dict[str, np.ndarray] = {}
    for of_point in zip(*every, strict=True):
        point = of_point[0].point
        own = [compare(f.measures, f.selected, bootstrap, point) for f in of_point]
        compared[point] = over_draws(own)
        counted[point] = counted_rows([where(table, point=point) for table in listed])
        selected = of_point[0].selected
        sizes[point] = np.array([selected.sum(), (~selected).sum()])
    if len(compared) > 1:
        compared[MEAN_POINT] = mean_of_points(list(compared.values()))
        counted[MEAN_POINT] = counted_rows(listed)
        sizes[MEAN_POINT] = np.sum(list(sizes.values()), axis=0)
    made = [
        {"point": point, **row}
        | {"n_selected": int(sizes[point][0]), "n_random": int(sizes[point][1])}
        | {"n_images": evaluator.n_images}
        for point, own in compared.items()
        for row in compared_rows(own, bootstrap.confidence) + counted[point]
    ]
    reasons = [row.pop("reason") for row in made]
    return pd.DataFrame(made).assign(reason=reasons)


def _trend(draws: Sequence[pd.DataFrame], confidence: float) -> pd.DataFrame:
    """Mean of the rank correlations over draws of the normal images."""
    table = draws[0].assign(n_draws=len(draws))
    if len(draws) == 1:
        return table
    made = [
        mean_over_draws([estimate(row) for row in rows], confidence)
        for rows in zip(*(records(draw) for draw in draws), strict=True)
    ]
    return table.assign(**pd.DataFrame([one.columns() for one in made], table.index))


def _notes(
    data: StudyData, found: Sequence[Found], table: pd.DataFrame, deviation: str
) -> list[str]:
    """Say what was left out, and what is defined by convention alone."""
    notes = []
    truth = found[0].truth
    if truth.obstacle:
        notes.append(f"{data.category}: no patch columns and effect sizes: {truth.obstacle}")
    else:
        notes.append(
            f"{data.category}: {truth.n_defect:,} defect patches of {len(truth.defect_images)} "
            f"images are compared with all patches of {len(truth.normal_images)} normal images; "
            f"{truth.n_partial:,} patches that the mask touches but covers by less than "
            f"{truth.share:.0%}, and the other patches of anomalous images, are left out"
        )
    constant = int(numbers(table, "constant").sum())
    if constant and deviation == "zscore":
        notes.append(
            f"{data.category}: {constant} of the tested neurons are constant on the normal "
            "tokens; their deviation is |x - mean| in units of the activation"
        )
    if equals(table, group="selected").all():
        notes.append(f"{data.category}: every channel is selected, so there are no random neurons")
    return notes


def _pictured(table: pd.DataFrame, patches: pd.DataFrame) -> np.ndarray:
    """Positions of the patches to picture: those of the best selected neurons of each point."""
    order = np.arange(len(table))
    if is_measured(table, "image_auroc"):
        order = np.argsort(-numbers(table, "image_auroc"), kind="stable")
    best = rows(table, order)
    chosen = rows(best, equals(best, group="selected"))
    kept = chosen.groupby("point", sort=False).head(_PICTURED)
    wanted = set(zip(kept["point"], kept["channel"], strict=True))
    owners = zip(patches["point"], patches["channel"], strict=True)
    return np.array([i for i, own in enumerate(owners) if own in wanted], dtype=int)


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
