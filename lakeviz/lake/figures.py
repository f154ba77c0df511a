"""Figures of an evaluation, in memory or in a run's folder, by their kind; see :data:`KINDS`.

``evaluation.plot(kind)`` and ``lakeviz figure KIND RUN`` draw them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pandas as pd

from lakeviz.errors import ConfigError, DataError, nearest
from lakeviz.lake import drawing
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.curve_table import curve_table
from lakeviz.metrics.pixel_intervals import CountedPixels
from lakeviz.plots import (
    choose_images,
    controls_figure,
    controls_overview_figure,
    metrics_figure,
    neuron_category_figure,
    pr_figure,
    pro_figure,
    roc_figure,
    score_figure,
    spectrum_figure,
    timeline_figure,
)
from lakeviz.plots.curves import Scored, StoredCurves
from lakeviz.plots.distributions import f1_max_threshold
from lakeviz.plots.spectrum import outlier_figure
from lakeviz.tables import is_measured, n_draws, numbers, records, where

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go

BRANCHES = {"score": "LAKE", "visual": "visual only", "text": "text only"}
# More pixels than this take longer to sort than a reader wants to wait for.
_MOST_PIXELS = 2**26
_METRIC = {"roc": "auroc", "pr": "average_precision"}
_NAMED_IMAGES, _COLUMNS = 3, 3


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a figure.

    ``categories``: all where empty. ``level``: ``"image"`` or ``"pixel"``. ``metric``: of controls.
    ``image``: sample of a heat map, its parts or activations. ``point``: hook point of a matrix or
    of activations, the first by default. ``number`` (from 1) or (a part of the) ``title`` choose a
    figure of a study. ``narrow``: for a column. ``hover``: can be pointed at. ``per_group``: images
    of each group of a gallery, by default 6, or 3 of a narrow one.
    """

    categories: tuple[str, ...] = ()
    level: str | None = None
    metric: str | None = None
    image: str | None = None
    point: str | None = None
    number: int | None = None
    title: str | None = None
    narrow: bool = True
    hover: bool = False
    per_group: int | None = None


class Source(Protocol):
    """What figures are drawn from: the folder of a run, or one evaluation."""

    def table(self, name: str, categories: Sequence[str] | None = None) -> pd.DataFrame:
        """One table of some categories."""
        ...

    def provenance(self, category: str) -> dict[str, Any]:
        """What made the evaluation of a category."""
        ...

    def evaluation(self, category: str) -> Any:
        """The evaluation of a category."""
        ...


@dataclass(frozen=True)
class _InMemory:
    """One evaluation as a source of figures."""

    own: Any

    def table(self, name: str, categories: Sequence[str] | None = None) -> pd.DataFrame:
        return getattr(self.own, name).assign(category=self.own.category)

    def provenance(self, category: str) -> dict[str, Any]:
        return self.own.provenance

    def evaluation(self, category: str) -> Any:
        return self.own


def plot(evaluation: Any, kind: str) -> go.Figure:
    """Draw one of :data:`KINDS` of an evaluation; those of one image need its name."""
    clips = "clip" in evaluation.scores
    known = {n: k for n, k in KINDS.items() if not k.of_image and (clips or not k.of_clips)}
    if kind not in known:
        raise ConfigError(f"no figure {kind!r}{nearest(kind, known)}; there are {', '.join(known)}")
    source, wanted = _InMemory(evaluation), Wanted(narrow=False)
    return known[kind].draw(source, [evaluation.category], wanted)[0]


# --- curves ---


def measured(
    metrics: pd.DataFrame, level: str, name: str, branch: str = "lake"
) -> tuple[float, float, float, float, int]:
    """Value, ends of its interval, its confidence, and of how many draws it is the mean.

    NaN where it was not measured.
    """
    row = where(metrics, level=level, metric=name, branch=branch)
    if row.empty:
        return math.nan, math.nan, math.nan, math.nan, 1
    value, low, high, confidence = (
        float(numbers(row, column)[0]) for column in ("value", "low", "high", "confidence")
    )
    return value, low, high, confidence, n_draws(row)


