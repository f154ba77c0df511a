"""Selected neurons beside random ones: means of both groups, and how much they differ."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import (
    NOT_MEASURED,
    Estimate,
    quantile_interval,
)
from lakeviz.studies.neurons.measures import NeuronMeasures
from lakeviz.tables import equals, is_measured, numbers

DETECTED = 0.05  # q-values below are counted
MEAN_POINT = "mean of points"
NO_RANDOM = "every channel is selected, so none is left to draw at random"
# The bootstrap over n categories leaves zero out whenever all differences have one sign, which by
# chance alone happens in 2^(1 - n) of all cases: below six, more often than in 5 %.
FEWEST_CATEGORIES = 6
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
class GroupDraws:
    """Mean over a group of neurons, and in each draw, over images and over neurons."""

    value: float
    draws: Float[np.ndarray, " draw"]

    def estimate(self, level: float) -> Estimate:
        """The mean with its interval."""
        return Estimate(self.value, *quantile_interval(self.draws, level))


def group_mean(measures: NeuronMeasures, bootstrap: Bootstrap, point: str, name: str) -> GroupDraws:
    """Mean over neurons; every draw resamples the images, as ever, and the neurons.

    So the interval covers which images and which neurons of such a kind were taken.
    """
    n, n_draws = measures.draws.shape
    generator = np.random.default_rng(
        [bootstrap.seed, *map(zlib.crc32, map(str.encode, (point, name)))]
    )
    picks = generator.multinomial(n, np.full(n, 1 / n), size=n_draws)
    draws = np.einsum("dn,nd->d", picks / n, measures.draws)
    return GroupDraws(float(measures.values.mean()), draws)


def compare(
    measures: Mapping[str, NeuronMeasures],
    selected: np.ndarray,
    bootstrap: Bootstrap,
    point: str,
) -> dict[str, tuple[GroupDraws, GroupDraws | None]]:
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


def mean_of_points(
    points: Sequence[Mapping[str, tuple[GroupDraws, GroupDraws | None]]],
) -> dict[str, tuple[GroupDraws, GroupDraws | None]]:
    """Mean over the hook points, on the shared resamples of the images."""

    def mean(members: Sequence[GroupDraws | None]) -> GroupDraws | None:
        there = [m for m in members if m is not None]
        if len(there) < len(members):
            return None
        return GroupDraws(
            float(np.mean([m.value for m in there])), np.mean([m.draws for m in there], axis=0)
        )

    found = {}
    for name in points[0]:
        chosen, random = (mean(side) for side in zip(*(p[name] for p in points), strict=True))
        if chosen is not None:
            found[name] = chosen, random
    return found


def compared_rows(
    found: Mapping[str, tuple[GroupDraws, GroupDraws | None]], level: float
) -> list[dict[str, Any]]:
    """Rows of the table ``groups``: value (selected), control mean (random), difference."""
    rows = []
    for name, (chosen, random) in found.items():
        gap = control = NOT_MEASURED
        if random is not None:
            control = random.estimate(level)
            interval = quantile_interval(chosen.draws - random.draws, level)
            gap = Estimate(chosen.value - random.value, *interval)
        rows.append(
            {
                "measure": name,
                **chosen.estimate(level).columns(),
                **control.columns("control_mean"),
                **gap.columns("difference"),
                "null_rate": NULL_RATES.get(name, np.nan),
                "reason": "" if random is not None else NO_RANDOM,
            }
        )
    return rows


def counted_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Shares of neurons found: q-values below 0.05, image AUROC with its interval above 0.5."""
    flags = {
        f"share_{q}_below_{DETECTED:g}": numbers(table, q) < DETECTED
        for q in ("q_value", "deviation_q_value")
        if is_measured(table, q)
    }
    if is_measured(table, "image_auroc_low"):
        flags["share_image_auroc_above_chance"] = numbers(table, "image_auroc_low") > 0.5
    chosen = equals(table, group="selected")
    return [share_row(name, flag, chosen) for name, flag in flags.items()]


def share_row(measure: str, found: np.ndarray, selected: np.ndarray) -> dict[str, Any]:
    """Row of the table ``groups`` of a share of neurons, counted among selected and random ones."""
    value = float(found[selected].mean())
    control = float(found[~selected].mean()) if (~selected).any() else np.nan
    return {
        "measure": measure,
        **Estimate(value, np.nan, np.nan).columns(),
        **Estimate(control, np.nan, np.nan).columns("control_mean"),
        **Estimate(value - control, np.nan, np.nan).columns("difference"),
        "null_rate": np.nan,
        "reason": COUNTED if (~selected).any() else NO_RANDOM,
    }
