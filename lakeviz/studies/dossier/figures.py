"""The dossier of one neuron in one figure: patches, activation, shares, knock-outs, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.difference_plot import metric_title
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import Look
from lakeviz.plots.template import NEUTRAL, faded, new_figure, plain
from lakeviz.studies.neurons.patch_figures import Picture, density_trace, picture_axes, picture_rows
from lakeviz.tables import numbers, where

_OWN = Look.of(0)
_KINDS = {"score": "score", "forward": "forward", "weights": "weights"}
_SOURCES = {"patches": "patches", "direction": "direction"}
_SHARES = {"share_normal": "normal patches", "share_anomalous": "defect patches"}
_PICTURE_ROW, _PANEL, _GAP = 100, 180, 92
_ENDS = ("low", "high")


@dataclass(frozen=True)
class Shown:
    """Pictures of a neuron's patches with their labels: the highest, and those over its range."""

    top: Sequence[Picture]
    top_labels: Sequence[str]
    spread: Sequence[Picture]
    spread_labels: Sequence[str]
    spread_texts: Sequence[str]


@dataclass(frozen=True)
class Row:
    """A number of the neuron on one line, with the range of the random neurons behind it."""

    name: str
    value: float
    low: float
    high: float
    control: tuple[float, float, float]  # lowest, mean, highest


def neuron_dossier_figure(
    tables: Mapping[str, pd.DataFrame],
    shown: Shown | None = None,
    *,
    title: str | None = None,
    interval_level: float = 0.95,
) -> go.Figure:
    """Draw one neuron's dossier.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        What ``DossierResult.of(category, point, channel)`` gives.
    shown : Shown, optional
        Pictures of its patches; left out without them.
    title : str, optional
    interval_level : float
        For the caption.

    Raises
    ------
    ConfigError
        The tables are not those of one neuron.
    """
    index = tables["neurons"]
    if len(index) != 1:
        raise ConfigError(f"a dossier is of one neuron, and the tables hold {len(index)}")
    row = index.iloc[0]
    if title is None:
        title = f"Channel {row['channel']} of {short_point(row['point'])} ({row['category']})"
    pictured = shown is not None and bool(shown.top)
    fig, first = _frame(title, _caption(tables, interval_level, pictured=pictured), shown)
    _activation(fig, tables, first, 1)
    _beside(fig, _share_rows(tables["shares"]), first, 2, "share of the distance (%)")
    knocked = _knocked_rows(tables["effects"])
    _beside(fig, knocked, first + 1, 1, "change without the neuron", zero=True)
    _words(fig, tables["labels"], first + 1, 2)
    return fig


# --- the frame ---


def _frame(title: str, caption: str, shown: Shown | None) -> tuple[go.Figure, int]:
    """Empty panels, and the row of the first below the pictures."""
    n_pictures = 0 if shown is None else (bool(shown.top) + bool(shown.spread))
    heights = ([_PICTURE_ROW * n_pictures] if n_pictures else []) + [_PANEL, _PANEL + 20]
    gaps = [34] * bool(n_pictures) + [_GAP]
    total = sum(heights) + sum(gaps) + 50
    fig = new_figure(title, caption, height=total)
    specs: list[list[dict | None]] = [[{}, {}], [{}, {}]]
    if n_pictures:
        specs.insert(0, [{"colspan": 2}, None])
    make_subplots(rows=len(heights), cols=2, specs=specs, horizontal_spacing=0.2, figure=fig)
    top = 1.0
    for row, (height, gap) in enumerate(zip(heights, [*gaps, 0], strict=True), start=1):
        share = height / (sum(heights) + sum(gaps))
        fig.update_yaxes(domain=[max(top - share, 0), top], row=row)
        top -= share + gap / (sum(heights) + sum(gaps))
    if shown is not None and n_pictures:
        _pictures(fig, shown)
    of_density = 1 - (heights[0] + gaps[0]) / (sum(heights) + sum(gaps)) if n_pictures else 1
    corner = {"x": 0.4, "xanchor": "right", "y": of_density, "yanchor": "top"}
    fig.update_layout(legend={**corner, "orientation": "v"})
    return fig, 1 + bool(n_pictures)