def image_runs(scores: pd.DataFrame, metrics: pd.DataFrame, name: str) -> dict[str, Scored]:
    """Image scores of LAKE and of its branches in one category, by two of its tables.

    ``name`` is the metric of the legend, ``"auroc"`` or ``"average_precision"``.
    """
    labels = scores["label"].to_numpy()
    columns = [column for column in BRANCHES if column in scores]
    if "text" not in columns:  # the fused score is the visual branch
        columns = ["score"]
    runs = {}
    for column in columns:
        branch = "lake" if column == "score" else column
        value = measured(metrics, "image", name, branch)
        runs[BRANCHES[column]] = Scored(numbers(scores, column), labels, *value)
    return runs


def pixel_run(curves: pd.DataFrame, metrics: pd.DataFrame, name: str) -> StoredCurves:
    """Curves of the pixels of LAKE's maps in one category; ``name`` is the metric of the legend."""
    row = records(metrics, level="pixel", metric=name)[0]
    value = measured(metrics, "pixel", name)
    return StoredCurves(curves, int(row["n_images"]), *value, n_regions=row.get("n_regions"))


def conventions_of(provenance: Mapping[str, Any]) -> Conventions:
    """Conventions of the region overlap that an evaluation was measured with."""
    given = provenance.get("conventions", {})
    return Conventions(**{n: given[n] for n in ("connectivity", "aupro_limit") if n in given})


def pixel_curves(evaluation: Any) -> pd.DataFrame:
    """The curves of an evaluation; those of a run of protocol 1, which has none, are made now."""
    if len(evaluation.curves):
        return evaluation.curves
    test, maps = evaluation.dataset, evaluation.maps
    if not test.labels.any():
        raise DataError("there is no anomalous image")
    if not test.has_masks:
        raise DataError("the data set has no masks")
    sizes = [maps.map_size] * len(maps) if maps.map_size else maps.sizes
    pixels = sum(height * width for height, width in sizes)
    if pixels > _MOST_PIXELS:
        raise DataError(
            f"{pixels:,} pixels are more than the {_MOST_PIXELS:,} that curves are made of; a "
            "smaller map size has fewer"
        )
    masks = [evaluation.regions(i) for i in range(len(maps))]
    conventions = conventions_of(evaluation.provenance)
    counted = CountedPixels.of(list(maps.pixel_maps()), masks, conventions)
    return curve_table(counted, Bootstrap.from_plain(evaluation.provenance.get("bootstrap")))


