"""How scored maps of another detector are shown."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.plots import metrics_figure, score_figure
from lakeviz.plots.difference_plot import metric_title
from lakeviz.studies.score_maps import ScoredMaps


def figures(result: ScoredMaps) -> list[go.Figure]:
    """All metrics, and of one set the distribution of image scores."""
    made = [metrics_figure(result.metrics, branch="maps", interval_level=result.confidence)]
    if len(result.categories) == 1:
        title = f"Image scores: {result.categories[0]}"
        made.append(score_figure(result.scores, title=title))
    return made


def headline(result: ScoredMaps) -> pd.DataFrame:
    """Every metric with its interval, or why there is none."""
    rows = []
    for row in result.metrics.to_dict("records"):
        value = f"{row['value']:.3f}" if row["value"] == row["value"] else "–"
        if row["low"] == row["low"]:
            value += f" [{row['low']:.3f}, {row['high']:.3f}]"
        rows.append(
            {
                "set": row["category"],
                "metric": metric_title(row["level"], row["metric"]),
                "value": value,
                "reason": row["reason"] or "",
            }
        )
    return pd.DataFrame(rows)
