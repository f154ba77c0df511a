"""Single neurons as detectors: each with its interval, by variance, and by category."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import estimate
from lakeviz.plots.captions import tested
from lakeviz.plots.forest import MEAN, OWN, ForestRow, forest_figure
from lakeviz.plots.line_panels import Line, line_figure
from lakeviz.plots.names import measure_bounds, measure_title, short_point
from lakeviz.plots.panels import Look
from lakeviz.plots.template import NEUTRAL
from lakeviz.studies.neurons.group_comparison import of_categories
from lakeviz.tables import numbers, records, rows, sampled, where
from lakeviz.wording import counted, percent

LOOKS = {"selected": Look.of(0), "random": Look.of(1)}


def measured(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Rows in which a measure is a number."""
    there = np.isfinite(numbers(table, measure)) if measure in table else np.zeros(len(table), bool)
    if not there.any():
        raise ConfigError(f"no neuron has a {measure_title(measure)}")
    return rows(table, there)


def one_category(table: pd.DataFrame) -> None:
    """Refuse a table of several categories."""
    if len(set(table["category"])) > 1:
        raise ConfigError("several categories: choose one, or use neuron_differences_figure")


def chance_of(measure: str) -> float | None:
    """What chance alone would give, where the measure is an AUROC."""
    return 0.5 if measure.endswith("auroc") and not measure.startswith("loss_") else None


_ROW = 240
_OTHER = Look(NEUTRAL, "solid", "circle-open")


def neuron_detectors_figure(
    neurons: pd.DataFrame,
    *,
    measure: str = "image_auroc",
    title: str | None = None,
    confidence: float = 0.95,
) -> go.Figure:
    """Every tested neuron of one category with its interval, best first, in a panel per point.

    Selected and random neurons stand in their own order, first beside first, so that the two
    groups can be compared place by place.

    Parameters
    ----------
    neurons : DataFrame
        ``NeuronsResult.neurons`` of one category.
    measure : str
        A column with ``_low`` and ``_high``.
    title : str, optional
    confidence : float
        For the caption.

    Raises
    ------
    ConfigError
        Several categories, or a measure without numbers.
    """
    table = measured(neurons, measure)
    one_category(table)
    points = list(dict.fromkeys(table["point"]))
    n_selected, n_random = (len(where(table, group=g)) for g in LOOKS)
    n_images = int(numbers(table, "n_images")[0])
    caption = (
        f"{counted(n_selected, 'selected neuron')} and {counted(n_random, 'random neuron')} of "
        f"{counted(len(points), 'hook point')}, each alone as a detector, over "
        f"{counted(n_images, 'test image')}. Bars: {100 * confidence:g} % bootstrap over "
        "images, of each neuron by itself. Each group is sorted by the measure itself, so its "
        "first places are high by chance too: compare first with first."
    )
    what = measure_title(measure)
    fig = line_figure(
        {
            short_point(point): [
                _ranked(where(table, point=point, group=group), measure, group, shift)
                for group, shift in zip(LOOKS, (-0.17, 0.17), strict=True)
            ]
            for point in points
        },
        title=title or f"Single neurons as detectors: {what}",
        caption=caption,
        x="place in the group (1 = highest)",
        y=what,
        columns=1,
        level=chance_of(measure),
        row_height=_ROW,
        ends=measure_bounds(measure),
    )
    n_places = max(len(where(table, point=p, group=g)) for p in points for g in LOOKS)
    return fig.update_xaxes(range=[0.4, n_places + 0.6])


