"""Figures of the study ``patching``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import estimate, over_categories
from lakeviz.plots.captions import n_categories
from lakeviz.plots.forest import ForestRow, forest_figure
from lakeviz.plots.line_panels import Line, line_figure, line_of
from lakeviz.plots.matrix import matrix_trace
from lakeviz.plots.names import short_point
from lakeviz.plots.panels import Look, name_panel, panels, room_for_names
from lakeviz.plots.template import new_figure
from lakeviz.studies.patching.words import (
    COMPLETENESS,
    CONTROL,
    EVERY,
    FAITHFULNESS,
    GROUPS,
    MEASURES,
    NEURONS,
    TWIN_DIFFERENCE,
    UNTRAINED,
    named,
    units_name,
)
from lakeviz.tables import Row, is_measured, numbers, records, where
from lakeviz.wording import counted, percent

_SIGNED = "RdBu"


def heatmap_figure(heatmap: pd.DataFrame, *, direction: str) -> go.Figure:
    """Share of the difference that whole tokens move, hook points by groups of tokens.

    Parameters
    ----------
    heatmap : DataFrame
        ``PatchingResult.heatmap``; of several categories the mean is drawn.
    direction : str
        ``"denoising"`` or ``"noising"``.

    Raises
    ------
    ConfigError
        Nothing was measured in this direction.
    """
    table = where(_rows_of(heatmap, of_heads=False), direction=direction)
    title = f"Exchange of whole tokens: {direction}"
    return _map_figure(table, direction, title, "point", "tokens", list(GROUPS))


def heads_figure(heatmap: pd.DataFrame, *, direction: str) -> go.Figure:
    """Share that what each head gives all tokens moves, blocks by heads: :func:`heatmap_figure`."""
    table = where(_rows_of(heatmap, of_heads=True), direction=direction, tokens=EVERY)
    title = f"Exchange of single heads: {direction}"
    return _map_figure(table, direction, title, "block", "head", sorted(set(table["head"])))


def directions_of(heatmap: pd.DataFrame, *, of_heads: bool) -> list[str]:
    """Directions in which whole tokens, or heads, were exchanged."""
    rows = _rows_of(heatmap, of_heads=of_heads)
    return list(dict.fromkeys(row["direction"] for row in records(rows)))


def _rows_of(heatmap: pd.DataFrame, *, of_heads: bool) -> pd.DataFrame:
    if "head" not in heatmap:
        return heatmap.iloc[:0] if of_heads else heatmap
    return heatmap.loc[(heatmap["head"] >= 0) == of_heads]


def _map_figure(
    table: pd.DataFrame, direction: str, title: str, y: str, x: str, columns: list[Any]
) -> go.Figure:
    readouts = [
        r for r in dict.fromkeys(table["readout"]) if is_measured(where(table, readout=r), "share")
    ]
    if not readouts:
        raise ConfigError(f"no exchange was measured in the direction {direction!r}")
    rows, caption = list(dict.fromkeys(table[y])), _caption(table, direction)
    fig = new_figure(title, caption, height=24 * len(rows) + 130)
    room_for_names(fig)
    made = panels(fig, len(readouts), shared_y=True, gap=0.03)
    for number, (readout, panel) in enumerate(zip(readouts, made, strict=True)):
        own = where(table, readout=readout)
        z = np.full((len(rows), len(columns)), np.nan)
        for place in np.ndindex(z.shape):
            cell = where(own, **{y: rows[place[0]], x: columns[place[1]]})
            if is_measured(cell, "share"):
                z[place] = np.nanmean(numbers(cell, "share"))
        trace = matrix_trace(
            z,
            "share moved",
            "%{y}, %{x}: %{z:.2f}",
            ends=(-1, 1),
            scale=_SIGNED,
            text=[["" if np.isnan(v) else f"{round(v, 2) + 0.0:.2f}" for v in line] for line in z],
            x=[f"{x} {c}" if x == "head" else c.replace(" ", "<br>") for c in columns],
            y=rows,
            gap=1,
            showscale=number == 0,
        )
        fig.add_trace(trace, **panel.at)
        name_panel(fig, number, readout)
    fig.update_yaxes(autorange="reversed")
    return fig


def effects_figure(effects: pd.DataFrame, selector: str, *, confidence: float = 0.95) -> go.Figure:
    """Share that each set of units moves, by direction and read-out."""
    shown: dict[str, list[ForestRow]] = {}
    for row, found in _measured(effects, "direction", "readout", "basis", "units"):
        members = {str(one["category"]): one["share"] for one in found} if len(found) > 1 else {}
        mean = over_categories([estimate(one, "share") for one in found], confidence)
        in_question = row["units"] == selector and row["basis"] == NEURONS
        name = named(row["basis"], row["units"])
        look = Look.of(0 if in_question else 1)
        panel = f"{row['direction']}: {row['readout']}"
        shown.setdefault(panel, []).append(ForestRow(name, mean, members=members, look=look))
    if not shown:
        raise ConfigError("no exchange of units was measured")
    first = records(effects)[0]
    return forest_figure(
        shown,
        title="Exchange of units within pairs",
        caption=f"Share of the difference between defect image and twin that moves when "
        f"{first['n_units']} units of {first['point']} are exchanged ({first['tokens']}); bars: "
        f"{percent(confidence)} over {over(effects)}; {sample(first)}.",
        x="share moved",
    )


def _measured(table: pd.DataFrame, *names: str) -> Iterator[tuple[Row, list[Row]]]:
    """Rows that differ in some columns, each with those of all categories that were measured."""
    for row in records(table.drop_duplicates(list(names))):
        found = records(table, **{name: row[name] for name in names})
        if found := [one for one in found if np.isfinite(one["share"])]:
            yield row, found


def over(table: pd.DataFrame) -> str:
    """What bars of a table are over, where random sets were drawn too."""
    n = len(set(table["category"]))
    return f"{n} categories (Student)" if n > 1 else "pairs, draws and random sets"


def paths_figure(paths: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Share that units move through each receiver alone, and random units."""
    shown: dict[str, list[ForestRow]] = {}
    for row, found in _measured(paths, "direction", "readout", "receiver", "units"):
        mean = over_categories([estimate(one, "share") for one in found], confidence)
        series = units_name(row["units"])
        look = Look.of(int(row["units"] == CONTROL))
        panel = f"{row['direction']}: {row['readout']}"
        line = ForestRow(f"through {row['receiver']}", mean, series=series, look=look)
        shown.setdefault(panel, []).append(line)
    if not shown:
        raise ConfigError("no path was measured")
    first = records(paths)[0]
    return forest_figure(
        shown,
        title="Paths from the units",
        caption=f"Share of the difference between defect image and twin that moves when a change "
        f"of the units of {first['point']} reaches one head or MLP alone; bars: "
        f"{percent(confidence)} over {over(paths)}; {sample(first)}.",
        x="share moved",
    )


