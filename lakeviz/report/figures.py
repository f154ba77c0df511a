"""One figure of a result on disk, by its kind: what ``lakeviz figure`` draws."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lakeviz.data.streams import frames_before
from lakeviz.errors import ConfigError, LakevizError, StoreError, nearest
from lakeviz.lake import drawing
from lakeviz.lake import figures as of_evaluations
from lakeviz.lake.evaluation_files import CLIPS
from lakeviz.lake.figures import Drawn, Kind, Wanted, find_image
from lakeviz.plots import caption_of, neuron_patch_figure
from lakeviz.plots.outlines import shrink_mask
from lakeviz.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation
    from lakeviz.studies.base.captured import StudyData
    from lakeviz.studies.base.result import StudyResult

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """A figure, the table it was made from (if one) and what made that."""

    figure: go.Figure
    data: pd.DataFrame | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def make_figure(kind: str, run: RunFolder, wanted: Wanted) -> Made:
    """Draw one of :data:`KINDS`, or of the figures of a study that was run."""
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


# --- of a run: those that ask its model why ---


def _heatmap(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    """Patch scores over one image; where it can be pointed at, with what makes them."""
    evaluation, index = find_image(run, chosen, wanted)
    facts = _facts(run, chosen[0], evaluation, index) if wanted.hover else None
    return drawing.heatmap(evaluation, index, facts, beside=not wanted.hover), facts


def _activations(run: RunFolder, chosen: list[str], wanted: Wanted) -> Drawn:
    from lakeviz.explorer.one_image import patch_activations

    evaluation, index = find_image(run, chosen, wanted)
    data = _captured(run, chosen[0], index)
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


def _facts(
    run: RunFolder, category: str, evaluation: Evaluation, index: int
) -> pd.DataFrame | None:
    """Why each patch has its score; None, with a warning, where that cannot be found out."""
    from lakeviz.explorer.one_image import patch_facts

    try:
        facts = patch_facts(_captured(run, category, index), 0)
        _check_scores(facts["score"].to_numpy(), evaluation, index)
    except LakevizError as error:
        _log.warning("the heat map does not say why a patch has its score: %s", error)
        return None
    return facts


def _captured(run: RunFolder, category: str, index: int) -> StudyData:
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


def _check_scores(scores: np.ndarray, evaluation: Evaluation, index: int) -> None:
    """Refuse to explain scores that are not those of the run."""
    saved = evaluation.maps.patch[index].ravel()
    told = scores[: len(saved)]
    if not np.allclose(told, saved, rtol=1e-3, atol=1e-5):
        raise StoreError(
            "the model gives this image other scores than the run has "
            f"(up to {np.abs(told - saved).max():.3g} apart), so it cannot tell why; run it again"
        )


KINDS: dict[str, Kind] = of_evaluations.KINDS | {
    "heatmap": of_evaluations.KINDS["heatmap"]._replace(draw=_heatmap),
    "activations": Kind(
        "the chosen neurons in every patch of one image (--image)", _activations, True
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
