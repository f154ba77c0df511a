"""``DecomposeResult``: the tables of a decomposition, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate, mean_over_categories
from lakeviz.studies.base.result import StudyResult
from lakeviz.tables import Row, mean_of, records


@dataclass
class DecomposeResult(StudyResult):
    """What every part of the tower adds to the score of an image along the anomaly direction.

    Attributes
    ----------
    components : DataFrame
        The output itself (level ``output``), then all terms at level ``blocks`` and at level
        ``heads``. Columns: category, component, kind, block, head, mean_normal, mean_anomalous,
        difference (anomalous minus normal) with interval; control_mean, control_low, control_high
        (the same component along random directions) and p_control (rank among them); p (shuffled
        labels), p_corrected (over all components of the level); auroc of the contribution alone
        with interval, random_auroc (other components of the kind) and auroc_difference with
        interval; n_draws, n_others, n_images, reason, level.
    neurons : DataFrame
        The neurons of the largest differences; the same columns with block, neuron, rank and
        n_neurons, over which p_corrected is.
    ablation : DataFrame
        AUROC of the score after a component's contribution (or a set of neurons') was replaced by
        its mean over the normal images fitted on. Columns: category, level, component, kind, block,
        head, size, metric, intact, value with interval, change with interval, control_mean,
        difference to others of the kind and size with interval, n_draws, n_images, reason.
    locations : DataFrame
        The source patches' contributions as a map of defects. Columns: category, level, metric,
        value with interval, control_mean (random directions) and difference with intervals,
        n_draws, n_images.
    contributions : DataFrame
        The stored decomposition: category, image, label, level, component, contribution.
    patches : DataFrame
        Contribution by source patch: category, image, label, row, column, contribution.
    """

    name: ClassVar[str] = "decompose"
    title: ClassVar[str] = "Exact decomposition of the image embedding"

    components: pd.DataFrame = field(repr=False)
    neurons: pd.DataFrame = field(repr=False)
    ablation: pd.DataFrame = field(repr=False)
    locations: pd.DataFrame = field(repr=False)
    contributions: pd.DataFrame = field(repr=False)
    patches: pd.DataFrame = field(repr=False)

    @classmethod
    def joint_settings(cls, results: Sequence[StudyResult]) -> Any:
        """Directions are named after the category, and so differ; all else must agree."""
        parts = [dict(result.provenance.get("settings", {})) for result in results]
        directions = dict.fromkeys(str(part.pop("direction", "")) for part in parts)
        if any(part != parts[0] for part in parts):
            raise ConfigError("results of decompose with other settings cannot be joined")
        return {"direction": "; ".join(directions), **parts[0]}

    @property
    def declared_size(self) -> int:
        """Size of the set of neurons that the summary reads: the largest."""
        return max(int(size) for size in self.provenance["settings"]["sizes"])

    def summary(self) -> str:
        """The score along the direction, then its parts, each beside its control."""
        said = [self._output(), self._parts(), self._locations(), self._neurons()]
        return " ".join(sentence for sentence in said if sentence)

    def _output(self) -> str:
        rows = records(self.components, level="output")
        source, other = (self.provenance["settings"][n] for n in ("direction", "random_directions"))
        gap = self._mean(rows, "auroc_difference")
        images = (
            f"{rows[0]['n_images']} test images"
            if len(rows) == 1
            else f"mean over {len(rows)} categories"
        )
        return (
            f"Along the direction ({source}) the image embedding has an AUROC of "
            f"{mean_of(rows, 'auroc'):.3f}, {gap.text(signed=True)} against "
            f"{rows[0]['n_draws']} random directions ({other}), {self._words()}, "
            f"{images}: {gap.verdict}."
        )

    def _parts(self) -> str:
        said = []
        for level, kinds in (("blocks", ("attention", "mlp")), ("heads", ("head",))):
            rows = [r for kind in kinds for r in records(self.components, level=level, kind=kind)]
            clear = [r for r in rows if self.is_clear(r)]
            what = "attention and MLP branches" if level == "blocks" else "heads"
            said.append(f"{len(clear)} of {len(rows)} {what}")
        return (
            f"{' and '.join(said)} differ between normal and anomalous images both beyond shuffled "
            f"labels (corrected p below {1 - self.confidence:.2g}) and beyond the range of what "
            "they do along random directions."
        )

    def is_clear(self, row: Row) -> bool:
        """Whether a component's difference is beyond both of its controls."""
        beyond = not row["control_low"] <= row["difference"] <= row["control_high"]
        return bool(row["p_corrected"] < 1 - self.confidence and beyond)

    def _locations(self) -> str:
        rows = records(self.locations, metric="aupro")
        if not rows:
            return ""
        gap = self._mean(rows, "difference")
        return (
            f"The source patches that push towards anomalous have an AUPRO of "
            f"{mean_of(rows, 'value'):.3f}, {gap.text(signed=True)} against random directions: "
            f"{gap.verdict}."
        )

    def _neurons(self) -> str:
        rows = records(self.ablation, level="neurons", size=self.declared_size)
        if not rows:
            return ""
        change, gap = self._mean(rows, "change"), self._mean(rows, "difference")
        return (
            f"Mean-ablating the direct effect of the {self.declared_size} neurons of the largest "
            f"difference (chosen on one half of the images, measured on the other) changes the "
            f"AUROC by {change.text(signed=True)}, {gap.text(signed=True)} against as many random "
            f"neurons: {gap.verdict}."
        )

    def _mean(self, rows: list[Row], name: str) -> Estimate:
        if len(rows) == 1:
            row = rows[0]
            return Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"])
        return mean_over_categories(np.array([r[name] for r in rows]), self.confidence)

    def _words(self) -> str:
        over = "categories" if len(self.categories) > 1 else "images and draws"
        return f"{100 * self.confidence:g} % over {over}"
