"""Figures of the study ``patching`` over the number of units, and over doses."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.plots.captions import percent
from lakeviz.plots.line_panels import Line, line_figure, line_of
from lakeviz.plots.panels import Look
from lakeviz.studies.patching.figures import sample
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
    """Neurons beside other units, chosen by the selector and by the difference in other pairs.

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
    row = records(curves)[0]
    return line_figure(
        shown,
        title=title,
        caption=f"{caption} Bands: {percent(confidence)} over {sample(row)}.",
        x="number of units",
        y="share",
        columns=2 if by_basis else 3,
        sizes=sorted(set(numbers(curves, "size").astype(int).tolist())),
    )


def steering_figure(steering: pd.DataFrame, *, confidence: float = 0.95) -> go.Figure:
    """Change of the read-outs of the defect image by dose, with random units of equal length."""
    shown: dict[str, list[Line]] = {}
    for readout in dict.fromkeys(steering["readout"]):
        own = where(steering, readout=readout)
        if not is_measured(own, "change"):
            continue
        lines = []
        for basis in dict.fromkeys(own["basis"]):
            table = where(own, basis=basis)
            name = named(basis, str(table["units"].iloc[0]))
            control = "random, equal length" if basis == NEURONS else f"{basis}: random"
            for column, said in (("change", name), ("control_change", control)):
                look, bars = Look.of(len(lines)), column == "change"
                lines.append(line_of(table, "dose", column, said, look, interval="own", bars=bars))
        shown[readout] = lines
    if not shown:
        raise ConfigError("no dose was measured")
    row = records(steering)[0]
    return line_figure(
        shown,
        title="Steering of the defect patches",
        caption=f"{_DOSES[str(row['steer'])]}; change as a share of the difference between defect "
        f"image and twin. Bars and band: {percent(confidence)} over {sample(row)} "
        f"(the band: of the mean of {row['n_members']} random sets).",
        x="dose",
        y="change",
        level=0,
    )


_DOSES = {
    "scale": "Deviations from the normal mean in the units are scaled by 1 + dose",
    "add": "As many normal standard deviations as the dose are added to the units",
}
