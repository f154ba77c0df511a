"""How a neuron behaves on normal and on defect patches: effect sizes, and shares of the distance.

All of it beside the random neurons of the point; a random neuron is compared with the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate, quantile_interval
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.stream import PointScan, Shares
from lakeviz.studies.neurons.example_patches import histogram_table
from lakeviz.studies.neurons.measures import NeuronMeasures, of_patches, stacked
from lakeviz.studies.neurons.patch_statistics import Drawn, PatchSample, image_weights
from lakeviz.studies.neurons.single_neuron_score import Deviation

# The rank-biserial correlation is Cliff's delta: the same number under another name.
EFFECTS = {
    "cliffs_delta": "rank_biserial",
    "cohens_d": "cohens_d",
    "matched_d": "matched_d",
    "deviation_auroc": "patch_auroc",
}
SHARES = ("share_normal", "share_anomalous", "share_excess")
ONE_RANDOM = "there is no other random neuron to compare with"
NO_SHARE = "no such patch has a distance above 0"


@dataclass
class Behaviour:
    """Measures of the tested neurons of one point.

    Attributes
    ----------
    measures : dict of str to NeuronMeasures
        Only what could be measured.
    p_values : float array [neuron]
        Of ``matched_d``; NaN where not tested.
    histograms : DataFrame
    reasons : dict of str to str
        Why a measure is missing.
    """

    measures: dict[str, NeuronMeasures]
    p_values: np.ndarray
    histograms: pd.DataFrame
    reasons: dict[str, str]


def behaviour(data: StudyData, found: PointScan, bootstrap: Bootstrap) -> Behaviour:
    """Measure the tested neurons of a point."""
    choice, truth = found.choice, found.truth
    deviation = Deviation.fit(data, choice.point, "zscore")
    sample = None if truth.obstacle else PatchSample.of(truth, bootstrap)
    drawn: list[dict[str, Drawn]] = []
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
    measures = stacked(drawn) if drawn else {}
    reasons = dict.fromkeys(EFFECTS, truth.obstacle) if truth.obstacle else {}
    shares, why = share_measures(found.shares, truth.labels, bootstrap)
    return Behaviour(
        measures | shares, p_values, pd.concat(histograms, ignore_index=True), reasons | why
    )


def share_measures(
    shares: Shares, labels: np.ndarray, bootstrap: Bootstrap
) -> tuple[dict[str, NeuronMeasures], dict[str, str]]:
    """Mean share over normal and over defect patches, and the difference; draws over images."""
    anomalous = labels.astype(bool)
    weights = image_weights(anomalous, bootstrap) if anomalous.any() else _of_one(labels, bootstrap)
    weights = np.concatenate([np.ones((1, len(labels))), weights])
    made, reasons = {}, {}
    for name, sums, counts in (
        ("share_normal", shares.normal, shares.n_normal),
        ("share_anomalous", shares.anomalous, shares.n_anomalous),
    ):
        total = weights @ counts
        if (total <= 0).any():
            reasons[name] = NO_SHARE
            continue
        mean = (weights @ sums).T / total
        made[name] = NeuronMeasures(mean[:, 0], mean[:, 1:])
    if len(made) == 2:
        one, other = made["share_anomalous"], made["share_normal"]
        made["share_excess"] = NeuronMeasures(one.values - other.values, one.draws - other.draws)
    else:
        reasons["share_excess"] = NO_SHARE
    return made, reasons


def _of_one(labels: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """Weights of images of one class."""
    generator = np.random.default_rng(bootstrap.seed)
    n = len(labels)
    return generator.multinomial(n, np.full(n, 1 / n), size=bootstrap.n_resamples).astype(float)


def behaviour_rows(
    found: PointScan, own: Behaviour, names: Sequence[str], level: float
) -> list[dict[str, Any]]:
    """One row per neuron and measure, beside the (other) random neurons of the point."""
    choice = found.choice
    n_selected = len(choice.selected)
    rows = []
    for name in names:
        measures = own.measures.get(name)
        for number, channel in enumerate(choice.tested):
            row: dict[str, Any] = {
                "point": choice.point,
                "channel": int(channel),
                "group": "selected" if number < n_selected else "random",
                "measure": name,
            }
            if measures is None:
                empty = beside(Drawn(np.nan, np.empty(0)), None, level)
                rows.append(row | empty | {"reason": own.reasons.get(name, "")})
                continue
            others = np.arange(n_selected, len(choice.tested))
            control = measures.where(others[others != number])
            one = Drawn(float(measures.values[number]), measures.draws[number])
            reason = "" if len(control.values) else ONE_RANDOM
            rows.append(row | beside(one, control, level) | {"reason": reason})
    return rows


def beside(one: Drawn, control: NeuronMeasures | None, level: float) -> dict[str, Any]:
    """A neuron's number with its interval, and where it lies among random neurons.

    ``n_as_large`` counts random neurons whose number is at least as far from zero.
    """
    interval = quantile_interval(one.draws, level) if one.draws.size else (np.nan, np.nan)
    made: dict[str, Any] = Estimate(one.value, *interval).columns()
    there = control is not None and len(control.values) > 0
    values = control.values if control is not None and there else np.empty(0)
    return made | {
        "control_mean": float(values.mean()) if there else np.nan,
        "control_low": float(values.min()) if there else np.nan,
        "control_high": float(values.max()) if there else np.nan,
        "n_as_large": int((np.abs(values) >= abs(one.value)).sum()) if there else 0,
        "n_draws": len(values),
    }
