"""The study ``dossier``: everything known of single neurons, selected and random ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.estimates import benjamini_hochberg
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.dossier.correlated_neurons import correlated_table
from lakeviz.studies.dossier.effect_sizes import (
    EFFECTS,
    SHARES,
    Behaviour,
    Compared,
    behaviour,
    compare_groups,
    effect_rows,
    group_table,
    losses,
)
from lakeviz.studies.dossier.knockouts import Knocked, knockout_table, knockouts
from lakeviz.studies.dossier.label_table import COLUMNS, label_obstacle, label_table, require_labels
from lakeviz.studies.dossier.neuron_index import add_crops, index_table, patch_table
from lakeviz.studies.dossier.result import DossierResult, Settings
from lakeviz.studies.dossier.stream import scan
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
    if settings.labels:
        require_labels(data)
    bootstrap, seed, n_images = evaluator.bootstrap, settings.seed, len(data.test)
    confidence = bootstrap.confidence
    choices = choose(data, _k(data, settings), settings.selector, settings.n_random, seed)
    truths = {p: PatchTruth.of(data.truth, data.grids[p], settings.coverage) for p in data.points}
    scans = scan(data, choices, truths, n_top=settings.n_top, seed=seed)
    found = {p: behaviour(data, own, bootstrap) for p, own in scans.items()}
    knocked = list(knockouts(data, choices, settings, evaluator))
    if obstacle := _obstacle(data, settings):
        labels = pd.DataFrame(columns=COLUMNS)
        notes = [f"{data.category}: no text labels, because {obstacle}"]
    else:
        labels, notes = label_table(data, scans, settings.vocabulary(), settings.templates, seed)
    truth = next(iter(truths.values()))
    sizes = {
        "n_images": n_images,
        "n_normal_images": len(truth.normal_images),
        "n_defect_images": len(truth.defect_images),
    }
    activations, shares = (
        _joined(
            pd.DataFrame(effect_rows(choices[p], own, names, confidence))
            for p, own in found.items()
        ).assign(**sizes)
        for names in (tuple(EFFECTS), SHARES)
    )
    activations["q_value"] = benjamini_hochberg(activations["p_value"].to_numpy(float))
    shares["uniform"] = [1 / data.n_channels(point) for point in shares["point"]]
    groups = group_table(choices, _compared(found, knocked, evaluator), labels, confidence)
    patches = _joined(patch_table(data, own, settings.n_top) for own in scans.values())
    tables = {
        "groups": groups.assign(n_images=n_images),
        "patches": patches,
        "activations": activations,
        "histograms": _joined(own.histograms for own in found.values()),
        "shares": shares,
        "effects": knockout_table(knocked, settings.metrics),
        "correlated": _joined(
            correlated_table(
                own.choice,
                data.statistics[p],
                own.products,
                settings.n_partners,
                confidence,
                n_images,
            )
            for p, own in scans.items()
        ),
        "labels": labels,
    }
    tables["neurons"] = index_table(choices, tables, settings.metrics).assign(n_images=n_images)
    notes += _notes(data.category, truth, choices)
    patches["crop"] = pd.Series([None] * len(patches), dtype=object)
    if settings.crops:
        notes += add_crops(data, patches)
    return Measured(tables, notes)


class DossierStudy(Study):
    """Says in the settings of its results how many neurons were selected, and from which words."""

    def provenance(self, settings: Settings, data: StudyData) -> dict[str, Any]:
        """Settings as a result carries them."""
        plain = settings.to_plain()
        del plain["word_list"]
        has_words = not _obstacle(data, settings)
        own = settings.words is not None or settings.word_list is not None
        return plain | {
            "k": _k(data, settings),
            "n_words": len(settings.vocabulary()) if has_words else 0,
            "words": ("own" if own else "lakeviz") if has_words else "none",
        }


STUDY = DossierStudy(Settings, DossierResult, measure)


def _k(data: StudyData, settings: Settings) -> int:
    return data.options.k if settings.k is None else settings.k


def _obstacle(data: StudyData, settings: Settings) -> str:
    """Why there are no labels; empty where there are."""
    return "labels were not asked for" if settings.labels is False else label_obstacle(data)


def _joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(list(tables), ignore_index=True)


def _compared(
    found: Mapping[str, Behaviour], knocked: Sequence[Knocked], evaluator: PairedEvaluator
) -> dict[str, Compared]:
    """Selected against random neurons at each point, in all that was measured of every neuron."""
    compared = {}
    for run in knocked:
        if run.kind == "score" and run.intact is not None:
            lost = losses(run.intact, list(run.found.values()), evaluator.measured)
            measures = found[run.choice.point].measures | lost
            compared[run.choice.point] = compare_groups(run.choice, measures, evaluator.bootstrap)
    return compared


def _notes(category: str, truth: PatchTruth, choices: Mapping[str, Choice]) -> list[str]:
    """Say what was left out."""
    notes = []
    if truth.obstacle:
        notes.append(f"{category}: no effect sizes of the activation: {truth.obstacle}")
    if truth.reason and truth.labels.any():
        notes.append(
            f"{category}: without masks, shares and histograms of defects are those of all patches "
            "of anomalous images"
        )
    if not any(len(choice.random) for choice in choices.values()):
        notes.append(f"{category}: every channel is selected, so there are no random neurons")
    return notes
