"""Figures of the study ``patching`` over the number of units, and over doses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.captions import n_categories
from lakeviz.plots.line_panels import Line, line_figure, line_of
from lakeviz.plots.panels import Look
from lakeviz.studies.patching.figures import over, sample
from lakeviz.studies.patching.words import (
    COMPLETENESS,
    CONTROL,
    FAITHFULNESS,
    MEASURES,
    NEURONS,
    TWIN_DIFFERENCE,
    UNTRAINED,
    named,
)
from lakeviz.tables import is_measured, numbers, records, where
from lakeviz.wording import percent

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
    """Neurons and other units, chosen by the selector and by the difference in other pairs.

    Raises
    ------
    ConfigError
        There are no other units.
    """
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
