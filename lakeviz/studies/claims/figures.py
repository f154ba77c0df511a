"""Claims and their verdicts: every effect with its interval, and verdicts by hook point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.template import NEUTRAL, PALETTE, faded, new_figure, plain
from lakeviz.studies.claims.rules import CONTRADICTED, INCONCLUSIVE, NOT_MEASURED, SUPPORTED
from lakeviz.tables import numbers, where
from lakeviz.wording import counted

_LOOKS: dict[str, tuple[str, str]] = {
    SUPPORTED: (PALETTE[0], "circle"),
    CONTRADICTED: (PALETTE[1], "x"),
    INCONCLUSIVE: (NEUTRAL, "circle-open"),
    NOT_MEASURED: (NEUTRAL, "line-ew-open"),
}
_LETTERS = {SUPPORTED: "S", CONTRADICTED: "C", INCONCLUSIVE: "?", NOT_MEASURED: "–"}
_ROW, _AXIS = 30, 60


def claims_figure(
    parts: pd.DataFrame, effects: pd.DataFrame, *, confidence: float = 0.95
) -> go.Figure:
    """Every effect of the claims at one place, with what its rule asks for.

    Parameters
    ----------
    parts : DataFrame
        Of one set of hook points: columns ``points``, ``claim``, ``part``, ``effect``, ``unit``,
        ``value``, ``corrected_low``, ``corrected_high``, ``rule``, ``smallest_effect``,
        ``verdict``, ``interval_over``, ``n_categories``, ``n_images``, ``n_random_sets`` and
        ``reason``.
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
    of_metric = [row for row in rows if row["unit"] not in _UNITS]
    others = [row for row in rows if row["unit"] in _UNITS]
    fig = new_figure(
        f"Claims at {plain(points[0])}",
        _caption(rows, n_categories, confidence),
        legend_above=True,
        height=_AXIS + _ROW * len(rows) + (_AXIS if others else 0),
    )
    groups = [group for group in (of_metric, others) if group]
    make_subplots(
        rows=len(groups),
        cols=1,
        row_heights=[len(group) for group in groups],
        vertical_spacing=0.16 if len(groups) > 1 else 0,
        figure=fig,
    )
    for number, group in enumerate(groups, start=1):
        _panel(fig, group, effects if n_categories > 1 else effects.iloc[:0], number)
    titles = {True: "effect in units of the metric", False: "effect in the units of the row"}
    for number, group in enumerate(groups, start=1):
        fig.update_xaxes(title_text=titles[group is of_metric], row=number, col=1)
    for verdict, (colour, symbol) in _LOOKS.items():
        n = sum(row["verdict"] == verdict for row in rows)
        fig.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2}},
                name=f"{verdict} ({n})",
            )
        )
    return fig


def _panel(fig: go.Figure, rows: list[dict[Any, Any]], effects: pd.DataFrame, number: int) -> None:
    places = np.arange(len(rows))[::-1]
    for at, row in zip(places, rows, strict=True):
        _mark_rule(fig, row, float(at), number)
    if not effects.empty:
        fig.add_trace(_categories(rows, places, effects, shown=number == 1), row=number, col=1)
    for verdict in _LOOKS:
        fig.add_trace(_effects(rows, places, verdict), row=number, col=1)
    fig.add_shape(
        type="line",
        x0=0,
        x1=0,
        y0=-0.7,
        y1=len(rows) - 0.3,
        line={"width": 1, "color": NEUTRAL, "dash": "dot"},
        row=number,
        col=1,
    )
    fig.update_yaxes(
        tickvals=places,
        ticktext=[_label(row) for row in rows],
        range=[-0.7, len(rows) - 0.3],
        showgrid=False,
        automargin=True,
        row=number,
        col=1,
    )


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
    names = [f"{n} {_words(name)}" for n, name in zip(claims["claim"], claims["name"])]
    fig = new_figure(
        "Verdicts by hook point",
        f"{counted(len(claims), 'claim')}, each judged at every hook point apart, which are not "
        "corrected for each other. S: supported. C: contradicted. ?: inconclusive. "
        "–: not measured.",
        legend_above=True,
        height=_AXIS + _ROW * len(names),
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
    short = [plain(p.split(", ")[0].replace(".hook_resid_post", "")) for p in points]
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


# Results of the first version have a claim in shares of bytes.
_UNITS = {
    "projection kernel": "kernel",
    "Jaccard index": "Jaccard",
    "share of bytes": "share",
    "share": "share",
}


def _words(name: object) -> str:
    return plain(str(name).replace("_", " ").replace("pca", "PCA"))


def _label(row: dict[Any, Any]) -> str:
    name, part = _words(row["name"]), _words(row["part"])
    said = [part, *([_UNITS[row["unit"]]] if row["unit"] in _UNITS else [])]
    if not np.isfinite(row["value"]):
        said.append("not measured")
    return f"{row['claim']} {name} ({', '.join(said)})"


def _mark_rule(fig: go.Figure, row: dict[Any, Any], at: float, number: int) -> None:
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
        y0=at - 0.36,
        y1=at + 0.36,
        line={"width": 0},
        fillcolor=faded(PALETTE[3], 0.35),
        layer="below",
        row=number,
        col=1,
    )


def _categories(
    rows: list[dict[Any, Any]], places: np.ndarray, effects: pd.DataFrame, *, shown: bool
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
        showlegend=shown,
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
        customdata=[f"{plain(str(row['effect']))}{_more(row)}" for row, _ in kept],
        hovertemplate="%{customdata}<br>%{x:+.3f}<extra>" + verdict + "</extra>",
        name=verdict,
        showlegend=False,
    )


def _more(row: dict[Any, Any]) -> str:
    """P-value and power, which results of earlier versions have not."""
    said = ""
    if np.isfinite(row.get("p_value", np.nan)):
        said += f"<br>p against one more member: {row['p_value']:.2g}"
    if np.isfinite(row.get("power", np.nan)):
        said += f"<br>power: {100 * row['power']:.0f} % for {plain(str(row['power_for']))}"
    return said


def _caption(rows: list[dict[Any, Any]], n_categories: int, confidence: float) -> str:
    n_images = max(int(row["n_images"]) for row in rows)
    over = (
        f"Student's over {n_categories} categories"
        if n_categories > 1
        else "over test images and draws of the normal images"
    )
    missing = sum(not np.isfinite(row["value"]) for row in rows)
    said = [
        f"{counted(n_images, 'test image')} of {counted(n_categories, 'category', 'categories')}.",
        f"Bars: intervals {over}, which hold together with {100 * confidence:g} %.",
        "Shaded: up to the smallest effect of interest.",
    ]
    if n_categories > 1:
        said.append("Ticks: categories.")
    if missing:
        said.append(f"{counted(missing, 'effect')} could not be measured.")
    return " ".join(said)
