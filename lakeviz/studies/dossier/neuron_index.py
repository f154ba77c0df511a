"""The index of all dossiers: one row per neuron, the main number of each of its pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lakeviz.metrics.measurement import Metric
from lakeviz.studies.dossier.effect_sizes import EFFECTS, SHARES
from lakeviz.studies.neurons.tested_neurons import Choice

_KEYS = ["point", "channel"]


def index_table(
    choices: Mapping[str, Choice],
    tables: Mapping[str, pd.DataFrame],
    metrics: Sequence[Metric],
) -> pd.DataFrame:
    """Join the main numbers of all tables, neuron by neuron."""
    index = pd.concat([_own(choice) for choice in choices.values()], ignore_index=True)
    activations = tables["activations"]
    for name in EFFECTS:
        index = _join(index, activations, {"measure": name}, {"value": name} | _ends(name))
    of_tests = {"p_value": "p_value", "q_value": "q_value"}
    index = _join(index, activations, {"measure": "matched_d"}, of_tests)
    for name in SHARES:
        index = _join(index, tables["shares"], {"measure": name}, {"value": name} | _ends(name))
    for level, metric in metrics:
        name = f"change_{level}_{metric}"
        keep = {"kind": "score", "level": level, "metric": metric}
        columns = {"change": name, "change_low": f"{name}_low", "change_high": f"{name}_high"}
        index = _join(index, tables["effects"], keep, columns)
    partner = {"partner": "partner", "value": "partner_correlation"}
    index = _join(index, tables["correlated"], {"place": 1}, partner)
    if not tables["labels"].empty:
        for source in dict.fromkeys(tables["labels"]["source"]):
            columns = {"word": f"{source}_word", "q_value": f"{source}_q_value"}
            columns["specificity"] = f"{source}_specificity"
            index = _join(index, tables["labels"], {"source": source, "rank": 1}, columns)
    return index


def _own(choice: Choice) -> pd.DataFrame:
    table = choice.frame(choice.tested)
    rank = np.zeros(len(table), dtype=int)
    rank[: len(choice.selected)] = np.arange(1, len(choice.selected) + 1)
    table["selected"] = (table["group"] == "selected").to_numpy()
    table["selection_rank"] = rank  # 0 where not selected
    table["n_channels"] = len(choice.variance)
    return table


def _ends(name: str) -> dict[str, str]:
    return {"low": f"{name}_low", "high": f"{name}_high"}


def _join(
    index: pd.DataFrame,
    table: pd.DataFrame,
    keep: Mapping[str, object],
    columns: Mapping[str, str],
) -> pd.DataFrame:
    """Add columns of the one row that every neuron has there."""
    rows = np.ones(len(table), dtype=bool)
    for column, value in keep.items():
        rows &= (table[column] == value).to_numpy()
    own = table.iloc[np.flatnonzero(rows)][[*_KEYS, *columns]].rename(columns=dict(columns))
    return index.merge(own, on=_KEYS, how="left", validate="one_to_one")
