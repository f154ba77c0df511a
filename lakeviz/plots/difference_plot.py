"""LAKE beside its controls: the values, and the paired differences with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from lakeviz.errors import ConfigError
from lakeviz.plots.template import NEUTRAL, PALETTE, counted, new_figure, plain
from lakeviz.tables import numbers, rows, where

CONTROL_NAMES = {
    "random": "random neurons",
    "variance_matched": "variance-matched random",
    "bottom_variance": "lowest-variance neurons",
    "all": "all neurons",
    "pca": "truncated PCA",
    "random_rotation": "random rotation",
    "mad": "median absolute deviation",
    "trimmed_variance": "trimmed variance",
}
SHORT_NAMES = {
    "variance": "top variance",
    "random": "random",
    "variance_matched": "variance-matched",
    "bottom_variance": "lowest variance",
    "all": "all",
    "pca": "PCA",
    "random_rotation": "random rotation",
    "mad": "MAD",
    "trimmed_variance": "trimmed variance",
}
"""For legends of many lines."""
METRIC_NAMES = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "f1_max": "F1-max",
    "aupro": "AUPRO",
    "aupimo": "AUPIMO",
}
_LAKE, _CONTROL = PALETTE[0], PALETTE[1]


def control_order(controls: pd.DataFrame) -> list[str]:
    """Controls present, the usual ones first and in the usual order."""
    present = list(dict.fromkeys(controls["control"]))
    return [c for c in CONTROL_NAMES if c in present] + [
        c for c in present if c not in CONTROL_NAMES
    ]


def metric_title(level: str, metric: str) -> str:
    """Name of a metric with its level, such as "pixel AUROC"; AUPRO needs no level."""
    name = METRIC_NAMES.get(metric, metric)
    return name if metric in ("aupro", "aupimo") else f"{level} {name}"


def controls_figure(
    controls: pd.DataFrame,
    *,
    level: str,
    metric: str,
    title: str | None = None,
    interval_level: float = 0.95,
    stacked: bool = False,
) -> go.Figure:
    """Values of LAKE's neurons and of the controls, and the difference, in one category.

    First: each control as a dot (the mean of its members) with a line from its lowest to its
    highest member, LAKE's value as a vertical line. Second: LAKE minus control with its interval;
    zero is where neither is better.

    Parameters
    ----------
    controls : DataFrame
        ``Evaluation.controls`` of one category.
    level, metric : str
        Which rows, such as ``"pixel"`` and ``"aupro"``.
    title : str, optional
    interval_level : float
        Of the intervals in the table, for the caption.
    stacked : bool
        One panel below the other, for narrow pages; else side by side.

    Raises
    ------
    ConfigError
        No such row, or rows of several categories.
    """
    table = _rows(controls, level, metric)
    if table["control"].duplicated().any():
        raise ConfigError("several categories: use controls_overview_figure")
    order = control_order(table)
    table = pd.concat([where(table, control=control) for control in order])
    names = [CONTROL_NAMES.get(c, plain(c)) for c in order]
    value, n = float(numbers(table, "value")[0]), int(numbers(table, "n_images")[0])
    what = metric_title(level, metric)
    first, second = ("Above", "Below") if stacked else ("Left", "Right")
    caption = (
        f"{counted(n, 'image')}, visual branch alone. {first}: dot = mean of the control's draws, "
        f"line = lowest to highest draw. {second}: {100 * interval_level:g} % paired bootstrap "
        "over images and draws; right of zero, LAKE's neurons are better."
    )
    height = 190 + 60 * len(table) if stacked else 90 + 34 * len(table)
    fig = new_figure(
        title or f"LAKE's neurons and controls: {what}", caption, legend_above=True, height=height
    )
    if stacked:
        make_subplots(rows=2, cols=1, vertical_spacing=0.24, figure=fig)
    else:
        make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06, figure=fig)
    row, column = (2, 1) if stacked else (1, 2)
    fig.add_trace(_values(table, names), row=1, col=1)
    fig.add_trace(_differences(table, names), row=row, col=column)
    own = {"color": _LAKE, "width": 2}
    zero = {"color": NEUTRAL, "dash": "dot", "width": 1.4}
    for x, line, axis in ((value, own, ""), (0, zero, "2")):
        y = f"y{axis} domain" if stacked else "paper"
        fig.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, xref=f"x{axis}", yref=y, line=line)
    fig.add_annotation(x=value, y=1, yref="paper", yanchor="bottom", text=f"LAKE {value:.3f}")
    fig.update_xaxes(title_text=what, row=1, col=1)
    fig.update_xaxes(title_text=f"LAKE − control, {what}", row=row, col=column)
    fig.update_yaxes(autorange="reversed", ticks="", showline=False)
    fig.update_layout(showlegend=False)
    return fig


def controls_overview_figure(
    controls: pd.DataFrame, *, level: str, metric: str, title: str | None = None, seed: int = 0
) -> go.Figure:
    """LAKE minus each control in every category, and the mean over categories.

    Parameters
    ----------
    controls : DataFrame
        The tables of several categories, one below the other.
    level, metric : str
    title : str, optional
    seed : int
        Of the bootstrap over categories.

    Raises
    ------
    ConfigError
        No such row.
    """
    table = _rows(controls, level, metric)
    n_categories = len(set(table["category"]))
    what = metric_title(level, metric)
    caption = (
        f"Small dots: {counted(n_categories, 'category', 'categories')}. Diamonds: their mean, "
        "with a 95 % bootstrap interval over categories. Visual branch alone; right of zero, "
        "LAKE's neurons are better."
    )
    order = control_order(table)
    fig = new_figure(title or f"LAKE minus control: {what}", caption, height=90 + 44 * len(order))
    generator = np.random.default_rng(seed)
    for place, control in enumerate(order):
        fig.add_trace(_categories(where(table, control=control), place))
    differences = [numbers(where(table, control=control), "difference") for control in order]
    summary = [mean_interval(values, generator) for values in differences]
    fig.add_trace(_means(summary))
    fig.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot", "width": 1.4})
    fig.update_xaxes(title_text=f"LAKE − control, {what}")
    fig.update_yaxes(
        tickvals=list(range(len(order))),
        ticktext=[CONTROL_NAMES.get(c, plain(c)) for c in order],
        range=[len(order) - 0.5, -0.5],
        ticks="",
        showline=False,
    )
    fig.update_layout(showlegend=False)
    return fig


def mean_interval(
    values: Float[np.ndarray, " category"], generator: np.random.Generator, n_draws: int = 2000
) -> tuple[float, float, float]:
    """Mean over categories with a 95 % percentile bootstrap interval (mean, low, high)."""
    draws = values[generator.integers(values.size, size=(n_draws, values.size))].mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _rows(controls: pd.DataFrame, level: str, metric: str) -> pd.DataFrame:
    found = where(controls, level=level, metric=metric)
    found = rows(found, np.isfinite(numbers(found, "difference")))
    if found.empty:
        raise ConfigError(f"no control was measured by {metric_title(level, metric)}")
    return found


def _values(table: pd.DataFrame, names: list[str]) -> go.Scatter:
    mean = numbers(table, "control_mean")
    return go.Scatter(
        x=mean,
        y=names,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": numbers(table, "control_max") - mean,
            "arrayminus": mean - numbers(table, "control_min"),
            "thickness": 1.6,
            "width": 5,
        },
        mode="markers",
        marker={"symbol": "diamond", "size": 9, "color": _CONTROL},
        customdata=table["n_members"].to_numpy(),
        hovertemplate="%{y}<br>mean %{x:.4f} of %{customdata} draw(s)<extra></extra>",
        name="control",
    )


def _differences(table: pd.DataFrame, names: list[str]) -> go.Scatter:
    middle = numbers(table, "difference")
    return go.Scatter(
        x=middle,
        y=names,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": numbers(table, "high") - middle,
            "arrayminus": middle - numbers(table, "low"),
            "thickness": 1.6,
            "width": 5,
        },
        mode="markers",
        marker={"symbol": "circle", "size": 9, "color": _LAKE},
        customdata=table[["low", "high"]].to_numpy(dtype=float),
        hovertemplate="%{y}<br>difference %{x:+.4f} "
        "[%{customdata[0]:+.4f}, %{customdata[1]:+.4f}]<extra></extra>",
        name="LAKE minus control",
    )


def _categories(table: pd.DataFrame, place: int) -> go.Scatter:
    # Spread by a fixed pattern, so that equal differences stay apart and the picture is the same
    # every time.
    spread = 0.16 * np.resize([-1.0, 0.0, 1.0, -0.5, 0.5], len(table))
    return go.Scatter(
        x=numbers(table, "difference"),
        y=place + spread,
        mode="markers",
        marker={"symbol": "circle", "size": 6, "color": NEUTRAL, "opacity": 0.6},
        text=[plain(c) for c in table["category"]],
        hovertemplate="%{text}: %{x:+.4f}<extra></extra>",
        name="category",
    )


def _means(summary: list[tuple[float, float, float]]) -> go.Scatter:
    mean, low, high = np.array(summary).T
    return go.Scatter(
        x=mean,
        y=np.arange(len(summary)),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": high - mean,
            "arrayminus": mean - low,
            "thickness": 2,
            "width": 7,
        },
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": _LAKE},
        customdata=np.stack([low, high], axis=1),
        hovertemplate="mean %{x:+.4f} [%{customdata[0]:+.4f}, %{customdata[1]:+.4f}]"
        "<extra></extra>",
        name="mean",
    )
