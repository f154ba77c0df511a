"""The study ``dossier``: everything known of single neurons, selected and random ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.estimates import benjamini_hochberg
from lakeviz.metrics.measurement import Metric
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.dossier.correlated_neurons import correlated_table
from lakeviz.studies.dossier.effect_sizes import (
    EFFECTS,
    SHARES,
    Behaviour,
    behaviour,
    compared,
    effect_rows,
    group_table,
)
from lakeviz.studies.dossier.joint_space import label_obstacle, words_of
from lakeviz.studies.dossier.knockouts import Knocked, knockout_table, knockouts, n_knockouts
from lakeviz.studies.dossier.result import DossierResult, Settings
from lakeviz.studies.dossier.stream import PointScan, scan
from lakeviz.studies.dossier.text_labels import COLUMNS, label_table
from lakeviz.studies.neurons.example_patches import add_crops
from lakeviz.studies.neurons.group_comparison import over_draws
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.neurons.tested_neurons import Choice, choose
from lakeviz.tables import where

SPREAD = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of the activation that patches are shown at, below the highest ones."""


def index_table(
    choices: Mapping[str, Choice], tables: Mapping[str, pd.DataFrame], metrics: Sequence[Metric]
) -> pd.DataFrame:
    """Join the main numbers of all tables, neuron by neuron."""
    index = pd.concat([_own(choice) for choice in choices.values()], ignore_index=True)
    joined: list[tuple[str, dict[str, Any], dict[str, str]]]
    joined = [("activations", {"measure": name}, _interval("value", name)) for name in EFFECTS]
    tests = {"p_value": "p_value", "q_value": "q_value"}
    joined.append(("activations", {"measure": "matched_d"}, tests))
    joined += [("shares", {"measure": name}, _interval("value", name)) for name in SHARES]
    for level, metric in metrics:
        columns = _interval("change", f"change_{level}_{metric}")
        joined.append(("effects", {"kind": "score", "level": level, "metric": metric}, columns))
    partner = {"partner": "partner", "value": "partner_correlation"}
    joined.append(("correlated", {"place": 1}, partner))
    for source in dict.fromkeys(tables["labels"]["source"]):
        columns = {name: f"{source}_{name}" for name in ("word", "q_value", "specificity")}
        joined.append(("labels", {"source": source, "rank": 1}, columns))
    keys = ["point", "channel"]
    for name, keep, columns in joined:
        own = where(tables[name], **keep).loc[:, [*keys, *columns]].rename(columns=columns)
        index = index.merge(own, on=keys, how="left", validate="one_to_one")
    return index


def _own(choice: Choice) -> pd.DataFrame:
    table = choice.frame(choice.tested)
    rank = np.zeros(len(table), dtype=int)
    rank[: len(choice.selected)] = np.arange(1, len(choice.selected) + 1)
    table["selected"] = (table["group"] == "selected").to_numpy()
    table["selection_rank"] = rank  # 0 where not selected
    table["n_channels"] = len(choice.variance)
    return table


def _interval(column: str, name: str) -> dict[str, str]:
    """New names of a column and of the ends of its interval."""
    prefix = "" if column == "value" else f"{column}_"
    return {column: name, f"{prefix}low": f"{name}_low", f"{prefix}high": f"{name}_high"}


def patch_table(data: StudyData, found: PointScan, n_top: int) -> pd.DataFrame:
    """Top and spread patches of every tested neuron of a point.

    The lowest patch is exact; those between are at a quantile of a uniform sample of the patches,
    the same for all neurons.
    """
    n_rows, n_columns = data.grids[found.choice.point]
    truth, sample = found.truth, found.sample
    kept = min(n_top, found.top.patch.shape[1])
    at = np.stack([sample.at(quantile) for quantile in SPREAD[1:]])
    names = truth.names()
    parts = []
    for number, row in found.choice.rows():
        places = at[:, number]
        patches = [*found.top.patch[number, :kept], found.bottom.patch[number, 0]]
        image, patch = np.divmod([*patches, *sample.patch[places]], n_rows * n_columns)
        columns = {
            "kind": ["top"] * kept + ["spread"] * len(SPREAD),
            "place": [*range(1, kept + 1), *range(1, len(SPREAD) + 1)],
            "quantile": [np.nan] * kept + list(SPREAD),
            "sample_id": [data.test.sample_ids[i] for i in image],
            "image": image,
            "row": patch // n_columns,
            "column": patch % n_columns,
            "label": names[image, patch],
            "coverage": np.nan if truth.reason else truth.coverage[image, patch],
        }
        for name in ("value", "share"):
            top, bottom, between = (getattr(own, name) for own in (found.top, found.bottom, sample))
            ends = [*top[number, :kept], bottom[number, 0]]
            columns[name] = np.asarray([*ends, *between[places, number]], dtype=float)
        parts.append(pd.DataFrame(row | columns))
    return pd.concat(parts, ignore_index=True)


