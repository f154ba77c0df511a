"""Metrics of every category, and LAKE compared with its controls by paired differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz import renamed
from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.captions import categories, difference_bars, n_categories, tested
from lakeviz.plots.forest import ForestRow, add_forest, forest_figure, forest_row
from lakeviz.plots.panels import Look, add_level, end_axes, panels
from lakeviz.plots.template import PALETTE, new_figure
from lakeviz.selector_names import selector_name, selector_order
from lakeviz.tables import numbers, rows, sampled, where
from lakeviz.wording import counted, percent

DEFAULT_METRICS = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))


@renamed.parameters(part="branch")
def metrics_figure(
    metrics: pd.DataFrame,
    *,
    which: Sequence[tuple[str, str]] = DEFAULT_METRICS,
    branch: str = "lake",
    title: str = "Metrics by category",
    confidence: float = 0.95,
) -> go.Figure:
    """One row per category, one dot with its interval per metric.

    Parameters
    ----------
    metrics : DataFrame
        ``Evaluation.metrics`` of one or more categories, one below the other.
    which : sequence of (level, metric)
    branch : str
        ``"lake"``, ``"visual"``, ``"text"`` or ``"text_image"``.
    title : str
    confidence : float
        Of the intervals in the table, for the caption.

    Raises
    ------
    ConfigError
        None of them was measured.
    """
    table = where(metrics, branch=branch)
    table = rows(table, np.isfinite(numbers(table, "value")))
    shown = [
        forest_row(own, "value", str(own["category"].iloc[0]), series=metric_title(*one), look=look)
        for one, look in zip(which, map(Look.of, range(len(which))))
        for found in [where(table, level=one[0], metric=one[1])]
        for own in (rows(found, np.array([i])) for i in range(len(found)))
    ]
    if not shown:
        raise ConfigError(f"none of these metrics was measured for {branch!r}")
    bounds = [metric_bounds(*one) for one in which]
    return forest_figure(
        {"": shown},
        title=title,
        caption=f"{categories(metrics)} of {tested(table)}. Lines: {percent(confidence)} "
        f"intervals over {sampled(table)}.",
        x="value of the metric (1 = perfect)",
        zero=None,
        lines=list(dict.fromkeys(map(str, metrics["category"]))),
        form=".4f",
        ends=(min(low for low, _ in bounds), max(high for _, high in bounds)),
    )


_LAKE, _CONTROL = Look.of(0), Look(PALETTE[1], "solid", "diamond")


def controls_figure(
    controls: pd.DataFrame,
    *,
    level: str,
    metric: str,
    title: str | None = None,
    confidence: float = 0.95,
    stacked: bool = False,
) -> go.Figure:
    """Values of LAKE's neurons and of the controls, and the difference, in one category.

    First: each control as a dot (the mean of its members) with a line from its lowest to its
    highest member, LAKE's value as a vertical line. Second: LAKE minus control with its interval;
    zero is where neither is better.

    Parameters
    ----------
    controls : DataFrame
        ``Evaluation.controls`` of one category.
    level, metric : str
        Which rows, such as ``"pixel"`` and ``"aupro"``.
    title : str, optional
    confidence : float
        Of the intervals in the table, for the caption.
    stacked : bool
        One panel below the other, for narrow pages; else side by side.

    Raises
    ------
    ConfigError
        No such row, or rows of several categories.
    """
    table = _rows(controls, level, metric)
    if table["control"].duplicated().any():
        raise ConfigError("several categories: use controls_overview_figure")
    value, what = float(numbers(table, "value")[0]), metric_title(level, metric)
    first, second = ("Above", "Below") if stacked else ("Left", "Right")
    caption = (
        f"{tested(table)}, visual branch alone. {first}: dot = mean of the control's sets, line = "
        f"lowest to highest set. {second}: {difference_bars(table, confidence)}; right of zero, "
        "LAKE's neurons are better."
    )
    height = 190 + 60 * len(table) if stacked else 90 + 34 * len(table)
    fig = new_figure(
        title or f"LAKE's neurons and controls: {what}",
        caption,
        legend_above=True,
        height=height,
        showlegend=False,
    )
    values, differences = panels(
        fig, 2, columns=1 if stacked else 2, shared_y=True, gap=0.06, row_gap=0.48
    )
    own = [(control, where(table, control=control)) for control in selector_order(table["control"])]
    add_forest(fig, values, [_control_row(c, t) for c, t in own], zero=None)
    add_level(fig, values, value, axis="x", color=_LAKE.colour, dash="solid", width=2)
    add_forest(fig, differences, [forest_row(t, "difference", selector_name(c)) for c, t in own])
    end_axes(fig, "x", metric_bounds(level, metric), **values.at)
    end_axes(fig, "x", metric_bounds(level, metric, difference=True), **differences.at)
    shown = [value, *numbers(table, "control_min"), *numbers(table, "control_max")]
    inwards = "right" if value > (np.nanmin(shown) + np.nanmax(shown)) / 2 else "left"
    note = {"y": 1, "yref": "y domain", "yanchor": "bottom", "text": f"LAKE {value:.3f}"}
    fig.add_annotation(x=value, xref="x", xanchor=inwards, **note)
    fig.update_xaxes(title_text=what, **values.at)
    fig.update_xaxes(title_text=f"LAKE − control, {what}", **differences.at)
    return fig


def controls_overview_figure(
    controls: pd.DataFrame,
    *,
    level: str,
    metric: str,
    title: str | None = None,
    confidence: float = 0.95,
) -> go.Figure:
    """LAKE minus each control in every category, and the mean over categories.

    Where one category alone was measured, it stands with its own interval.

    Parameters
    ----------
    controls : DataFrame
        The tables of several categories, one below the other.
    level, metric : str
    title : str, optional
    confidence : float
        Of the intervals in the table, for the caption.

    Raises
    ------
    ConfigError
        No such row.
    """
    table, what = _rows(controls, level, metric), metric_title(level, metric)
    several = n_categories(table) > 1
    shown = (
        f"Small dots: {categories(table)}. Diamonds: their mean, Student's {percent(confidence)} "
        "interval over categories"
        if several
        else f"Of {table['category'].iloc[0]} alone: {tested(table)}. "
        f"Bars: {difference_bars(table, confidence)}"
    )
    caption = f"{shown}. Visual branch alone; right of zero, LAKE's neurons are better."
    found = [
        (control, where(table, control=control)) for control in selector_order(table["control"])
    ]
    return forest_figure(
        {"": [forest_row(t, "difference", selector_name(c), mean=several) for c, t in found]},
        title=title or f"LAKE minus control: {what}",
        caption=caption,
        x=f"LAKE − control, {what}",
        line_height=44,
        ends=metric_bounds(level, metric, difference=True),
    )


def _rows(controls: pd.DataFrame, level: str, metric: str) -> pd.DataFrame:
    found = where(controls, level=level, metric=metric)
    found = rows(found, np.isfinite(numbers(found, "difference")))
    if found.empty:
        raise ConfigError(f"no control was measured by {metric_title(level, metric)}")
    return found


def _control_row(control: str, table: pd.DataFrame) -> ForestRow:
    """The mean of a control's members, from the lowest to the highest."""
    columns = ("control_mean", "control_min", "control_max")
    drawn = Estimate(*(float(numbers(table, column)[0]) for column in columns))
    n = counted(int(numbers(table, "n_members")[0]), "set")
    said = f"{selector_name(control)}<br>mean {drawn.value:.4f} of {n}"
    return ForestRow(selector_name(control), drawn, look=_CONTROL, hover=said)
