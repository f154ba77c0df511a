"""Figures of the images of a saved category: heat map, its parts, activations, a gallery."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lakeviz.data import load_image
from lakeviz.data.streams import frames_before
from lakeviz.errors import ConfigError, LakevizError, StoreError
from lakeviz.lake import drawing
from lakeviz.plots import (
    choose_images,
    layer_ranges,
    layers_figure,
    neuron_patch_figure,
)
from lakeviz.plots.layers import FUSED
from lakeviz.plots.outlines import shrink_mask
from lakeviz.report.figure_request import Drawn, Wanted
from lakeviz.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation
    from lakeviz.studies.base.captured import StudyData

_log = logging.getLogger(__name__)

_NAMED_IMAGES, _NARROW_COLUMNS = 3, 3


def heatmap(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    """Patch scores over one image; where it can be pointed at, with what makes them."""
    category, evaluation, index = _image(run, chosen, wanted)
    facts = _facts(run, category, evaluation, index) if wanted.hover else None
    figure = drawing.heatmap(evaluation, index, facts, beside=not wanted.hover)
    return figure, facts


def layers(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    """Show the score map of one image by its parts."""
    category, evaluation, index = _image(run, chosen, wanted)
    every = {FUSED: evaluation.maps.patch, **evaluation.maps.parts}
    figure = layers_figure(
        {name: maps[index] for name, maps in every.items()},
        layer_ranges(every, evaluation.dataset.labels),
        text_weight=float(run.provenance(category).get("text_weight") or 0.0),
        image=load_image(evaluation.dataset.frame.iloc[index]["path"]),
        mask=drawing.mask_to_outline(evaluation, index),
        title=f"Score map by its parts: {wanted.image}",
    )
    return figure, None


def activations(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    """Show the chosen neurons in every patch of one image."""
    from lakeviz.explorer.one_image import patch_activations

    category, evaluation, index = _image(run, chosen, wanted)
    data = captured(run, category, index)
    table = patch_activations(data, 0)
    point = wanted.point or data.points[0]
    if point not in data.points:
        raise ConfigError(f"no neurons at {point!r}; hook points: {', '.join(data.points)}")
    mask = drawing.mask_to_outline(evaluation, index)
    figure = neuron_patch_figure(
        table,
        point=point,
        defect=None if mask is None else shrink_mask(mask, data.grids[point]),
        title=f"Activation of the selected neurons: {wanted.image}",
    )
    return figure, table


def gallery(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    """Show the best, worst and typical images of a category."""
    (category,) = chosen
    evaluation = run.evaluation(category)
    images = choose_images(evaluation.scores, wanted.per_group or (3 if wanted.narrow else 6))
    columns = _NARROW_COLUMNS if wanted.narrow else None
    figure = drawing.gallery(evaluation, images, columns=columns)
    return figure, images


def film(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    """Show frames of one clip in order: that of the image which was named, or the first."""
    (category,) = chosen
    evaluation = run.evaluation(category)
    drawing.require_clips(evaluation.scores)
    clip = ""
    if wanted.image is not None:
        _, _, index = _image(run, chosen, wanted)
        clip = str(evaluation.scores["clip"].iloc[index])
    columns = _NARROW_COLUMNS if wanted.narrow else None
    return drawing.film(evaluation, clip, columns=columns), None


def captured(run: RunFolder, category: str, index: int) -> StudyData:
    """Capture one test image and the images the run was fitted on; nothing is written."""
    from lakeviz.studies.base.capture import STUDY_MAP_SIZE, capture_study

    test = run.evaluation(category).dataset
    reach = max(map(frames_before, run.spec.options.streams))  # such a frame needs those before
    rows = np.arange(len(test))
    return capture_study(
        run.model,
        run.draw(category),
        test.where((rows >= index - reach) & (rows <= index)),
        options=replace(run.spec.options, map_size=STUDY_MAP_SIZE),
        class_name=category.replace("_", " "),
    )


def _facts(
    run: RunFolder, category: str, evaluation: Evaluation, index: int
) -> pd.DataFrame | None:
    """Why each patch has its score; None, with a warning, where that cannot be found out."""
    from lakeviz.explorer.one_image import patch_facts

    try:
        facts = patch_facts(captured(run, category, index), 0)
        _check_scores(facts["score"].to_numpy(), evaluation, index)
    except LakevizError as error:
        _log.warning("the heat map does not say why a patch has its score: %s", error)
        return None
    return facts


def _check_scores(scores: np.ndarray, evaluation: Evaluation, index: int) -> None:
    """Refuse to explain scores that are not those of the run."""
    saved = evaluation.maps.patch[index].ravel()
    told = scores[: len(saved)]
    if not np.allclose(told, saved, rtol=1e-3, atol=1e-5):
        raise StoreError(
            "the model gives this image other scores than the run has "
            f"(up to {np.abs(told - saved).max():.3g} apart), so it cannot tell why; run it again"
        )


def _image(run: RunFolder, chosen: list[str], wanted: Wanted) -> tuple[str, Evaluation, int]:
    """Find the image that is wanted."""
    (category,) = chosen
    scores: Any = run.table("scores", [category])
    if wanted.image is None or wanted.image not in list(scores["sample_id"]):
        highest = scores.sort_values("score", ascending=False)["sample_id"].head(_NAMED_IMAGES)
        what = "name an image" if wanted.image is None else f"there is no image {wanted.image!r}"
        raise ConfigError(
            f"{what}: --image SAMPLE_ID, for instance one with a high score: {', '.join(highest)}"
        )
    evaluation = run.evaluation(category)
    return category, evaluation, evaluation.maps.sample_ids.index(wanted.image)
