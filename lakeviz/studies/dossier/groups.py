"""Selected neurons beside random ones: what the dossiers say as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.studies.neurons.group_comparison import (
    COUNTED,
    MEAN_POINT,
    NO_RANDOM,
    GroupDraws,
    compared_rows,
    group_mean,
    mean_of_points,
)
from lakeviz.studies.neurons.measures import NeuronMeasures
from lakeviz.studies.neurons.tested_neurons import Choice
from lakeviz.tables import equals, numbers
from lakeviz.tables import rows as rows_of

DETECTED = 0.05  # q-values below are counted
_BY_SIZE = ("cliffs_delta", "cohens_d", "matched_d")
_AS_THEY_ARE = ("deviation_auroc", "share_normal", "share_anomalous", "share_excess")

Compared = Mapping[str, tuple[GroupDraws, GroupDraws | None]]


def importances(
    intact: Measurement, found: Sequence[Measurement], metrics: Sequence[Metric]
) -> dict[str, NeuronMeasures]:
    """What each metric loses without each neuron: ``loss_image_auroc``."""
    made = {}
    for metric in metrics:
        if metric not in intact.values:
            continue
        values = np.array([intact.values[metric] - own.values[metric] for own in found])
        draws = np.stack([intact.draws[metric] - own.draws[metric] for own in found])
        made[f"loss_{metric[0]}_{metric[1]}"] = NeuronMeasures(values, draws)
    return made


def compare_groups(
    choice: Choice, measures: Mapping[str, NeuronMeasures], bootstrap: Bootstrap
) -> dict[str, tuple[GroupDraws, GroupDraws | None]]:
    """Mean of selected and of random neurons of a point; effects of either sign by their size."""
    selected = np.arange(len(choice.tested)) < len(choice.selected)
    found = {}
    for name, own in measures.items():
        if name in _BY_SIZE:
            name, own = f"abs_{name}", own.magnitude()
        elif name not in _AS_THEY_ARE and not name.startswith("loss_"):
            continue
        rest = own.where(~selected)
        random = group_mean(rest, bootstrap, choice.point, "random") if len(rest.values) else None
        found[name] = group_mean(own.where(selected), bootstrap, choice.point, "selected"), random
    return found


def group_table(
    choices: Mapping[str, Choice],
    compared: Mapping[str, Compared],
    labels: pd.DataFrame,
    bootstrap: Bootstrap,
    n_images: int,
) -> pd.DataFrame:
    """Selected against random neurons at each point and, where there are several, their mean."""
    sizes = {p: (len(c.selected), len(c.random)) for p, c in choices.items()}
    every: dict[str, Compared] = dict(compared)
    counted = {p: _labelled(labels, p) for p in choices}
    if len(choices) > 1:
        shared = set.intersection(*(set(own) for own in compared.values()))
        every[MEAN_POINT] = mean_of_points(
            [{n: own[n] for n in own if n in shared} for own in compared.values()]
        )
        counted[MEAN_POINT] = _labelled(labels, None)
        sizes[MEAN_POINT] = tuple(np.sum(list(sizes.values()), axis=0).tolist())
    rows = [
        {"point": point, **row, "n_selected": sizes[point][0], "n_random": sizes[point][1]}
        | {"n_images": n_images}
        for point, own in every.items()
        for row in [*compared_rows(own, bootstrap.confidence), *counted[point]]
    ]
    reasons = [row.pop("reason") for row in rows]
    return pd.DataFrame(rows).assign(reason=reasons)


def _labelled(labels: pd.DataFrame, point: str | None) -> list[dict[str, object]]:
    """Shares of neurons whose label is better than the control's (q < 0.05), by source."""
    rows: list[dict[str, object]] = []
    if labels.empty:
        return rows
    first = rows_of(labels, equals(labels, rank=1))
    if point is not None:
        first = rows_of(first, equals(first, point=point))
    for source in dict.fromkeys(first["source"]):
        own = rows_of(first, equals(first, source=source))
        chosen = equals(own, group="selected")
        found = numbers(own, "q_value") < DETECTED
        value = float(found[chosen].mean())
        control = float(found[~chosen].mean()) if (~chosen).any() else np.nan
        rows.append(
            {
                "measure": f"labelled_by_{source}",
                **Estimate(value, np.nan, np.nan).columns(),
                **Estimate(control, np.nan, np.nan).columns("control_mean"),
                **Estimate(value - control, np.nan, np.nan).columns("difference"),
                "reason": COUNTED if (~chosen).any() else NO_RANDOM,
            }
        )
    return rows
