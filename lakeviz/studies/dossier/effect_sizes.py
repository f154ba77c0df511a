"""How neurons act on normal and on defect patches: effect sizes and shares of the distance.

Each number is compared with that of the random neurons of the point (a random neuron with the
others), and the mean of the selected neurons with the mean of the random ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.metrics.estimates import NOT_MEASURED
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.correlated_neurons import ONE_RANDOM, control_columns
from lakeviz.studies.dossier.knockouts import Knocked
from lakeviz.studies.dossier.stream import PointScan
from lakeviz.studies.neurons.example_patches import histogram_table
from lakeviz.studies.neurons.group_comparison import (
    DETECTED,
    MEAN_POINT,
    Compared,
    compare,
    compared_rows,
    mean_of_points,
    share_row,
)
from lakeviz.studies.neurons.measures import (
    NeuronMeasures,
    PatchSample,
    Resampled,
    image_weights,
    of_patches,
    stacked,
)
from lakeviz.studies.neurons.tested_neurons import Choice, Deviation
from lakeviz.tables import equals, numbers, where

# The rank-biserial correlation is Cliff's delta: the same number under another name.
EFFECTS = {
    "cliffs_delta": "rank_biserial",
    "cohens_d": "cohens_d",
    "matched_d": "matched_d",
    "deviation_auroc": "patch_auroc",
}
SHARES = ("share_normal", "share_anomalous", "share_excess")
NO_SHARE = "no such patch has a distance above 0"

Measures = dict[str, NeuronMeasures]


@dataclass
class Behaviour:
    """Measures of the tested neurons of one point, and why some of them are missing.

    ``p_values`` are of ``matched_d``; NaN where not tested.
    """

    choice: Choice
    measures: Measures
    p_values: np.ndarray
    histograms: pd.DataFrame
    reasons: dict[str, str]


def behaviour(data: StudyData, found: PointScan, bootstrap: Bootstrap) -> Behaviour:
    """Measure the tested neurons of a point."""
    choice, truth = found.choice, found.truth
    deviation = Deviation.fit(data, choice.point, "zscore")
    sample = None if truth.obstacle else PatchSample.of(truth, bootstrap)
    drawn: list[dict[str, Resampled]] = []
    p_values = np.full(len(choice.tested), np.nan)
    histograms = []
    for number, values in found.activations(data):
        channel = int(choice.tested[number])
        table = histogram_table(values, truth)
        table.insert(0, "point", choice.point)
        table.insert(1, "channel", channel)
        histograms.append(table)
        if sample is None:
            continue
        own = torch.from_numpy(np.ascontiguousarray(values))[..., None]
        far = deviation(own, torch.tensor([channel]))[..., 0].numpy()
        effects, tests = of_patches(sample, values, far)
        drawn.append({name: effects[source] for name, source in EFFECTS.items()})
        p_values[number] = tests["p_value"]
    effects = stacked(drawn) if drawn else {}
    reasons = dict.fromkeys(EFFECTS, truth.obstacle) if truth.obstacle else {}
    shares, why = share_measures(found, bootstrap)
    every = pd.concat(histograms, ignore_index=True)
    return Behaviour(choice, effects | shares, p_values, every, reasons | why)


def share_measures(found: PointScan, bootstrap: Bootstrap) -> tuple[Measures, dict[str, str]]:
    """Mean share over normal and over defect patches, and the difference, with resamples."""
    anomalous = found.truth.labels.astype(bool)
    n = len(anomalous)
    if anomalous.any():
        weights = image_weights(anomalous, bootstrap)
    else:
        generator = np.random.default_rng(bootstrap.seed)
        weights = generator.multinomial(n, np.full(n, 1 / n), size=bootstrap.n_resamples)
    weights = np.concatenate([np.ones((1, n)), weights.astype(float)])
    made, reasons = {}, {}
    for name, sums, counts in zip(SHARES, found.share_sums, found.share_counts):
        total = weights @ counts
        if (total <= 0).any():
            reasons[name] = NO_SHARE
            continue
        mean = (weights @ sums).T / total
        made[name] = NeuronMeasures(mean[:, 0], mean[:, 1:])
    if reasons:
        return made, {**reasons, "share_excess": NO_SHARE}
    normal, defect = made.values()
    gaps = defect.values - normal.values, defect.resampled - normal.resampled
    return {**made, "share_excess": NeuronMeasures(*gaps)}, {}


def effect_rows(own: Behaviour, names: Iterable[str], confidence: float) -> list[dict[str, Any]]:
    """One row per neuron and measure, with the random neurons of the point.

    ``n_as_large`` counts the random neurons whose number is at least as far from zero.
    """
    numbered = np.arange(len(own.choice.tested))
    random, rows = numbered >= len(own.choice.selected), []
    for name in names:
        measures = own.measures.get(name)
        estimates = measures.estimates(confidence) if measures else ()
        for number, row in own.choice.rows():
            value, control, reason = NOT_MEASURED, np.empty(0), own.reasons.get(name, "")
            if measures is not None:
                value = estimates[number]
                control = measures.values[random & (numbered != number)]
                reason = "" if len(control) else ONE_RANDOM
            rows.append(
                {
                    **row,
                    "measure": name,
                    **value.columns(),
                    **control_columns(control),
                    "n_as_large": int((np.abs(control) >= abs(value.value)).sum()),
                    "reason": reason,
                }
            )
            if name == "matched_d":
                rows[-1]["p_value"] = own.p_values[number]
    return rows


def compared(own: Behaviour, run: Knocked, bootstrap: Bootstrap) -> Compared:
    """Mean of selected and of random neurons of a point, in effects, shares and losses.

    A loss (``loss_image_auroc``) is what a metric loses without the neuron.
    """
    measures, intact = dict(own.measures), run.intact
    assert intact is not None  # a score knock-out is always made
    for metric in intact.values:
        lost = [
            Resampled(
                intact.values[metric] - m.values[metric],
                intact.resampled[metric] - m.resampled[metric],
            )
            for m in run.found.values()
        ]
        measures["loss_{}_{}".format(*metric)] = NeuronMeasures.of(lost)
    selected = np.arange(len(own.choice.tested)) < len(own.choice.selected)
    return compare(measures, selected, bootstrap, own.choice.point)


def group_table(
    choices: Mapping[str, Choice],
    compared: Mapping[str, Compared],
    labels: pd.DataFrame,
    confidence: float,
) -> pd.DataFrame:
    """Selected against random neurons at each point and, where there are several, their mean."""
    sizes = {p: np.array([len(c.selected), len(c.random)]) for p, c in choices.items()}
    every = {p: (own, where(labels, point=p)) for p, own in compared.items()}
    if len(choices) > 1:
        shared = set.intersection(*(set(own) for own in compared.values()))
        points = [{n: own[n] for n in own if n in shared} for own in compared.values()]
        every[MEAN_POINT] = mean_of_points(points), labels
        sizes[MEAN_POINT] = np.sum(list(sizes.values()), axis=0)
    return pd.DataFrame(
        [
            {"point": point, **row, "n_selected": sizes[point][0], "n_random": sizes[point][1]}
            for point, (own, named) in every.items()
            for row in [*compared_rows(own, confidence), *_labelled(named)]
        ]
    )


def _labelled(labels: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Shares of neurons whose label is better than the control's, by source."""
    first = where(labels, rank=1)
    for source in dict.fromkeys(first["source"]):
        own = where(first, source=source)
        is_better = numbers(own, "q_value") < DETECTED
        yield share_row(f"labelled_by_{source}", [(is_better, equals(own, group="selected"))])
