"""Which neurons are shared, and by how many: counts beside their nulls, and the sets themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.template import NEUTRAL, PALETTE, counted, faded, new_figure, plain
from lakeviz.tables import numbers

_MOST_SETS = 8
_DOT = 20


def shared_neurons_figure(
    shared: pd.DataFrame,
    *,
    title: str = "Neurons that several items select",
    of: str = "categories",
    level: float = 0.95,
) -> go.Figure:
    """Number of neurons that ``m`` or more items select, beside random and variance-matched sets.

    Parameters
    ----------
    shared : DataFrame
        ``OverlapResult.shared``, of one group.
    title : str
    of : str
        What is compared, for the axis.
    level : float
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
        f"{n_items} {of} of {counted(k, 'neuron')} each. Bands: "
        f"{100 * level:g} % of draws of independent sets: random ones, and other neurons of nearly "
        "the same variance. Bars above a band: more neurons in common than such sets have."
    )
    fig = new_figure(title, caption, legend_above=True, height=340)
    fig.add_trace(
        go.Bar(
            x=m,
            y=numbers(shared, "n_neurons"),
            marker={"color": PALETTE[0]},
            name="selected",
            hovertemplate="%{x} or more: %{y} neurons<extra></extra>",
        )
    )
    nulls = [("random sets", "expected", PALETTE[1], "dash")]
    if np.isfinite(numbers(shared, "matched_mean")).all():
        nulls.append(("variance-matched sets", "matched", PALETTE[2], "dot"))
    for name, column, colour, dash in nulls:
        middle = "matched_mean" if column == "matched" else column
        low, high = numbers(shared, f"{column}_low"), numbers(shared, f"{column}_high")
        fig.add_trace(
            go.Scatter(
                x=[*m, *m[::-1]],
                y=[*high, *low[::-1]],
                fill="toself",
                fillcolor=faded(colour, 0.28),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                name=f"{name}: band",
            )
        )
        fig.add_trace(
            go.Scatter(
                x=m,
                y=numbers(shared, middle),
                mode="lines",
                line={"color": colour, "width": 2, "dash": dash},
                name=name,
                hovertemplate=f"{name}: %{{y:.1f}}<extra></extra>",
            )
        )
    fig.update_xaxes(title_text=f"selected by this many {plain(of)} or more", dtick=_step(n_items))
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
    """Who selects what: intersections of a few sets, or the neurons that most of many sets share.

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
    holders: dict[int, set[str]] = {}
    for name, channel in zip(selections["name"], numbers(selections, "channel").astype(int)):
        holders.setdefault(int(channel), set()).add(str(name))
    few = len(names) <= _MOST_SETS
    columns = _intersections(holders) if few else _neurons(holders)
    shown = columns[:limit]
    caption = _caption(len(names), of, columns, shown, few=few)
    said = title or ("Intersections of the selections" if few else "The most shared neurons")
    fig = new_figure(said, caption, height=190 + _DOT * len(names))
    make_subplots(
        rows=2,
        cols=1,
        row_heights=[110, _DOT * len(names)],
        vertical_spacing=0.03,
        shared_xaxes=True,
        figure=fig,
    )
    fig.add_trace(_bars(shown, few=few), row=1, col=1)
    for trace in _dots(shown, names):
        fig.add_trace(trace, row=2, col=1)
    fig.update_yaxes(title_text="neurons" if few else of, rangemode="tozero", row=1, col=1)
    fig.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[plain(n) for n in names],
        range=[len(names) - 0.5, -0.5],
        ticks="",
        showline=False,
        showgrid=False,
        row=2,
        col=1,
    )
    labels = [""] * len(shown) if few else [c.label for c in shown]
    ticks = {"tickvals": list(range(len(shown))), "ticktext": labels, "ticks": ""}
    fig.update_xaxes(**ticks, range=[-0.6, len(shown) - 0.4], showgrid=False, tickangle=-90)
    fig.update_xaxes(title_text="intersection" if few else "neuron (channel)", row=2, col=1)
    fig.update_layout(showlegend=False)
    return fig


@dataclass(frozen=True)
class _Column:
    label: str
    height: int
    holders: frozenset[str]


def _intersections(holders: dict[int, set[str]]) -> list[_Column]:
    found: dict[frozenset[str], int] = {}
    for names in holders.values():
        found[frozenset(names)] = found.get(frozenset(names), 0) + 1
    ranked = sorted(found.items(), key=lambda e: (-e[1], -len(e[0]), sorted(e[0])))
    return [_Column(" and ".join(sorted(s)), n, s) for s, n in ranked]


def _neurons(holders: dict[int, set[str]]) -> list[_Column]:
    ranked = sorted(holders.items(), key=lambda e: (-len(e[1]), e[0]))
    return [_Column(str(channel), len(names), frozenset(names)) for channel, names in ranked]


def _caption(
    n_sets: int, of: str, columns: list[_Column], shown: list[_Column], *, few: bool
) -> str:
    n_all = sum(c.height for c in columns) if few else len(columns)
    n_shown = sum(c.height for c in shown) if few else len(shown)
    what = "Bars: neurons in exactly these sets" if few else "Bars: how many select the neuron"
    part = "" if n_all == n_shown else f"; {n_shown} of them shown"
    return (
        f"{n_sets} {of}, {counted(n_all, 'different neuron')} in all{part}. "
        f"{what}; filled dots: which."
    )


def _bars(columns: list[_Column], *, few: bool) -> go.Bar:
    said = "%{customdata}: %{y} neurons" if few else "channel %{customdata}: %{y}"
    return go.Bar(
        x=list(range(len(columns))),
        y=[c.height for c in columns],
        customdata=[plain(c.label) for c in columns],
        text=[str(c.height) for c in columns],
        textposition="outside",
        cliponaxis=False,
        marker={"color": PALETTE[0]},
        hovertemplate=said + "<extra></extra>",
        name="size",
    )


def _dots(columns: list[_Column], names: Sequence[str]) -> list[go.Scatter]:
    places = {True: ([], []), False: ([], [])}
    line_x: list[float | None] = []
    line_y: list[float | None] = []
    for x, column in enumerate(columns):
        held = [y for y, name in enumerate(names) if name in column.holders]
        for y, name in enumerate(names):
            xs, ys = places[name in column.holders]
            xs.append(x)
            ys.append(y)
        if held:
            line_x += [x, x, None]
            line_y += [held[0], held[-1], None]
    lines = go.Scatter(
        x=line_x,
        y=line_y,
        mode="lines",
        line={"color": faded(PALETTE[0], 0.35), "width": 2},
        hoverinfo="skip",
        name="span",
    )
    dots = [
        go.Scatter(
            x=places[held][0],
            y=places[held][1],
            mode="markers",
            marker={
                "symbol": "circle",
                "size": 10 if held else 5,
                "color": PALETTE[0] if held else faded(NEUTRAL, 0.35),
            },
            hoverinfo="skip",
            name="selected" if held else "not selected",
        )
        for held in (False, True)
    ]
    return [lines, *dots]


def _step(n_items: int) -> int:
    return 1 if n_items <= 25 else 5
