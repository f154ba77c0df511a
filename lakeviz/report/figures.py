"""One figure of a result on disk, by its kind: what ``lakeviz figure`` draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.errors import ConfigError, DataError, nearest
from lakeviz.metrics import Bootstrap, Conventions
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
from lakeviz.plots.distributions import f1_max_threshold
from lakeviz.report.curves import image_runs, measured
from lakeviz.report.figure_request import Made, Wanted, provenance_of
from lakeviz.report.image_figures import activations, gallery, heatmap, layers
from lakeviz.runs.saved import Saved, SavedCategory
from lakeviz.tables import numbers, where

_METRIC = {"roc": "auroc", "pr": "average_precision"}


def make_figure(kind: str, saved: Saved, wanted: Wanted) -> Made:
    """Draw a figure.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`, or the name of a study that was run.
    saved : Saved
    wanted : Wanted

    Raises
    ------
    ConfigError
        Unknown kind, or more must be said to draw it.
    LakevizError
        The result lacks what the figure shows.
    """
    if kind in KINDS and saved.categories:
        return KINDS[kind][1](saved, wanted)
    if kind in saved.studies:
        return _of_study(kind, saved, wanted)
    known = [*(KINDS if saved.categories else ()), *saved.studies]
    raise ConfigError(
        f"{saved.folder} has no figure {kind!r}; it has {', '.join(known)}{nearest(kind, known)}"
    )


def titles(kind: str, saved: Saved) -> list[str]:
    """Titles of the figures of a study, in their order."""
    return [caption_of(fig)[0] for fig in _study_figures(kind, saved)[0]]


# --- of a run ---


def _curves(kind: str, saved: Saved, wanted: Wanted) -> Made:
    level = wanted.level or "image"
    chosen = saved.chosen(wanted.categories)
    provenance = provenance_of(chosen)
    names = {"roc": "ROC", "pr": "Precision and recall"}
    title = f"{names[kind]} of {level}s"
    if level == "pixel":
        runs = {c.name: _pixel_run(c, _METRIC[kind], wanted.root) for c in chosen}
    elif len(chosen) == 1:
        runs = image_runs(chosen[0].table("scores"), chosen[0].table("metrics"), _METRIC[kind])
    else:
        runs = {c.name: _lake_run(c, _METRIC[kind]) for c in chosen}
    draw = pr_figure if kind == "pr" else roc_figure
    return Made(draw(runs, bootstrap=_bootstrap(chosen), title=title), provenance=provenance)


def _lake_run(category: SavedCategory, metric: str) -> Scored:
    return image_runs(category.table("scores"), category.table("metrics"), metric)["LAKE"]


def _pixel_run(category: SavedCategory, metric: str, root: str | None) -> Scored:
    evaluation = category.evaluation(root)
    if not evaluation.dataset.has_masks:
        raise DataError(f"{category.name} has no masks, so there is no curve of pixels")
    maps = list(evaluation.maps.pixel_maps())
    masks = [evaluation.mask(i) for i in range(len(evaluation.maps))]
    return Scored(maps, masks, *measured(evaluation.metrics, "pixel", metric))


def _roc(saved: Saved, wanted: Wanted) -> Made:
    return _curves("roc", saved, wanted)


def _pr(saved: Saved, wanted: Wanted) -> Made:
    return _curves("pr", saved, wanted)


def _pro(saved: Saved, wanted: Wanted) -> Made:
    chosen = saved.chosen(wanted.categories)
    runs = {c.name: _pixel_run(c, "aupro", wanted.root) for c in chosen}
    measured_with = chosen[0].provenance.get("conventions", {})
    known = {n: measured_with[n] for n in ("connectivity", "aupro_limit") if n in measured_with}
    figure = pro_figure(
        runs,
        bootstrap=_bootstrap(chosen),
        conventions=Conventions(**known),
        title="Per-region overlap",
    )
    return Made(figure, provenance=provenance_of(chosen))


def _scores(saved: Saved, wanted: Wanted) -> Made:
    category = saved.one(wanted.categories)
    scores = category.table("scores")
    threshold = f1_max_threshold(category.table("metrics"))
    title = f"Image scores: {category.name}"
    figure = score_figure(scores, threshold=threshold, title=title)
    return Made(figure, scores, provenance_of([category]))


def _spectrum(saved: Saved, wanted: Wanted) -> Made:
    category = saved.one(wanted.categories)
    spectrum = category.table("spectrum")
    n_images = category.provenance.get("fit", {}).get("n_images")
    title = f"Variance spectrum: {category.name}"
    figure = spectrum_figure(spectrum, title=title, n_images=n_images)
    return Made(figure, spectrum, provenance_of([category]))


def _controls(saved: Saved, wanted: Wanted) -> Made:
    chosen = saved.chosen(wanted.categories)
    table = pd.concat([category.table("controls") for category in chosen], ignore_index=True)
    if table.empty:
        raise DataError(f"{saved.folder} was made without controls")
    level, metric = wanted.level, wanted.metric
    if level is None and metric is None:
        pixel = np.isfinite(numbers(where(table, metric="aupro"), "difference")).any()
        level, metric = ("pixel", "aupro") if pixel else ("image", "auroc")
    level, metric = level or ("pixel" if metric == "aupro" else "image"), metric or "auroc"
    rows = where(table, level=level, metric=metric)
    provenance = provenance_of(chosen)
    if len(chosen) > 1:
        return Made(controls_overview_figure(table, level=level, metric=metric), rows, provenance)
    figure = controls_figure(
        table, level=level, metric=metric, confidence=_level(chosen), stacked=wanted.narrow
    )
    return Made(figure, rows, provenance)


def _metrics(saved: Saved, wanted: Wanted) -> Made:
    chosen = saved.chosen(wanted.categories)
    table = pd.concat([category.table("metrics") for category in chosen], ignore_index=True)
    figure = metrics_figure(table, confidence=_level(chosen))
    return Made(figure, table, provenance_of(chosen))


def _matrix(saved: Saved, wanted: Wanted) -> Made:
    chosen = saved.chosen(wanted.categories)
    table = pd.concat([category.table("spectrum") for category in chosen], ignore_index=True)
    figure = neuron_category_figure(table, point=wanted.point)
    return Made(figure, table, provenance_of(chosen))


def _bootstrap(chosen: list[SavedCategory]) -> Bootstrap:
    return Bootstrap.from_plain(chosen[0].provenance.get("bootstrap"))


def _level(chosen: list[SavedCategory]) -> float:
    return _bootstrap(chosen).confidence


KINDS: dict[str, tuple[str, Callable[[Saved, Wanted], Made]]] = {
    "roc": ("ROC curves of images or pixels (--level)", _roc),
    "pr": ("precision and recall of images or pixels (--level)", _pr),
    "scores": ("distribution of image scores with the threshold; one category", _scores),
    "spectrum": ("variance of every neuron, the chosen ones marked; one category", _spectrum),
    "controls": ("LAKE beside its controls (--level, --metric)", _controls),
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


def _of_study(name: str, saved: Saved, wanted: Wanted) -> Made:
    figures, result = _study_figures(name, saved)
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


def _study_figures(name: str, saved: Saved) -> tuple[list[go.Figure], Any]:
    from lakeviz.report.sections.studies import study_figures
    from lakeviz.studies.base.registry import load_study

    result = load_study(saved.study(name))
    return study_figures(result), result
