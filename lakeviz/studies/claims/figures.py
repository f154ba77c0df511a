"""Claims and their verdicts: every effect with its interval, and verdicts by hook point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate
from lakeviz.plots.forest import ForestRow, add_forest
from lakeviz.plots.panels import Look, Panel
from lakeviz.plots.template import NEUTRAL, PALETTE, faded, new_figure, plain
from lakeviz.studies.claims.rules import CONTRADICTED, INCONCLUSIVE, NOT_MEASURED, SUPPORTED
from lakeviz.tables import Row, numbers, records, where
from lakeviz.wording import counted

_LOOKS = {
    SUPPORTED: Look(PALETTE[0], "solid", "circle"),
    CONTRADICTED: Look(PALETTE[1], "solid", "x"),
    INCONCLUSIVE: Look(NEUTRAL, "solid", "circle-open"),
    NOT_MEASURED: Look(NEUTRAL, "solid", "line-ew-open"),
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
    rows = records(parts)
    n_categories = int(numbers(parts, "n_categories").max())
    of_metric = [row for row in rows if row["unit"] not in _UNITS]
    others = [row for row in rows if row["unit"] in _UNITS]
    fig = new_figure(
        f"Claims at {plain(points[0])}",
        _caption(rows, n_categories, confidence),
        legend_above=True,
        height=_AXIS + _ROW * len(rows) + (_AXIS if others else 0),
    )
    titles = ("effect in units of the metric", "effect in the units of the row")
    groups = [(own, title) for own, title in zip((of_metric, others), titles) if own]
    make_subplots(
        rows=len(groups),
        cols=1,
        row_heights=[len(group) for group, _ in groups],
        vertical_spacing=0.16 if len(groups) > 1 else 0,
        figure=fig,
    )
    counts, known = Counter(row["verdict"] for row in rows), set[str]()
    for number, (group, title) in enumerate(groups, start=1):
        panel = Panel(number, 1)
        shown = [
            _line(row, effects if n_categories > 1 else effects.iloc[:0], counts) for row in group
        ]
        add_forest(fig, panel, shown, form="+.3f", known=known)
        fig.update_xaxes(title_text=title, **panel.at)
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
    names = [f"{n} {plain(_words(name))}" for n, name in zip(claims["claim"], claims["name"])]
    fig = new_figure(
        "Verdicts by hook point",
        f"{counted(len(claims), 'claim')}, each judged at every hook point apart, which are not "
        "corrected for each other. S: supported. C: contradicted. ?: inconclusive. "
        "–: not measured.",
        legend_above=True,
        height=_AXIS + _ROW * len(names),
    )
    for verdict, look in _LOOKS.items():
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
                    "color": faded(look.colour, 0.35),
                    "line": {"width": 1, "color": look.colour},
                },
                customdata=[plain(str(finding)) for finding in own["finding"]],
                hovertemplate="%{customdata}<extra>" + verdict + "</extra>",
                name=f"{verdict} ({len(own)})",
            )
        )
    fig.update_xaxes(
        title_text="hook point",
        tickvals=list(range(len(points))),
        ticktext=[plain(short_points(p)) for p in points],
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


def short_points(points: str) -> str:
    """Name of some hook points, as an axis or a column has room for."""
    first, *others = points.split(", ")
    return first.replace(".hook_resid_post", "") + (f" + {len(others)}" if others else "")


def _words(name: object) -> str:
    return str(name).replace("_", " ").replace("pca", "PCA")


def _label(row: Row) -> str:
    name, part = _words(row["name"]), _words(row["part"])
    said = [part, *([_UNITS[row["unit"]]] if row["unit"] in _UNITS else [])]
    if not np.isfinite(row["value"]):
        said.append("not measured")
    return f"{row['claim']} {name} ({', '.join(said)})"


def _line(row: Row, effects: pd.DataFrame, counts: Mapping[str, int]) -> ForestRow:
    """An effect, on what its rule asks the interval to meet: up to the smallest effect."""
    d, verdict = float(row["smallest_effect"]), row["verdict"]
    zones = {"superiority": (0.0, d), "non-inferiority": (-d, 0.0), "equivalence": (-d, d)}
    found = Estimate(row["value"], row["corrected_low"], row["corrected_high"])
    own = where(effects, claim=row["claim"], part=row["part"])
    return ForestRow(
        _label(row),
        found,
        members={
            str(one["category"]): one["value"] for one in records(own) if np.isfinite(one["value"])
        },
        series=f"{verdict} ({counts[verdict]})",
        look=_LOOKS[verdict],
        zone=zones[row["rule"]],
        hover=f"{plain(str(row['effect']))}{_more(row)}<br>{found.text(signed=True)}, {verdict}",
    )


def _more(row: Row) -> str:
    """P-value and power, which results of earlier versions have not."""
    said = ""
    if np.isfinite(row.get("p_value", np.nan)):
        said += f"<br>p against one more member: {row['p_value']:.2g}"
    if np.isfinite(row.get("power", np.nan)):
        said += f"<br>power: {100 * row['power']:.0f} % for {plain(str(row['power_for']))}"
    return said


def _caption(rows: Sequence[Row], n_categories: int, confidence: float) -> str:
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
        said.append("Small dots: categories.")
    if missing:
        said.append(f"{counted(missing, 'effect')} could not be measured.")
    return " ".join(said)
