"""The study ``neurons``: every selected neuron as a detector of its own, and random neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import benjamini_hochberg
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.neurons.at_point import Found, study_point
from lakeviz.studies.neurons.group_comparison import (
    MEAN_POINT,
    compare,
    compared_rows,
    counted_rows,
    mean_of_points,
)
from lakeviz.studies.neurons.measures import P_VALUES
from lakeviz.studies.neurons.pictures import crops as make_crops
from lakeviz.studies.neurons.result import NeuronsResult, Settings
from lakeviz.studies.neurons.tested_neurons import choose
from lakeviz.tables import equals, is_measured, numbers, rows

_PICTURED = 5  # selected neurons per point whose patches are kept as pictures


def measure(data: StudyData, settings: Settings, evaluator: PairedEvaluator) -> Measured:
    """Measure each selected neuron as a detector of its own, and as many random ones.

    Random neurons are drawn from the channels that are not selected; all of them are taken where
    there are fewer than asked for. A neuron's deviation map is measured by the detector's image
    score and map size; see :class:`~lakeviz.studies.neurons.single_neuron_score.Deviation`.

    Raises
    ------
    SelectionError
        If ``k`` or ``n_random`` is out of range, or the selector gives no channels.
    ConfigError
        If ``coverage`` is 0.
    """
    k = data.options.k if settings.k is None else settings.k
    chosen = choose(data, k, settings.selector, settings.n_random, settings.seed)
    expect(sum(len(choice.tested) for choice in chosen.values()))
    found = [
        study_point(
            data,
            c,
            evaluator,
            deviation=settings.deviation,
            share=settings.coverage,
            n_top=settings.n_top,
        )
        for c in chosen.values()
    ]
    table = pd.concat([f.tested for f in found], ignore_index=True)
    for p, q in P_VALUES.items():
        table.insert(list(table.columns).index(p) + 1, q, benjamini_hochberg(table[p].to_numpy()))
    tables = {
        "neurons": table,
        "groups": _groups(data, found, table, evaluator.bootstrap),
        **{
            name: pd.concat([getattr(f, name) for f in found], ignore_index=True)
            for name in ("channels", "trend", "histograms", "patches")
        },
    }
    patches = tables["patches"]
    notes = _notes(data, found, table, settings.deviation)
    patches["crop"] = None
    if settings.crops:
        notes += _add_crops(data, table, patches)
    return Measured(tables, notes)


class NeuronsStudy(Study):
    """The number of neurons is recorded as it was, also where it is the detector's own."""

    def provenance(self, settings: Any, data: StudyData) -> dict[str, Any]:
        """Settings with the number of neurons."""
        k = data.options.k if settings.k is None else settings.k
        return settings.to_plain() | {"k": k}


STUDY = NeuronsStudy(Settings, NeuronsResult, measure)


def _groups(
    data: StudyData, found: Sequence[Found], table: pd.DataFrame, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Selected against random neurons at each point and, where there are several, their mean."""
    compared = {f.point: compare(f.measures, f.selected, bootstrap, f.point) for f in found}
    counted = {p: counted_rows(rows(table, equals(table, point=p))) for p in compared}
    sizes = {f.point: (int(f.selected.sum()), int((~f.selected).sum())) for f in found}
    if len(found) > 1:
        compared[MEAN_POINT] = mean_of_points(list(compared.values()))
        counted[MEAN_POINT] = counted_rows(table)
        sizes[MEAN_POINT] = tuple(np.sum(list(sizes.values()), axis=0).tolist())
    made = [
        {"point": point, **row}
        | {"n_selected": sizes[point][0], "n_random": sizes[point][1]}
        | {"n_images": len(data.truth.labels)}
        for point, of_point in compared.items()
        for row in compared_rows(of_point, bootstrap.confidence) + counted[point]
    ]
    reasons = [row.pop("reason") for row in made]
    return pd.DataFrame(made).assign(reason=reasons)


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


def _add_crops(data: StudyData, table: pd.DataFrame, patches: pd.DataFrame) -> list[str]:
    """Picture the patches of the best selected neurons; returns notes on what has no picture."""
    if data.dataset is None:
        return [f"{data.category}: no pictures of patches, because there are no image files"]
    keep = _pictured(table, patches)
    shown = rows(patches, keep)
    where = shown[["image", "row", "column"]].to_numpy(dtype=int).tolist()
    places = [
        (image, row, column, data.grids[point])
        for (image, row, column), point in zip(where, shown["point"], strict=True)
    ]
    made, problems = make_crops(data.dataset.paths, places, data.geometry)
    pictures: list[bytes | None] = [None] * len(patches)
    for place, picture in zip(keep, made, strict=True):
        pictures[place] = picture
    patches["crop"] = pd.Series(pictures, dtype=object)
    return [f"{data.category}: no picture of a patch: {problem}" for problem in problems]


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
