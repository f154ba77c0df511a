"""ROC and precision-recall curves of one or several runs, with bands over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.metrics import Bootstrap, Curve, pr_curve, roc_curve
from lakeviz.plots.bands import Band, roc_band
from lakeviz.plots.template import DASHES, MARKERS, PALETTE, counted, faded, new_figure, plain

Kind = Literal["roc", "pr"]
_N_POINTS = 400
_MOST_BANDS = 2
_MARKS = 6


@dataclass(frozen=True)
class Scored:
    """Scores and labels of one curve: of images, or of the pixels of maps and masks.

    Attributes
    ----------
    scores, labels
        One value per image; or maps and masks as :func:`lakeviz.metrics.pixel_metrics` takes them.
    value : float, optional
        The metric to show in the legend (AUROC, or AP), with its interval if there is one.
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
        Draw a band over images around each curve. Only for image scores of up to two runs;
        elsewhere it is left out and the caption says nothing of bands.
    title : str

    Raises
    ------
    ConfigError
        There is no run, or image and pixel curves are mixed.
    MetricError
        Bad input, or only one class is present.
    """
    return _curves(runs, "roc", title, bootstrap)


def pr_figure(runs: Mapping[str, Scored], *, title: str = "Precision and recall") -> go.Figure:
    """Precision against recall, average precision in the legend, the level of chance dotted.

    Takes and raises what :func:`roc_figure` does, save for the band.
    """
    return _curves(runs, "pr", title, None)


def _curves(
    runs: Mapping[str, Scored], kind: Kind, title: str, bootstrap: Bootstrap | None
) -> go.Figure:
    if not runs:
        raise ConfigError("no run to draw a curve of")
    levels = {run.of_images for run in runs.values()}
    if len(levels) > 1:
        raise ConfigError("image and pixel curves do not share one figure: draw one for each")
    of_images = levels.pop()
    banded = kind == "roc" and bootstrap is not None and of_images and len(runs) <= _MOST_BANDS
    fig = new_figure(
        title,
        _caption(runs, kind, of_images, bootstrap if banded else None),
        legend_above=True,
        height=400,
    )
    _chance(fig, runs, kind)
    for number, (name, run) in enumerate(runs.items()):
        if banded and bootstrap is not None:
            band = roc_band(run.scores, run.labels, bootstrap)
            fig.add_trace(_band_trace(band, PALETTE[number % len(PALETTE)], name))
        make = roc_curve if kind == "roc" else pr_curve
        curve = make(run.scores, run.labels, n_points=_N_POINTS)
        fig.add_trace(_curve_trace(curve, _label(name, run, kind), number, kind))
    _title_axes(fig, kind, of_images)
    fig.update_layout(showlegend=True)
    return fig


def _title_axes(fig: go.Figure, kind: Kind, of_images: bool) -> None:
    things = "images" if of_images else "pixels"
    found = "anomalous images" if of_images else "defect pixels"
    if kind == "roc":
        x, y = (
            f"false-positive rate (normal {things})",
            f"true-positive rate ({found})",
        )
    else:
        x, y = f"recall ({found})", "precision (right alarms / all alarms)"
    fig.update_xaxes(title_text=x, range=[-0.01, 1.01])
    fig.update_yaxes(title_text=y, range=[-0.01, 1.02])


def _caption(
    runs: Mapping[str, Scored], kind: Kind, of_images: bool, bootstrap: Bootstrap | None
) -> str:
    counts = []
    for run in runs.values():
        anomalous = int(sum(np.count_nonzero(label) for label in run.labels))
        total = sum(np.size(label) for label in run.labels)
        counts.append((total - anomalous, anomalous))
    normal, anomalous = counts[0]
    nouns = ("normal image", "anomalous image") if of_images else ("normal pixel", "defect pixel")
    said = f"{counted(normal, nouns[0])}, {counted(anomalous, nouns[1])}"
    if len(set(counts)) > 1:
        said = f"{len(runs)} sets of {'images' if of_images else 'maps'}"
    parts = [said + "."]
    levels = sorted({run.level for run in runs.values() if run.has_interval})
    if levels:
        said = " or ".join(f"{100 * level:g} %" for level in levels)
        parts.append(f"Brackets: {said} bootstrap interval over images.")
    if bootstrap is not None:
        parts.append(
            f"Band: {100 * bootstrap.level:g} % pointwise bootstrap over images, "
            f"{bootstrap.n_draws:,} draws."
        )
    parts.append("Dotted: chance.")
    return " ".join(parts)


def _label(name: str, run: Scored, kind: Kind) -> str:
    if run.value is None or not np.isfinite(run.value):
        return plain(name)
    said = f"{plain(name)}: {'AUROC' if kind == 'roc' else 'AP'} {run.value:.3f}"
    if run.has_interval:
        said += f" [{run.low:.3f}, {run.high:.3f}]"
    return said


def _curve_trace(curve: Curve, label: str, number: int, kind: Kind) -> go.Scatter:
    colour = PALETTE[number % len(PALETTE)]
    x, y = ("FPR", "TPR") if kind == "roc" else ("recall", "precision")
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
            "shape": "linear" if kind == "roc" else "vh",
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


def _band_trace(band: Band, colour: str, name: str) -> go.Scatter:
    return go.Scatter(
        x=np.concatenate([band.x, band.x[::-1]]),
        y=np.concatenate([band.low, band.high[::-1]]),
        fill="toself",
        fillcolor=faded(colour, 0.16),
        line={"width": 0},
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
