"""The dossier of one neuron in one figure: patches, activation, shares, knock-outs, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate, estimate
from lakeviz.metrics.registry import metric_title
from lakeviz.plots.forest import OWN, ForestRow, add_forest, name_lines
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import Panel
from lakeviz.plots.template import new_figure
from lakeviz.studies.neurons.example_patches import decode
from lakeviz.studies.neurons.patch_figures import add_pictures, density_trace
from lakeviz.tables import Row, numbers, records, where
from lakeviz.wording import percent

_PICTURE_ROW, _PANEL, _GAP = 100, 180, 92


def neuron_figure(result: Any, category: str, point: str, channel: int) -> go.Figure:
    """The dossier of one neuron as a figure, with the pictures that the result holds.

    Raises
    ------
    SelectionError
        If there is no dossier of it.
    """
    tables = result.of(category, point, channel)
    return neuron_dossier_figure(tables, confidence=result.confidence)


def neuron_dossier_figure(
    tables: Mapping[str, pd.DataFrame], *, pictures: bool = True, confidence: float = 0.95
) -> go.Figure:
    """Draw one neuron's dossier.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        What ``DossierResult.of(category, point, channel)`` gives.
    pictures : bool
        Show those of its patches that there are.
    confidence : float
        For the caption.

    Raises
    ------
    ConfigError
        The tables are not those of one neuron.
    """
    index = tables["neurons"]
    if len(index) != 1:
        raise ConfigError(f"a dossier is of one neuron, and the tables hold {len(index)}")
    (row,) = records(index)
    title = f"Channel {row['channel']} of {short_point(row['point'])} ({row['category']})"
    strips = _strips(tables["patches"]) if pictures else []
    fig, first = _frame(title, _caption(row, tables, confidence, pictured=bool(strips)), strips)
    _activation(fig, Panel(first, 1), tables)
    shares = _share_rows(tables["shares"])
    _forest(fig, Panel(first, 2), shares, "share of the distance (%)")
    knocked = _knocked_rows(tables["effects"])
    _forest(fig, Panel(first + 1, 1), knocked, "change without the neuron", zero=0)
    _words(fig, Panel(first + 1, 2), tables["labels"])
    return fig


def quantile_name(q: float) -> str:
    """Name of a quantile of the activation."""
    return {0.0: "lowest", 0.5: "median"}.get(q, f"{100 * q:g} %")


def _strips(patches: pd.DataFrame) -> list[list[Row]]:
    """Rows of patches that have a picture: the highest, and those over the range."""
    found = [records(patches, kind=kind) for kind in ("top", "spread")]
    found = [[row for row in own if row["crop"] is not None] for own in found]
    return [own for own in found if own]


def _frame(title: str, caption: str, strips: Sequence[Sequence[Row]]) -> tuple[go.Figure, int]:
    """Empty panels, and the row of the first below the pictures."""
    heights = [_PICTURE_ROW * len(strips)] * bool(strips) + [_PANEL, _PANEL + 20]
    gaps = [34] * bool(strips) + [_GAP]
    whole = sum(heights) + sum(gaps)
    fig = new_figure(title, caption, height=whole + 50)
    pictured: list[list[dict[str, int] | None]] = [[{"colspan": 2}, None]] * bool(strips)
    specs = [*pictured, [{}, {}], [{}, {}]]
    make_subplots(rows=len(heights), cols=2, specs=specs, horizontal_spacing=0.2, figure=fig)
    top = legend = 1.0
    for row, (height, gap) in enumerate(zip(heights, [*gaps, 0], strict=True), start=1):
        fig.update_yaxes(domain=[max(top - height / whole, 0), top], row=row)
        legend = top if row == len(heights) - 1 else legend
        top -= (height + gap) / whole
    if strips:
        _add_pictures(fig, strips)
    corner = {"x": 0.4, "xanchor": "right", "y": legend, "yanchor": "top"}
    fig.update_layout(legend={**corner, "orientation": "v"})
    return fig, 1 + bool(strips)


def _add_pictures(fig: go.Figure, strips: Sequence[Sequence[Row]]) -> None:
    pictures, labels, texts, names = [], [], [], []
    for own in strips:
        is_top = own[0]["kind"] == "top"
        pictures.append([np.asarray(decode(row["crop"])) for row in own])
        labels.append([row["label"] for row in own])
        texts.append(labels[-1] if is_top else [quantile_name(row["quantile"]) for row in own])
        names.append("highest" if is_top else "over the\nrange")
    add_pictures(fig, pictures, labels, names, texts, row=1, col=1)


def _caption(
    row: Row, tables: Mapping[str, pd.DataFrame], confidence: float, *, pictured: bool
) -> str:
    compared = (tables[name] for name in ("activations", "shares"))  # one of them without masks
    n_random = max(int(np.nanmax(numbers(t, "n_random"), initial=0)) for t in compared)
    chosen = "selected" if row["selected"] else "not selected"
    said = [
        f"Rank {row['variance_rank']} of {row['n_channels']} by variance, {chosen}. Marks: this "
        f"neuron, with {percent(confidence)} intervals over images; grey bars: lowest to highest "
        f"of {n_random} random neurons of the point (fewer for forward and weights), ticks: their "
        "mean. Shares and knock-outs: of the detector that reads all channels; "
        f"{row['n_images']:,} test images."
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


def _activation(fig: go.Figure, panel: Panel, tables: Mapping[str, pd.DataFrame]) -> None:
    histograms = tables["histograms"]
    for label in dict.fromkeys(histograms["label"]):
        trace = density_trace(where(histograms, label=label), label, shown=True)
        fig.add_trace(trace, **panel.at)
    said = "activation"
    (row,) = records(tables["activations"], measure="cliffs_delta")
    if np.isfinite(row["value"]):
        said += f"<br>Cliff's δ {estimate(row).text(2, signed=True, style='html')}"
        if row["n_random"]:
            control = f"; random {row['control_min']:+.2f} to {row['control_max']:+.2f}"
            said += control.replace("-", "−")
    fig.update_xaxes(title_text=said, **panel.at)
    fig.update_yaxes(title_text="density", rangemode="tozero", **panel.at)


def _share_rows(shares: pd.DataFrame) -> list[ForestRow]:
    """Shares in per cent, and the even share on a line of its own."""
    names = {"share_normal": "normal patches", "share_anomalous": "defect patches"}
    made = []
    for measure, name in names.items():
        (row,) = records(shares, measure=measure)
        if np.isfinite(row["value"]):
            value = (100 * row[column] for column in ("value", "low", "high"))
            made.append(ForestRow(name, Estimate(*value), _control(row, unit=100)))
    even = Estimate(100 * numbers(shares, "uniform")[0], np.nan, np.nan)
    return [*made, ForestRow("an even share", even)] if made else []


def _knocked_rows(effects: pd.DataFrame) -> list[ForestRow]:
    return [
        ForestRow(
            f"{row['kind']}, {metric_title(row['level'], row['metric'])}",
            estimate(row, "change"),
            _control(row),
        )
        for row in records(effects)
        if np.isfinite(row["change"])
    ]


def _control(row: Row, ends: tuple[str, str] = ("min", "max"), unit: float = 1) -> Estimate:
    return Estimate(*(unit * row[f"control_{name}"] for name in ("mean", *ends)))


def _words(fig: go.Figure, panel: Panel, labels: pd.DataFrame) -> None:
    found = [row for row in records(labels) if np.isfinite(row["margin"])]
    rows = [
        ForestRow(
            f"{row['word']} ({row['source']})",
            Estimate(row["margin"], np.nan, np.nan),
            _control(row, ("quantile_low", "quantile_high")),
        )
        for row in found
    ]
    _forest(fig, panel, rows, "margin of the word (spreads)", zero=0)
    tested = {place: row["value"] for place, row in enumerate(found) if np.isfinite(row["value"])}
    if tested:
        trace = go.Scatter(
            x=list(tested.values()),
            y=list(tested),
            mode="markers",
            marker={"symbol": f"{OWN.marker}-open", "size": 11, "color": OWN.colour},
            hovertemplate="tested: %{x:.3f}<extra></extra>",
            showlegend=False,
        )
        fig.add_trace(trace, **panel.at)


def _forest(
    fig: go.Figure, panel: Panel, rows: Sequence[ForestRow], title: str, zero: float | None = None
) -> None:
    """Numbers line by line, each with the range of the random neurons behind it."""
    fig.update_xaxes(title_text=title, nticks=6, **panel.at)
    if not rows:  # axes without a trace are not drawn
        fig.add_trace(go.Scatter(x=[None], y=[None], showlegend=False), **panel.at)
        name_lines(fig, [""], panel)
        fig.update_xaxes(title_text=f"{title}: not measured", **panel.at)
        return
    add_forest(fig, panel, rows, zero=zero, form=".4g", known={""})
    shown = [own for row in rows for own in (row.estimate, row.control)]
    drawn = [end for own in shown for end in own.columns().values()]
    drawn += [] if zero is None else [zero]
    low, high = np.nanmin(drawn), np.nanmax(drawn)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 0.01
    fig.update_xaxes(range=[low - room, high + room], **panel.at)
