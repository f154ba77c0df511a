"""What the study of dossiers returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from lakeviz.errors import SelectionError
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.dossier.telling import group_sentences, neuron_sentences
from lakeviz.studies.neurons.group_comparison import MEAN_POINT
from lakeviz.tables import equals, rows

LABEL_COLUMNS = (
    "point",
    "channel",
    "group",
    "source",
    "rank",
    "word",
    "similarity",
    "margin",
    "specificity",
    "value",
    "control_mean",
    "control_low",
    "control_high",
    "n_draws",
    "p_value",
    "reason",
    "n_patches",
    "n_images",
    "q_value",
)
NO_LABELS = pd.DataFrame(columns=list(LABEL_COLUMNS))


@dataclass
class DossierResult(StudyResult):
    """Dossiers of selected neurons, and of random ones beside them.

    Attributes
    ----------
    neurons : DataFrame
        The index, one row per neuron: ``category, point, channel, group`` (selected, random),
        ``variance, variance_rank, selected, selection_rank, n_channels`` and the main number of
        every other table.
    groups : DataFrame
        Per point (and their mean) and measure: mean over selected neurons with its interval,
        ``control_mean`` over random ones, ``difference`` with interval.
    patches : DataFrame
        ``kind`` top (highest activation first) or spread (at ``quantile`` of the activation):
        where, ``value``, ``label``, ``coverage``, ``share`` of the patch's distance, ``crop``.
    activations : DataFrame
        Normal against defect patches, one row per neuron and ``measure``: Cliff's delta, Cohen's d,
        the difference at matched positions, AUROC of the deviation; beside random neurons.
    histograms : DataFrame
        Activation over normal and over defect patches, in shared bins.
    shares : DataFrame
        Mean share of the distance of normal and of defect patches, and the excess; in the detector
        that reads all channels. ``uniform`` is one over their number.
    effects : DataFrame
        Knock-outs of one neuron, by ``kind``: value, change, beside random neurons; ``reason``
        where a number is missing.
    correlated : DataFrame
        Partners of largest correlation on the normal images (``fitted``), and what it is on the
        test images (``value``).
    labels : DataFrame
        Words by ``source`` (patches, direction), with the control of the first; empty without text.
    """

    name: ClassVar[str] = "dossier"
    title: ClassVar[str] = "Neuron dossiers"

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
        # Parquet cannot tell a missing picture from a missing number.
        pictures = [own if isinstance(own, bytes) else None for own in self.patches["crop"]]
        self.patches = self.patches.assign(
            crop=pd.Series(pictures, self.patches.index, dtype=object)
        )

    @property
    def bootstrap(self) -> Bootstrap:
        """Of intervals over categories."""
        return Bootstrap.from_plain(self.provenance.get("bootstrap"))

    def of(self, category: str, point: str, channel: int) -> dict[str, pd.DataFrame]:
        """Return the dossier of one neuron: its rows of every table but ``groups``.

        Raises
        ------
        SelectionError
            If there is no dossier of it.
        """
        found = {}
        for name, table in self.tables.items():
            if name == "groups":
                continue
            keep = equals(table, category=category) & equals(table, point=point)
            found[name] = rows(table, keep & equals(table, channel=channel))
        if found["neurons"].empty:
            raise SelectionError(
                f"there is no dossier of channel {channel} at {point} for {category}; the neurons "
                "that have one are in .neurons"
            )
        return found

    def sentences(self, category: str, point: str, channel: int) -> list[str]:
        """Say in plain sentences what the dossier of one neuron shows, and no more.

        Raises
        ------
        SelectionError
            If there is no dossier of it.
        """
        return neuron_sentences(self.of(category, point, channel), self.confidence)

    def overall(self) -> pd.DataFrame:
        """Rows of ``groups`` that hold for each category as a whole: the mean of its points."""
        means = rows(self.groups, equals(self.groups, point=MEAN_POINT))
        return means if len(means) else self.groups

    def summary(self) -> str:
        """Say how selected neurons differ from random ones: fixed measures, not the best ones."""
        settings: dict[str, Any] = self.provenance["settings"]
        n = int(equals(self.neurons, group="selected").sum())
        who = (
            f"{', '.join(self.categories)}: dossiers of {n} neurons selected by "
            f"{settings['selector']} and of {len(self.neurons) - n} random ones."
        )
        return " ".join([who, *group_sentences(self.overall(), self.labels, self.bootstrap)])
