"""The study ``dossier``: everything known of single neurons, selected and random ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.estimates import benjamini_hochberg
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.dossier.correlated_neurons import correlated_table
from lakeviz.studies.dossier.effect_sizes import (
    EFFECTS,
    SHARES,
    behaviour,
    compared,
    effect_rows,
    group_table,
)
from lakeviz.studies.dossier.knockouts import knockout_table, knockouts, n_knockouts
from lakeviz.studies.dossier.label_table import COLUMNS, label_table
from lakeviz.studies.dossier.neuron_index import add_crops, index_table, patch_table
from lakeviz.studies.dossier.result import DossierResult, Settings
from lakeviz.studies.dossier.stream import scan
from lakeviz.studies.dossier.word_space import label_obstacle, words_of
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.neurons.tested_neurons import Choice, choose


def measure(data: StudyData, settings: Settings, evaluator: PairedEvaluator) -> Measured:
    """Make the dossiers of the selected neurons, and of as many random ones.

    The test tokens are read once, whatever the number of neurons.

    Raises
    ------
    SelectionError
        If ``k`` is out of range, or the selector gives no channels.
    TextBranchError
        If labels are asked for of a model that cannot give them.
    """
    obstacle = label_obstacle(data, settings.labels)
    bootstrap, seed, n_images = evaluator.bootstrap, settings.seed, len(data.test)
    confidence = bootstrap.confidence
    k = settings.k or data.options.k
    choices = choose(data, k, settings.selector, settings.n_random, seed)
    expect(n_knockouts(choices, settings))
    shown = (settings.coverage, data.geometry, data.sizes)
    truths = {p: PatchTruth.of(data.truth, data.grids[p], *shown) for p in data.points}
    scans = scan(data, choices, truths, n_top=settings.n_top, seed=seed)
    found = {p: behaviour(data, own, bootstrap) for p, own in scans.items()}
    knocked = list(knockouts(data, choices, settings, evaluator))
    if obstacle:
        labels = pd.DataFrame(columns=COLUMNS)
        notes = [f"{data.category}: no text labels, because {obstacle}"]
    else:
        words, _ = words_of(data, settings)
        labels, notes = label_table(data, scans, words, settings.templates, seed)
    truth = next(iter(truths.values()))
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
    # Score knock-outs come first, point by point.
    means = {p: compared(own, run, bootstrap) for (p, own), run in zip(found.items(), knocked)}
    groups = group_table(choices, means, labels, confidence)
    patches = _joined(patch_table(data, own, settings.n_top) for own in scans.values())
    tables = {
        "groups": groups.assign(n_images=n_images),
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


STUDY = DossierStudy(Settings, DossierResult, measure)


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
