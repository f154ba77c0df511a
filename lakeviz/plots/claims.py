"""Claims and their verdicts: every effect with its interval, and verdicts by hook point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.tables import numbers, where
from lakeviz.plots.template import NEUTRAL, PALETTE, counted, faded, new_figure, plain

_LOOKS: dict[str, tuple[str, str]] = {
    "supported": (PALETTE[0], "circle"),
    "contradicted": (PALETTE[1], "x"),
    "inconclusive": (NEUTRAL, "circle-open"),
}
_LETTERS = {"supported": "S", "contradicted": "C", "inconclusive": "?"}
_ROW = 30


def claims_figure(
    parts: pd.DataFrame, effects: pd.DataFrame, *, confidence: float = 0.95
) -> go.Figure:
    """Every effect of the claims at one place, with what its rule asks for.

    Parameters
    ----------
    parts : DataFrame
        Of one set of hook points: columns ``points``, ``claim``, ``part``, ``effect``, ``unit``,
        ``value``, ``corrected_low``, ``corrected_high``, ``rule``, ``smallest_effect``,
        ``verdict``, ``interval_over``, ``n_categories``, ``n_images``, ``n_draws``, ``reason``.
    effects : DataFrame
        The same of single categories: columns ``category``, ``claim``, ``part``, ``value``.
    confidence : float
        With which the intervals hold together.

    Raises
    ------
    ConfigError
        The table is empty, or of several sets of hook points.
    """
    points = list(dict.fromkeys(parts["points"]))
    if len(points) != 1:
        raise ConfigError(f"this figure shows claims at one set of hook points, not {len(points)}")
    rows: list[dict[Any, Any]] = parts.to_dict("records")
    n_categories = int(numbers(parts, "n_categories").max())
    fig = new_figure(
        f"Claims at {plain(points[0])}",
        _caption(rows, n_categories, confidence),
        legend_above=True,
        height=150 + _ROW * len(rows),
    )
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        _mark_rule(fig, row, float(place))
    if n_categories > 1:
        fig.add_trace(_categories(rows, places, effects))
    for verdict in _LOOKS:
        fig.add_trace(_effects(rows, places, verdict))
    fig.add_vline(x=0, line={"width": 1, "color": NEUTRAL, "dash": "dot"})
    fig.update_xaxes(title_text="effect (difference of the metric, unless the row says otherwise)")
    fig.update_yaxes(
        tickvals=places,
        ticktext=[_label(row) for row in rows],
        range=[-0.7, len(rows) - 0.3],
        showgrid=False,
        automargin=True,
    )
    return fig


def claims_by_point_figure(verdicts: pd.DataFrame) -> go.Figure:
    """Verdict of each claim at each set of hook points; letters and colours say the same.

    Parameters
    ----------
    verdicts : DataFrame
        Columns ``points``, ``claim``, ``name``, ``verdict`` and ``finding``.

    Raises
    ------
    ConfigError
        The table is empty.
    """
    if verdicts.empty:
        raise ConfigError("there is no verdict to show")
    points = list(dict.fromkeys(verdicts["points"]))
    claims = where(verdicts, points=points[0])
    names = [
        f"{n} {plain(str(name).replace('_', ' '))}"
        for n, name in zip(claims["claim"], claims["name"])
    ]
    fig = new_figure(
        "Verdicts by hook point",
        f"{counted(len(claims), 'claim')}, each judged at every hook point apart, which are not "
        "corrected for each other. S: supported. C: contradicted. ?: inconclusive.",
        legend_above=True,
        height=160 + _ROW * len(names),
    )
    for verdict, (colour, _) in _LOOKS.items():
        own = where(verdicts, verdict=verdict)
        fig.add_trace(
            go.Scatter(
                x=[points.index(p) for p in own["points"]],
                y=[len(names) - list(claims["claim"]).index(c) - 1 for c in own["claim"]],
                mode="markers+text",
                text=[_LETTERS[verdict]] * len(own),
                textfont={"size": 12, "weight": "bold"},
                marker={
                    "symbol": "square",
                    "size": 22,
                    "color": faded(colour, 0.35),
                    "line": {"width": 1, "color": colour},
                },
                customdata=[plain(str(finding)) for finding in own["finding"]],
                hovertemplate="%{customdata}<extra>" + verdict + "</extra>",
                name=f"{verdict} ({len(own)})",
            )
        )
    short = [_short(p) for p in points]
    fig.update_xaxes(
        title_text="hook point",
        tickvals=list(range(len(points))),
        ticktext=short,
        range=[-0.6, len(points) - 0.4],
        showgrid=False,
        zeroline=False,
    )
    fig.update_yaxes(
        tickvals=list(range(len(names)))[::-1],
        ticktext=names,
        range=[-0.7, len(names) - 0.3],
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    return fig


def _short(points: str) -> str:
    first, *others = points.split(", ")
    return plain(first.replace(".hook_resid_post", "")) + (f" + {len(others)}" if others else "")


_UNITS = {"projection kernel": "kernel", "Jaccard index": "Jaccard", "share of bytes": "share"}


def _label(row: dict[Any, Any]) -> str:
    name, part = (plain(str(row[column]).replace("_", " ")) for column in ("name", "part"))
    said = [part, *([_UNITS[row["unit"]]] if row["unit"] in _UNITS else [])]
    if not np.isfinite(row["value"]):
        said.append("not measured")
    return f"{row['claim']} {name} ({', '.join(said)})"


def _mark_rule(fig: go.Figure, row: dict[Any, Any], place: float) -> None:
    """Shade where the smallest effect of interest lies: what the rule asks the interval to meet."""
    d = float(row["smallest_effect"])
    low, high = {
        "superiority": (0.0, d),
        "non-inferiority": (-d, 0.0),
        "equivalence": (-d, d),
    }[row["rule"]]
    fig.add_shape(
        type="rect",
        x0=low,
        x1=high,
        y0=place - 0.36,
        y1=place + 0.36,
        line={"width": 0},
        fillcolor=faded(PALETTE[3], 0.35),
        layer="below",
    )


def _categories(
    rows: list[dict[Any, Any]], places: np.ndarray, effects: pd.DataFrame
) -> go.Scatter:
    x, y, names = [], [], []
    for place, row in zip(places, rows, strict=True):
        own = where(effects, claim=row["claim"], part=row["part"])
        values = numbers(own, "value")
        kept = np.isfinite(values)
        x += values[kept].tolist()
        y += [place - 0.22] * int(kept.sum())
        names += [plain(str(c)) for c in own["category"].to_numpy()[kept]]
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 6, "color": NEUTRAL},
        customdata=names,
        hovertemplate="%{customdata}: %{x:+.3f}<extra></extra>",
        name="categories",
    )


def _effects(rows: list[dict[Any, Any]], places: np.ndarray, verdict: str) -> go.Scatter:
    colour, symbol = _LOOKS[verdict]
    kept = [
        (row, place)
        for row, place in zip(rows, places, strict=True)
        if row["verdict"] == verdict and np.isfinite(row["value"])
    ]
    value = np.array([row["value"] for row, _ in kept], dtype=float)
    high = np.array([row["corrected_high"] for row, _ in kept], dtype=float)
    low = np.array([row["corrected_low"] for row, _ in kept], dtype=float)
    return go.Scatter(
        x=value,
        y=[place for _, place in kept],
        mode="markers",
        marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2}},
        error_x={
            "array": np.nan_to_num(high - value),
            "arrayminus": np.nan_to_num(value - low),
            "color": colour,
            "thickness": 2,
            "width": 5,
        },
        customdata=[plain(str(row["effect"])) for row, _ in kept],
        hovertemplate="%{customdata}<br>%{x:+.3f}<extra>" + verdict + "</extra>",
        name=f"{verdict} ({sum(row['verdict'] == verdict for row in rows)})",
    )


def _caption(rows: list[dict[Any, Any]], n_categories: int, confidence: float) -> str:
    n_images = max(int(row["n_images"]) for row in rows)
    over = (
        f"Student's over {n_categories} categories"
        if n_categories > 1
        else "of the bootstrap over images"
    )
    missing = sum(not np.isfinite(row["value"]) for row in rows)
    said = [
        f"{counted(n_images, 'test image')} of {counted(n_categories, 'category', 'categories')}.",
        f"Bars: intervals {over}, which hold together with {100 * confidence:g} %; exact numbers "
        "have none.",
        "Shaded: up to the smallest effect of interest.",
    ]
    if n_categories > 1:
        said.append("Ticks: categories.")
    if missing:
        said.append(f"{counted(missing, 'effect')} could not be measured.")
    return " ".join(said)
