"""ROC, precision-recall and per-region-overlap curves of one or several runs, with bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError
from lakeviz.metrics import Band, Bootstrap, Conventions, Curve
from lakeviz.metrics.conventions import DEFAULT
from lakeviz.metrics.curve_bands import pixel_bands, pr_band, roc_band
from lakeviz.metrics.curve_table import N_POINTS, pixel_curve, read_curve
from lakeviz.metrics.curves import pr_curve, roc_curve
from lakeviz.metrics.estimates import Estimate
from lakeviz.metrics.pixel_intervals import CountedPixels
from lakeviz.metrics.regions import RegionMask
from lakeviz.metrics.registry import metric_label
from lakeviz.plots.panels import (
    MOST_SERIES,
    Look,
    bottom_titles,
    name_panel,
    panels,
    room_for_names,
)
from lakeviz.plots.template import faded, new_figure, plain
from lakeviz.tables import numbers
from lakeviz.wording import counted, percent

Kind = Literal["roc", "pr", "pro"]
_METRICS = {"roc": "auroc", "pr": "average_precision", "pro": "aupro"}
_HOVER = {"roc": ("FPR", "TPR"), "pr": ("recall", "precision"), "pro": ("FPR", "overlap")}
_MOST_BANDS = 3
_MARKS = 6
_COLUMNS, _ROW = 6, 150


@dataclass(frozen=True)
class Drawn:
    """A curve as it is drawn: with its band, and the numbers of images (or maps) and of cases.

    Cases are images, or pixels.
    """

    curve: Curve
    band: Band | None
    n_images: int
    n_normal: int
    n_anomalous: int
    n_regions: int | None = None


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
    confidence : float
        Of the interval.
    n_draws : int
        Draws of the normal images that the value is the mean over; the curve is of the first.
    """

    scores: Any
    labels: Any
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    confidence: float = 0.95
    n_draws: int = 1

    @property
    def of_images(self) -> bool:
        """Whether these are image scores, rather than maps."""
        return np.ndim(self.labels[0]) == 0 and not isinstance(self.labels[0], RegionMask)

    def drawn(self, kind: Kind, bootstrap: Bootstrap | None, conventions: Conventions) -> Drawn:
        """Compute the curve, and its band where there is a bootstrap."""
        band = None
        if self.of_images:
            make, make_band = (roc_curve, roc_band) if kind == "roc" else (pr_curve, pr_band)
            curve = make(self.scores, self.labels, n_points=N_POINTS)
            if bootstrap is not None:
                band = make_band(self.scores, self.labels, bootstrap)
            n_anomalous = int(np.count_nonzero(self.labels))
            return Drawn(curve, band, len(self.labels), len(self.labels) - n_anomalous, n_anomalous)
        pixels = CountedPixels.of(self.scores, self.labels, conventions)
        curve, n = pixel_curve(pixels, kind), pixels.counts
        if bootstrap is not None:
            band = pixel_bands(pixels, bootstrap, kinds=(kind,))[kind]
        n_regions = n.defects.n_regions
        return Drawn(curve, band, len(self.labels), n.n_negative, n.n_positive, n_regions)


@dataclass(frozen=True)
class StoredCurves:
    """Curves of pixels from a table of :func:`lakeviz.metrics.curve_table.curve_table`.

    Attributes
    ----------
    table : DataFrame
    n_images : int
    value, low, high, confidence, n_draws
        As in :class:`Scored`.
    n_regions : int, optional
        For the caption of region overlap.
    """

    table: pd.DataFrame
    n_images: int
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    confidence: float = 0.95
    n_draws: int = 1
    n_regions: int | None = None
    of_images = False

    def drawn(self, kind: Kind, bootstrap: Bootstrap | None, conventions: Conventions) -> Drawn:
        """Read the curve, and its band where there is a bootstrap: the one that made it."""
        curve, band = read_curve(self.table, kind, bootstrap or Bootstrap())
        n_normal, n_defect = (int(numbers(self.table, n)[0]) for n in ("n_normal", "n_defect"))
        shown = band if bootstrap else None
        return Drawn(curve, shown, self.n_images, n_normal, n_defect, self.n_regions)


Runs = Mapping[str, Scored] | Mapping[str, StoredCurves] | Mapping[str, Scored | StoredCurves]


