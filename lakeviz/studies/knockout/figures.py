"""Figures of the study ``knockout``: curves, contrasts at one size, and single neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.registry import metric_bounds, metric_title
from lakeviz.plots.captions import categories, difference_bars, n_categories, only, tested
from lakeviz.plots.forest import forest_figure, forest_row
from lakeviz.plots.line_panels import Line, line_figure, line_of
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import CHANCE, Look, log_axes, selector_looks
from lakeviz.plots.template import PALETTE
from lakeviz.selector_names import NAMED, selector_name, selector_order, selector_short
from lakeviz.studies.base.findings import HEADLINE_METRICS
from lakeviz.tables import numbers, rows, sampled, where
from lakeviz.wording import counted, percent

_GROUPS = {
    "selected": ("highest variance", Look.of(0)),
    "random": ("others at random", Look(PALETTE[1], "dash", "diamond-open")),
}
_INTACT = "intact"
_APART = 1.05  # of marks of one size, on a logarithmic axis
Metrics = Sequence[tuple[str, str]]


def knockout_curves_figure(
    curves: pd.DataFrame, *, shown: Metrics | None = None, confidence: float = 0.95
) -> go.Figure:
    """Metrics against the number of neurons knocked out (or kept), a panel per metric.

    Parameters
    ----------
    curves : DataFrame
        ``KnockoutResult.curves`` of one category, kind, mode and branch.
    shown : sequence of (level, metric), optional
        All by default.
    confidence : float

    Raises
    ------
    ConfigError
        There is no such row, or there are rows of several categories, kinds, modes or branches.
    """
    category, kind, mode, branch = only(curves, "category", "kind", "mode", "branch")
    curves, left_out = _informative(curves)
    sizes = sorted(set(curves["size"].tolist()))
    names = selector_order(curves["selector"])
    panels, limits = {}, {}
    # Bands first, so that the line of the top neurons lies on them.
    drawn = sorted(names, key=_in_question)
    for level, metric in _metrics(curves, shown):
        table = where(curves, level=level, metric=metric)
        lines = [_curve(where(table, selector=name), name, names) for name in drawn]
        intact = np.full(2, numbers(table, "intact")[0])
        ends = np.array([sizes[0], sizes[-1]], dtype=float)
        if len(sizes) == 1:  # side by side and with bars: a band of one size has no width
            places = _APART ** (np.arange(len(lines)) - (len(lines) - 1) / 2)
            lines = [replace(one, x=one.x * p, bars=True) for one, p in zip(lines, places)]
            ends = ends * (places[0] / _APART, places[-1] * _APART)
        lines.append(Line(_INTACT, ends, intact, CHANCE, mode="lines", width=1.4))
        panels[metric_title(level, metric)] = lines
        limits[metric_title(level, metric)] = metric_bounds(level, metric)
    what, done = _done(mode)
    sets = int(numbers(curves, "n_random_sets").max())
    bands = ("Bands", "lines in them") if len(sizes) > 1 else ("Those of random neurons", "marks")
    return line_figure(
        panels,
        title=f"{kind.capitalize()} knock-out of {category}, {branch} branch",
        caption=f"{tested(curves)}; the same number of neurons {done} at every hook "
        f"point. Bars: {percent(confidence)} interval. {bands[0]}: {percent(confidence)} "
        f"prediction interval of one more random set ({counted(sets, 'set')}); {bands[1]}: mean of "
        f"the sets.{left_out}{_impossible(curves)}",
        x=f"neurons {what} per hook point",
        sizes=sizes,
        ends=limits,
    )


def knockout_contrasts_figure(
    contrasts: pd.DataFrame, *, shown: Metrics | None = None, confidence: float = 0.95
) -> go.Figure:
    """Knock-out of the top neurons minus each control at one size, a panel per metric.

    Parameters
    ----------
    contrasts : DataFrame
        ``KnockoutResult.contrasts`` of one kind, mode, branch and size; of one category, or of
        several: then as dots with their mean.
    shown : sequence of (level, metric), optional
    confidence : float

    Raises
    ------
    ConfigError
        There is no such row, or there are rows of several kinds, modes, branches or sizes.
    """
    kind, mode, branch, size = only(contrasts, "kind", "mode", "branch", "size")
    done = _done(mode)
    over = (
        f"Bars: {difference_bars(contrasts, confidence)}."
        if n_categories(contrasts) == 1
        else "Small dots: categories. Diamonds: their mean, with Student's interval over them."
    )
    contrasts = rows(contrasts, np.isfinite(numbers(contrasts, "difference")))
    controls = selector_order(contrasts["control"])
    panels = {
        metric_title(level, metric): [
            forest_row(
                where(contrasts, level=level, metric=metric, control=control),
                "difference",
                selector_name(control),
            )
            for control in controls
        ]
        for level, metric in _metrics(contrasts, shown)
    }
    return forest_figure(
        panels,
        title=f"{kind.capitalize()} knock-out: highest variance minus control, {branch} branch",
        caption=f"{tested(contrasts)}, {categories(contrasts)}; {size} neurons {done[1]} at every "
        f"hook point. {over} Left of zero, the metric is lower with the highest-variance neurons "
        f"{done[0]} than with the control's.{_impossible(contrasts)}",
        x="difference of the metric",
        ends={
            metric_title(*metric): metric_bounds(*metric, difference=True)
            for metric in _metrics(contrasts, shown)
        },
    )


def neuron_importance_figure(
    neurons: pd.DataFrame,
    *,
    level: str = "image",
    metric: str = "cohens_d",
    intervals: bool = False,
    confidence: float = 0.95,
) -> go.Figure:
    """Importance of single neurons against their variance, a panel per hook point.

    Parameters
    ----------
    neurons : DataFrame
        ``KnockoutResult.neurons`` of one category, kind and branch.
    level, metric : str
    intervals : bool
        Whether to draw the interval over images of every neuron.
    confidence : float

    Raises
    ------
    ConfigError
        There is no such row, or there are rows of several categories, kinds or branches.
    """
    found, what = where(neurons, level=level, metric=metric), metric_title(level, metric)
    if found.empty:
        raise ConfigError(f"no single neuron was measured by {what}")
    category, kind, branch = only(found, "category", "kind", "branch")
    points = list(dict.fromkeys(found["point"]))
    n_top, n_others = (len(where(found, group=group)) // len(points) for group in _GROUPS)
    bars = f" Bars: {percent(confidence)} interval over {sampled(found)}." if intervals else ""
    # A log axis has no place for a neuron that never varies.
    drawn = rows(found, numbers(found, "variance") > 0)
    fig = line_figure(
        {
            short_point(str(point)): [
                _neurons(where(drawn, point=point, group=group), group, intervals)
                for group in _GROUPS
            ]
            for point in points
        },
        title=f"Single neurons of {category} by {what}, {kind} knock-out, {branch} branch",
        caption=f"{tested(found)}; each neuron alone is knocked out. Importance: {what} of the "
        "intact detector minus that without the neuron; above zero it helped. Filled: the "
        f"{n_top} per hook point of highest variance. Open: {n_others} others, drawn at random."
        f"{bars}{_impossible(found)}",
        x="variance over normal patches (squared activation)",
        y=f"importance, {what}",
        columns=2,
        level=0,
        row_height=300,
        ends=metric_bounds(level, metric, difference=True),
    )
    log_axes(fig, "x")
    return fig


def _in_question(name: str) -> bool:
    """Whether a selector's neurons are those that are compared with the others."""
    return name == "variance" or name.startswith(NAMED)


