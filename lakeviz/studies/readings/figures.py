"""The figure of the study ``readings``: the gap of every reading."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.metrics.estimates import estimate
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.forest import ForestRow, forest_figure
from lakeviz.plots.panels import Look
from lakeviz.tables import records, sampled
from lakeviz.wording import percent

_LINE = 30
_WITH, _WITHOUT = "top minus random", "without the channel that carries most"


def gaps_figure(
    overview: pd.DataFrame, readings: pd.DataFrame, *, confidence: float = 0.95
) -> go.Figure:
    """Top minus random under every reading, as it is and without its strongest channel.

    Of ``ReadingsResult.overview()`` and ``ReadingsResult.readings``.
    """
    shown: dict[str, list[ForestRow]] = {}
    paper: dict[str, float] = {}
    ends: dict[str, tuple[float, float]] = {}
    for row in records(overview):
        if not row["n_categories"]:
            continue
        metric = metric_title(row["level"], row["metric"])
        paper[metric] = row["paper"]
        ends[metric] = metric_bounds(row["level"], row["metric"], difference=True)
        chosen = {name: row[name] for name in ("reading", "level", "metric")}
        members = {
            str(one["category"]): float(one["difference"])
            for one in records(readings, **chosen)
            if np.isfinite(one["difference"])
        }
        rows = shown.setdefault(metric, [])
        dots = members if len(members) > 1 else {}
        rows.append(ForestRow(row["reading"], estimate(row, "gap"), series=_WITH, members=dots))
        if np.isfinite(row["gap_without"]):
            left = estimate(row, "gap_without")
            rows.append(ForestRow(row["reading"], left, series=_WITHOUT, look=Look.of(1)))
    n = len(set(readings["category"]))
    bars = (
        f"{percent(confidence)} Student over {n} categories"
        if n > 1
        else f"{percent(confidence)} over {sampled(readings)} and random sets"
    )
    return forest_figure(
        shown,
        title="Readings of the paper",
        caption=f"Top-variance minus random neurons of the same number; bars: {bars}; small dots: "
        "single categories. Without: each category's channel that carries most of the gap is "
        "exchanged for the next in variance. Dashed: the gap in the paper.",
        x="difference",
        line_height=_LINE,
        ends=ends,
        levels={metric: gap for metric, gap in paper.items() if np.isfinite(gap)},
    )
