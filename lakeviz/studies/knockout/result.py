"""``KnockoutResult``: the tables of a knock-out study, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate, mean_over_categories
from lakeviz.studies.base.result import StudyResult

KIND_WORDS = {
    "score": (
        "Score knock-out (neurons dropped from memory and query alone; the network is untouched)"
    ),
    "forward": (
        "Forward knock-out (activations replaced at their hook point; the rest of the network "
        "runs on)"
    ),
    "weights": "Weights knock-out (the weights that write the neurons removed)",
}
HEADLINE_METRICS = (("image", "auroc", "image AUROC"), ("pixel", "aupro", "AUPRO"))
HEADLINE_CONTROL = "random"


@dataclass
class KnockoutResult(StudyResult):
    """Knock-out of neurons.

    Attributes
    ----------
    contrasts : DataFrame
        Knock-out by variance minus each control of the same size. Columns: category, kind, mode,
        part, control, size, level, metric, value, difference, difference_low, difference_high,
        control_mean, control_low, control_high, n_below, n_draws, n_images, reason.
    curves : DataFrame
        Every order at every size. Columns: category, kind, mode, part, order, size, level, metric,
        value, low, high, change, change_low, change_high, intact, n_draws, n_images, reason.
    neurons : DataFrame
        Each neuron alone. Columns: category, kind, part, point, channel, group, variance,
        variance_rank, level, metric, value, change, change_low, change_high, importance, n_images,
        reason.
    correlation : DataFrame
        Spearman's rank correlation of variance and importance. Columns: category, kind, part,
        point, group, level, metric, value, low, high, p_value, n_neurons, n_images, reason.
    """

    name: ClassVar[str] = "knockout"
    title: ClassVar[str] = "Knock-out of neurons"

    contrasts: pd.DataFrame
    curves: pd.DataFrame
    neurons: pd.DataFrame
    correlation: pd.DataFrame

    @classmethod
    def joint_settings(cls, results: Sequence[StudyResult]) -> dict[str, Any]:
        """Settings by kind and mode: one result may hold several of them.

        Raises
        ------
        ConfigError
            If one kind and mode was run twice on a category, or with other settings.
        """
        settings: dict[str, Any] = {}
        seen: set[tuple[str, str]] = set()
        for result in results:
            for run, made in result.provenance["settings"].items():
                if settings.setdefault(run, made) != made:
                    raise ConfigError(
                        f"results of {cls.name} with other settings of {run} cannot be joined"
                    )
                for category in result.categories:
                    if (run, category) in seen:
                        raise ConfigError(f"{run} was run twice on {category}; join it once")
                    seen.add((run, category))
        return settings

    @property
    def runs(self) -> list[tuple[str, str]]:
        """Kind and mode of every study in it."""
        pairs = zip(self.curves["kind"], self.curves["mode"], strict=True)
        return list(dict.fromkeys((str(kind), str(mode)) for kind, mode in pairs))

    def size_of(self, kind: str, mode: str) -> int:
        """Size that was declared before: the detector's ``k``, or the size nearest to it."""
        settings = self.provenance["settings"][run_name(kind, mode)]
        sizes, k = settings["sizes"], settings["k"]
        return min(sizes, key=lambda size: (abs(np.log(size / k)), size))

    def part_of(self, kind: str) -> str:
        """Part of the detector that summaries speak of: the visual branch, if it was scored."""
        parts = list(dict.fromkeys(where(self.curves, kind=kind)["part"]))
        return "visual" if "visual" in parts else str(parts[0])

    def summary(self) -> str:
        """Say what the top neurons matter beyond random ones, at the detector's own ``k``."""
        return " ".join(
            sentence for kind, mode in self.runs for sentence in self._sentences(kind, mode)
        )

    def _sentences(self, kind: str, mode: str) -> Iterator[str]:
        size, part = self.size_of(kind, mode), self.part_of(kind)
        found = {"kind": kind, "mode": mode, "part": part, "size": size}
        what = "without" if mode == "remove" else "with only"
        points = self.provenance["settings"][run_name(kind, mode)]["points"]
        where_at = "each hook point" if len(points) > 1 else str(points[0])
        these = f"the {size} neurons of highest variance at {where_at}"
        yield f"{KIND_WORDS[kind]}, {part} part, {what} {these}:"
        said = []
        for level, metric, name in HEADLINE_METRICS:
            rows = where(self.curves, **found, order="variance", level=level, metric=metric)
            if rows.empty:
                continue
            contrast = where(
                self.contrasts, **found, control=HEADLINE_CONTROL, level=level, metric=metric
            )
            said.append(self._measured(rows, contrast, name, size))
        yield "; ".join(said or ["no headline metric was measured"]) + "."

    def _measured(self, rows: pd.DataFrame, contrast: pd.DataFrame, name: str, size: int) -> str:
        impossible = [r for r in dict.fromkeys(rows["reason"]) if r]
        tail = f" ({impossible[0]})" if impossible else ""
        if len(rows) > 1:
            return self._across(rows, contrast, name, size) + tail
        (change,) = estimates(rows, "change")
        intact, value = (float(rows[c].to_numpy()[0]) for c in ("intact", "value"))
        text = (
            f"{name} changes from {intact:.3f} to {value:.3f}, by {change.text(signed=True)} "
            f"(n = {rows['n_images'].to_numpy()[0]} images)"
        )
        if not contrast.empty:
            (gap,) = estimates(contrast, "difference")
            n_draws = contrast["n_draws"].to_numpy()[0]
            text += (
                f", which is {gap.text(signed=True)} against {n_draws} random sets of {size} "
                f"({_verdict(gap)})"
            )
        return text + tail

    def _across(self, rows: pd.DataFrame, contrast: pd.DataFrame, name: str, size: int) -> str:
        change = mean_over_categories(rows["change"].to_numpy(dtype=float), self.confidence)
        text = (
            f"{name} changes by {change.text(signed=True)} on average over {len(rows)} categories"
        )
        if contrast.empty:
            return text
        gaps = estimates(contrast, "difference")
        mean = mean_over_categories(np.array([gap.value for gap in gaps]), self.confidence)
        counts = [sum(gap.verdict == v for gap in gaps) for v in ("lower", "higher", "undecided")]
        return (
            f"{text}, which is {mean.text(signed=True)} against "
            f"{contrast['n_draws'].to_numpy()[0]} random sets of {size} ({_verdict(mean)}; "
            f"by category: {counts[0]} lower, {counts[1]} "
            f"higher, {counts[2]} undecided)"
        )


def run_name(kind: str, mode: str) -> str:
    """Name of the settings of one kind and mode."""
    return f"{kind}, {mode}"


def where(table: pd.DataFrame, **equals: Any) -> pd.DataFrame:
    """Rows whose columns have the given values."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in equals.items():
        keep &= (table[column] == value).to_numpy()
    return cast(pd.DataFrame, table.iloc[np.flatnonzero(keep)])


def estimates(table: pd.DataFrame, name: str) -> list[Estimate]:
    """Read an estimate of every row back from its three columns."""
    columns = (name, f"{name}_low", f"{name}_high")
    values = np.stack([table[c].to_numpy(dtype=float) for c in columns], axis=1)
    return [Estimate(*row) for row in values.tolist()]


def _verdict(estimate: Estimate) -> str:
    return "no interval" if np.isnan(estimate.low) else estimate.verdict
