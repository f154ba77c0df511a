"""From a category on some draws to pairs, read-outs and sets of units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lakeviz.activations import stream_statistics, token_grid
from lakeviz.activations.token_subsets import capture_tokens
from lakeviz.errors import ConfigError
from lakeviz.lake import VisualBranch, fit_text
from lakeviz.lake.selectors import neurons_named
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.unit_data import class_name_of, model_of, on_units, require_pictures
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.patching.interchange import Interchange
from lakeviz.studies.patching.pairs import SHARE, NearestPatches, Pairs, make_pairs
from lakeviz.studies.patching.readouts import Readouts
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import COMPONENTS, IMAGE, NEAREST, ROTATED, RUNS_THE_MODEL
from lakeviz.units import load_sae, principal_components, rotated
from lakeviz.units.base import Units


def make_interchange(
    draws: Sequence[StudyData], settings: Settings, *, with_text: bool = True
) -> Interchange:
    """Make the pairs of a category, read by a detector of all channels on every draw."""
    first = draws[0]
    model = model_of(first, RUNS_THE_MODEL)
    require_pictures(first.category, first.points, RUNS_THE_MODEL)
    if first.dataset is None:
        raise ConfigError(
            f"{first.category}: interventions run the model on image files; make the data with "
            "capture_study"
        )
    every = [data.branches([data.select(1, "all")])[0] for data in draws]
    pairs = _pairs(draws, settings, every[0])
    text = None
    if with_text and first.text is not None:
        text = fit_text(model, class_name_of(first), first.options.text)
    readouts = Readouts(every, first.grids, first.options.image_score, text)
    made = Interchange(model, pairs, readouts)
    if not settings.class_logit:
        return made
    name, row = _raised_class(made)
    pairs = replace(pairs, notes=(*pairs.notes, f"the class logit is that of {name!r}"))
    return Interchange(model, pairs, replace(readouts, logit=row))


def _raised_class(made: Interchange) -> tuple[str, Float[Tensor, " joint"]]:
    """The class whose logit the defects raise most, as a mean over the pairs, and its row."""
    head = made.model.class_head
    if head is None:
        raise ConfigError(
            f"{made.model.name} has no class head; leave class_logit out, or load a timm classifier"
        )
    defect, twin = made.embeddings
    rows = (head.weight - head.weight.mean(0)).to(defect)
    raised = int(((defect - twin) @ rows.T).mean(0).argmax())
    return head.names[raised] if head.names else str(raised), rows[raised].cpu()


def _pairs(draws: Sequence[StudyData], settings: Settings, detector: VisualBranch) -> Pairs:
    first, grids = draws[0], draws[0].grids
    model = model_of(first, "interventions run")
    assert first.dataset is not None
    grid = token_grid(model.tower, first.points[0])
    truth = PatchTruth.of(first.truth, grid, geometry=first.geometry, sizes=first.sizes)
    is_defect, nearest, point = truth.defect, None, first.points[0]
    if settings.twins == NEAREST:
        shown: dict[Path, torch.Tensor] = {}
        for data in draws:
            shown |= dict(zip(data.normal_paths, data.normal.patches(point), strict=True))
        nearest = NearestPatches(
            list(shown),
            torch.stack(list(shown.values())),
            lambda row: first.test.patches(point, [row])[0],
            grids[point],
            model.preprocess,
        )
        if not is_defect.any():
            is_defect = _highest(first, detector)
            nearest.notes = (
                f"there are no masks: the {100 * SHARE:.0f} % of the patches of an anomalous image "
                "that the detector of all channels scores highest stand for its defect",
            )
    return make_pairs(
        first.dataset,
        [path for data in draws for path in data.normal_paths],
        model.preprocess,
        is_defect,
        n_pairs=settings.n_pairs,
        twins=settings.twins,
        nearest=nearest,
        seed=settings.seed,
    )


def _highest(data: StudyData, detector: VisualBranch) -> Bool[np.ndarray, "image patch"]:
    """Patches of the anomalous images with the highest scores."""
    scores = data.visual_maps([detector])[0]
    flat = scores.reshape(len(scores), -1)
    n = max(1, round(SHARE * flat.shape[1]))
    chosen = np.zeros(flat.shape, dtype=bool)
    np.put_along_axis(chosen, np.argsort(-flat, axis=1)[:, :n], True, axis=1)
    return chosen & (np.asarray(data.truth.labels) == 1)[:, None]


def unit_sets(
    draws: Sequence[StudyData], settings: Settings, *, with_text: bool = True
) -> UnitSets:
    """Sets of neurons at the hook point of the settings, ready to be exchanged."""
    first = draws[0]
    interchange = make_interchange(draws, settings, with_text=with_text)
    point = settings.point or first.points[0]
    interchange.tower.resolve(point)
    unreached = interchange.reaches(point, IMAGE)
    if unreached and not interchange.readouts.of_output:
        raise ConfigError(f"{unreached}; name an earlier hook point")
    statistics = [
        stream_statistics(interchange.model, data.normal_paths, [point], with_covariance=True)
        for data in draws
    ]
    named = neurons_named(settings.selector) or {}
    k = len(named[point]) if point in named else first.options.k
    return UnitSets(interchange, point, [dict(s)[point] for s in statistics], settings, k)


def sets_of_units(sets: UnitSets, draws: Sequence[StudyData], units: Units) -> UnitSets:
    """Sets of other units at the hook point of some sets, on the same pairs."""
    if units.point != sets.point:
        raise ConfigError(
            f"{units.source}: {units.name} are of {units.point}, and interventions are at "
            f"{sets.point}; name that hook point, or take units of this one"
        )
    own = sets.interchange
    interchange = Interchange(own.model, own.pairs, own.readouts, {units.point: units})
    statistics = [on_units(_at(data, units.point), units).statistics[units.point] for data in draws]
    settings = sets.settings
    if neurons_named(settings.selector) is not None:
        settings = replace(settings, selector="variance")
    return UnitSets(interchange, sets.point, statistics, settings, sets.k)


def other_bases(sets: UnitSets, draws: Sequence[StudyData]) -> Iterator[tuple[str, UnitSets]]:
    """Yield sets of the other units that the settings name, and what these are called."""
    model, point = sets.interchange.model, sets.point
    for name in sets.settings.units:
        if name == ROTATED:
            units: Units = rotated(model, point, sets.settings.seed)
        elif name == COMPONENTS:
            units = principal_components(sets.statistics[0])
        else:
            units = load_sae(name)
            units.check(model)
        own = units.name if name in (ROTATED, COMPONENTS) else f"{units.name} ({Path(name).name})"
        yield own, sets_of_units(sets, draws, units)


def untrained_sets(sets: UnitSets, draws: Sequence[StudyData]) -> UnitSets:
    """The same sets of an untrained tower, which also reads the scores: what architecture gives."""
    own = sets.interchange
    model = own.model.untrained(sets.settings.seed)
    points = draws[0].points
    fresh = [
        replace(
            data, model=model, text=None, normal=capture_tokens(model, data.normal_paths, points)
        )
        for data in draws
    ]
    every = [data.branches([data.select(1, "all")])[0] for data in fresh]
    readouts = Readouts(every, own.readouts.grids, own.readouts.rule)
    statistics = [
        dict(stream_statistics(model, data.normal_paths, [sets.point]))[sets.point]
        for data in draws
    ]
    made = Interchange(model, own.pairs, readouts)
    return UnitSets(made, sets.point, statistics, sets.settings, sets.k)


def _at(data: StudyData, point: str) -> StudyData:
    """The data at a hook point that may not have been captured."""
    if point in data.points:
        return data
    model = model_of(data, "interventions run")
    normal = capture_tokens(model, data.normal_paths, [point])
    return replace(data, points=(point,), normal=normal)
