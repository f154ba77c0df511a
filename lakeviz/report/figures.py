"""One figure of a result on disk, by its kind: what ``lakeviz figure`` draws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lakeviz.errors import ConfigError, DataError, nearest
from lakeviz.metrics import Bootstrap
from lakeviz.plots import (
    Scored,
    caption_of,
    controls_figure,
    controls_overview_figure,
    metrics_figure,
    neuron_category_figure,
    pr_figure,
    pro_figure,
    roc_figure,
    score_figure,
    spectrum_figure,
)
from lakeviz.plots.curves import StoredCurves
from lakeviz.plots.distributions import f1_max_threshold
from lakeviz.report.curves import conventions_of, image_runs, pixel_curves, pixel_run
from lakeviz.report.figure_request import Made, Wanted, provenance_of
from lakeviz.report.image_figures import activations, gallery, heatmap, layers
from lakeviz.runs.run_folder import RunFolder
from lakeviz.tables import numbers, where

_METRIC = {"roc": "auroc", "pr": "average_precision"}


def make_figure(kind: str, run: RunFolder, wanted: Wanted) -> Made:
    """Draw a figure.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`, or the name of a study that was run.
    run : RunFolder
    wanted : Wanted

    Raises
    ------
    ConfigError
        Unknown kind, or more must be said to draw it.
    LakevizError
        The result lacks what the figure shows.
    """
    if kind in KINDS and run.categories:
        return KINDS[kind][1](run, wanted)
    if kind in run.studies:
        return _of_study(kind, run, wanted)
    known = [*(KINDS if run.categories else ()), *run.studies]
    raise ConfigError(
        f"{run.folder} has no figure {kind!r}; it has {', '.join(known)}{nearest(kind, known)}"
    )


def titles(kind: str, run: RunFolder) -> list[str]:
    """Titles of the figures of a study, in their order."""
    return [caption_of(fig)[0] for fig in _study_figures(kind, run)[0]]


# --- of a run ---


def _curves(kind: str, run: RunFolder, wanted: Wanted) -> Made:
    level = wanted.level or "image"
    chosen = run.chosen(wanted.categories)
    provenance = provenance_of(run, chosen)
    names = {"roc": "ROC", "pr": "Precision and recall"}
    title = f"{names[kind]} of {level}s"
    if level == "pixel":
        runs = {c: _pixel_run(run, c, _METRIC[kind]) for c in chosen}
    elif len(chosen) == 1:
        runs = _image_runs(run, chosen[0], _METRIC[kind])
    else:
        runs = {c: _image_runs(run, c, _METRIC[kind])["LAKE"] for c in chosen}
    draw = pr_figure if kind == "pr" else roc_figure
    return Made(draw(runs, bootstrap=_bootstrap(run, chosen), title=title), provenance=provenance)


def _image_runs(run: RunFolder, category: str, metric: str) -> dict[str, Scored]:
    return image_runs(run.table("scores", [category]), run.table("metrics", [category]), metric)


def _pixel_run(run: RunFolder, category: str, metric: str) -> StoredCurves:
    curves = run.table("curves", [category])
    if curves.empty:
        curves = pixel_curves(run.evaluation(category))
    return pixel_run(curves, run.table("metrics", [category]), metric)


def _pro(run: RunFolder, wanted: Wanted) -> Made:
    chosen = run.chosen(wanted.categories)
    figure = pro_figure(
        {category: _pixel_run(run, category, "aupro") for category in chosen},
        bootstrap=_bootstrap(run, chosen),
        conventions=conventions_of(run.provenance(chosen[0])),
    )
    return Made(figure, provenance=provenance_of(run, chosen))


def _scores(run: RunFolder, wanted: Wanted) -> Made:
    category = run.one(wanted.categories)
    scores = run.table("scores", [category])
    threshold = f1_max_threshold(run.table("metrics", [category]))
    title = f"Image scores: {category}"
    figure = score_figure(scores, threshold=threshold, title=title)
    return Made(figure, scores, provenance_of(run, [category]))


def _spectrum(run: RunFolder, wanted: Wanted) -> Made:
    category = run.one(wanted.categories)
    spectrum = run.table("spectrum", [category])
    n_images = run.provenance(category).get("fit", {}).get("n_images")
    title = f"Variance spectrum: {category}"
    figure = spectrum_figure(spectrum, title=title, n_images=n_images)
    return Made(figure, spectrum, provenance_of(run, [category]))


def _controls(run: RunFolder, wanted: Wanted) -> Made:
    chosen = run.chosen(wanted.categories)
    table = run.table("controls", chosen)
    if table.empty:
        raise DataError(f"{run.folder} was made without controls")
    level, metric = wanted.level, wanted.metric
    if level is None and metric is None:
        pixel = np.isfinite(numbers(where(table, metric="aupro"), "difference")).any()
        level, metric = ("pixel", "aupro") if pixel else ("image", "auroc")
    level, metric = level or ("pixel" if metric == "aupro" else "image"), metric or "auroc"
    rows = where(table, level=level, metric=metric)
    provenance = provenance_of(run, chosen)
    if len(chosen) > 1:
        return Made(controls_overview_figure(table, level=level, metric=metric), rows, provenance)
    figure = controls_figure(
        table,
        level=level,
        metric=metric,
        confidence=_level(run, chosen),
        stacked=wanted.narrow,
    )
    return Made(figure, rows, provenance)


def _metrics(run: RunFolder, wanted: Wanted) -> Made:
    chosen = run.chosen(wanted.categories)
    table = run.table("metrics", chosen)
    figure = metrics_figure(table, confidence=_level(run, chosen))
    return Made(figure, table, provenance_of(run, chosen))


def _matrix(run: RunFolder, wanted: Wanted) -> Made:
    chosen = run.chosen(wanted.categories)
    table = run.table("spectrum", chosen)
    figure = neuron_category_figure(table, point=wanted.point)
    return Made(figure, table, provenance_of(run, chosen))


def _bootstrap(run: RunFolder, chosen: list[str]) -> Bootstrap:
    return Bootstrap.from_plain(run.provenance(chosen[0]).get("bootstrap"))


def _level(run: RunFolder, chosen: list[str]) -> float:
    return _bootstrap(run, chosen).confidence


KINDS: dict[str, tuple[str, Callable[[RunFolder, Wanted], Made]]] = {
    "roc": ("ROC curves of images or pixels (--level)", partial(_curves, "roc")),
    "pr": ("precision and recall of images or pixels (--level)", partial(_curves, "pr")),
    "scores": ("distribution of image scores with the threshold; one category", _scores),
    "spectrum": ("variance of every neuron, the chosen ones marked; one category", _spectrum),
    "controls": ("LAKE compared with its controls (--level, --metric)", _controls),
    "metrics": ("metrics of every category with intervals", _metrics),
    "pro": ("mean region overlap against false positives, with AUPRO", _pro),
    "matrix": ("variance rank of neurons in every category, the chosen ones marked", _matrix),
    "gallery": ("best, worst and typical images with their heat; one category", gallery),
    "heatmap": ("patch scores over one image (--image); one category", heatmap),
    "layers": ("the score map of one image (--image) by layers and text; one category", layers),
    "activations": ("the chosen neurons in every patch of one image (--image)", activations),
}
"""What there is to draw of a run, with a line that says it."""


# --- of a study ---


def _of_study(name: str, run: RunFolder, wanted: Wanted) -> Made:
    figures, result = _study_figures(name, run)
    known = [caption_of(fig)[0] for fig in figures]
    listed = "; ".join(f"{i} = {title}" for i, title in enumerate(known, start=1))
    if wanted.title is not None:
        found = [i for i, title in enumerate(known) if wanted.title.lower() in title.lower()]
    elif wanted.number is not None:
        found = [wanted.number - 1] if 1 <= wanted.number <= len(figures) else []
    else:
        found = list(range(len(figures)))
    if len(found) != 1:
        raise ConfigError(f"choose one figure of {name} with --number or --title: {listed}")
    return Made(figures[found[0]], provenance=result.provenance)


def _study_figures(name: str, run: RunFolder) -> tuple[list[go.Figure], Any]:
    from lakeviz.studies.base.registry import load_study

    result = load_study(run.study(name))
    return result.figures(), result
