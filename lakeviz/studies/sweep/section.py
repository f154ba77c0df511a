"""How a sweep is shown: the means by axis, lines along the axes that vary, and the controls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.metrics.registry import metric_title
from lakeviz.studies.sweep import SweepResult
from lakeviz.studies.sweep.contrast_figures import sweep_contrasts_figure
from lakeviz.studies.sweep.figures import sweep_lines_figure
from lakeviz.studies.sweep.grid_figures import sweep_heat_figure, sweep_parallel_figure

# Which axis lies along the figure, which is told by lines, which by panels: the first that vary.
_ALONG = ("k", "shots", "text_weight", "layer", "neighbours", "coreset", "seed")
_LINES = ("selector", "normalisation", "distance", "image_score", "layer", "model", "category")
_ROWS = 12


def figures(result: SweepResult) -> list[go.Figure]:
    """Lines, a heat table, the controls, and all cells; those that the grid allows."""
    metric = result.main_metric
    varied = result.varied
    if metric is None or not varied:
        return []
    level, name = metric
    shown = {"level": level, "metric": name}
    x = next((axis for axis in _ALONG if axis in varied), varied[0])
    series = next((axis for axis in _LINES if axis in varied and axis != x), None)
    rest = [a for a in varied if a not in (x, series, "seed", "category")]
    made = [
        sweep_lines_figure(
            result.cells,
            **shown,
            x=x,
            series=series,
            panel=rest[0] if rest else None,
            interval_level=result.confidence,
        )
    ]
    if len(varied) > 1:
        y = rest[0] if rest else next(axis for axis in varied if axis != x)
        made.append(sweep_heat_figure(result.cells, **shown, x=x, y=y))
    if np.isfinite(result.contrasts["difference"].to_numpy(dtype=float)).any():
        made.append(
            sweep_contrasts_figure(
                result.contrasts,
                **shown,
                reference=result.settings["reference"],
                varied=[axis for axis in varied if axis != "selector"],
                interval_level=result.confidence,
            )
        )
    if len(varied) > 1:
        made.append(sweep_parallel_figure(result.cells, **shown, axes=varied))
    return made


def headline(result: SweepResult) -> pd.DataFrame:
    """Mean at each value of each axis that varies, with the difference to the first value."""
    metric = result.main_metric
    if metric is None:
        failed = result.failures.head(_ROWS)
        return pd.DataFrame({"failed cell": failed["error"]})
    level, name = metric
    what = metric_title(level, name)
    rows = []
    for row in result.marginals.to_dict("records"):
        if (row["level"], row["metric"]) != metric or row["axis"] in ("category", "seed"):
            continue
        rows.append(
            {
                "axis": row["axis"],
                "value": row["at"],
                f"mean {what}": _interval(row["value"], row["low"], row["high"]),
                "minus the first value": "—"
                if row["at"] == row["reference"]
                else _interval(
                    row["difference"], row["difference_low"], row["difference_high"], "+"
                ),
                "cells": row["n_cells"],
                "units": row["n_units"],
            }
        )
    return pd.DataFrame(rows).head(2 * _ROWS)


def _interval(value: float, low: float, high: float, sign: str = "") -> str:
    if value != value:
        return "—"
    if low != low:
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