def roc_figure(runs: Runs, *, bootstrap: Bootstrap | None = None, title: str = "ROC") -> go.Figure:
    """ROC curves, AUROC in the legend.

    Parameters
    ----------
    runs : mapping of name to Scored or StoredCurves
        One curve each: runs, categories or branches.
    bootstrap : Bootstrap, optional
        Draw a pointwise band over images around each curve. Bands of more than three curves would
        hide each other: there the caption says that there is none. Of more than eight each has a
        panel of its own. A band of pixels costs what the
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
    runs: Runs, *, bootstrap: Bootstrap | None = None, title: str = "Precision and recall"
) -> go.Figure:
    """Precision against recall, average precision in the legend, the level of chance dotted.

    Takes and raises what :func:`roc_figure` does.
    """
    return _curves(runs, "pr", title, bootstrap)


def pro_figure(
    runs: Runs,
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
    runs : mapping of name to Scored or StoredCurves
        Of maps and masks.
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
    runs: Runs,
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
    apart = len(runs) > MOST_SERIES
    # Bands of many curves in one panel would hide each other; those of stored curves cost nothing.
    stored = all(isinstance(run, StoredCurves) for run in runs.values())
    many = len(runs) > _MOST_BANDS and not (apart and (of_images or stored))
    banded = None if many else bootstrap
    drawn = {name: run.drawn(kind, banded, conventions) for name, run in runs.items()}
    said = _caption(runs, list(drawn.values()), kind, of_images, bootstrap, banded)
    if apart:
        return _small_multiples(runs, drawn, kind, title, said, conventions.aupro_limit)
    fig = new_figure(title, said, legend_above=True, height=400, showlegend=True)
    _add_chance(fig, list(drawn.values()), kind)
    for number, (name, one) in enumerate(drawn.items()):
        if one.band is not None:
            fig.add_trace(_band_trace(one.band, number, name))
        fig.add_trace(_curve_trace(one.curve, _label(name, runs[name], kind), number, kind))
    _title_axes(fig, kind, of_images, conventions.aupro_limit)
    return fig


def _small_multiples(
    runs: Runs, drawn: Mapping[str, Drawn], kind: Kind, title: str, said: str, limit: float
) -> go.Figure:
    """A panel for every curve, its name and metric above: more than a legend tells apart."""
    rows = -(-len(drawn) // _COLUMNS)
    fig = new_figure(title, said, height=60 + _ROW * rows, showlegend=False)
    room_for_names(fig)
    made = panels(fig, len(drawn), columns=_COLUMNS, shared_y=True, gap=0.03)
    for number, ((name, one), panel) in enumerate(zip(drawn.items(), made, strict=True)):
        if one.band is not None:
            fig.add_trace(_band_trace(one.band, 0, name), **panel.at)
        label = _label(name, runs[name], kind)
        fig.add_trace(_curve_trace(one.curve, label, 0, kind), **panel.at)
        _add_chance(fig, [one], kind, **panel.at)
        name_panel(fig, number, _label(name, runs[name], kind, interval=False))
    _title_axes(fig, kind, next(iter(runs.values())).of_images, limit)
    fig.update_xaxes(title_text="")
    x, y = _axis_titles(kind, next(iter(runs.values())).of_images)
    bottom_titles(fig, made, x)
    return fig.update_yaxes(title_text="").update_yaxes(title_text=y, col=1)


def _title_axes(fig: go.Figure, kind: Kind, of_images: bool, limit: float) -> None:
    x, y = _axis_titles(kind, of_images)
    fig.update_xaxes(title_text=x, range=[0, limit if kind == "pro" else 1])
    fig.update_yaxes(title_text=y, range=[0, 1])
    fig.update_traces(cliponaxis=False)  # marks on the ends are drawn whole


def _axis_titles(kind: Kind, of_images: bool) -> tuple[str, str]:
    things = "images" if of_images else "pixels"
    found = "anomalous images" if of_images else "defect pixels"
    if kind == "roc":
        return f"false-positive rate (normal {things})", f"true-positive rate ({found})"
    if kind == "pr":
        return f"recall ({found})", "precision (right alarms / all alarms)"
    return "false-positive rate (normal pixels)", "overlap (mean over regions)"


def _caption(
    runs: Runs,
    drawn: list[Drawn],
    kind: Kind,
    of_images: bool,
    bootstrap: Bootstrap | None,
    banded: Bootstrap | None,
) -> str:
    first = drawn[0]
    if len({(one.n_images, one.n_normal, one.n_anomalous) for one in drawn}) > 1:
        sizes = sorted({one.n_images for one in drawn})
        span = " to ".join(f"{n:,}" for n in dict.fromkeys((sizes[0], sizes[-1])))
        parts = [f"{len(runs)} sets of {span} {'images' if of_images else 'maps'} each."]
    elif of_images:
        normal = counted(first.n_normal, "normal image")
        parts = [f"{normal}, {counted(first.n_anomalous, 'anomalous image')}."]
    else:
        pixels = f"{counted(first.n_normal, 'normal pixel')}, "
        pixels += counted(first.n_anomalous, "defect pixel")
        pixels += f" of {counted(first.n_images, 'image')}"
        if kind == "pro" and first.n_regions:
            pixels += f", {counted(first.n_regions, 'region')}"
        parts = [f"{pixels}."]
    if len(runs) > MOST_SERIES:
        parts.append(f"Above each panel its {metric_label(_METRICS[kind])}.")
    given = (
        []
        if len(runs) > MOST_SERIES
        else [run for run in runs.values() if np.isfinite([run.low, run.high]).all()]
    )
    levels = sorted({run.confidence for run in given})
    draws = max(run.n_draws for run in runs.values())
    if draws > 1:
        bands = " and band" if banded is not None else ""
        parts.append(
            f"Numbers: means over {draws} draws of the normal images; curve{bands}: first."
        )
    if levels:
        over = "images and draws" if draws > 1 else "images"
        parts.append(f"Brackets: {' or '.join(map(percent, levels))} interval over {over}.")
    if bootstrap is not None and banded is not None:
        parts.append(
            f"{'Band' if len(runs) == 1 else 'Bands'}: {percent(bootstrap.confidence)} pointwise "
            f"bootstrap over images, {bootstrap.n_resamples:,} resamples."
        )
    elif bootstrap is not None:
        parts.append(f"No bands: those of {len(runs)} curves would hide each other.")
    parts.append(
        "AUPRO: area under the curve up to the limit, over the limit; every region counts the same."
        if kind == "pro"
        else "Dotted: chance."
    )
    return " ".join(parts)


def _label(name: str, run: Scored | StoredCurves, kind: Kind, *, interval: bool = True) -> str:
    if run.value is None or not np.isfinite(run.value):
        return plain(name)
    if not interval:
        return f"{plain(name)}: {run.value:.3f}"
    return f"{plain(name)}: {metric_label(_METRICS[kind])} {Estimate(run.value, run.low, run.high)}"


def _curve_trace(curve: Curve, label: str, number: int, kind: Kind) -> go.Scatter:
    look, (x, y) = Look.of(number), _HOVER[kind]
    return go.Scatter(
        x=curve.x,
        y=curve.y,
        customdata=np.where(np.isfinite(curve.thresholds), curve.thresholds, np.nan),
        mode="lines+markers" if number else "lines",
        line={
            "color": look.colour,
            "dash": look.dash,
            "width": 2,
            # The area under these steps is the average precision; straight lines would overstate.
            "shape": "vh" if kind == "pr" else "linear",
        },
        marker={"symbol": look.marker, "size": 7, "maxdisplayed": _MARKS},
        name=label,
        legendrank=number,
        hovertemplate=f"{x} %{{x:.3f}}<br>{y} %{{y:.3f}}<br>threshold %{{customdata:.4g}}"
        "<extra></extra>",
    )


def _band_trace(band: Band, number: int, name: str) -> go.Scatter:
    look = Look.of(number)
    return go.Scatter(
        x=np.concatenate([band.x, band.x[::-1]]),
        y=np.concatenate([band.low, band.high[::-1]]),
        mode="lines",
        fill="toself",
        fillcolor=faded(look.colour, 0.16),
        # Edges in the dash of the curve distinguish bands without their colour.
        line={"width": 0.8, "color": faded(look.colour, 0.5), "dash": look.dash},
        hoverinfo="skip",
        showlegend=False,
        name=f"band of {plain(name)}",
    )


def _add_chance(fig: go.Figure, drawn: list[Drawn], kind: Kind, **at: int) -> None:
    """The diagonal of ROC; the share of positives of precision."""
    if kind == "pro":
        return
    shares = {one.n_anomalous / (one.n_normal + one.n_anomalous) for one in drawn}
    for start, end in [(0.0, 1.0)] if kind == "roc" else [(s, s) for s in sorted(shares)]:
        line = {"line": {"dash": "dot"}, "layer": "below"}
        fig.add_shape(type="line", x0=0, y0=start, x1=1, y1=end, **line, **at)