def measure(
    draws: tuple[StudyData, ...], settings: Settings, evaluator: PairedEvaluator
) -> Measured:
    """Make the dossiers of the selected neurons, and of as many random ones.

    The test tokens are read once, whatever the number of neurons. Dossiers are of the neurons of
    the first draw of the normal images; the comparison of the groups is over all draws.

    Raises
    ------
    SelectionError
        If ``k`` is out of range, or the selector gives no channels.
    TextBranchError
        If labels are asked for of a model that cannot give them.
    """
    data = draws[0]
    obstacle = label_obstacle(data, settings.labels)
    bootstrap, seed, n_images = evaluator.bootstrap, settings.seed, len(data.test)
    confidence = bootstrap.confidence
    every = [_choices(one, settings) for one in draws]
    score_only = replace(settings, network_neurons=0)
    expect(n_knockouts(every[0], settings) + sum(n_knockouts(own, score_only) for own in every[1:]))
    choices = every[0]
    scans, found, knocked = _behaviour(data, choices, settings, evaluator)
    # Score knock-outs come first, point by point.
    means = [{p: compared(own, run, bootstrap) for (p, own), run in zip(found.items(), knocked)}]
    for one, own_choices in zip(draws[1:], every[1:], strict=True):
        _, others, runs = _behaviour(one, own_choices, score_only, evaluator)
        means.append(
            {p: compared(own, run, bootstrap) for (p, own), run in zip(others.items(), runs)}
        )
    groups = {p: over_draws([of_draw[p] for of_draw in means]) for p in means[0]}
    if obstacle:
        labels = pd.DataFrame(columns=COLUMNS)
        notes = [f"{data.category}: no text labels, because {obstacle}"]
    else:
        words, _ = words_of(data, settings)
        labels, notes = label_table(data, scans, words, settings.templates, seed)
    truth = next(iter(scans.values())).truth
    sizes = {
        "n_images": n_images,
        "n_normal_images": len(truth.normal_images),
        "n_defect_images": len(truth.defect_images),
    }
    activations, shares = (
        pd.DataFrame([r for own in found.values() for r in effect_rows(own, names, confidence)])
        for names in (EFFECTS, SHARES)
    )
    activations["q_value"] = benjamini_hochberg(activations["p_value"].to_numpy(float))
    shares["uniform"] = [1 / data.n_channels(point) for point in shares["point"]]
    patches = _joined(patch_table(data, own, settings.n_top) for own in scans.values())
    tables = {
        "groups": group_table(choices, groups, labels, confidence).assign(n_images=n_images),
        "patches": patches,
        "activations": activations.assign(**sizes),
        "histograms": _joined(own.histograms for own in found.values()),
        "shares": shares.assign(**sizes),
        "effects": knockout_table(knocked, settings.metrics),
        "correlated": _joined(
            correlated_table(
                own.choice, data.statistics[p], own.products, settings.n_partners, confidence
            )
            for p, own in scans.items()
        ).assign(n_images=n_images),
        "labels": labels,
    }
    tables["neurons"] = index_table(choices, tables, settings.metrics).assign(n_images=n_images)
    notes += _notes(data.category, truth, choices)
    if settings.crops:
        notes += add_crops(data, patches)
    return Measured(tables, notes)


class DossierStudy(Study):
    """Says in the settings of its results how many neurons were selected, and from which words."""

    def provenance(self, settings: Settings, data: StudyData) -> dict[str, Any]:
        """Settings as a result carries them."""
        plain = settings.to_plain()
        del plain["word_list"]
        words, source = words_of(data, settings)
        if label_obstacle(data, settings.labels):
            words, source = (), "none"
        k = settings.k or data.options.k
        return plain | {"k": k, "n_words": len(words), "words": source}


STUDY = DossierStudy(Settings, DossierResult, measure, over_draws=True)


def _choices(data: StudyData, settings: Settings) -> dict[str, Choice]:
    k = settings.k or data.options.k
    return choose(data, k, settings.selector, settings.n_random, settings.seed)


def _behaviour(
    data: StudyData, choices: Mapping[str, Choice], settings: Settings, evaluator: PairedEvaluator
) -> tuple[dict[str, PointScan], dict[str, Behaviour], list[Knocked]]:
    """What the tested neurons do on one draw: the pass over the tokens, effects, knock-outs."""
    shown = (settings.coverage, data.geometry, data.sizes)
    truths = {p: PatchTruth.of(data.truth, data.grids[p], *shown) for p in data.points}
    scans = scan(data, choices, truths, n_top=settings.n_top, seed=settings.seed)
    found = {p: behaviour(data, own, evaluator.bootstrap) for p, own in scans.items()}
    return scans, found, list(knockouts(data, choices, settings, evaluator))


def _joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(list(tables), ignore_index=True)


def _notes(category: str, truth: PatchTruth, choices: Mapping[str, Choice]) -> list[str]:
    """Say what was left out."""
    unmasked = "without masks, shares and histograms of defects are those of all patches of "
    said = {
        f"no effect sizes of the activation: {truth.obstacle}": truth.obstacle,
        f"{unmasked}anomalous images": truth.reason and truth.labels.any(),
        "every channel is selected, so there are no random neurons": not any(
            len(choice.random) for choice in choices.values()
        ),
    }
    return [f"{category}: {note}" for note, holds in said.items() if holds]
