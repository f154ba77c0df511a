"""Settings and result of the study ``decompose``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import estimate
from lakeviz.studies.base import settings
from lakeviz.studies.base.findings import Finding, finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import option
from lakeviz.tables import Row, numbers, records, rows, where

_DRAWN, _LISTED = 3, 12  # categories that are drawn; rows of the small table


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Split image embeddings into heads, patches and neurons.

    The decomposition of RUN's tower is exact, down to source patches. Every part's contribution
    along the anomaly direction, between normal and anomalous test images, compared with random
    directions and shuffled labels; and mean-ablation of its direct effect.
    """

    direction: Any = option(
        None,
        "Anomalous minus normal: text (the prompts, the default), or class-means (the embeddings "
        "of half the test images; the other half is measured); or class:NAME, a class of the "
        "model's class head.",
    )
    class_name: str | None = option(
        None, "What prompts call the thing; the run's own word, or the category, by default."
    )
    sizes: tuple[int, ...] = option(
        (1, 10, 100), "Sizes of the sets of neurons that are mean-ablated.", least=1, flag="--size"
    )
    top: int = option(50, "Neurons listed, of the largest differences.", least=1)
    n_random_sets: int = option(
        20, "Random directions, and random components or sets of neurons.", least=2, was="n_draws"
    )
    metrics: tuple[tuple[str, str], ...] = option(
        (("image", "auroc"), ("pixel", "aupro")), "Metrics measured: (level, name).", command=False
    )