def _curves(kind: str, source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    level, metric = wanted.level or "image", _METRIC[kind]
    if level == "pixel":
        runs = {c: _pixel_run(source, c, metric) for c in chosen}
    elif len(chosen) == 1:
        runs = _image_runs(source, chosen[0], metric)
    else:
        runs = {c: _image_runs(source, c, metric)["LAKE"] for c in chosen}
    draw, name = (roc_figure, "ROC") if kind == "roc" else (pr_figure, "Precision and recall")
    return draw(runs, bootstrap=_bootstrap(source, chosen), title=f"{name} of {level}s"), None


def _image_runs(source: Source, category: str, metric: str) -> dict[str, Scored]:
    scores, metrics = (source.table(name, [category]) for name in ("scores", "metrics"))
    return image_runs(scores, metrics, metric)


def _pixel_run(source: Source, category: str, metric: str) -> StoredCurves:
    curves = source.table("curves", [category])
    if curves.empty:
        curves = pixel_curves(source.evaluation(category))
    return pixel_run(curves, source.table("metrics", [category]), metric)


def _pro(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    runs = {category: _pixel_run(source, category, "aupro") for category in chosen}
    conventions = conventions_of(source.provenance(chosen[0]))
    return pro_figure(runs, bootstrap=_bootstrap(source, chosen), conventions=conventions), None


def _bootstrap(source: Source, chosen: list[str]) -> Bootstrap:
    return Bootstrap.from_plain(source.provenance(chosen[0]).get("bootstrap"))


# --- tables ---


def _scores(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    scores = source.table("scores", chosen)
    threshold = f1_max_threshold(source.table("metrics", chosen))
    return score_figure(scores, threshold=threshold, title=f"Image scores: {chosen[0]}"), scores


def _timeline(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    scores = source.table("scores", chosen)
    drawing.require_clips(scores)
    threshold = f1_max_threshold(source.table("metrics", chosen))
    title = f"Scores over time: {chosen[0]}"
    columns = 1 if wanted.narrow else _COLUMNS
    return timeline_figure(scores, threshold=threshold, title=title, columns=columns), scores


def _spectrum(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    spectrum = source.table("spectrum", chosen)
    title = f"Variance spectrum: {chosen[0]}"
    return spectrum_figure(spectrum, title=title, n_images=_n_fit(source, chosen)), spectrum


def _outliers(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    spectrum = source.table("spectrum", chosen)
    return outlier_figure(spectrum, n_images=_n_fit(source, chosen)), spectrum


def _n_fit(source: Source, chosen: list[str]) -> int | None:
    return source.provenance(chosen[0]).get("fit", {}).get("n_images")


def _controls(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    table = source.table("controls", chosen)
    if table.empty:
        raise DataError(
            f"{', '.join(chosen)}: evaluated without controls, so there is none to show"
        )
    level, metric = wanted.level, wanted.metric
    if level is None and metric is None:
        pixel = is_measured(where(table, level="pixel", metric="aupro"), "difference")
        level, metric = ("pixel", "aupro") if pixel else ("image", "auroc")
    level = level or ("pixel" if metric == "aupro" else "image")
    shown = {"level": level, "metric": metric or "auroc"}
    confidence = _bootstrap(source, chosen).confidence
    if len(chosen) > 1:
        figure = controls_overview_figure(table, **shown, confidence=confidence)
    else:
        figure = controls_figure(table, **shown, confidence=confidence, stacked=wanted.narrow)
    return figure, where(table, **shown)


def _metrics(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    table = source.table("metrics", chosen)
    return metrics_figure(table, confidence=_bootstrap(source, chosen).confidence), table


def _matrix(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    table = source.table("spectrum", chosen)
    return neuron_category_figure(table, point=wanted.point), table


# --- images ---


def find_image(source: Source, chosen: list[str], wanted: Wanted) -> tuple[Any, int]:
    """The evaluation of the one category chosen, and the position of the image wanted in it."""
    (category,) = chosen
    scores = source.table("scores", [category])
    if wanted.image is None or wanted.image not in list(scores["sample_id"]):
        highest = scores.sort_values("score", ascending=False)["sample_id"].head(_NAMED_IMAGES)
        what = "name an image" if wanted.image is None else f"there is no image {wanted.image!r}"
        raise ConfigError(
            f"{what}: --image SAMPLE_ID, for instance one with a high score: {', '.join(highest)}"
        )
    evaluation = source.evaluation(category)
    return evaluation, evaluation.maps.sample_ids.index(wanted.image)


def _heatmap(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    figure = drawing.heatmap(*find_image(source, chosen, wanted), beside=not wanted.hover)
    return figure, None


def _layers(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    return drawing.layers(*find_image(source, chosen, wanted)), None


def _gallery(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    evaluation = source.evaluation(chosen[0])
    images = choose_images(evaluation.scores, wanted.per_group or (3 if wanted.narrow else 6))
    columns = _COLUMNS if wanted.narrow else None
    return drawing.gallery(evaluation, images, columns=columns), images


def _film(source: Source, chosen: list[str], wanted: Wanted) -> Drawn:
    """Frames of the clip of the image that was named, or of the first."""
    evaluation, clip = source.evaluation(chosen[0]), ""
    drawing.require_clips(evaluation.scores)
    if wanted.image is not None:
        _, index = find_image(source, chosen, wanted)
        clip = str(evaluation.scores["clip"].iloc[index])
    columns = _COLUMNS if wanted.narrow else None
    return drawing.film(evaluation, clip, columns=columns), None


Drawn = tuple["go.Figure", pd.DataFrame | None]
"""A figure, and the table it was made from if there is one."""


class Kind(NamedTuple):
    """A kind of figure: what it shows, how it is drawn, and what it is of."""

    words: str
    draw: Callable[[Any, list[str], Wanted], Drawn]
    one_category: bool = False
    of_clips: bool = False
    of_image: bool = False


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
    "gallery": Kind("best, worst and typical images with their heat", _gallery, True),
    "heatmap": Kind("patch scores over one image (--image)", _heatmap, True, of_image=True),
    "layers": Kind(
        "the score map of one image (--image) by layers and text", _layers, True, of_image=True
    ),
    "timeline": Kind("scores of clips over time with the labelled events", _timeline, True, True),
    "film": Kind("frames of one clip in order with their heat (--image)", _film, True, True),
}
"""What there is to draw of evaluations."""
