"""How the study ``knockout`` is shown in a report."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from lakeviz.metrics.estimates import mean_over_categories
from lakeviz.selector_names import selector_name
from lakeviz.studies.knockout import KnockoutResult
from lakeviz.studies.knockout.figures import (
    KIND_NAMES,
    knockout_contrasts_figure,
    knockout_curves_figure,
)
from lakeviz.studies.knockout.neuron_figures import neuron_importance_figure
from lakeviz.studies.knockout.result import HEADLINE_METRICS, estimates
from lakeviz.tables import numbers, where

_CATEGORIES, _ROWS = 3, 12  # categories whose curves are drawn; rows of the small table


def figures(result: KnockoutResult) -> list[go.Figure]:
    """Per kind and mode: contrasts at the declared size, then curves; per kind single neurons."""
    made, level = [], result.confidence
    for kind, mode in result.runs:
        found = {"kind": kind, "mode": mode, "part": result.part_of(kind)}
        contrasts = where(result.contrasts, **found, size=result.size_of(kind, mode))
        if not contrasts.empty:
            made.append(knockout_contrasts_figure(contrasts, interval_level=level))
        for category in result.categories[:_CATEGORIES]:
            curves = where(result.curves, **found, category=category)
            if not curves.empty:
                made.append(knockout_curves_figure(curves, interval_level=level))
    return made + list(_single(result))


def _single(result: KnockoutResult) -> Iterator[go.Figure]:
    if result.neurons.empty:
        return
    for kind in dict.fromkeys(str(kind) for kind, _ in result.runs):
        for category in result.categories[:_CATEGORIES]:
            found = {"kind": kind, "category": category, "part": result.part_of(kind)}
            table = where(result.neurons, **found)
            for level, metric in (("image", "cohens_d"), ("pixel", "aupro")):
                rows = where(table, level=level, metric=metric)
                if not rows.empty:
                    yield neuron_importance_figure(
                        rows, level=level, metric=metric, interval_level=result.confidence
                    )


def headline(result: KnockoutResult) -> pd.DataFrame:
    """Change without the top neurons, and its difference to each control, at the declared size."""
    made = []
    for kind, mode in result.runs:
        size, part = result.size_of(kind, mode), result.part_of(kind)
        found = {"kind": kind, "mode": mode, "part": part, "size": size}
        for level, metric, name in HEADLINE_METRICS:
            curves = where(result.curves, **found, order="variance", level=level, metric=metric)
            if curves.empty:
                continue
            row = {
                "knock-out": f"{KIND_NAMES[kind]}, {mode} {size}",
                "metric": name,
                "intact": f"{numbers(curves, 'intact').mean():.3f}",
                "change": _mean(result, curves, "change"),
            }
            contrasts = where(result.contrasts, **found, level=level, metric=metric)
            for control in dict.fromkeys(contrasts["control"]):
                against = where(contrasts, control=control)
                against_name = selector_name(control)
                row[f"minus {against_name}"] = _mean(result, against, "difference")
            made.append(row)
    return pd.DataFrame(made[:_ROWS])


def _mean(result: KnockoutResult, table: pd.DataFrame, name: str) -> str:
    """One category's estimate, or the mean over categories."""
    if len(table) == 1:
        return estimates(table, name)[0].text(signed=True)
    return mean_over_categories(table[name].to_numpy(dtype=float), result.confidence).text(
        signed=True
    )
