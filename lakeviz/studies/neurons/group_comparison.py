"""Selected neurons compared with random ones: means of both groups, and how much they differ."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import (
    NOT_MEASURED,
    Estimate,
    quantile_interval,
    student_reach,
    variance_of_mean,
)
from lakeviz.studies.neurons.measures import NeuronMeasures
from lakeviz.tables import equals, is_measured, numbers, where

DETECTED = 0.05  # q-values below are counted
MEAN_POINT = "mean of points"
NO_RANDOM = "every channel is selected, so none is left to draw at random"
NULL_RATES = {
    "image_auroc": 0.005,
    "matched_auroc": 0.0,
    "abs_matched_d": 0.01,
    "deviation_matched_d": 0.0,
    "pixel_auroc": 0.42,
    "patch_auroc": 0.375,
    "abs_cohens_d": 0.43,
    "deviation_d": 0.4,
}
"""How often the difference of selected and random neurons excluded zero in 200 simulated worlds
where defects change nothing and only lie in special positions, at 95 % confidence: 20 + 20 images
of 5 x 5 patches, 16 channels that depend on the position to different degrees. A test repeats it.
"""
COUNTED = "a share of neurons: counted once, not on resampled images"


@dataclass(frozen=True)
class GroupMean:
    """Mean over a group of neurons, and the same on every resample of the images and neurons.

    ``of_draws``: on each draw of the normal images, where it is a mean over several.
    """

    value: float
    resampled: Float[np.ndarray, " resample"]
    of_draws: Float[np.ndarray, " draw"] = field(default_factory=lambda: np.empty(0))

    def __sub__(self, other: GroupMean) -> GroupMean:
        return GroupMean(
            self.value - other.value,
            self.resampled - other.resampled,
            self.of_draws - other.of_draws,
        )

    @classmethod
    def mean(cls, members: Sequence[GroupMean]) -> GroupMean:
        """Mean of some, on the shared resamples and draws."""
        return cls(
            float(np.mean([m.value for m in members])),
            np.mean([m.resampled for m in members], axis=0),
            np.mean([m.of_draws for m in members], axis=0),
        )

    @classmethod
    def over_draws(cls, members: Sequence[GroupMean]) -> GroupMean:
        """Mean over draws of the normal images; one is left as it is."""
        found = cls.mean(members)
        draws = [m.value for m in members] if len(members) > 1 else []
        return cls(found.value, found.resampled, np.array(draws))

    def estimate(self, confidence: float) -> Estimate:
        """The mean with its interval over images, neurons and draws."""
        low, high = quantile_interval(self.resampled, confidence)
        variances = {"images": float(self.resampled.var(ddof=1))}
        if len(self.of_draws) > 1:
            variances["draws"] = variance_of_mean(self.of_draws)
            reach = student_reach(self.of_draws, confidence)
            below, above = max(self.value - low, 0.0), max(high - self.value, 0.0)
            low, high = self.value - math.hypot(below, reach), self.value + math.hypot(above, reach)
        return Estimate(self.value, low, high, variances=variances)


Compared = Mapping[str, tuple[GroupMean, GroupMean | None]]
"""Mean of selected and of random neurons, by measure."""


def group_mean(measures: NeuronMeasures, bootstrap: Bootstrap, point: str, name: str) -> GroupMean:
    """Mean over neurons; images are resampled, as ever, and neurons too.

    So the interval covers which images and which neurons of such a kind were taken.
    """
    n, n_resamples = measures.resampled.shape
    generator = np.random.default_rng(
        [bootstrap.seed, *map(zlib.crc32, map(str.encode, (point, name)))]
    )
    picks = generator.multinomial(n, np.full(n, 1 / n), size=n_resamples)
    resampled = np.einsum("rn,nr->r", picks / n, measures.resampled)
    return GroupMean(float(measures.values.mean()), resampled)


def compare(
    measures: Mapping[str, NeuronMeasures], selected: np.ndarray, bootstrap: Bootstrap, point: str
) -> Compared:
    """Mean of selected and of random neurons, measure by measure.

    Effects of either sign are compared by their size: ``abs_cohens_d``.
    """
    found = {}
    for name, own in measures.items():
        if name == "rank_biserial":
            continue
        if name in ("cohens_d", "matched_d", "cliffs_delta"):
            name, own = f"abs_{name}", own.magnitude()
        chosen = group_mean(own.where(selected), bootstrap, point, "selected")
        rest = own.where(~selected)
        random = group_mean(rest, bootstrap, point, "random") if len(rest.values) else None
        found[name] = chosen, random
    return found


def mean_of_points(points: Sequence[Compared]) -> Compared:
    """Mean over the hook points."""
    return _joined(points, GroupMean.mean)


def over_draws(draws: Sequence[Compared]) -> Compared:
    """Mean over draws of the normal images, of what was measured on each."""
    return _joined(draws, GroupMean.over_draws)


def _joined(parts: Sequence[Compared], join: Callable[[list[GroupMean]], GroupMean]) -> Compared:
    found = {}
    for name in parts[0]:
        own = [part[name] for part in parts if name in part]
        if len(own) < len(parts):
            continue
        random = [one for _, one in own if one is not None]
        chosen = join([one for one, _ in own])
        found[name] = chosen, join(random) if len(random) == len(own) else None
    return found


def of_categories(groups: pd.DataFrame) -> pd.DataFrame:
    """Rows that hold for each category as a whole: the mean of its points, or its only one."""
    means = where(groups, point=MEAN_POINT)
    return means if len(means) else groups


def compared_rows(found: Compared, confidence: float) -> list[dict[str, Any]]:
    """Rows of the table ``groups``: value (selected), control mean (random), difference."""
    rows = []
    for name, (chosen, random) in found.items():
        gap = control = NOT_MEASURED
        if random is not None:
            control, gap = random.estimate(confidence), (chosen - random).estimate(confidence)
        rows.append(
            {
                "measure": name,
                **chosen.estimate(confidence).columns(),
                **control.columns("control_mean"),
                **gap.columns("difference"),
                "share_draws": gap.share_columns()["share_draws"],
                "n_draws": max(1, len(chosen.of_draws)),
                "null_rate": NULL_RATES.get(name, np.nan),
                "reason": "" if random is not None else NO_RANDOM,
            }
        )
    return rows


def counted_rows(tables: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
    """Shares of neurons found: q-values below 0.05, image AUROC with its interval above 0.5.

    One table for each draw of the normal images; the shares are means over them.
    """
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for table in tables:
        flags = {
            f"share_{q}_below_{DETECTED:g}": numbers(table, q) < DETECTED
            for q in ("q_value", "deviation_q_value")
            if is_measured(table, q)
        }
        if is_measured(table, "image_auroc_low"):
            flags["share_image_auroc_above_chance"] = numbers(table, "image_auroc_low") > 0.5
        for name, flag in flags.items():
            found.setdefault(name, []).append((flag, equals(table, group="selected")))
    return [share_row(name, own) for name, own in found.items() if len(own) == len(tables)]


def share_row(measure: str, draws: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Row of the table ``groups`` of a share of neurons, counted among selected and random ones.

    ``draws`` are, for each draw of the normal images, which neurons were found and which selected.
    """
    value = float(np.mean([found[selected].mean() for found, selected in draws]))
    there = all((~selected).any() for _, selected in draws)
    control = np.mean([f[~s].mean() for f, s in draws]) if there else np.nan
    return {
        "measure": measure,
        **Estimate(value).columns(),
        **Estimate(float(control)).columns("control_mean"),
        **Estimate(float(value - control)).columns("difference"),
        "share_draws": np.nan,
        "n_draws": len(draws),
        "null_rate": np.nan,
        "reason": COUNTED if there else NO_RANDOM,
    }
