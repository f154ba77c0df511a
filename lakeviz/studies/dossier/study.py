"""``dossier``: everything known of single neurons, selected ones and random ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.lake.paired_evaluator import DEFAULT_BOOTSTRAP
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import benjamini_hochberg
from lakeviz.metrics.measurement import Metric
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.correlated_neurons import correlated_table
from lakeviz.studies.dossier.effect_sizes import (
    EFFECTS,
    SHARES,
    Behaviour,
    behaviour,
    behaviour_rows,
)
from lakeviz.studies.dossier.groups import compare_groups, group_table, importances
from lakeviz.studies.dossier.knockouts import Limits, knockout_table
from lakeviz.studies.dossier.label_table import (
    Vocabulary,
    label_obstacle,
    label_table,
    require_labels,
)
from lakeviz.studies.dossier.looks import add_crops, patch_table
from lakeviz.studies.dossier.neuron_index import index_table
from lakeviz.studies.dossier.result import NO_LABELS, DossierResult
from lakeviz.studies.dossier.stream import PointScan, scan
from lakeviz.studies.dossier.vocabulary import (
    TEMPLATES,
    check_templates,
    check_words,
    default_words,
)
from lakeviz.studies.neurons.patch_labels import DEFAULT_COVERAGE, PatchTruth
from lakeviz.studies.neurons.tested_neurons import Choice, choose

DOSSIER_METRICS: tuple[Metric, ...] = (("image", "auroc"), ("pixel", "aupro"))


def dossier(
    data: StudyData,
    *,
    k: int | None = None,
    selector: str = "variance",
    n_random: int | None = None,
    n_top: int = 9,
    n_partners: int = 5,
    metrics: Sequence[Metric] = DOSSIER_METRICS,
    network_neurons: int = 3,
    network_images: int = 64,
    labels: bool | None = None,
    words: Sequence[str] | None = None,
    templates: Sequence[str] = TEMPLATES,
    coverage: float = DEFAULT_COVERAGE,
    crops: bool = True,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    seed: int = 0,
) -> DossierResult:
    """Make the dossiers of the selected neurons, and of as many random ones.

    The test tokens are read once, whatever the number of neurons.

    Parameters
    ----------
    data : StudyData
    k : int, optional
        Neurons selected at each hook point; the detector's own number by default.
    selector : str
        One that gives channels.
    n_random : int, optional
        Random neurons per point, from the channels that are not selected: ``k`` by default.
    n_top : int
        Patches of highest activation kept of each neuron.
    n_partners : int
        Correlated neurons listed of each.
    metrics : sequence of (level, metric)
        Of the knock-outs.
    network_neurons, network_images : int
        Forward and weights knock-outs run the tower once per neuron: they are made of so many
        selected and so many random neurons of each point, on at most so many test images.
    labels : bool, optional
        Label neurons with words; by default where the model has text.
    words : sequence of str, optional
        The words to choose from; :func:`.words.default_words` by default.
    templates : sequence of str
        Prompts that hold one ``{}`` for the word.
    coverage : float
        Share of a patch's cell that the mask must cover to make it a defect, in (0, 1].
    crops : bool
        Keep small pictures of the patches, where there are image files.
    bootstrap : Bootstrap
        Resamples of the images.
    seed : int
        Of the random neurons, images and directions.

    Raises
    ------
    SelectionError
        If ``k`` or ``n_random`` is out of range, or the selector gives no channels.
    TextBranchError
        If labels are asked for of a model that cannot give them.
    ConfigError
        If the word list is empty, a template holds no word, or a number is out of range.
    MetricError
        If nothing can be measured on the test images.
    """
    limits = _limits(n_top, n_partners, network_neurons, network_images)
    vocabulary = Vocabulary(
        default_words() if words is None else check_words(words), check_templates(templates)
    )
    if labels:
        require_labels(data)
    obstacle = "labels were not asked for" if labels is False else label_obstacle(data)
    evaluator = data.evaluator(metrics, bootstrap)
    evaluator.require_some()
    k = data.options.k if k is None else k
    choices = choose(data, k, selector, n_random, seed)
    truths = {p: PatchTruth.of(data.truth, data.grids[p], coverage) for p in data.points}
    scans = scan(data, choices, truths, n_top=n_top, seed=seed)
    found = {p: behaviour(data, own, bootstrap) for p, own in scans.items()}
    tables, measured = _tables(data, scans, found, bootstrap, n_top, n_partners)
    tables["effects"], knocked = knockout_table(data, choices, metrics, bootstrap, limits, seed)
    notes = data.absences(evaluator)
    tables["labels"] = NO_LABELS.copy()
    if obstacle:
        notes.append(f"{data.category}: no text labels, because {obstacle}")
    else:
        tables["labels"], said = label_table(data, scans, vocabulary, seed)
        notes += said
    for point, (intact, without) in knocked.items():
        measured[point] |= importances(intact, without, evaluator.measured)
    compared = {p: compare_groups(choices[p], own, bootstrap) for p, own in measured.items()}
    n_images = len(data.test)
    tables["groups"] = group_table(choices, compared, tables["labels"], bootstrap, n_images)
    index = index_table(choices, tables, metrics).assign(n_images=n_images)
    notes += _notes(data, choices, truths)
    if crops:
        notes += add_crops(data, tables["patches"])
    else:
        tables["patches"]["crop"] = pd.Series([None] * len(tables["patches"]), dtype=object)
    settings = {
        "k": k,
        "selector": selector,
        "n_random": n_random,
        "n_top": n_top,
        "n_partners": n_partners,
        "metrics": [list(m) for m in metrics],
        "network_neurons": network_neurons,
        "network_images": network_images,
        "n_words": 0 if obstacle else len(vocabulary.words),
        "words": "none" if obstacle else "lakeviz" if words is None else "own",
        "templates": list(vocabulary.templates),
        "coverage": coverage,
        "seed": seed,
    }
    tables = {"neurons": index, **tables}
    return DossierResult(
        **{name: _of_category(tables[name], data.category) for name in DossierResult.table_names()},
        provenance=data.describe(DossierResult.name, settings, evaluator),
        notes=notes,
    )


def _limits(n_top: int, n_partners: int, neurons: int, images: int) -> Limits:
    if n_top < 1 or n_partners < 1:
        raise ConfigError(f"n_top and n_partners must be at least 1, not {n_top} and {n_partners}")
    if neurons < 0 or images < 2:
        raise ConfigError(
            "network_neurons must be at least 0 and network_images at least 2, not "
            f"{neurons} and {images}"
        )
    return Limits(neurons, images)


def _tables(
    data: StudyData,
    scans: Mapping[str, PointScan],
    found: Mapping[str, Behaviour],
    bootstrap: Bootstrap,
    n_top: int,
    n_partners: int,
) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, Any]]]:
    """The tables that come from the pass alone, and the measures behind them."""
    level = bootstrap.confidence
    effects, shares, patches, correlated = [], [], [], []
    for point, own in scans.items():
        of_point = pd.DataFrame(behaviour_rows(own, found[point], tuple(EFFECTS), level))
        tested = (of_point["measure"] == "matched_d").to_numpy()
        of_point["p_value"] = np.nan
        of_point.loc[tested, "p_value"] = found[point].p_values
        effects.append(of_point)
        shares.append(pd.DataFrame(behaviour_rows(own, found[point], SHARES, level)))
        patches.append(patch_table(data, own, n_top))
        statistics = data.statistics[point]
        table = correlated_table(
            own.choice, statistics, own.products, n_partners, level, len(data.test)
        )
        correlated.append(table)
    activations = pd.concat(effects, ignore_index=True)
    activations["q_value"] = benjamini_hochberg(activations["p_value"].to_numpy(float))
    truth = next(iter(scans.values())).truth
    sizes = {
        "n_images": len(truth.labels),
        "n_normal_images": len(truth.normal_images),
        "n_defect_images": len(truth.defect_images),
    }
    uniform = {p: 1 / data.n_channels(p) for p in scans}
    share = pd.concat(shares, ignore_index=True)
    share["uniform"] = [uniform[point] for point in share["point"]]
    tables = {
        "activations": activations.assign(**sizes),
        "shares": share.assign(**sizes),
        "patches": pd.concat(patches, ignore_index=True),
        "correlated": pd.concat(correlated, ignore_index=True),
        "histograms": pd.concat([f.histograms for f in found.values()], ignore_index=True),
    }
    return tables, {p: dict(own.measures) for p, own in found.items()}


def _of_category(table: pd.DataFrame, category: str) -> pd.DataFrame:
    if "category" in table:
        return table
    table = table.copy()
    table.insert(0, "category", category)
    return table


def _notes(
    data: StudyData, choices: Mapping[str, Choice], truths: Mapping[str, PatchTruth]
) -> list[str]:
    """Say what was left out."""
    truth = next(iter(truths.values()))
    notes = []
    if truth.obstacle:
        notes.append(f"{data.category}: no effect sizes of the activation: {truth.obstacle}")
    if truth.reason and truth.labels.any():
        notes.append(
            f"{data.category}: without masks, shares and histograms of defects are those of all "
            "patches of anomalous images"
        )
    if not any(len(choice.random) for choice in choices.values()):
        notes.append(f"{data.category}: every channel is selected, so there are no random neurons")
    return notes