def attribution_figure(checks: pd.DataFrame) -> go.Figure:
    """Attribution of single neurons against exact exchanges, a panel per hook point."""
    shown: dict[str, list[Line]] = {}
    for point in dict.fromkeys(checks["point"]):
        own = where(checks, point=point)
        lines = []
        for number, kind in enumerate(("gradient", "integrated")):
            values = numbers(own, kind)
            if np.isfinite(values).all():
                name = "gradient x difference" if kind == "gradient" else "integrated gradients"
                exact = numbers(own, "exact")
                lines.append(Line(name, exact, values, Look.of(number), mode="markers"))
        ends = np.array([numbers(own, "exact").min(), numbers(own, "exact").max()])
        lines.append(Line("equal", ends, ends, Look.of(7), mode="lines", width=1))
        shown[short_point(point)] = lines
    if not shown:
        raise ConfigError("no attribution was checked")
    n = int(numbers(checks, "n_pairs").max())
    return line_figure(
        shown,
        title="Attribution against exact exchanges",
        caption="Single neurons in the defect patches: half the strongest by attribution, half "
        f"others at random. Shares of the full difference, means over {n} pairs.",
        x="exact",
        y="attributed",
    )


def _caption(table: pd.DataFrame, direction: str) -> str:
    row = records(table)[0]
    what = (
        "The twin's tokens are put into the defect image: 1 is all of the difference gone"
        if direction == "denoising"
        else "The defect's tokens are put into the twin: 1 is all of the difference come"
    )
    n = len(set(table["category"]))
    over = f"; mean over {n} categories" if n > 1 else ""
    return f"{what}. {sample(row)}{over}. Empty: cannot reach."


def sample(row: Mapping[str, Any]) -> str:
    """Write "12 pairs, 1 draw"."""
    return f"{counted(row['n_pairs'], 'pair')}, {counted(row['n_draws'], 'draw')}"


_SHARES = "Shares of the difference in the score of the defect patches."


