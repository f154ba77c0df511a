"""How the study ``decompose`` is shown in a report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.metrics.estimates import Estimate
from lakeviz.studies.decompose import DecomposeResult
from lakeviz.studies.decompose.figures import (
    block_contributions_figure,
    head_map_figure,
    top_neurons_figure,
)
from lakeviz.studies.decompose.patch_figures import source_patches_figure
from lakeviz.tables import numbers, records, rows, where

_CATEGORIES, _ROWS = 3, 12  # categories that are drawn; rows of the small table


def figures(result: DecomposeResult) -> list[go.Figure]:
    """Per category: blocks, heads, source patches, neurons."""
    made = []
    controls = str(result.provenance["settings"]["random_directions"])
    shared = {"controls": controls, "interval_level": result.confidence}
    for category in result.categories[:_CATEGORIES]:
        components = where(result.components, category=category)
        made += [
            block_contributions_figure(components, **shared),
            head_map_figure(components, **shared),
            source_patches_figure(where(result.patches, category=category)),
            top_neurons_figure(where(result.neurons, category=category), **shared),
        ]
    return made


def headline(result: DecomposeResult) -> pd.DataFrame:
    """The output and the largest terms of both levels (of one category), or each output."""
    table = where(result.components, level="output")
    if len(result.categories) == 1:
        parts = [table]
        for level in ("blocks", "heads"):
            own = where(result.components, level=level)
            if level == "heads":
                own = where(own, kind="head")
            order = np.argsort(-np.abs(numbers(own, "difference")), kind="stable")
            parts.append(rows(own, order[: (_ROWS - 1) // 2]))
        table = pd.concat(parts)
    made = []
    for row in records(table):
        alone = Estimate(row["auroc"], row["auroc_low"], row["auroc_high"])
        gap = Estimate(row["difference"], row["difference_low"], row["difference_high"])
        made.append(
            {
                "category": row["category"],
                "component": row["component"],
                "anomalous minus normal": gap.text(signed=True),
                "along random directions": f"{row['control_low']:+.3f} to "
                f"{row['control_high']:+.3f}",
                "p, shuffled labels (corrected)": f"{row['p_corrected']:.3f}",
                "AUROC alone": str(alone),
                "AUROC of others of its kind": "–"
                if row["random_auroc"] != row["random_auroc"]
                else f"{row['random_auroc']:.3f}",
            }
        )
    return pd.DataFrame(made[:_ROWS])
