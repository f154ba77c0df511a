"""Selected neurons compared with random ones: the spread of both groups, and their means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate, estimate
from lakeviz.plots.captions import tested
from lakeviz.plots.names import measure_bounds, measure_title, short_point
from lakeviz.plots.panels import Look, Panel, add_level, end_axes, error_bars
from lakeviz.plots.template import new_figure
from lakeviz.studies.neurons.figures import LOOKS, chance_of, one_category
from lakeviz.tables import numbers, over_draws, records, sampled, where
from lakeviz.wording import percent


def neuron_groups_figure(
    neurons: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    measures: Sequence[str] = (
        *("image_auroc", "matched_auroc"),
        *("abs_matched_d", "deviation_matched_d"),
    ),
    title: str = "Selected neurons compared with random ones",
    confidence: float = 0.95,
) -> go.Figure:
    """Spread of each group as dots, with the group's mean and its interval, per point.

    Parameters
    ----------
    neurons, groups : DataFrame
        Tables of a ``NeuronsResult`` of one category.
    measures : sequence of str
        One panel each; those that were not measured are left out.
    title : str
    confidence : float
        For the caption.

    Raises
    ------
    ConfigError
        Several categories, or none of the measures was measured.
    """
    one_category(neurons)
    shown = [m for m in measures if m in set(groups["measure"])]
    if not shown:
        raise ConfigError(f"none of {', '.join(measures)} was measured")
    points = list(dict.fromkeys(neurons["point"]))
    first = " of the first draw" if over_draws(groups) else ""
    caption = (
        f"Dots: single neurons{first}, over {tested(neurons)}. Large marks: mean of the "
        f"group{over_draws(groups)}, with {percent(confidence)} intervals over "
        f"{sampled(groups)} and neurons. Random neurons are drawn from the channels that are not "
        "selected. Below each panel: selected minus random, with an interval of the same kind."
    )
    columns = min(2, len(shown))
    grid_rows = -(-len(shown) // columns)
    own, below = 40 + 62 * len(points), 66 + 15 * len(points)
    height = grid_rows * (own + below)
    fig = new_figure(title, caption, legend_above=True, height=height)
    make_subplots(
        rows=grid_rows,
        cols=columns,
        shared_yaxes=True,
        horizontal_spacing=0.08,
        vertical_spacing=below / (height - below),
        figure=fig,
    )
    for number, measure in enumerate(shown):
        panel = Panel(1 + number // columns, 1 + number % columns)
        _group_panel(fig, neurons, groups, measure, points, panel, first=number == 0)
    fig.update_yaxes(
        tickvals=list(range(len(points))),
        ticktext=[short_point(p) for p in points],
        range=[len(points) - 0.5, -0.5],
        ticks="",
    )
    return fig


def _group_panel(
    fig: go.Figure,
    neurons: pd.DataFrame,
    groups: pd.DataFrame,
    measure: str,
    points: list[str],
    panel: Panel,
    *,
    first: bool,
) -> None:
    """Dots and mean of both groups at each point."""
    source = measure.removeprefix("abs_")
    for place, point in enumerate(points):
        (means,) = records(groups, point=point, measure=measure)
        for shift, (group, look) in zip((-0.2, 0.2), LOOKS.items()):
            own = where(neurons, point=point, group=group)
            if own.empty:
                continue
            values = numbers(own, source)
            values = np.abs(values) if source != measure else values
            shown = first and place == 0
            dots = _dots(own, values, place + shift, group, look)
            fig.add_trace(dots, **panel.at)
            found = estimate(means, "control_mean" if group == "random" else "value")
            fig.add_trace(_mean_mark(found, place + shift, group, look, shown=shown), **panel.at)
    what = measure_title(measure)
    fig.update_xaxes(title_text=f"{what}<br>{_gaps(groups, measure, points)}", **panel.at)
    end_axes(fig, "x", measure_bounds(measure), **panel.at)
    chance = chance_of(measure)
    if chance is not None:
        add_level(fig, panel, chance, axis="x")


def _gaps(groups: pd.DataFrame, measure: str, points: list[str]) -> str:
    """Differences in words, below a panel."""
    said = []
    for point in points:
        (row,) = records(groups, point=point, measure=measure)
        gap = estimate(row, "difference")
        if np.isfinite(gap.value):
            said.append(f"{short_point(point)}: {gap.text(signed=True, style='html')}")
    return "<br>".join(said)


def _dots(own: pd.DataFrame, values: np.ndarray, at: float, group: str, look: Look) -> go.Scatter:
    # Spread by a fixed pattern, so that the picture is the same every time.
    spread = 0.09 * np.resize([-1.0, 0.2, 1.0, -0.5, 0.6, -0.1], len(own))
    return go.Scatter(
        x=values,
        y=at + spread,
        mode="markers",
        marker={"symbol": look.marker, "size": 5, "color": look.colour, "opacity": 0.6},
        customdata=own["channel"].to_numpy(),
        hovertemplate=f"{group}, channel %{{customdata}}: %{{x:.3f}}<extra></extra>",
        name=group,
        legendgroup=group,
        showlegend=False,
    )


def _mean_mark(found: Estimate, at: float, group: str, look: Look, *, shown: bool) -> go.Scatter:
    value, low, high = (np.array([one]) for one in (found.value, found.low, found.high))
    return go.Scatter(
        x=value,
        y=[at],
        error_x=error_bars(value, low, high, 2.4, 8),
        mode="markers",
        marker={"symbol": look.marker, "size": 13, "color": look.colour},
        hovertemplate=f"mean of {group}: {found.text()}<extra></extra>",
        name=f"{group} neurons",
        legendgroup=group,
        showlegend=shown,
    )
