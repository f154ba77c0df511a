"""The figure of the study ``probes``: metrics by the number of neurons."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from lakeviz.metrics.registry import metric_title
from lakeviz.plots.line_panels import Line, line_figure, line_of
from lakeviz.plots.panels import CHANCE, Look
from lakeviz.studies.probes.words import ALL, CHOSEN, NAMES, RANDOM, SHUFFLED, VARIANCE
from lakeviz.tables import numbers, records, where
from lakeviz.wording import percent


def sizes_figure(
    metrics: pd.DataFrame, *, point: str, metric: tuple[str, str], confidence: float = 0.95
) -> go.Figure:
    """Value of the probes by the number of neurons, with random neurons and shuffled labels."""
    table = where(metrics, point=point, level=metric[0], metric=metric[1])
    lines: list[Line] = []
    for number, name in enumerate((CHOSEN, VARIANCE)):
        own = where(table, neurons=name, control=RANDOM)
        if len(own):
            lines.append(
                line_of(
                    own, "size", "value", NAMES[name], Look.of(number), interval="own", bars=True
                )
            )
    for number, (control, of) in enumerate(((RANDOM, CHOSEN), (SHUFFLED, CHOSEN)), start=2):
        own = where(table, neurons=of, control=control)
        if len(own):
            lines.append(line_of(own, "size", "control_mean", NAMES[control], Look.of(number)))
    sizes = sorted(set(numbers(where(table, neurons=CHOSEN), "size").astype(int).tolist()))
    ceiling = [row["value"] for row in records(table, neurons=ALL)]
    if ceiling and sizes:
        mean = sum(ceiling) / len(ceiling)
        ends = numbers(where(table, neurons=CHOSEN, control=RANDOM), "size")
        lines.append(Line(NAMES[ALL], ends, ends * 0 + mean, CHANCE, mode="lines", width=1.4))
    title = metric_title(*metric)
    n = len(set(table["category"]))
    over = f"{n} categories" if n > 1 else "images"
    return line_figure(
        {title: lines},
        title=f"Sparse probes at {point}: {title}",
        caption=f"Linear probes for defect patches, each image scored by one trained without it; "
        f"bars: {percent(confidence)} over {over}.",
        x="neurons of the probe",
        y=title,
        sizes=sizes,
    )
