"""Single neurons as pictures: what each alone matters, against its variance."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.registry import metric_title
from lakeviz.plots.line_panels import add_series
from lakeviz.plots.panels import (
    Look,
    Panel,
    add_level,
    bottom_titles,
    name_panel,
    panels,
)
from lakeviz.plots.template import PALETTE, counted, new_figure
from lakeviz.studies.knockout.figures import KIND_NAMES, impossible, only, room_for_names
from lakeviz.tables import numbers, rows, where


def neuron_importance_figure(
    neurons: pd.DataFrame,
    *,
    level: str = "image",
    metric: str = "cohens_d",
    intervals: bool = False,
    interval_level: float = 0.95,
) -> go.Figure:
    """Importance of single neurons against their variance, a panel per hook point.

    Parameters
    ----------
    neurons : DataFrame
        ``KnockoutResult.neurons`` of one category, kind and part.
    level, metric : str
    intervals : bool
        Whether to draw the interval over images of every neuron.
    interval_level : float

    Raises
    ------
    ConfigError
        There is no such row, or there are rows of several categories, kinds or parts.
    """
    found = where(neurons, level=level, metric=metric)
    if found.empty:
        raise ConfigError(f"no single neuron was measured by {metric_title(level, metric)}")
    category, kind, part = only(found, "category", "kind", "part")
    points = list(dict.fromkeys(found["point"]))
    what = metric_title(level, metric)
    counts = [len(where(found, group=g)) // len(points) for g in ("selected", "random")]
    n = counted(int(numbers(found, "n_images")[0]), "test image")
    caption = (
        f"{n}; each neuron alone is knocked out. Importance: {what} of the intact detector minus "
        f"that without the neuron; above zero it helped. Filled: the {counts[0]} per hook "
        f"point of highest variance. Open: {counts[1]} others, drawn at random."
        + (f" Bars: {100 * interval_level:g} % bootstrap over images." if intervals else "")
        + impossible(found)
    )
    height = 300 * -(-len(points) // 2) + 40
    title = f"Single neurons of {category}, {KIND_NAMES.get(kind, kind)}, {part} part"
    fig = new_figure(title, caption, legend_above=True, height=height)
    room_for_names(fig)
    made = panels(fig, len(points), columns=2)
    looks = {"selected": Look(PALETTE[0], "solid", "circle")}
    looks["random"] = Look(PALETTE[1], "dash", "diamond-open")
    names = {"selected": "highest variance", "random": "others at random"}
    for number, (panel, point) in enumerate(zip(made, points, strict=True)):
        add_level(fig, panel, 0)
        for group, look in looks.items():
            table = where(found, point=point, group=group)
            # A log axis has no place for a neuron that never varies.
            table = rows(table, numbers(table, "variance") > 0)
            if not table.empty:
                _neurons(fig, panel, table, names[group], look, intervals, shown=number == 0)
        name_panel(fig, number, str(point), "above")
    variance = numbers(found, "variance")
    wide = variance.max() > 100 * variance[variance > 0].min() if (variance > 0).any() else True
    fig.update_xaxes(type="log", exponentformat="power", dtick=1 if wide else "D2")
    bottom_titles(fig, made, "variance over normal patches (squared activation)")
    for panel in made:
        if panel.column == 1:
            fig.update_yaxes(title_text=f"importance, {what}", row=panel.row, col=1)
    return fig


def _neurons(
    fig: go.Figure,
    panel: Panel,
    table: pd.DataFrame,
    name: str,
    look: Look,
    intervals: bool,
    *,
    shown: bool,
) -> None:
    y = numbers(table, "importance")
    interval = (-numbers(table, "change_high"), -numbers(table, "change_low"))
    add_series(
        fig,
        panel,
        numbers(table, "variance"),
        y,
        interval if intervals else None,
        name,
        look,
        bars=True,
        lines=False,
        shown=shown,
    )
    fig.update_traces(
        customdata=table["channel"].to_numpy(),
        hovertemplate="channel %{customdata}<br>variance %{x:.4g}<br>"
        "importance %{y:+.4f}<extra></extra>",
        selector=len(tuple(fig.data)) - 1,
    )
