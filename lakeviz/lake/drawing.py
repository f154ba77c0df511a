"""Pictures of a detector and its results: what ``evaluation.plot``, ``.heatmap`` and so on draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lakeviz.data.images import load_image
from lakeviz.errors import ConfigError, DataError, nearest
from lakeviz.plots import (
    ColourRange,
    Scored,
    Tile,
    choose_images,
    colour_range,
    controls_figure,
    gallery_figure,
    heatmap_figure,
    metrics_figure,
    pr_figure,
    roc_figure,
    score_figure,
    spectrum_figure,
)
from lakeviz.plots.distributions import f1_max_threshold, verdict
from lakeviz.plots.spectrum import outlier_figure
from lakeviz.plots.timeline import choose_clips, film_frames, timeline_figure
from lakeviz.tables import is_measured, n_draws, records, where

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from PIL import Image

    from lakeviz.data import Dataset


class Maps(Protocol):
    """What is drawn of :class:`~lakeviz.lake.score_maps.ScoreMaps`."""

    patch: np.ndarray
    sample_ids: list[str]
    image_scores: np.ndarray
    picture: Callable[[str], Image.Image] | None

    def pixel_map(self, index: int, part: str | None = None) -> np.ndarray:
        """Pixel map of one image."""
        ...


class Evaluation(Protocol):
    """What is drawn of :class:`~lakeviz.lake.evaluation.Evaluation`."""

    category: str
    metrics: pd.DataFrame
    scores: pd.DataFrame
    controls: pd.DataFrame
    spectrum: pd.DataFrame
    dataset: Dataset
    provenance: dict[str, Any]

    @property
    def maps(self) -> Maps:
        """Scores of the images."""
        ...

    def mask(self, index: int) -> np.ndarray:
        """Ground-truth mask of one image."""
        ...


def position(image: int | str, sample_ids: list[str]) -> int:
    """Position of an image, given by position or name."""
    if isinstance(image, str):
        if image not in sample_ids:
            raise DataError(f"there is no image {image!r}{nearest(image, sample_ids)}")
        return sample_ids.index(image)
    if not -len(sample_ids) <= image < len(sample_ids):
        raise DataError(f"there are images 0 to {len(sample_ids) - 1}, not {image}")
    return image % len(sample_ids)


def map_heatmap(maps: Maps, image: int | str) -> go.Figure:
    """Patch scores over one of the images that were scored."""
    index = position(image, maps.sample_ids)
    if maps.picture is None:
        raise DataError(
            "these maps hold no images; evaluation.heatmap(i) has them, or draw "
            "lakeviz.plots.heatmap_figure(image, maps.patch[i], ...)"
        )
    colours = colour_range(maps.patch, np.ones(len(maps.patch), dtype=int))
    name = maps.sample_ids[index]
    return heatmap_figure(
        maps.picture(name), maps.patch[index], colours, title=f"Patch scores: {name}"
    )


def heat_colours(evaluation: Evaluation) -> ColourRange:
    """The one colour range of a category's images, up to its threshold."""
    maps = evaluation.maps
    return colour_range(maps.patch, evaluation.dataset.labels, maps.image_scores)


def heatmap(
    evaluation: Evaluation, image: int | str, patches: pd.DataFrame | None = None, **how: Any
) -> go.Figure:
    """Patch scores over one test image, with the outline of its mask; ``patches`` says why."""
    maps, data = evaluation.maps, evaluation.dataset
    index = position(image, maps.sample_ids)
    return heatmap_figure(
        load_image(data.frame.iloc[index]["path"]),
        maps.patch[index],
        heat_colours(evaluation),
        mask_to_outline(evaluation, index),
        patches=patches,
        title=f"Patch scores: {maps.sample_ids[index]}",
        **how,
    )


def gallery(
    evaluation: Evaluation, images: pd.DataFrame, title: str = "", rule: str = "", **how: Any
) -> go.Figure:
    """Test images that :func:`choose_images` chose, with their heat maps, group by group."""
    threshold, maps = f1_max_threshold(evaluation.metrics), evaluation.maps
    tiles = []
    for row in records(images):
        index, score = int(row["position"]), float(row["score"])
        tiles.append(
            Tile(
                load_image(evaluation.dataset.frame.iloc[index]["path"]),
                maps.pixel_map(index),
                str(row["sample_id"]),
                score,
                str(row["group"]),
                str(row["defect_type"]),
                verdict(int(row["label"]), score, threshold),
                mask_to_outline(evaluation, index),
            )
        )
    return gallery_figure(
        tiles,
        heat_colours(evaluation),
        threshold=threshold,
        title=title or f"Best, worst and typical images: {evaluation.category}",
        rule=rule or f"Chosen among {len(evaluation.scores):,} test images by their score alone.",
        **how,
    )


