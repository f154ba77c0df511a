"""ROC, precision-recall and per-region-overlap curves of one or several runs, with bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.metrics import (
    Band,
    Bootstrap,
    Conventions,
    Curve,
    pr_band,
    pr_curve,
    pro_band,
    pro_curve,
    roc_band,
    roc_curve,
)
from lakeviz.metrics.conventions import DEFAULT
from lakeviz.metrics.registry import metric_label
from lakeviz.plots.template import DASHES, MARKERS, PALETTE, counted, faded, new_figure, plain

Kind = Literal["roc", "pr", "pro"]
_METRICS = {"roc": "auroc", "pr": "average_precision", "pro": "aupro"}
_N_POINTS = 400
_MOST_BANDS = 3
_MARKS = 6


@dataclass(frozen=True)
class Scored:
    """Scores and labels of one curve: of images, or of the pixels of maps and masks.

    Attributes
    ----------
    scores, labels
        One value per image; or maps and masks as :func:`lakeviz.metrics.pixel_metrics` takes them.
    value : float, optional
        The metric to show in the legend (AUROC, AP or AUPRO), with its interval if there is one.
    low, high : float, optional
    level : float
        Of the interval.
    """

    scores: Any
    labels: Any
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95

    @property
    def of_images(self) -> bool:
        """Whether these are image scores, rather than maps."""
        return np.ndim(self.labels[0]) == 0

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval to show."""
        ends = (self.low, self.high)
        return all(end is not None and np.isfinite(end) for end in ends)


def roc_figure(
    runs: Mapping[str, Scored], *, bootstrap: Bootstrap | None = None, title: str = "ROC"
) -> go.Figure:
    """ROC curves, AUROC in the legend.

    Parameters
    ----------
    runs : mapping of name to Scored
        One curve each: runs, categories or parts.
    bootstrap : Bootstrap, optional
        Draw a pointwise band over images around each curve. Bands of more than three curves would
        hide each other: there the caption says that there is none. A band of pixels costs what the
        interval of their AUROC does.
    title : str

    Raises
    ------
    ConfigError
        There is no run, or image and pixel curves are mixed.
    MetricError
        Bad input, or only one class is present.
    """
    return _curves(runs, "roc", title, bootstrap)


def pr_figure(
    runs: Mapping[str, Scored],
    *,
    bootstrap: Bootstrap | None = None,
    title: str = "Precision and recall",
) -> go.Figure:
    """Precision against recall, average precision in the legend, the level of chance dotted.

    Takes and raises what :func:`roc_figure` does.
    """
    return _curves(runs, "pr", title, bootstrap)


def pro_figure(
    runs: Mapping[str, Scored],
    *,
    bootstrap: Bootstrap | None = None,
    conventions: Conventions = DEFAULT,
    title: str = "Per-region overlap",
) -> go.Figure:
    """Mean overlap of defect regions against the false-positive rate of pixels, up to the limit.

    Every region counts the same, however large. The area under the curve over the limit is the
    AUPRO (Bergmann et al., IJCV 2021), shown in the legend.

    Parameters
    ----------
    runs : mapping of name to Scored
        Maps and masks.
    bootstrap, title
        As for :func:`roc_figure`.
    conventions : Conventions
        ``aupro_limit`` and ``connectivity`` are used.

    Raises
    ------
    ConfigError
        There is no run, or one of image scores.
    MetricError
        Bad input, no defect pixel, or no other.
    """
    if any(run.of_images for run in runs.values()):
        raise ConfigError("a curve of region overlap is of maps and masks, not of image scores")
    return _curves(runs, "pro", title, bootstrap, conventions)


def _curves(
    runs: Mapping[str, Scored],
    kind: Kind,
    title: str,
    bootstrap: Bootstrap | None,
    conventions: Conventions = DEFAULT,
) -> go.Figure:
    if not runs:
        raise ConfigError("no run to draw a curve of")
    levels = {run.of_images for run in runs.values()}
    if len(levels) > 1:
        raise ConfigError("image and pixel curves do not share one figure: draw one for each")
    of_images = levels.pop()
    fig = new_figure(
        title, _caption(runs, kind, of_images, bootstrap), legend_above=True, height=400
    )
    if kind != "pro":
        _chance(fig, runs, kind)
    for number, (name, run) in enumerate(runs.items()):
        if bootstrap is not None and len(runs) <= _MOST_BANDS:
            band = _band(run, kind, bootstrap, conventions)
            fig.add_trace(_band_trace(band, number, name))
        curve = _curve(run, kind, conventions)
        fig.add_trace(_curve_trace(curve, _label(name, run, kind), number, kind))
    _title_axes(fig, kind, of_images, conventions.aupro_limit)
    fig.update_layout(showlegend=True)
    return fig


def _curve(run: Scored, kind: Kind, conventions: Conventions) -> Curve:
    if kind == "roc":
        return roc_curve(run.scores, run.labels, n_points=_N_POINTS)
    if kind == "pr":
        return pr_curve(run.scores, run.labels, n_points=_N_POINTS)
    whole = pro_curve(run.scores, run.labels, conventions=conventions)
    return _up_to(whole, conventions.aupro_limit).thin(_N_POINTS)


def _up_to(curve: Curve, limit: float) -> Curve:
    """Cut a curve at a false-positive rate; the cut lies on its straight line."""
    n = int(np.searchsorted(curve.x, limit, side="right"))
    if n == curve.x.size:
        return curve
    x, y, thresholds = (values[:n] for values in (curve.x, curve.y, curve.thresholds))
    end = np.interp(limit, curve.x[n - 1 : n + 1], curve.y[n - 1 : n + 1])
    return Curve(
        np.append(x, limit),
        np.append(y, end),
        np.append(thresholds, curve.thresholds[n]),
        curve.x_name,
        curve.y_name,
        curve.conventions,
    )


