"""Curves of an evaluation: scores and labels, or stored curves, with the value for the legend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from lakeviz.errors import DataError
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.curve_table import curve_table
from lakeviz.metrics.pixel_intervals import CountedPixels
from lakeviz.plots.curves import Scored, StoredCurves
from lakeviz.tables import n_draws, numbers, records, where

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lakeviz.lake.evaluation import Evaluation

BRANCHES = {"score": "LAKE", "visual": "visual only", "text": "text only"}
# More pixels than this take longer to sort than a reader wants to wait for.
_MOST_PIXELS = 2**26


def measured(
    metrics: pd.DataFrame, level: str, name: str, branch: str = "lake"
) -> tuple[float, float, float, float, int]:
    """Value, ends of its interval, its confidence, and of how many draws it is the mean.

    NaN where it was not measured.
    """
    row = where(metrics, level=level, metric=name, branch=branch)
    if row.empty:
        return math.nan, math.nan, math.nan, math.nan, 1
    value, low, high, confidence = (
        float(numbers(row, column)[0]) for column in ("value", "low", "high", "confidence")
    )
    return value, low, high, confidence, n_draws(row)


def image_runs(scores: pd.DataFrame, metrics: pd.DataFrame, name: str) -> dict[str, Scored]:
    """Image scores of LAKE and of its branches in one category.

    Parameters
    ----------
    scores, metrics : DataFrame
        Tables of one evaluation.
    name : str
        The metric of the legend, ``"auroc"`` or ``"average_precision"``.
    """
    labels = scores["label"].to_numpy()
    columns = [column for column in BRANCHES if column in scores]
    if "text" not in columns:  # the fused score is the visual branch
        columns = ["score"]
    runs = {}
    for column in columns:
        branch = "lake" if column == "score" else column
        value = measured(metrics, "image", name, branch)
        runs[BRANCHES[column]] = Scored(numbers(scores, column), labels, *value)
    return runs


def pixel_run(curves: pd.DataFrame, metrics: pd.DataFrame, name: str) -> StoredCurves:
    """Curves of the pixels of LAKE's maps in one category; ``name`` is the metric of the legend."""
    row = records(metrics, level="pixel", metric=name)[0]
    value = measured(metrics, "pixel", name)
    return StoredCurves(curves, int(row["n_images"]), *value, n_regions=row.get("n_regions"))


def conventions_of(provenance: Mapping[str, Any]) -> Conventions:
    """Conventions of the region overlap that an evaluation was measured with."""
    given = provenance.get("conventions", {})
    return Conventions(**{n: given[n] for n in ("connectivity", "aupro_limit") if n in given})


def pixel_curves(evaluation: Evaluation) -> pd.DataFrame:
    """The curves of an evaluation; those of a run of protocol 1, which has none, are made now."""
    if len(evaluation.curves):
        return evaluation.curves
    test, maps = evaluation.dataset, evaluation.maps
    if not test.labels.any():
        raise DataError("there is no anomalous image")
    if not test.has_masks:
        raise DataError("the data set has no masks")
    sizes = [maps.map_size] * len(maps) if maps.map_size else maps.sizes
    pixels = sum(height * width for height, width in sizes)
    if pixels > _MOST_PIXELS:
        raise DataError(
            f"{pixels:,} pixels are more than the {_MOST_PIXELS:,} that curves are made of; a "
            "smaller map size has fewer"
        )
    masks = [evaluation.regions(i) for i in range(len(maps))]
    conventions = conventions_of(evaluation.provenance)
    counted = CountedPixels.of(list(maps.pixel_maps()), masks, conventions)
    return curve_table(counted, Bootstrap.from_plain(evaluation.provenance.get("bootstrap")))