def film(evaluation: Evaluation, clip: str = "", n: int = 12, **how: Any) -> go.Figure:
    """Frames of one clip in order, evenly spaced, with their heat maps.

    Parameters
    ----------
    clip
        By default the first one that has normal and anomalous frames.
    n
        Frames, at most.

    Raises
    ------
    DataError
        The images are not frames of clips.
    ConfigError
        There is no such clip.
    """
    require_clips(evaluation.scores)
    clip = clip or choose_clips(evaluation.scores)[0]
    frames = film_frames(evaluation.scores, clip, n)
    rule = f"{len(frames)} frames of the clip, evenly spaced in time."
    return gallery(evaluation, frames, f"Film: {evaluation.category}", rule, **how)


def require_clips(scores: pd.DataFrame) -> None:
    """Refuse images that are not frames of clips."""
    if "clip" not in scores:
        raise DataError("these images are not frames of clips, so they have no order in time")


def _timeline(evaluation: Evaluation) -> go.Figure:
    require_clips(evaluation.scores)
    return timeline_figure(
        evaluation.scores,
        threshold=f1_max_threshold(evaluation.metrics),
        title=f"Scores over time: {evaluation.category}",
    )


def mask_to_outline(evaluation: Evaluation, index: int) -> np.ndarray | None:
    """Mask of an anomalous image that has one."""
    row = evaluation.dataset.frame.iloc[index]
    outlined = bool(evaluation.dataset.labels[index]) and isinstance(row["mask_path"], str)
    return evaluation.mask(index) if outlined else None


def draw(evaluation: Evaluation, kind: str) -> go.Figure:
    """Draw one of :data:`KINDS` of an evaluation."""
    known = KINDS | CLIP_KINDS if "clip" in evaluation.scores else KINDS
    if kind not in known:
        raise ConfigError(f"no figure {kind!r}{nearest(kind, known)}; there are {', '.join(known)}")
    return known[kind](evaluation)


def _scores(evaluation: Evaluation) -> go.Figure:
    threshold = f1_max_threshold(evaluation.metrics)
    title = f"Image scores: {evaluation.category}"
    return score_figure(evaluation.scores, threshold=threshold, title=title)


def _curve(evaluation: Evaluation, metric: str) -> Mapping[str, Scored]:
    row = records(evaluation.metrics, branch="lake", level="image", metric=metric)[0]
    scores = evaluation.scores
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    own = Scored(
        scores["score"].to_numpy(),
        scores["label"].to_numpy(),
        value=value,
        low=low,
        high=high,
        n_draws=n_draws(evaluation.metrics),
    )
    return {evaluation.category: own}


def _controls(evaluation: Evaluation) -> go.Figure:
    table = evaluation.controls
    if table.empty:
        raise DataError("this evaluation was made without controls; fit with controls=[...]")
    pixel = where(table, level="pixel", metric="aupro")
    level, metric = ("pixel", "aupro") if is_measured(pixel, "difference") else ("image", "auroc")
    return controls_figure(table, level=level, metric=metric)


def _n_images(evaluation: Evaluation) -> int | None:
    return evaluation.provenance.get("fit", {}).get("n_images")


KINDS: dict[str, Callable[[Evaluation], go.Figure]] = {
    "scores": _scores,
    "gallery": lambda e: gallery(e, choose_images(e.scores)),
    "roc": lambda e: roc_figure(_curve(e, "auroc"), title="ROC of images"),
    "pr": lambda e: pr_figure(_curve(e, "average_precision"), title="Precision and recall"),
    "metrics": lambda e: metrics_figure(e.metrics),
    "controls": _controls,
    "spectrum": lambda e: spectrum_figure(
        e.spectrum, title=f"Variance spectrum: {e.category}", n_images=_n_images(e)
    ),
    "outliers": lambda e: outlier_figure(e.spectrum, n_images=_n_images(e)),
}
"""What ``evaluation.plot(kind)`` draws."""

CLIP_KINDS: dict[str, Callable[[Evaluation], go.Figure]] = {"timeline": _timeline, "film": film}
"""What it draws besides where the images are frames of clips."""