@dataclass
class DecomposeResult(StudyResult):
    """What every part of the tower adds to the score of an image along the anomaly direction.

    Attributes
    ----------
    components : DataFrame
        The output itself (level ``output``), then all terms at level ``blocks`` and at level
        ``heads``. Columns: category, component, kind, block, head, mean_normal, mean_anomalous,
        difference (anomalous minus normal) with interval; control_mean, control_quantile_low,
        control_quantile_high (the same component along random directions) and p_control (rank
        among them); p (shuffled labels), p_corrected (over all components of the level); auroc of
        the contribution alone with interval, random_auroc (other components of the kind) and
        auroc_difference with interval; n_random_sets, n_others, n_images, reason, level.
    neurons : DataFrame
        The neurons of the largest differences; the same columns with block, neuron, rank and
        n_neurons, over which p_corrected is.
    ablation : DataFrame
        AUROC of the score after a component's contribution (or a set of neurons') was replaced by
        its mean over the normal images fitted on. Columns: category, level, component, kind, block,
        head, size, metric, intact, value with interval, change with interval, control_mean,
        difference to others of the kind and size with interval, n_random_sets, n_images, reason.
    locations : DataFrame
        The source patches' contributions as a map of defects. Columns: category, level, metric,
        value with interval, control_mean (random directions) and difference with intervals,
        n_random_sets, n_images.
    contributions : DataFrame
        The stored decomposition: category, image, label, level, component, contribution.
    patches : DataFrame
        Contribution by source patch: category, image, label, row, column, contribution.
    """

    name: ClassVar[str] = "decompose"
    title: ClassVar[str] = "Exact decomposition of the image embedding"
    renamed: ClassVar[Mapping[str, str]] = {
        "n_draws": "n_random_sets",
        "control_low": "control_quantile_low",
        "control_high": "control_quantile_high",
    }

    components: pd.DataFrame
    neurons: pd.DataFrame
    ablation: pd.DataFrame
    locations: pd.DataFrame
    contributions: pd.DataFrame
    patches: pd.DataFrame

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
        return max(int(size) for size in self.settings["sizes"])

    def findings(self) -> Iterator[Finding]:
        """Yield the score along the direction, its map, and the ablation of the top neurons."""
        source, other = self.settings["direction"], self.settings["random_directions"]
        n = self.settings["n_random_sets"]
        size = self.declared_size
        ablated = records(self.ablation, level="neurons", size=size)
        parts: tuple[tuple[list[Row], Any, str, str, dict[str, Any]], ...] = (
            (
                records(self.components, level="output"),
                "AUROC of the image embedding",
                f"the direction ({source})",
                f"{n} random directions ({other})",
                {"value": "auroc", "difference": "auroc_difference"},
            ),
            (
                records(self.locations, metric="aupro"),
                ("pixel", "aupro"),
                "source patches that push towards anomalous",
                "the same along random directions",
                {},
            ),
            (
                ablated,
                "AUROC",
                f"mean-ablation of the direct effect of the {size} neurons of the largest "
                "difference (chosen on one half of the images, measured on the other)",
                f"mean-ablation of {size} random neurons",
                {},
            ),
        )
        for found, metric, subject, control, columns in parts:
            if found:
                yield finding(
                    found, metric, subject, control=control, confidence=self.confidence, **columns
                )

    def summary(self) -> str:
        """Say the findings, and how many components differ beyond both controls."""
        return f"{super().summary()} {self._parts()}"

    def _parts(self) -> str:
        said = []
        for level, kinds in (("blocks", ("attention", "mlp")), ("heads", ("head",))):
            parts = [r for kind in kinds for r in records(self.components, level=level, kind=kind)]
            clear = [r for r in parts if self.is_clear(r)]
            what = "attention and MLP branches" if level == "blocks" else "heads"
            said.append(f"{len(clear)} of {len(parts)} {what}")
        return (
            f"{' and '.join(said)} differ between normal and anomalous images both beyond shuffled "
            f"labels (corrected p below {1 - self.confidence:.2g}) and beyond the range along "
            "random directions."
        )

    def is_clear(self, row: Row) -> bool:
        """Whether a component's difference is beyond both of its controls."""
        low, high = row["control_quantile_low"], row["control_quantile_high"]
        beyond = not low <= row["difference"] <= high
        return bool(row["p_corrected"] < 1 - self.confidence and beyond)

    def headline(self) -> pd.DataFrame:
        """The output and the largest terms of both levels (of one category), or each output."""
        table = where(self.components, level="output")
        if len(self.categories) == 1:
            parts = [table]
            for level, kind in (("blocks", {}), ("heads", {"kind": "head"})):
                own = where(self.components, level=level, **kind)
                order = np.argsort(-np.abs(numbers(own, "difference")), kind="stable")
                parts.append(rows(own, order[: (_LISTED - 1) // 2]))
            table = pd.concat(parts)
        made = []
        for row in records(table)[:_LISTED]:
            low, high = row["control_quantile_low"], row["control_quantile_high"]
            others = row["random_auroc"]
            made.append(
                {
                    "category": row["category"],
                    "component": row["component"],
                    "anomalous minus normal": estimate(row, "difference").text(signed=True),
                    "along random directions": f"{low:+.3f} to {high:+.3f}",
                    "p, shuffled labels (corrected)": f"{row['p_corrected']:.3f}",
                    "AUROC alone": estimate(row, "auroc").text(),
                    "AUROC of others of its kind": "–" if others != others else f"{others:.3f}",
                }
            )
        return pd.DataFrame(made)

    def figures(self) -> Figures:
        """Per category: blocks, heads, source patches, neurons."""
        from lakeviz.studies.decompose import figures as draw
        from lakeviz.studies.decompose.figures import source_patches_figure

        made = []
        controls = str(self.settings["random_directions"])
        shared: Any = {"controls": controls, "confidence": self.confidence}
        for category in self.categories[:_DRAWN]:
            components = where(self.components, category=category)
            made += [
                draw.block_contributions_figure(components, **shared),
                draw.head_map_figure(components, **shared),
                source_patches_figure(where(self.patches, category=category)),
                draw.top_neurons_figure(where(self.neurons, category=category), **shared),
            ]
        return made


Result = DecomposeResult