def _band(run: Scored, kind: Kind, bootstrap: Bootstrap, conventions: Conventions) -> Band:
    if kind == "pro":
        return pro_band(run.scores, run.labels, bootstrap, conventions=conventions)
    return (roc_band if kind == "roc" else pr_band)(run.scores, run.labels, bootstrap)


def _title_axes(fig: go.Figure, kind: Kind, of_images: bool, limit: float) -> None:
    things = "images" if of_images else "pixels"
    found = "anomalous images" if of_images else "defect pixels"
    end = 1.0
    if kind == "roc":
        x, y = f"false-positive rate (normal {things})", f"true-positive rate ({found})"
    elif kind == "pr":
        x, y = f"recall ({found})", "precision (right alarms / all alarms)"
    else:
        x, y, end = "false-positive rate (normal pixels)", "overlap (mean over regions)", limit
    fig.update_xaxes(title_text=x, range=[-0.01 * end, 1.01 * end])
    fig.update_yaxes(title_text=y, range=[-0.01, 1.02])


def _caption(
    runs: Mapping[str, Scored], kind: Kind, of_images: bool, bootstrap: Bootstrap | None
) -> str:
    counts = []
    for run in runs.values():
        anomalous = int(sum(np.count_nonzero(label) for label in run.labels))
        total = sum(np.size(label) for label in run.labels)
        counts.append((len(run.labels), total - anomalous, anomalous))
    n_images, normal, anomalous = counts[0]
    if len(set(counts)) > 1:
        sizes = sorted({n for n, *_ in counts})
        span = f"{sizes[0]:,}" + (f" to {sizes[-1]:,}" if len(sizes) > 1 else "")
        parts = [f"{len(runs)} sets of {span} {'images' if of_images else 'maps'} each."]
    elif of_images:
        said = f"{counted(normal, 'normal image')}, {counted(anomalous, 'anomalous image')}"
        parts = [f"{said}."]
    else:
        said = f"{counted(normal, 'normal pixel')}, {counted(anomalous, 'defect pixel')}"
        parts = [f"{said} of {counted(n_images, 'image')}."]
    levels = sorted({run.level for run in runs.values() if run.has_interval})
    if levels:
        said = " or ".join(f"{100 * level:g} %" for level in levels)
        parts.append(f"Brackets: {said} bootstrap interval over images.")
    if bootstrap is not None and len(runs) <= _MOST_BANDS:
        parts.append(
            f"{'Band' if len(runs) == 1 else 'Bands'}: {100 * bootstrap.confidence:g} % pointwise "
            f"bootstrap over images, {bootstrap.n_resamples:,} draws."
        )
    elif bootstrap is not None:
        parts.append(f"No bands: those of {len(runs)} curves would hide each other.")
    parts.append(
        "AUPRO: area under the curve up to the limit, over the limit; every region counts the same."
        if kind == "pro"
        else "Dotted: chance."
    )
    return " ".join(parts)


def _label(name: str, run: Scored, kind: Kind) -> str:
    if run.value is None or not np.isfinite(run.value):
        return plain(name)
    said = f"{plain(name)}: {metric_label(_METRICS[kind])} {run.value:.3f}"
    if run.has_interval:
        said += f" [{run.low:.3f}, {run.high:.3f}]"
    return said


def _curve_trace(curve: Curve, label: str, number: int, kind: Kind) -> go.Scatter:
    colour = PALETTE[number % len(PALETTE)]
    x, y = {"roc": ("FPR", "TPR"), "pr": ("recall", "precision"), "pro": ("FPR", "overlap")}[kind]
    finite = np.where(np.isfinite(curve.thresholds), curve.thresholds, np.nan)
    return go.Scatter(
        x=curve.x,
        y=curve.y,
        customdata=finite,
        mode="lines+markers" if number else "lines",
        line={
            "color": colour,
            "dash": DASHES[number % len(DASHES)],
            "width": 2,
            # The area under these steps is the average precision; straight lines would overstate.
            "shape": "vh" if kind == "pr" else "linear",
        },
        marker={
            "symbol": MARKERS[number % len(MARKERS)],
            "size": 7,
            "maxdisplayed": _MARKS,
        },
        name=label,
        legendrank=number,
        hovertemplate=f"{x} %{{x:.3f}}<br>{y} %{{y:.3f}}<br>threshold %{{customdata:.4g}}"
        "<extra></extra>",
    )


def _band_trace(band: Band, number: int, name: str) -> go.Scatter:
    colour = PALETTE[number % len(PALETTE)]
    return go.Scatter(
        x=np.concatenate([band.x, band.x[::-1]]),
        y=np.concatenate([band.low, band.high[::-1]]),
        mode="lines",
        fill="toself",
        fillcolor=faded(colour, 0.16),
        # Edges in the dash of the curve tell bands apart without their colour.
        line={"width": 0.8, "color": faded(colour, 0.5), "dash": DASHES[number % len(DASHES)]},
        hoverinfo="skip",
        showlegend=False,
        name=f"band of {plain(name)}",
    )


def _chance(fig: go.Figure, runs: Mapping[str, Scored], kind: Kind) -> None:
    if kind == "roc":
        fig.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"dash": "dot"}, layer="below")
        return
    for share in sorted({_positive_share(run.labels) for run in runs.values()}):
        fig.add_shape(
            type="line", x0=0, y0=share, x1=1, y1=share, line={"dash": "dot"}, layer="below"
        )


def _positive_share(labels: Sequence[Any] | Float[np.ndarray, "..."]) -> float:
    total = sum(np.size(label) for label in labels)
    return float(sum(np.count_nonzero(label) for label in labels) / total)
