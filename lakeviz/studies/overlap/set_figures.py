"""Figures of the study ``overlap``: how many items share neurons, and the sets themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.forest import name_lines
from lakeviz.plots.line_panels import Line, add_line
from lakeviz.plots.panels import Look, Panel, panels
from lakeviz.plots.template import NEUTRAL, PALETTE, faded, new_figure, plain
from lakeviz.tables import is_measured, numbers
from lakeviz.wording import counted, percent

_MOST_SETS = 8
_DOT = 20


def shared_neurons_figure(
    shared: pd.DataFrame,
    *,
    title: str = "Neurons that several items select",
    of: str = "categories",
    confidence: float = 0.95,
) -> go.Figure:
    """Number of neurons that ``m`` or more items select, and of random and matched sets.

    Parameters
    ----------
    shared : DataFrame
        ``OverlapResult.shared``, of one group.
    title : str
    of : str
        What is compared, for the axis.
    confidence : float
        Of the bands.

    Raises
    ------
    ConfigError
        The table is empty, or holds several groups.
    """
    if shared.empty:
        raise ConfigError("there are no shared neurons to draw")
    m = numbers(shared, "m")
    if len(set(m)) != len(m):
        raise ConfigError("several groups: choose the rows of one")
    n_items, k = int(numbers(shared, "n_items")[0]), int(numbers(shared, "k")[0])
    caption = (
        f"{n_items} {of} of {counted(k, 'neuron')} each. Lines: {percent(confidence)} of draws of "
        "independent sets: random ones, and other neurons of nearly the same variance. Bars above "
        "a line: more neurons in common than such sets have."
    )
    fig = new_figure(title, caption, legend_above=True, height=340)
    (panel,) = panels(fig, 1)
    bars = go.Bar(
        x=m,
        y=numbers(shared, "n_neurons"),
        marker={"color": faded(PALETTE[0], 0.5)},
        name="selected",
        hovertemplate="%{x} or more: %{y} neurons<extra></extra>",
    )
    fig.add_trace(bars, **panel.at)
    nulls = [
        ("random sets", "expected", "random", Look(PALETTE[1], "dash", "diamond")),
        ("sets next in variance", "matched_mean", "matched", Look(PALETTE[2], "dot", "square")),
    ]
    for name, mean, null, look in nulls:
        if is_measured(shared, mean):
            low, high = (numbers(shared, f"{null}_quantile_{end}") for end in ("low", "high"))
            # Marks, as there is nothing between two counts that a line could show.
            line = Line(
                name, m, numbers(shared, mean), look, (low, high), bars=True, mode="markers"
            )
            add_line(fig, panel, line)
    step = 1 if n_items <= 25 else 5
    fig.update_xaxes(title_text=f"selected by this many {plain(of)} or more", dtick=step)
    fig.update_yaxes(title_text="number of neurons", rangemode="tozero")
    fig.update_layout(bargap=0.3)
    return fig


def neuron_sets_figure(
    selections: pd.DataFrame,
    *,
    order: Sequence[str] | None = None,
    limit: int = 24,
    title: str | None = None,
    of: str = "categories",
) -> go.Figure:
    """Intersections of a few sets, or the neurons that most of many sets share.

    Up to eight sets: an UpSet plot (Lex et al., IEEE TVCG 2014), whose columns are exact
    intersections, the largest first. More: columns are single neurons, the most shared first.

    Parameters
    ----------
    selections : DataFrame
        ``OverlapResult.selections``, of one group.
    order : sequence of str, optional
        Of the sets, such as the leaves of the clustering.
    limit : int
        Columns drawn at most.
    title : str, optional
    of : str
        What is compared, for the caption.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    if selections.empty:
        raise ConfigError("there are no selections to draw")
    names = [str(n) for n in (order or dict.fromkeys(selections["name"]))]
    found: dict[int, set[str]] = {}
    for channel, name in zip(
        numbers(selections, "channel").astype(int).tolist(), selections["name"]
    ):
        found.setdefault(channel, set()).add(str(name))
    holders = {channel: frozenset(own) for channel, own in sorted(found.items())}
    few = len(names) <= _MOST_SETS
    columns = _intersections(holders) if few else _neurons(holders)
    shown, n_names = columns[:limit], len(names)
    n_all, n_shown = (sum(c.height if few else 1 for c in some) for some in (columns, shown))
    caption = (
        f"{n_names} {of}, {counted(n_all, 'different neuron')} in all"
        + ("" if n_all == n_shown else f"; {n_shown} of them shown")
        + (". Bars: neurons in exactly these sets" if few else ". Bars: how many select the neuron")
        + "; filled dots: which."
    )
    said = title or ("Intersections of the selections" if few else "The most shared neurons")
    fig = new_figure(said, caption, height=190 + _DOT * n_names, showlegend=False)
    make_subplots(
        rows=2,
        row_heights=[110, _DOT * n_names],
        vertical_spacing=0.03,
        shared_xaxes=True,
        figure=fig,
    )
    above, below = Panel(1, 1), Panel(2, 1)
    fig.add_trace(_bars(shown, "" if few else "channel "), **above.at)
    for trace in _dots(shown, names):
        fig.add_trace(trace, **below.at)
    fig.update_yaxes(title_text="neurons" if few else of, rangemode="tozero", **above.at)
    name_lines(fig, names, below)
    fig.update_yaxes(showgrid=False, **below.at)
    labels = ["" if few else c.label for c in shown]
    ticks = {"tickvals": list(range(len(shown))), "ticktext": labels, "ticks": ""}
    fig.update_xaxes(**ticks, range=[-0.6, len(shown) - 0.4], showgrid=False, tickangle=-90)
    fig.update_xaxes(title_text="intersection" if few else "neuron (channel)", **below.at)
    return fig


