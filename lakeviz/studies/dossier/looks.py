"""What a neuron looks like: its highest patches, and patches spread over its range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.stream import PointScan, places_of
from lakeviz.studies.neurons.pictures import crops as make_crops

SPREAD = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of the activation that patches are shown at, below the highest ones."""


def patch_table(data: StudyData, found: PointScan, n_top: int) -> pd.DataFrame:
    """Top and spread patches of every tested neuron of a point.

    The lowest patch is exact; the patches between are those at a quantile of a uniform sample of
    the patches, the same sample for all neurons, which is the whole set where that is small.
    """
    parts = []
    at = {q: found.sample.at(q) for q in SPREAD[1:]}
    for number, channel in enumerate(found.choice.tested):
        top = found.top
        kept = min(n_top, top.value.shape[1])
        patches = [*top.patch[number, :kept], found.bottom.patch[number, 0]]
        values = [*top.value[number, :kept], found.bottom.value[number, 0]]
        shares = [*top.extras["share"][number, :kept], found.bottom.extras["share"][number, 0]]
        for position in (own[number] for own in at.values()):
            patches.append(found.sample.patch[position])
            values.append(found.sample.value[position, number])
            shares.append(found.sample.extras["share"][position, number])
        table = pd.DataFrame(
            {
                "point": found.choice.point,
                "channel": int(channel),
                "group": "selected" if number < len(found.choice.selected) else "random",
                "kind": ["top"] * kept + ["spread"] * len(SPREAD),
                "place": [*range(1, kept + 1), *range(1, len(SPREAD) + 1)],
                "quantile": [np.nan] * kept + list(SPREAD),
                **_where(data, found, patches),
                "value": np.asarray(values, dtype=float),
                "share": np.asarray(shares, dtype=float),
            }
        )
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _where(data: StudyData, found: PointScan, patches: Sequence[int]) -> dict[str, object]:
    """Image, place and label of patches."""
    n_rows, n_columns = data.grids[found.choice.point]
    image, patch = places_of(patches, n_rows * n_columns)
    truth = found.truth
    return {
        "sample_id": [data.test.sample_ids[i] for i in image],
        "image": image,
        "row": patch // n_columns,
        "column": patch % n_columns,
        "label": truth.names()[image, patch],
        "coverage": np.nan if truth.reason else truth.coverage[image, patch],
    }


def add_crops(data: StudyData, patches: pd.DataFrame) -> list[str]:
    """Picture every patch of the table; returns notes on what has no picture."""
    patches["crop"] = pd.Series([None] * len(patches), dtype=object)
    if data.dataset is None:
        return [f"{data.category}: no pictures of patches, because there are no image files"]
    where = patches[["image", "row", "column"]].to_numpy(dtype=int).tolist()
    places = [
        (image, row, column, data.grids[point])
        for (image, row, column), point in zip(where, patches["point"], strict=True)
    ]
    # The same patch drives many neurons: each is cut out once.
    distinct = list(dict.fromkeys(places))
    made, problems = make_crops(data.dataset.paths, distinct)
    pictures = dict(zip(distinct, made, strict=True))
    patches["crop"] = pd.Series([pictures[place] for place in places], dtype=object)
    return [f"{data.category}: no picture of a patch: {problem}" for problem in problems]
