"""Images of a category with their scores: heat maps, a gallery, a film, the parts of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lakeviz.data.images import load_image
from lakeviz.errors import DataError, nearest
from lakeviz.plots import (
    ColourRange,
    Tile,
    colour_range,
    gallery_figure,
    heatmap_figure,
    layer_ranges,
    layers_figure,
)
from lakeviz.plots.distributions import f1_max_threshold, verdict
from lakeviz.plots.layers import FUSED
from lakeviz.plots.timeline import choose_clips, film_frames
from lakeviz.tables import records

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from lakeviz.data import Dataset


class Evaluation(Protocol):
    """What is drawn of :class:`~lakeviz.lake.evaluation.Evaluation`, which imports this module."""

    category: str
    metrics: pd.DataFrame
    scores: pd.DataFrame
    dataset: Dataset
    provenance: dict[str, Any]
    maps: Any

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


def map_heatmap(maps: Any, image: int | str) -> go.Figure:
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
    """Frames of one clip (by default one with normal and anomalous frames), evenly spaced."""
    require_clips(evaluation.scores)
    clip = clip or choose_clips(evaluation.scores)[0]
    frames = film_frames(evaluation.scores, clip, n)
    rule = f"{len(frames)} frames of the clip, evenly spaced in time."
    return gallery(evaluation, frames, f"Film: {evaluation.category}", rule, **how)


def require_clips(scores: pd.DataFrame) -> None:
    """Refuse images that are not frames of clips."""
    if "clip" not in scores:
        raise DataError("these images are not frames of clips, so they have no order in time")


def mask_to_outline(evaluation: Evaluation, index: int) -> np.ndarray | None:
    """Mask of an anomalous image that has one."""
    row = evaluation.dataset.frame.iloc[index]
    outlined = bool(evaluation.dataset.labels[index]) and isinstance(row["mask_path"], str)
    return evaluation.mask(index) if outlined else None


def layers(evaluation: Evaluation, index: int) -> go.Figure:
    """Show the score map of one image by its parts: fused, text, visual, and its layers."""
    maps, data = evaluation.maps, evaluation.dataset
    every = {FUSED: maps.patch, **maps.parts}
    return layers_figure(
        {name: own[index] for name, own in every.items()},
        layer_ranges(every, data.labels),
        text_weight=float(evaluation.provenance.get("text_weight") or 0.0),
        image=load_image(data.frame.iloc[index]["path"]),
        mask=mask_to_outline(evaluation, index),
        title=f"Score map by its parts: {maps.sample_ids[index]}",
    )