def _curve(table: pd.DataFrame, name: str, names: Sequence[str]) -> Line:
    """A selector at every size: random ones as bands, the top neurons with bars."""
    is_random = int(numbers(table, "n_random_sets").max()) > 1
    interval = "own" if is_random or _in_question(name) else ""
    label = selector_short(name)
    return line_of(
        table,
        "size",
        "value",
        label,
        selector_looks(names)[name],
        interval=interval,
        bars=not is_random,
    )


def _neurons(table: pd.DataFrame, group: str, intervals: bool) -> Line:
    name, look = _GROUPS[group]
    ends = (-numbers(table, "change_high"), -numbers(table, "change_low"))
    x, y = numbers(table, "variance"), numbers(table, "importance")
    hover = [
        f"channel {channel}<br>variance {v:.4g}<br>importance {i:+.4f}"
        for channel, v, i in zip(table["channel"], x, y, strict=True)
    ]
    bars = ends if intervals else None
    return Line(name, x, y, look, bars, bars=True, mode="markers", hover=hover)


def _done(mode: str) -> tuple[str, str]:
    """What a mode does to neurons, in short and in full."""
    if mode == "remove":
        return "knocked out", "knocked out"
    return "kept", "kept, all others knocked out"


def _informative(curves: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Leave out the size at which every selector takes the same neurons: all there are."""
    largest = int(numbers(curves, "size").max())
    at = where(curves, size=largest)
    # A selector that cannot be made at this size has a row without a value.
    values = {
        m: set(where(at, level=m[0], metric=m[1])["value"].dropna()) for m in _metrics(at, None)
    }
    alone = len(set(at["selector"])) == 1 or len(set(curves["size"])) == 1
    if alone or any(len(found) > 1 for found in values.values()):
        return curves, ""
    said = ", ".join(
        f"{metric_title(*m)} {values[m].pop():.3g}" for m in HEADLINE_METRICS if m in values
    )
    return (
        rows(curves, numbers(curves, "size") < largest),
        f" Not drawn: all {largest} neurons, where every selector is the same ({said}).",
    )


def _metrics(table: pd.DataFrame, shown: Metrics | None) -> Metrics:
    """Metrics of a table, or those of them that are wanted."""
    there = list(dict.fromkeys(zip(table["level"], table["metric"], strict=True)))
    measured = there if shown is None else [m for m in shown if m in there]
    if not measured:
        wanted = ", ".join(metric_title(*m) for m in shown or ())
        raise ConfigError(f"no knock-out was measured by {wanted}")
    return measured


def _impossible(table: pd.DataFrame) -> str:
    """What the study says a knock-out cannot change."""
    said = [r for r in dict.fromkeys(table["reason"]) if "cannot" in r or "stays" in r]
    return f" Note: {said[0]}." if said else ""
