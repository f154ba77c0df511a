"""Figures of the study ``sweep``: a metric along an axis, and differences to the controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate, estimate, mean_over_categories
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.captions import difference_bars, tested
from lakeviz.plots.line_panels import Line, line_figure
from lakeviz.plots.panels import Look
from lakeviz.plots.template import plain
from lakeviz.selector_names import selector_name, selector_order
from lakeviz.studies.sweep.marginals import AXIS_TITLES, UNITS, unit_means
from lakeviz.tables import numbers, rows, where
from lakeviz.wording import counted, percent

_FEW = 10  # settings whose ranks are all labelled
_PANELS = 6


def sweep_lines_figure(
    cells: pd.DataFrame,
    *,
    level: str,
    metric: str,
    x: str,
    series: str | None = None,
    panel: str | None = None,
    confidence: float = 0.95,
    title: str | None = None,
) -> go.Figure:
    """A metric along one axis, a line per value of a second, a panel per value of a third.

    Each point is a mean over all settings that the figure does not show. Its band is Student's
    interval over units (a category and a seed) where there are several, else that of the single
    cell, over images.

    Parameters
    ----------
    cells : DataFrame
        ``SweepResult.cells``.
    level, metric : str
    x, series, panel : str
        Axes of the sweep.
    confidence : float
        Of the intervals.
    title : str, optional

    Raises
    ------
    ConfigError
        The metric was not measured, or an axis is shown twice.
    """
    table = measured(cells, level, metric)
    shown = [axis for axis in (x, series, panel) if axis is not None]
    if len(set(shown)) < len(shown):
        raise ConfigError(f"one axis is shown twice: {', '.join(shown)}")
    values = values_of(table, panel) if panel else [None]
    own = rows(table, table[panel].isin(values[:_PANELS]).to_numpy()) if panel else table
    at, names = values_of(own, x), values_of(own, series) if series else [None]
    drawn = {}
    for value in values[:_PANELS]:
        part = where(own, **{panel: value}) if panel else own
        of_series = [where(part, **{series: name}) if series else part for name in names]
        drawn[f"{named(panel)} {value}" if panel else ""] = [
            _line(one, x, at, "" if name is None else selector_name(str(name)), number, confidence)
            for number, (name, one) in enumerate(zip(names, of_series))
            if len(one)
        ]
    what = metric_title(level, metric)
    left_out = len(values) - _PANELS
    more = f" The first {_PANELS} of {len(values)} panels ({named(panel)})." if left_out > 0 else ""
    fig = line_figure(
        drawn,
        title=title or f"{what} by {named(x)}",
        caption=f"{counted(len(own), 'cell')} on {tested(own)}{averaged_over(own, shown)}.{more}"
        f"{_band_caption(own, shown, confidence)}",
        x=AXIS_TITLES.get(x, x),
        y=what,
        shared_y=True,
        ends=metric_bounds(level, metric),
    )
    fig.update_xaxes(tickvals=list(range(len(at))), ticktext=[plain(value) for value in at])
    if series:
        fig.update_layout(legend={"title": {"text": named(series)}})
    return fig


def sweep_contrasts_figure(
    contrasts: pd.DataFrame,
    *,
    level: str,
    metric: str,
    reference: str = "variance",
    varied: Sequence[str],
    confidence: float = 0.95,
    title: str | None = None,
) -> go.Figure:
    """The reference minus each control at every setting, sorted, with paired intervals.

    Parameters
    ----------
    contrasts : DataFrame
        ``SweepResult.contrasts``.
    level, metric : str
    reference : str
        The selector that is compared.
    varied : sequence of str
        Axes that tell the settings apart, for hovering.
    confidence : float
        Of the intervals in the table, for the caption.
    title : str, optional

    Raises
    ------
    ConfigError
        No control was measured by this metric.
    """
    table = where(contrasts, level=level, metric=metric)
    table = rows(table, np.isfinite(numbers(table, "difference")))
    what = metric_title(level, metric)
    if table.empty:
        raise ConfigError(f"no control was measured by {what}")
    fig = line_figure(
        {
            f"minus {selector_name(control)}": _differences(
                where(table, control=control), Look.of(number), varied
            )
            for number, control in enumerate(selector_order(table["control"]))
        },
        title=title or f"{selector_name(reference)} minus controls: {what}",
        caption=f"One mark per setting, in ascending order: {selector_name(reference)} minus the "
        f"control on the same {tested(table)}. Lines: {difference_bars(table, confidence)}. "
        f"Filled: the interval excludes zero. Above zero, {selector_name(reference)} are better.",
        x="setting (rank)",
        y=f"difference in {what}",
        shared_y=True,
        level=0,
        ends=metric_bounds(level, metric, difference=True),
    )
    if max(Counter(table["control"]).values()) <= _FEW:
        fig.update_xaxes(dtick=1)  # no rank lies between two
    return fig


# --- readings that the figures of sweeps share ---


def measured(cells: pd.DataFrame, level: str, metric: str) -> pd.DataFrame:
    """Rows of a metric that were measured."""
    table = where(cells, level=level, metric=metric)
    table = rows(table, np.isfinite(numbers(table, "value")))
    if table.empty:
        raise ConfigError(f"no cell was measured by {metric_title(level, metric)}")
    return table


def values_of(table: pd.DataFrame, axis: str) -> list[Any]:
    """Values of an axis: numbers in ascending order, others in the order of the table."""
    known = list(dict.fromkeys(table[axis]))
    try:
        return sorted(known, key=float)
    except ValueError:
        return known


def averaged_over(table: pd.DataFrame, shown: Sequence[str]) -> str:
    """Say which other axes vary: ", averaged over 3 of seed"."""
    counts = {axis: len(values_of(table, axis)) for axis in AXIS_TITLES if axis in table}
    over = [f"{n} of {named(a)}" for a, n in counts.items() if n > 1 and a not in shown]
    return f", averaged over {', '.join(over)}" if over else ""


def named(axis: str | None) -> str:
    """Name of an axis in a text."""
    return (axis or "").replace("_", " ")


def _line(
    table: pd.DataFrame, x: str, at: Sequence[Any], name: str, number: int, confidence: float
) -> Line:
    """Means of one series at each value of an axis, with their intervals."""
    found = {
        place: _point(own, confidence)
        for place, value in enumerate(at)
        if not (own := where(table, **{x: value})).empty
    }
    value, low, high = np.array([[e.value, e.low, e.high] for e in found.values()]).T
    interval = (low, high) if np.isfinite([low, high]).all() else None
    hover = [f"{plain(name)}<br>{named(x)} {plain(at[i])}: {e.text(4)}" for i, e in found.items()]
    places = np.array(list(found), dtype=float)
    return Line(name, places, value, Look.of(number), interval, size=8, hover=hover)


def _point(table: pd.DataFrame, confidence: float) -> Estimate:
    """Mean over the settings that are not shown, with its interval."""
    if len(table) == 1:
        return estimate(table.iloc[0])
    return mean_over_categories(unit_means(table, "value"), confidence)


def _band_caption(table: pd.DataFrame, shown: Sequence[str], confidence: float) -> str:
    n_units = len(table.loc[:, list(UNITS)].drop_duplicates())
    if len(table) == len(table.loc[:, list(shown)].drop_duplicates()):
        return f" Band: {percent(confidence)} bootstrap over the images of each cell."
    if n_units > 1:
        return (
            f" Band: Student's {percent(confidence)} interval of the mean over {n_units} units at "
            "most (category and seed); none where there is one."
        )
    return " No band: a mean over settings of one category and seed."


def _differences(table: pd.DataFrame, look: Look, varied: Sequence[str]) -> list[Line]:
    """Differences in ascending order: those whose interval excludes zero, then the others."""
    table = rows(table, np.argsort(numbers(table, "difference"), kind="stable"))
    middle, low, high = (numbers(table, f"difference{end}") for end in ("", "_low", "_high"))
    excludes = (low > 0) | (high < 0)
    said = [
        ", ".join(f"{named(axis)} {plain(row[axis])}" for axis in varied)
        + f"<br>{estimate(row, 'difference').text(4, signed=True)}"
        for row in table.to_dict("records")
    ]
    open_look = replace(look, marker=f"{look.marker}-open")
    return [
        Line(
            name,
            np.flatnonzero(keep) + 1.0,
            middle[keep],
            own,
            (low[keep], high[keep]),
            bars=True,
            mode="markers",
            in_legend=False,
            hover=[text for text, kept in zip(said, keep) if kept],
        )
        for name, keep, own in (
            ("excludes zero", excludes, look),
            ("includes zero", ~excludes, open_look),
        )
        if keep.any()
    ]