def neuron_differences_figure(
    groups: pd.DataFrame,
    *,
    measure: str = "image_auroc",
    title: str | None = None,
    confidence: float = 0.95,
) -> go.Figure:
    """Selected minus random neurons in every category, with intervals.

    Parameters
    ----------
    groups : DataFrame
        Of one or more categories. Where points were averaged, their mean is shown.
    measure : str
    title : str, optional
    confidence : float
        For the caption.

    Raises
    ------
    ConfigError
        There is no difference of this measure.
    """
    table = of_categories(where(groups, measure=measure))
    table = rows(table, np.isfinite(numbers(table, "difference")))
    if table.empty:
        raise ConfigError(f"no difference between selected and random neurons in {measure}")
    what = measure_title(measure)
    caption = (
        f"Mean {what} of the selected neurons minus that of as many random ones; "
        f"{counted(len(table), 'category', 'categories')} of {tested(table)}. Bars: "
        f"{percent(confidence)} intervals over {sampled(table)} and neurons. Right of zero, "
        "selected neurons are better; diamonds have their whole interval on one side."
    )
    found = [(str(row["category"]), estimate(row, "difference")) for row in records(table)]
    found.sort(key=lambda one: -one[1].value)
    undecided = Look(OWN.colour, OWN.dash, f"{OWN.marker}-open")
    return forest_figure(
        {
            "": [
                ForestRow(name, gap, look=undecided if gap.verdict == "undecided" else MEAN)
                for name, gap in found
            ]
        },
        title=title or f"Selected minus random: {what}",
        caption=caption,
        x=f"selected − random, {what}",
        form="+.3f",
        line_height=26,
        ends=measure_bounds(measure, difference=True),
    )


def variance_auroc_figure(
    channels: pd.DataFrame,
    trend: pd.DataFrame,
    *,
    title: str = "Variance and single-neuron detection",
    confidence: float = 0.95,
) -> go.Figure:
    """Image AUROC of every channel against its rank by variance, in a panel per point.

    Parameters
    ----------
    channels, trend : DataFrame
        Tables of a ``NeuronsResult`` of one category.
    title : str
    confidence : float
        For the caption.

    Raises
    ------
    ConfigError
        Several categories, or no image AUROC.
    """
    table = measured(channels, "image_auroc")
    one_category(table)
    points = list(dict.fromkeys(table["point"]))
    said = []
    for point in points:
        (row,) = records(trend, point=point)
        if np.isfinite(row["value"]):
            said.append(f"{short_point(point)} {estimate(row).text(2, signed=True)}")
    n_draws = int(numbers(trend, "n_draws").max()) if "n_draws" in trend else 1
    draws = f", mean of {n_draws} draws" if n_draws > 1 else ""
    caption = (
        f"Every channel alone as a detector, over {tested(table)}. Rank "
        f"correlation of variance and AUROC{draws}, with {percent(confidence)} intervals over "
        f"images and channels: {'; '.join(said) or 'undefined'}. Above zero, channels that vary "
        "more on normal images detect better."
    )
    fig = line_figure(
        {
            short_point(point): [
                _channels(where(table, point=point, group=group), group, look)
                for group, look in {"other": _OTHER, **LOOKS}.items()
            ]
            for point in points
        },
        title=title,
        caption=caption,
        x="rank by variance (1 = highest)",
        y="image AUROC",
        columns=1,
        level=chance_of("image_auroc"),
        row_height=_ROW,
        ends=measure_bounds("image_auroc"),
    )
    n_channels = numbers(table, "variance_rank").max()
    return fig.update_xaxes(range=[-0.01 * n_channels, 1.02 * n_channels])


def _ranked(own: pd.DataFrame, measure: str, group: str, shift: float) -> Line:
    """Neurons of a group, the highest first."""
    own = rows(own, np.argsort(-numbers(own, measure), kind="stable"))
    hover = [
        f"{group}, channel {row['channel']}<br>{estimate(row, measure).text()}"
        for row in records(own)
    ]
    ends = numbers(own, f"{measure}_low"), numbers(own, f"{measure}_high")
    places, value = np.arange(1, len(own) + 1) + shift, numbers(own, measure)
    name, look = f"{group} neurons", LOOKS[group]
    return Line(name, places, value, look, ends, bars=True, mode="markers", hover=hover)


def _channels(own: pd.DataFrame, group: str, look: Look) -> Line:
    x, y = numbers(own, "variance_rank"), numbers(own, "image_auroc")
    hover = [
        f"{group}, channel {channel}<br>rank {rank:.0f}, AUROC {auroc:.3f}"
        for channel, rank, auroc in zip(own["channel"], x, y, strict=True)
    ]
    size = 5 if look is _OTHER else 8
    return Line(group, x, y, look, mode="markers", size=size, hover=hover)