def _pictures(fig: go.Figure, shown: Shown) -> None:
    rows = [(shown.top, shown.top_labels, shown.top_labels, "highest")]
    if shown.spread:
        rows.append((shown.spread, shown.spread_labels, shown.spread_texts, "over the\nrange"))
    pictures, labels, texts, names = (list(own) for own in zip(*rows, strict=True))
    made = picture_rows(pictures, labels, texts)
    fig.update_layout(images=made["images"], shapes=made["shapes"], annotations=made["annotations"])
    picture_axes(fig, pictures, labels, names, row=1, col=1)


def _caption(tables: Mapping[str, pd.DataFrame], level: float, *, pictured: bool) -> str:
    row, activations = tables["neurons"].iloc[0], tables["activations"]
    n_random = int(numbers(activations, "n_draws").max())
    rank = f"Rank {row['variance_rank']} of {row['n_channels']} by variance"
    chosen = "selected" if row["selected"] else "not selected"
    said = [
        f"{rank}, {chosen}. Marks: this neuron, with {100 * level:g} % intervals over images; grey "
        f"bars: lowest to highest of {n_random} random neurons of the point (fewer for forward and "
        "weights), ticks: their mean. Shares and knock-outs: of the detector that reads all "
        f"channels; {int(row['n_images']):,} test images."
    ]
    if len(tables["labels"]):
        said.append(
            "Words: margin over other neurons, in spreads; grey: 95 % of shuffled labels (patches) "
            "or random directions, to be compared with the open mark, which is what was tested."
        )
    if pictured:
        said.append(
            "Pictures: patches (outlined) amid their neighbours: those of highest activation, then "
            "some at quantiles of it."
        )
    return " ".join(said)


# --- panels ---


def _activation(fig: go.Figure, tables: Mapping[str, pd.DataFrame], row: int, col: int) -> None:
    histograms = tables["histograms"]
    for label in dict.fromkeys(histograms["label"]):
        trace = density_trace(where(histograms, label=label), label, shown=True)
        fig.add_trace(trace, row=row, col=col)
    said = "activation"
    delta = where(tables["activations"], measure="cliffs_delta")
    value, low, high = (float(numbers(delta, name)[0]) for name in ("value", *_ENDS))
    if np.isfinite(value):
        said += f"<br>Cliff's δ {value:+.2f} [{low:+.2f}, {high:+.2f}]"
        if int(numbers(delta, "n_draws")[0]):
            control = [float(numbers(delta, f"control_{end}")[0]) for end in _ENDS]
            said += f"; random {control[0]:+.2f} to {control[1]:+.2f}"
    title = said.replace("-", "−")
    fig.update_xaxes(title_text=title, title_font_size=12, row=row, col=col)
    fig.update_yaxes(title_text="density", rangemode="tozero", row=row, col=col)


def _share_rows(shares: pd.DataFrame) -> list[Row]:
    """Shares in per cent, and the even share as a line of its own."""
    made = [_row(where(shares, measure=m), "value", n, 100) for m, n in _SHARES.items()]
    even = 100 * float(numbers(shares, "uniform")[0])
    made = [own for own in made if np.isfinite(own.value)]
    return [*made, Row("an even share", even, even, even, (np.nan, np.nan, np.nan))] if made else []


def _knocked_rows(effects: pd.DataFrame) -> list[Row]:
    made = []
    for kind, said in _KINDS.items():
        own = where(effects, kind=kind)
        for level, metric in dict.fromkeys(zip(own["level"], own["metric"], strict=True)):
            table = where(own, level=level, metric=metric)
            name = f"{said}, {metric_title(level, metric)}"
            made.append(_row(table, "change", name, 1))
    return [own for own in made if np.isfinite(own.value)]