def curves_figure(curves: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Faithfulness, completeness and minimality of neurons by their number, with their bounds."""
    neurons = where(curves, basis=NEURONS)
    lines = [(NEURONS, units) for units in dict.fromkeys(neurons["units"])]
    floor = where(curves, basis=UNTRAINED)["units"]
    lines += [(UNTRAINED, units) for units in dict.fromkeys(floor) if units not in _CONTROLS][:1]
    measures = [one for one in MEASURES if one in set(curves["measure"])]
    return _lines(
        curves,
        {measure: [(measure, *line) for line in lines] for measure in measures},
        "Concentration of the effect",
        f"{_SHARES} Faithfulness: what is left when all units but these are exchanged; "
        "completeness: what goes when these are; minimality: what is lost without one of them. "
        "All units: 1.",
        confidence,
    )


def bases_figure(curves: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Neurons and other units, chosen by the selector and by the difference in other pairs."""
    trained = curves.loc[curves["basis"] != UNTRAINED]
    bases = list(dict.fromkeys(trained["basis"]))
    if len(bases) < 2:
        raise ConfigError("no other units were exchanged; name some with units=")
    orders = {"variance": "highest variance", TWIN_DIFFERENCE: "by other pairs"}
    present = set(trained["units"])
    shown = {
        f"{measure}, {said}": [(measure, basis, order) for basis in bases]
        for order, said in orders.items()
        if order in present
        for measure in (FAITHFULNESS, COMPLETENESS)
    }
    title, said = "Neurons and other units", f"{_SHARES} As many units of each kind, chosen alike."
    return _lines(trained, shown, title, said, confidence, by_basis=True)


_CONTROLS = (CONTROL, TWIN_DIFFERENCE)


def _lines(
    curves: pd.DataFrame,
    chosen: dict[str, list[tuple[str, str, str]]],
    title: str,
    caption: str,
    confidence: float,
    *,
    by_basis: bool = False,
) -> go.Figure:
    shown: dict[str, list[Line]] = {}
    for panel, lines in chosen.items():
        shown[panel] = [
            line_of(
                where(curves, measure=measure, basis=basis, units=units),
                "size",
                "share",
                basis if by_basis else named(basis, units),
                Look.of(number),
                interval="own",
            )
            for number, (measure, basis, units) in enumerate(lines)
        ]
    row, n = records(curves)[0], n_categories(curves)
    bands = f"Bands: {percent(confidence)} over {sample(row)}."
    if n > 1:  # as many bands of so few categories would hide one another
        bands = f"Means over {n} categories; the table areas has their intervals."
    return line_figure(
        shown,
        title=title,
        caption=f"{caption} {bands}",
        x="number of units",
        y="share",
        columns=2 if by_basis else 3,
        sizes=sorted(set(numbers(curves, "size").astype(int).tolist())),
    )


def steering_figure(steering: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Change of the read-outs of the defect image by dose, with random units of equal length."""
    shown: dict[str, list[Line]] = {}
    drawn: dict[str, Any] = {"interval": "student", "confidence": confidence, "bars": True}
    doses = np.unique(numbers(steering, "dose"))
    apart = _APART * (np.diff(doses).min() if len(doses) > 1 else 1.0)
    for readout in dict.fromkeys(steering["readout"]):
        own = where(steering, readout=readout)
        if not is_measured(own, "change"):
            continue
        lines = []
        bases = dict.fromkeys(own["basis"])
        for basis in bases:
            table = where(own, basis=basis)
            name = named(basis, str(table["units"].iloc[0]))
            control = "random, equal length" if basis == NEURONS else f"{basis}: random"
            for column, said in (("change", name), ("control_change", control)):
                look, shift = Look.of(len(lines)), apart * (len(lines) + 0.5 - len(bases))
                lines.append(line_of(table, "dose", column, said, look, shift=shift, **drawn))
        shown[readout] = lines
    if not shown:
        raise ConfigError("no dose was measured")
    row, of_one = records(steering)[0], n_categories(steering) == 1
    members = f"; of random units, of the mean of {row['n_members']} sets" if of_one else ""
    return line_figure(
        shown,
        title="Steering of the defect patches",
        caption=f"{_DOSES[str(row['steer'])]}; change as a share of the difference between defect "
        f"image and twin. Bars: {percent(confidence)} over "
        f"{sample(row) if of_one else over(steering)}{members}.",
        x="dose",
        y="change",
        level=0,
    )


_APART = 0.06  # of the step between doses: bars of one dose do not hide one another
_DOSES = {
    "scale": "Deviations from the normal mean in the units are scaled by 1 + dose",
    "add": "As many normal standard deviations as the dose are added to the units",
}
