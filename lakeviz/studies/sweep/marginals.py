"""What a grid says of one axis at a time: means over all other axes, and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, mean_over_categories
from lakeviz.tables import Row, numbers

AXIS_TITLES = {
    "category": "category",
    "model": "model",
    "layer": "layer (block, or mean of blocks)",
    "shots": "normal images",
    "seed": "seed",
    "k": "k (neurons per hook point)",
    "normalisation": "normalisation",
    "distance": "distance",
    "neighbours": "neighbours",
    "coreset": "share of normal tokens kept",
    "text_weight": "text weight",
    "image_score": "image score",
    "selector": "selector",
}
"""Every axis that a grid can have, with its title in figures."""

UNITS = ("category", "seed")
"""What a mean over other settings is a sample of: its interval is taken over these."""

COLUMNS = (
    *("category", "axis", "at", "level", "metric", "value", "low", "high"),
    *("reference", "difference", "difference_low", "difference_high"),
    *("n_cells", "n_units", "n_left_out", "reason"),
)


def marginal_means(
    cells: pd.DataFrame, varied: Sequence[str], axes: Sequence[str], confidence: float
) -> pd.DataFrame:
    """Mean of each metric at each value of each varied axis, over all the other axes.

    Every value of an axis is averaged over the same settings of the other axes: settings at which a
    cell of the axis is missing are left out for all its values, and counted. A value that was
    measured at less than half of the settings has no mean, so that the others keep theirs. Within a
    unit (a category and a seed) the settings are averaged; the interval is Student's, over the
    units. The differences are to the first value of the axis (``reference``), paired unit by unit.
    ``category`` is ``"all"`` for several, ``at`` the value of the axis.
    """
    names = list(dict.fromkeys(cells["category"]))
    category = names[0] if len(names) == 1 else "all"
    by_metric: dict[tuple[str, str], list[Row]] = {}
    for row in cells.to_dict("records"):
        if row["metric"]:
            by_metric.setdefault((row["level"], row["metric"]), []).append(row)
    found = [
        {"category": category, "axis": axis, "level": level, "metric": metric, **row}
        for axis in varied
        for (level, metric), own in by_metric.items()
        for row in _of_axis(own, list(dict.fromkeys(cells[axis])), axis, axes, confidence)
    ]
    return pd.DataFrame(found, columns=pd.Index(COLUMNS))


def _of_axis(
    rows: Sequence[Row], at: Sequence[Any], axis: str, axes: Sequence[str], confidence: float
) -> Iterator[dict[str, Any]]:
    settings: dict[tuple[Any, ...], dict[Any, float]] = {}
    units: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in rows:
        others = tuple(row[name] for name in axes if name != axis)
        settings.setdefault(others, {})
        units[others] = tuple(row[name] for name in UNITS if name != axis)
        if np.isfinite(row["value"]):
            settings[others][row[axis]] = float(row["value"])
    counts = {value: sum(value in values for values in settings.values()) for value in at}
    kept = [value for value in at if counts[value] and 2 * counts[value] >= len(settings)]
    by_unit: dict[tuple[Any, ...], list[list[float]]] = {}
    for others, values in settings.items():
        if kept and all(value in values for value in kept):
            by_unit.setdefault(units[others], []).append([values[value] for value in kept])
    # In an order of their own, so that that of the cells has no say in rounding.
    means = np.array([np.mean(by_unit[unit], axis=0) for unit in sorted(by_unit, key=str)])
    n_whole = sum(map(len, by_unit.values()))
    for value in at:
        mean, gap = NOT_MEASURED, NOT_MEASURED
        reason = f"measured at {counts[value]} of {len(settings)} settings"
        if value in kept and n_whole:
            place = kept.index(value)
            mean, gap = mean_over_categories(means[:, place], confidence), Estimate(0.0, 0.0, 0.0)
            if place:
                gap = mean_over_categories(means[:, place] - means[:, 0], confidence)
            reason = "a single unit (category and seed) has no interval" if len(means) == 1 else ""
        elif value in kept:
            reason = "at no setting are all values of the axis measured"
        yield {
            "at": str(value),
            **mean.columns(),
            "reference": str(kept[0]) if kept else "",
            **gap.columns("difference"),
            "n_cells": n_whole if value in kept else 0,
            "n_units": len(means) if value in kept else 0,
            "n_left_out": len(settings) - n_whole,
            "reason": reason,
        }


def unit_means(table: pd.DataFrame, column: str) -> Float[np.ndarray, " unit"]:
    """Mean of a column in each unit, in an order of their names."""
    keys = [tuple(key) for key in table.loc[:, list(UNITS)].to_numpy(dtype=object)]
    values = numbers(table, column)
    return np.array(
        [
            np.mean([value for value, own in zip(values, keys) if own == key])
            for key in sorted(set(keys), key=str)
        ]
    )
