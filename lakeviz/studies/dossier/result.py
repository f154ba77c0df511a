"""Settings and result of the study ``dossier``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.studies.base.findings import HEADLINE_METRICS, Finding, finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import DrawSettings, option
from lakeviz.studies.dossier.sentences import SOURCES, all_at_best, least_p, neuron_sentences
from lakeviz.studies.dossier.vocabulary import (
    TEMPLATES,
    check_templates,
    check_words,
    default_words,
    read_words,
)
from lakeviz.studies.neurons.example_patches import with_crops
from lakeviz.studies.neurons.group_comparison import DETECTED, of_categories
from lakeviz.studies.neurons.patch_labels import DEFAULT_COVERAGE
from lakeviz.tables import is_measured, numbers, records, rows, where

MEASURES = ("abs_cliffs_delta", "share_anomalous", "loss_image_auroc", "loss_pixel_aupro")
"""Measures that figures show; the summary speaks of the first three. Fixed beforehand."""

_MORE_NAMES = {
    f"labelled_by_{source}": f"share of neurons labelled from {name} (q < {DETECTED})"
    for source, (name, _) in SOURCES.items()
}


@dataclass(frozen=True)
class Settings(DrawSettings):
    """Make dossiers of the selected neurons, and of random ones.

    Highest patches and patches over the range, normal against defective activations, knock-outs,
    shares of the distance, correlated neurons, and text labels where the model has text.
    """

    metrics: tuple[tuple[str, str], ...] = option(
        HEADLINE_METRICS, "Metrics of the knock-outs: (level, name).", command=False
    )
    k: int | None = option(None, "Neurons selected per hook point; the run's by default.", least=1)
    selector: str = option("variance", "Selector; one that gives channels.")
    n_random: int | None = option(None, "Random neurons per hook point; k by default.", least=1)
    n_top: int = option(9, "Patches of highest activation kept per neuron.", least=1)
    n_partners: int = option(5, "Correlated neurons listed per neuron.", least=1)
    network_neurons: int = option(
        3,
        "Forward and weights knock-outs run the tower once per neuron: of so many selected and so "
        "many random ones per hook point. 0 for none.",
        least=0,
    )
    network_images: int = option(64, "Test images they are measured on, at most.", least=2)
    labels: bool | None = option(
        None, "Label with words; by default where the model has text or a class head with names."
    )
    words: tuple[str, ...] | None = option(
        None,
        "Words labels are chosen from; a list of visual words, or the classes of a class head, by "
        "default.",
        command=False,
    )
    word_list: Path | None = option(
        None, "File with these words instead, a word or phrase a line.", flag="--words"
    )
    templates: tuple[str, ...] = option(
        TEMPLATES, 'Prompts with one "{}" for the word.', flag="--template"
    )
    coverage: float = option(
        DEFAULT_COVERAGE,
        "Share of a patch that the mask must cover to make it a defect.",
        least=0,
        most=1,
    )
    crops: bool = option(True, "Keep small pictures of the patches, where there are image files.")

    def check(self) -> None:
        """Check words and templates before anything is measured."""
        check_templates(self.templates)
        if self.words is not None and self.word_list is not None:
            raise ConfigError("words and word_list are given; give one of them")
        self.vocabulary()

    def vocabulary(self) -> tuple[str, ...]:
        """Words that labels are chosen from."""
        if self.word_list is not None:
            return read_words(self.word_list)
        return default_words() if self.words is None else check_words(self.words)


@dataclass
class DossierResult(StudyResult):
    """Dossiers of selected and of random neurons.

    Attributes
    ----------
    neurons : DataFrame
        The index, one row per neuron: ``category, point, channel, group`` (selected, random),
        ``variance, variance_rank, selected, selection_rank, n_channels`` and the main number of
        every other table.
    groups : DataFrame
        Per point (and their mean) and measure, over ``n_draws`` draws of the normal images: mean
        over selected neurons with its interval, ``control_mean`` over random ones, ``difference``
        with interval. All other tables are of the neurons of the first draw.
    patches : DataFrame
        ``kind`` top (highest activation first) or spread (at ``quantile`` of the activation):
        where, ``value``, ``label``, ``coverage``, ``share`` of the patch's distance, ``crop``.
    activations : DataFrame
        Normal against defect patches, one row per neuron and ``measure``: Cliff's delta, Cohen's d,
        the difference at matched positions, AUROC of the deviation. Here and below,
        ``control_mean``, ``control_min`` and ``control_max`` are of the ``n_random`` random neurons
        of the point (for a random neuron, of the others).
    histograms : DataFrame
        Activation over normal and over defect patches, in shared bins.
    shares : DataFrame
        Mean share of the distance of normal and of defect patches, and the excess; in the detector
        that reads all channels. ``uniform`` is one over their number.
    effects : DataFrame
        Knock-outs of one neuron, by ``kind``: value, change, and the change without random neurons;
        ``reason`` where a number is missing.
    correlated : DataFrame
        Partners of largest correlation on the normal images (``fitted``), and what it is on the
        test images (``value``).
    labels : DataFrame
        Words by ``source`` (patches, direction), and the test of the first; empty without text.
        ``control_quantile_low`` and ``_high`` hold 95 % of its ``n_controls`` controls.
    """

    name: ClassVar[str] = "dossier"
    title: ClassVar[str] = "Neuron dossiers"
    template: ClassVar[str] = "study_pages.html"
    renamed: ClassVar[Mapping[str, str]] = {
        "n_draws": "n_random",
        "control_low": "control_min",
        "control_high": "control_max",
        "labels.n_draws": "n_controls",
        "labels.control_low": "control_quantile_low",
        "labels.control_high": "control_quantile_high",
    }

    neurons: pd.DataFrame
    groups: pd.DataFrame
    patches: pd.DataFrame
    activations: pd.DataFrame
    histograms: pd.DataFrame
    shares: pd.DataFrame
    effects: pd.DataFrame
    correlated: pd.DataFrame
    labels: pd.DataFrame

    def __post_init__(self) -> None:
        self.patches = with_crops(self.patches)

    def of(self, category: str, point: str, channel: int) -> dict[str, pd.DataFrame]:
        """Return the dossier of one neuron: its rows of every table but ``groups``.

        Raises
        ------
        SelectionError
            If there is no dossier of it.
        """
        found = {
            name: where(table, category=category, point=point, channel=channel)
            for name, table in self.tables.items()
            if name != "groups"
        }
        if found["neurons"].empty:
            raise SelectionError(
                f"there is no dossier of channel {channel} at {point} for {category}; the neurons "
                "that have one are in .neurons"
            )
        return found

    def sentences(self, category: str, point: str, channel: int) -> list[str]:
        """Say in plain sentences what the dossier of one neuron shows.

        Raises
        ------
        SelectionError
            If there is no dossier of it.
        """
        return neuron_sentences(self.of(category, point, channel), self.confidence)

    def overall(self) -> pd.DataFrame:
        """Rows of ``groups`` that hold for each category as a whole: the mean of its points."""
        return of_categories(self.groups)

    def findings(self) -> Iterator[Finding]:
        """Yield selected against random neurons in the measures of the summary."""
        return self._compared(MEASURES[:3])

    def _compared(self, measures: Iterable[str]) -> Iterator[Finding]:
        from lakeviz.plots.names import measure_title

        table = self.overall()
        for measure in measures:
            found = records(table, measure=measure)
            if not found:
                continue
            name = _MORE_NAMES.get(measure) or measure_title(measure)
            said = {"control": "random neurons", "confidence": self.confidence}
            one = replace(finding(found, name, "selected neurons", **said), digits=4)
            one = replace(one, at_best=all_at_best(self._behind(measure)))
            yield one if len(found) > 1 else replace(one, over="test images and neurons")

    def _behind(self, measure: str) -> pd.DataFrame:
        """Knock-outs that a loss is the mean of; no row for another measure."""
        of = [m for m in self.settings["metrics"] if measure == f"loss_{m[0]}_{m[1]}"]
        return pd.concat(
            [where(self.effects, kind="score", level=level, metric=name) for level, name in of]
            or [self.effects.iloc[:0]]
        )

    def summary(self) -> str:
        """Selected against random neurons in fixed measures, and labels better than chance."""
        n, k = len(self.neurons), len(where(self.neurons, group="selected"))
        who = f"{', '.join(self.categories)}: dossiers of {k} neurons selected by "
        who += f"{self.settings['selector']} and of {n - k} random ones."
        return " ".join([who, super().summary(), *self._labelled()]).replace("  ", " ")

    def _labelled(self) -> Iterator[str]:
        """Count neurons whose label is better than its control, selected and random."""
        first = where(self.labels, rank=1)
        first = rows(first, np.isfinite(numbers(first, "q_value")))
        for source, (name, control) in SOURCES.items():
            own = where(first, source=source)
            if not len(own):
                continue
            least = least_p(own)
            if least >= DETECTED:
                yield (
                    f"No label from {name} can be better than {control} at q < {DETECTED}: with so "
                    f"few of them no p-value is below {least:.2g}."
                )
                continue
            counts = []
            for group in ("selected", "random"):
                q = numbers(where(own, group=group), "q_value")
                counts.append(f"{int((q < DETECTED).sum())} of {len(q)} {group}")
            yield (
                f"Labels from {name} are better than {control} (q < {DETECTED}) for "
                f"{' and '.join(counts)} neurons; no p-value can be below {least:.2g}."
            )

    def headline(self) -> pd.DataFrame:
        """Selected against random neurons, measure by measure."""
        measures = dict.fromkeys(self.overall()["measure"])
        table = pd.DataFrame([one.row() for one in self._compared(measures)])
        return table.drop(columns=["where", "subject"], errors="ignore")

    def figures(self) -> Figures:
        """Selected and random neurons: of one category all, of several the differences."""
        from lakeviz.studies.neurons.figures import neuron_differences_figure
        from lakeviz.studies.neurons.group_figures import neuron_groups_figure

        measured = [m for m in MEASURES if is_measured(where(self.groups, measure=m), "difference")]
        if not measured:
            return []
        if len(self.categories) > 1:
            draw, confidence = neuron_differences_figure, self.confidence
            return [draw(self.groups, measure=m, confidence=confidence) for m in measured]
        losses = {
            f"loss_{level}_{metric}": -numbers(self.neurons, f"change_{level}_{metric}")
            for level, metric in self.settings["metrics"]
        }
        figure = neuron_groups_figure(
            self.neurons.assign(**losses),
            self.groups,
            measures=measured,
            title="Dossiers: selected and random neurons",
            confidence=self.confidence,
        )
        return [figure]

    def page_context(self) -> dict[str, Any]:
        """An index of all neurons, and a folded page for each selected one."""
        from lakeviz.studies.dossier.pages import page_context

        return page_context(self)


Result = DossierResult
