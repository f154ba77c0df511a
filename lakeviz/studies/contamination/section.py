"""How the study ``contamination`` is shown in a report."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.selector_names import selector_name
from lakeviz.studies.contamination import ContaminationResult
from lakeviz.studies.contamination.figures import (
    contamination_changes_figure,
    contamination_figure,
    selection_stability_figure,
)
from lakeviz.studies.contamination.result import SUMMARY_METRICS
from lakeviz.tables import mean_of, records

_ROWS = 12


def figures(result: ContaminationResult) -> list[go.Figure]:
    """Changes with their controls, then values, then the selections."""
    level, table = result.confidence, result.metrics
    made = [
        contamination_changes_figure(table, level=of, metric=metric, interval_level=level)
        for of, metric, _ in SUMMARY_METRICS
        if records(table, level=of, metric=metric)
    ]
    made.append(contamination_figure(table, interval_level=level))
    if not result.stability.empty:
        made.append(selection_stability_figure(result.stability, interval_level=level))
    return made


def headline(result: ContaminationResult) -> pd.DataFrame:
    """Each selector clean and at the two degrees of the summary; means over categories."""
    rows = []
    for level, metric, words in SUMMARY_METRICS:
        for selector in result.provenance["settings"]["selectors"]:
            clean = result.at(selector, "both", 0, level, metric)
            if not clean:
                continue
            row = {
                "metric": words,
                "selection": selector_name(selector),
                "clean": f"{mean_of(clean, 'value'):.3f}",
            }
            for n in result.read_at:
                change = result.mean(result.at(selector, "both", n, level, metric), "change")
                row[f"change, {n} of {result.shots} defective"] = change.text(signed=True)
            rows.append(row)
    return pd.DataFrame(rows[:_ROWS])