@dataclass(frozen=True)
class _Column:
    label: str
    height: int
    holders: frozenset[str]


def _intersections(holders: Mapping[int, frozenset[str]]) -> list[_Column]:
    ranked = sorted(
        Counter(holders.values()).items(), key=lambda e: (-e[1], -len(e[0]), sorted(e[0]))
    )
    return [_Column(" and ".join(sorted(names)), n, names) for names, n in ranked]


def _neurons(holders: Mapping[int, frozenset[str]]) -> list[_Column]:
    ranked = sorted(holders.items(), key=lambda e: (-len(e[1]), e[0]))
    return [_Column(str(channel), len(names), names) for channel, names in ranked]


def _bars(columns: Sequence[_Column], before: str) -> go.Bar:
    return go.Bar(
        x=list(range(len(columns))),
        y=[c.height for c in columns],
        customdata=[plain(c.label) for c in columns],
        text=[str(c.height) for c in columns],
        textposition="outside",
        cliponaxis=False,
        marker={"color": faded(PALETTE[0], 0.5)},
        hovertemplate=before + "%{customdata}: %{y}<extra></extra>",
        name="size",
    )


def _dots(columns: Sequence[_Column], names: Sequence[str]) -> list[go.Scatter]:
    """Lines from the first to the last set of each column, and a dot for every set."""
    held = np.array([[name in c.holders for name in names] for c in columns])
    line_x: list[float | None] = []
    line_y: list[float | None] = []
    for x, row in enumerate(held):
        if row.any():
            line_x += [x, x, None]
            line_y += [int(np.argmax(row)), len(row) - 1 - int(np.argmax(row[::-1])), None]
    shared = {"hoverinfo": "skip"}
    span = {"color": faded(PALETTE[0], 0.35), "width": 2}
    found = [go.Scatter(x=line_x, y=line_y, mode="lines", line=span, name="span", **shared)]
    looks = {False: (5, faded(NEUTRAL, 0.35), "not selected"), True: (10, PALETTE[0], "selected")}
    for state, (size, colour, name) in looks.items():
        x, y = np.nonzero(held == state)
        marker = {"symbol": "circle", "size": size, "color": colour}
        found.append(go.Scatter(x=x, y=y, mode="markers", marker=marker, name=name, **shared))
    return found
