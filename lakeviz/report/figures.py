"""One figure of a result on disk, by its kind: what ``lakeviz figure`` draws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lakeviz.errors import ConfigError, DataError, nearest
from lakeviz.lake.drawing import require_clips
from lakeviz.lake.evaluation_files import CLIPS
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
from lakeviz.plots.spectrum import outlier_figure
from lakeviz.plots.timeline import timeline_figure
from lakeviz.report.curves import conventions_of, image_runs, pixel_curves, pixel_run
from lakeviz.report.figure_request import Drawn, Made, Wanted
from lakeviz.report.image_figures import activations, film, gallery, heatmap, layers
from lakeviz.runs.run_folder import RunFolder
from lakeviz.tables import numbers, where

if TYPE_CHECKING:
    from lakeviz.studies.base.result import StudyResult

_METRIC = {"roc": "auroc", "pr": "average_precision"}


def make_figure(kind: str, run: RunFolder, wanted: Wanted) -> Made:
    """Draw a figure.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`, or the name of a study that was run.
    run : RunFolder
    wanted : Wanted
    """
    if kind in KINDS and run.categories:
        own, named = KINDS[kind], wanted.categories
        chosen = [run.one(named)] if own.one_category else run.chosen(named)
        figure, data = own.draw(run, chosen, wanted)
        return Made(figure, data, {category: run.provenance(category) for category in chosen})
    if kind in run.studies:
        return _of_study(kind, run, wanted)
    known = [*kinds_of(run), *run.studies]
    raise ConfigError(
        f"{run.folder} has no figure {kind!r}; it has {', '.join(known)}{nearest(kind, known)}"
    )


def titles(kind: str, run: RunFolder) -> list[str]:
    """Titles of the figures of a study, in their order."""
    return [caption_of(fig)[0] for fig in _study(kind, run).figures()]


# --- of a run ---


def _curves(kind: str, run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    level, metric = wanted.level or "image", _METRIC[kind]
    if level == "pixel":
        runs = {c: _pixel_run(run, c, metric) for c in chosen}
    elif len(chosen) == 1:
        runs = _image_runs(run, chosen[0], metric)
    else:
        runs = {c: _image_runs(run, c, metric)["LAKE"] for c in chosen}
    draw, name = (roc_figure, "ROC") if kind == "roc" else (pr_figure, "Precision and recall")
    return draw(runs, bootstrap=_bootstrap(run, chosen), title=f"{name} of {level}s"), None


def _image_runs(run: RunFolder, category: str, metric: str) -> dict[str, Scored]:
    return image_runs(run.table("scores", [category]), run.table("metrics", [category]), metric)


def _pixel_run(run: RunFolder, category: str, metric: str) -> StoredCurves:
    curves = run.table("curves", [category])
    if curves.empty:
        curves = pixel_curves(run.evaluation(category))
    return pixel_run(curves, run.table("metrics", [category]), metric)


def _pro(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    runs = {category: _pixel_run(run, category, "aupro") for category in chosen}
    conventions = conventions_of(run.provenance(chosen[0]))
    return pro_figure(runs, bootstrap=_bootstrap(run, chosen), conventions=conventions), None


def _scores(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    scores = run.table("scores", chosen)
    threshold = f1_max_threshold(run.table("metrics", chosen))
    return score_figure(scores, threshold=threshold, title=f"Image scores: {chosen[0]}"), scores


def _timeline(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    scores = run.table("scores", chosen)
    require_clips(scores)
    threshold = f1_max_threshold(run.table("metrics", chosen))
    title = f"Scores over time: {chosen[0]}"
    columns = 1 if wanted.narrow else 3
    return timeline_figure(scores, threshold=threshold, title=title, columns=columns), scores


def _spectrum(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    spectrum = run.table("spectrum", chosen)
    n_images = run.provenance(chosen[0]).get("fit", {}).get("n_images")
    title = f"Variance spectrum: {chosen[0]}"
    return spectrum_figure(spectrum, title=title, n_images=n_images), spectrum


def _outliers(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    spectrum = run.table("spectrum", chosen)
    n_images = run.provenance(chosen[0]).get("fit", {}).get("n_images")
    return outlier_figure(spectrum, n_images=n_images), spectrum


def _controls(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    table = run.table("controls", chosen)
    if table.empty:
        raise DataError(f"{run.folder} was made without controls")
    level, metric = wanted.level, wanted.metric
    if level is None and metric is None:
        pixel = np.isfinite(numbers(where(table, metric="aupro"), "difference")).any()
        level, metric = ("pixel", "aupro") if pixel else ("image", "auroc")
    shown = {
        "level": level or ("pixel" if metric == "aupro" else "image"),
        "metric": metric or "auroc",
    }
    confidence = _bootstrap(run, chosen).confidence
    if len(chosen) > 1:
        figure = controls_overview_figure(table, **shown, confidence=confidence)
        return figure, where(table, **shown)
    figure = controls_figure(table, **shown, confidence=confidence, stacked=wanted.narrow)
    return figure, where(table, **shown)


def _metrics(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    table = run.table("metrics", chosen)
    return metrics_figure(table, confidence=_bootstrap(run, chosen).confidence), table


def _matrix(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    table = run.table("spectrum", chosen)
    return neuron_category_figure(table, point=wanted.point), table


def _bootstrap(run: RunFolder, chosen: list[str]) -> Bootstrap:
    return Bootstrap.from_plain(run.provenance(chosen[0]).get("bootstrap"))


class Kind(NamedTuple):
    """A kind of figure: what it shows, how it is drawn, and whether it is of one category."""

    words: str
    draw: Callable[[RunFolder, list[str], Wanted], Drawn]
    one_category: bool = False
    of_clips: bool = False


KINDS: dict[str, Kind] = {
    "roc": Kind("ROC curves of images or pixels (--level)", partial(_curves, "roc")),
    "pr": Kind("precision and recall of images or pixels (--level)", partial(_curves, "pr")),
    "scores": Kind("distribution of image scores with the threshold", _scores, True),
    "spectrum": Kind("variance of every neuron, the chosen ones marked", _spectrum, True),
    "outliers": Kind("the same with the first channel and its share named", _outliers, True),
    "controls": Kind("LAKE compared with its controls (--level, --metric)", _controls),
    "metrics": Kind("metrics of every category with intervals", _metrics),
    "pro": Kind("mean region overlap against false positives, with AUPRO", _pro),
    "matrix": Kind("variance rank of neurons in every category, the chosen ones marked", _matrix),
    "gallery": Kind("best, worst and typical images with their heat", gallery, True),
    "heatmap": Kind("patch scores over one image (--image)", heatmap, True),
    "layers": Kind("the score map of one image (--image) by layers and text", layers, True),
    "timeline": Kind("scores of clips over time with the labelled events", _timeline, True, True),
    "film": Kind("frames of one clip in order with their heat (--image)", film, True, True),
    "activations": Kind(
        "the chosen neurons in every patch of one image (--image)", activations, True
    ),
}
"""What there is to draw of a run."""


def kinds_of(run: RunFolder) -> dict[str, Kind]:
    """Those of :data:`KINDS` that a run has: of clips where it has some, none unfinished."""
    if not run.finished:
        return {}
    clips = any((folder / f"{CLIPS}.parquet").is_file() for folder in run.finished.values())
    return {name: kind for name, kind in KINDS.items() if clips or not kind.of_clips}


# --- of a study ---


def _of_study(name: str, run: RunFolder, wanted: Wanted) -> Made:
    result = _study(name, run)
    figures = result.figures()
    known = [caption_of(fig)[0] for fig in figures]
    if wanted.title is not None:
        found = [i for i, title in enumerate(known) if wanted.title.lower() in title.lower()]
    elif wanted.number is not None:
        found = [wanted.number - 1] if 1 <= wanted.number <= len(figures) else []
    else:
        found = list(range(len(figures)))
    if len(found) != 1:
        listed = "; ".join(f"{i} = {title}" for i, title in enumerate(known, start=1))
        raise ConfigError(f"choose one figure of {name} with --number or --title: {listed}")
    return Made(figures[found[0]], provenance=result.provenance)


def _study(name: str, run: RunFolder) -> StudyResult:
    from lakeviz.studies.base.registry import load_study

    return load_study(run.study(name))