def _row(table: pd.DataFrame, column: str, name: str, unit: float) -> Row:
    ends = [f"{column}_{end}" if column != "value" else end for end in _ENDS]
    value, low, high = (unit * float(numbers(table, c)[0]) for c in (column, *ends))
    names = ("control_low", "control_mean", "control_high")
    control = tuple(unit * float(numbers(table, c)[0]) for c in names)
    return Row(name, value, low, high, (control[0], control[1], control[2]))


def _words(fig: go.Figure, labels: pd.DataFrame, row: int, col: int) -> None:
    made, tests = [], []
    for source, said in _SOURCES.items():
        own = where(labels, source=source) if len(labels) else labels
        for number in range(len(own)):
            one = own.iloc[[number]]
            margin = float(numbers(one, "margin")[0])
            if not np.isfinite(margin):
                continue
            control = tuple(float(numbers(one, f"control_{n}")[0]) for n in ("low", "mean", "high"))
            name = f"{one['word'].iloc[0]} ({said})"
            made.append(Row(name, margin, margin, margin, (control[0], control[1], control[2])))
            tests.append(float(numbers(one, "value")[0]))
    _beside(fig, made, row, col, "margin of the word (spreads)", zero=True)
    places = [i for i, value in enumerate(tests) if np.isfinite(value)]
    if places:
        trace = go.Scatter(
            x=[tests[i] for i in places],
            y=places,
            mode="markers",
            marker={"symbol": f"{_OWN.marker}-open", "size": 11, "color": _OWN.colour},
            hovertemplate="tested: %{x:.3f}<extra></extra>",
            showlegend=False,
        )
        fig.add_trace(trace, row=row, col=col)


def _beside(
    fig: go.Figure, rows: Sequence[Row], row: int, col: int, title: str, *, zero: bool = False
) -> None:
    """Numbers line by line, each on the range of the random neurons."""
    place: dict[str, Any] = {"row": row, "col": col}
    for number, own in enumerate(rows):
        low, mean, high = own.control
        if np.isfinite(low):
            bar = go.Scatter(
                x=[low, high],
                y=[number, number],
                mode="lines",
                line={"color": faded(NEUTRAL, 0.4), "width": 11},
                hoverinfo="skip",
                showlegend=False,
            )
            fig.add_trace(bar, **place)
            tick = go.Scatter(
                x=[mean],
                y=[number],
                mode="markers",
                marker={"symbol": "line-ns", "size": 11, "line": {"color": NEUTRAL, "width": 2}},
                hovertemplate=f"random: {mean:.4g} ({low:.4g} to {high:.4g})<extra></extra>",
                showlegend=False,
            )
            fig.add_trace(tick, **place)
    if rows:
        fig.add_trace(_marks(rows), **place)
    else:
        # Axes without a trace are not drawn.
        fig.add_trace(go.Scatter(x=[None], y=[None], showlegend=False), **place)
    if zero and rows:
        fig.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot", "width": 1.2}, **place)
    names = [plain(own.name) for own in rows]
    said = title if rows else f"{title}: not measured"
    fig.update_xaxes(title_text=said, exponentformat="none", nticks=6, **place)
    ends = np.array([[o.low, o.high, *o.control, 0 if zero else o.value] for o in rows])
    if np.isfinite(ends).any():
        low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
        room = 0.06 * (high - low) or 0.1 * abs(high) or 0.01
        fig.update_xaxes(range=[low - room, high + room], **place)
    fig.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=names,
        range=[max(len(rows), 1) - 0.4, -0.6],
        ticks="",
        **place,
    )


def _marks(rows: Sequence[Row]) -> go.Scatter:
    value = np.array([own.value for own in rows])
    return go.Scatter(
        x=value,
        y=list(range(len(rows))),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.array([own.high for own in rows]) - value,
            "arrayminus": value - np.array([own.low for own in rows]),
            "thickness": 1.6,
            "width": 4,
        },
        mode="markers",
        marker={"symbol": _OWN.marker, "size": 8, "color": _OWN.colour},
        text=[f"{own.value:.4g} [{own.low:.4g}, {own.high:.4g}]" for own in rows],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
