"""The study ``neurons``: every selected neuron as a detector of its own, and random neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.estimates import benjamini_hochberg, estimate, mean_over_draws
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.neurons.at_point import Found, study_point
from lakeviz.studies.neurons.example_patches import add_crops
from lakeviz.studies.neurons.group_comparison import (
    MEAN_POINT,
    Compared,
    compare,
    compared_rows,
    counted_rows,
    mean_of_points,
    over_draws,
)
from lakeviz.studies.neurons.measures import P_VALUES
from lakeviz.studies.neurons.result import NeuronsResult, Settings
from lakeviz.studies.neurons.tested_neurons import choose
from lakeviz.tables import equals, is_measured, numbers, records, rows, where

_PICTURED = 5  # selected neurons per point whose patches are kept as pictures


def measure(
    draws: tuple[StudyData, ...], settings: Settings, evaluator: PairedEvaluator
) -> Measured:
    """Measure each selected neuron as a detector of its own, and as many random ones.

    Random neurons are drawn from the channels that are not selected; all of them are taken where
    there are fewer than asked for. A neuron's deviation map is measured by the detector's image
    score and map size; see :class:`~lakeviz.studies.neurons.tested_neurons.Deviation`.
    Of several draws of the normal images, each has its own selected and random neurons; the group
    means and the trend are over all draws, the tables of single neurons are those of the first.

    Raises
    ------
    SelectionError
        If ``k`` or ``n_random`` is out of range, or the selector gives no channels.
    ConfigError
        If ``coverage`` is 0.
    """
    data = draws[0]
    k = data.options.k if settings.k is None else settings.k
    chosen = [choose(one, k, settings.selector, settings.n_random, settings.seed) for one in draws]
    n_tested = [sum(len(choice.tested) for choice in own.values()) for own in chosen]
    expect(max(n_tested), len(draws))
    every = [
        [
            study_point(
                one,
                choice,
                evaluator,
                deviation=settings.deviation,
                share=settings.coverage,
                n_top=settings.n_top,
            )
            for choice in own.values()
        ]
        for one, own in zip(draws, chosen, strict=True)
    ]
    listed = [_neurons(found) for found in every]
    found, table = every[0], listed[0]
    trends = [pd.concat([f.trend for f in own], ignore_index=True) for own in every]
    tables = {
        "neurons": table,
        "groups": _groups(every, listed, evaluator),
        "trend": _trend(trends, evaluator.bootstrap.confidence),
        **{
            name: pd.concat([getattr(f, name) for f in found], ignore_index=True)
            for name in ("channels", "histograms", "patches")
        },
    }
    notes = _notes(data, found, table, settings.deviation)
    if settings.crops:
        patches = tables["patches"]
        notes += add_crops(data, patches, _pictured(table, patches))
    return Measured(tables, notes)


class NeuronsStudy(Study):
    """The number of neurons is recorded as it was, also where it is the detector's own."""

    def provenance(self, settings: Any, data: StudyData) -> dict[str, Any]:
        """Settings with the number of neurons."""
        k = data.options.k if settings.k is None else settings.k
        return settings.to_plain() | {"k": k}


STUDY = NeuronsStudy(Settings, NeuronsResult, measure, over_draws=True)


def _neurons(found: Sequence[Found]) -> pd.DataFrame:
    """All tested neurons of one draw, with p-values corrected over all of them."""
    table = pd.concat([f.tested for f in found], ignore_index=True)
    for p, q in P_VALUES.items():
        table.insert(list(table.columns).index(p) + 1, q, benjamini_hochberg(table[p].to_numpy()))
    return table


def _groups(
    every: Sequence[Sequence[Found]], listed: Sequence[pd.DataFrame], evaluator: PairedEvaluator
) -> pd.DataFrame:
    """Selected against random neurons at each point and, where there are several, their mean."""
    bootstrap = evaluator.bootstrap
    compared: dict[str, Compared] = {}
    counted: dict[str, list[dict[str, Any]]] = {}
    sizes: dict[str, np.ndarray] = {}
    for of_point in zip(*every, strict=True):
        point = of_point[0].point
        own = [compare(f.measures, f.selected, bootstrap, point) for f in of_point]
        compared[point] = over_draws(own)
        counted[point] = counted_rows([where(table, point=point) for table in listed])
        selected = of_point[0].selected
        sizes[point] = np.array([selected.sum(), (~selected).sum()])
    if len(compared) > 1:
        compared[MEAN_POINT] = mean_of_points(list(compared.values()))
        counted[MEAN_POINT] = counted_rows(listed)
        sizes[MEAN_POINT] = np.sum(list(sizes.values()), axis=0)
    made = [
        {"point": point, **row}
        | {"n_selected": int(sizes[point][0]), "n_random": int(sizes[point][1])}
        | {"n_images": evaluator.n_images}
        for point, own in compared.items()
        for row in compared_rows(own, bootstrap.confidence) + counted[point]
    ]
    reasons = [row.pop("reason") for row in made]
    return pd.DataFrame(made).assign(reason=reasons)


def _trend(draws: Sequence[pd.DataFrame], confidence: float) -> pd.DataFrame:
    """Mean of the rank correlations over draws of the normal images."""
    table = draws[0].assign(n_draws=len(draws))
    if len(draws) == 1:
        return table
    made = [
        mean_over_draws([estimate(row) for row in rows], confidence)
        for rows in zip(*(records(draw) for draw in draws), strict=True)
    ]
    return table.assign(**pd.DataFrame([one.columns() for one in made], table.index))


def _notes(
    data: StudyData, found: Sequence[Found], table: pd.DataFrame, deviation: str
) -> list[str]:
    """Say what was left out, and what is defined by convention alone."""
    notes = []
    truth = found[0].truth
    if truth.obstacle:
        notes.append(f"{data.category}: no patch columns and effect sizes: {truth.obstacle}")
    else:
        notes.append(
            f"{data.category}: {truth.n_defect:,} defect patches of {len(truth.defect_images)} "
            f"images are compared with all patches of {len(truth.normal_images)} normal images; "
            f"{truth.n_partial:,} patches that the mask touches but covers by less than "
            f"{truth.share:.0%}, and the other patches of anomalous images, are left out"
        )
    constant = int(numbers(table, "constant").sum())
    if constant and deviation == "zscore":
        notes.append(
            f"{data.category}: {constant} of the tested neurons are constant on the normal "
            "tokens; their deviation is |x - mean| in units of the activation"
        )
    if equals(table, group="selected").all():
        notes.append(f"{data.category}: every channel is selected, so there are no random neurons")
    return notes


def _pictured(table: pd.DataFrame, patches: pd.DataFrame) -> np.ndarray:
    """Positions of the patches to picture: those of the best selected neurons of each point."""
    order = np.arange(len(table))
    if is_measured(table, "image_auroc"):
        order = np.argsort(-numbers(table, "image_auroc"), kind="stable")
    best = rows(table, order)
    chosen = rows(best, equals(best, group="selected"))
    kept = chosen.groupby("point", sort=False).head(_PICTURED)
    wanted = set(zip(kept["point"], kept["channel"], strict=True))
    owners = zip(patches["point"], patches["channel"], strict=True)
    return np.array([i for i, own in enumerate(owners) if own in wanted], dtype=int)
