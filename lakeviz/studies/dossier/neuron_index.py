"""The index of all dossiers, and the patches that show what each neuron does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.metrics.measurement import Metric
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.effect_sizes import EFFECTS, SHARES
from lakeviz.studies.dossier.stream import PointScan
from lakeviz.studies.neurons.tested_neurons import Choice
from lakeviz.tables import where

SPREAD = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of the activation that patches are shown at, below the highest ones."""


def index_table(
    choices: Mapping[str, Choice], tables: Mapping[str, pd.DataFrame], metrics: Sequence[Metric]
) -> pd.DataFrame:
    """Join the main numbers of all tables, neuron by neuron."""
    index = pd.concat([_own(choice) for choice in choices.values()], ignore_index=True)
    joined: list[tuple[str, dict[str, Any], dict[str, str]]]
    joined = [("activations", {"measure": name}, _interval("value", name)) for name in EFFECTS]
    tests = {"p_value": "p_value", "q_value": "q_value"}
    joined.append(("activations", {"measure": "matched_d"}, tests))
    joined += [("shares", {"measure": name}, _interval("value", name)) for name in SHARES]
    for level, metric in metrics:
        columns = _interval("change", f"change_{level}_{metric}")
        joined.append(("effects", {"kind": "score", "level": level, "metric": metric}, columns))
    partner = {"partner": "partner", "value": "partner_correlation"}
    joined.append(("correlated", {"place": 1}, partner))
    for source in dict.fromkeys(tables["labels"]["source"]):
        columns = {name: f"{source}_{name}" for name in ("word", "q_value", "specificity")}
        joined.append(("labels", {"source": source, "rank": 1}, columns))
    keys = ["point", "channel"]
    for name, keep, columns in joined:
        own = where(tables[name], **keep).loc[:, [*keys, *columns]].rename(columns=columns)
        index = index.merge(own, on=keys, how="left", validate="one_to_one")
    return index


def _own(choice: Choice) -> pd.DataFrame:
    table = choice.frame(choice.tested)
    rank = np.zeros(len(table), dtype=int)
    rank[: len(choice.selected)] = np.arange(1, len(choice.selected) + 1)
    table["selected"] = (table["group"] == "selected").to_numpy()
    table["selection_rank"] = rank  # 0 where not selected
    table["n_channels"] = len(choice.variance)
    return table


def _interval(column: str, name: str) -> dict[str, str]:
    """New names of a column and of the ends of its interval."""
    prefix = "" if column == "value" else f"{column}_"
    return {column: name, f"{prefix}low": f"{name}_low", f"{prefix}high": f"{name}_high"}


def patch_table(data: StudyData, found: PointScan, n_top: int) -> pd.DataFrame:
    """Top and spread patches of every tested neuron of a point.

    The lowest patch is exact; the patches between are those at a quantile of a uniform sample of
    the patches, the same sample for all neurons, which is the whole set where that is small.
    """
    n_rows, n_columns = data.grids[found.choice.point]
    truth, sample = found.truth, found.sample
    kept = min(n_top, found.top.patch.shape[1])
    at = np.stack([sample.at(quantile) for quantile in SPREAD[1:]])
    names = truth.names()
    parts = []
    for number, row in found.choice.rows():
        places = at[:, number]
        patches = [*found.top.patch[number, :kept], found.bottom.patch[number, 0]]
        image, patch = np.divmod([*patches, *sample.patch[places]], n_rows * n_columns)
        columns = {
            "kind": ["top"] * kept + ["spread"] * len(SPREAD),
            "place": [*range(1, kept + 1), *range(1, len(SPREAD) + 1)],
            "quantile": [np.nan] * kept + list(SPREAD),
            "sample_id": [data.test.sample_ids[i] for i in image],
            "image": image,
            "row": patch // n_columns,
            "column": patch % n_columns,
            "label": names[image, patch],
            "coverage": np.nan if truth.reason else truth.coverage[image, patch],
        }
        for name in ("value", "share"):
            top, bottom, between = (getattr(own, name) for own in (found.top, found.bottom, sample))
            ends = [*top[number, :kept], bottom[number, 0]]
            columns[name] = np.asarray([*ends, *between[places, number]], dtype=float)
        parts.append(pd.DataFrame(row | columns))
    return pd.concat(parts, ignore_index=True)
