"""The study ``patching``: exchanges within pairs, heat maps, attribution and steering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pandas as pd

from lakeviz.activations import stream_statistics, token_grid
from lakeviz.errors import ConfigError
from lakeviz.lake import fit_text
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.selectors import neurons_named
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.base.unit_data import model_of
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.patching.attribution import agreement_rows, attribution_rows
from lakeviz.studies.patching.concentration import concentration_rows, curve_rows
from lakeviz.studies.patching.effects import effect_rows, heatmap_rows
from lakeviz.studies.patching.interchange import Interchange
from lakeviz.studies.patching.pairs import make_pairs
from lakeviz.studies.patching.readouts import Readouts
from lakeviz.studies.patching.result import PatchingResult, Settings
from lakeviz.studies.patching.steering import steering_rows
from lakeviz.studies.patching.unit_sets import UnitSets


def measure(
    draws: tuple[StudyData, ...], settings: Settings, evaluator: PairedEvaluator
) -> Measured:
    """Make pairs and intervene on them.

    The detector reads all channels of its hook points, so that what it reads favours no units.

    Raises
    ------
    ConfigError
        If there is no model, or the hook point lies behind what the detector reads.
    DataError
        If no anomalous image has a mask.
    """
    first = draws[0]
    model = model_of(first, "interventions run")
    if first.dataset is None:
        raise ConfigError(
            f"{first.category}: interventions run the model on image files; make the data with "
            "capture_study"
        )
    grid = token_grid(model.tower, first.points[0])
    truth = PatchTruth.of(first.truth, grid, geometry=first.geometry, sizes=first.sizes)
    pairs = make_pairs(
        first.dataset,
        [path for data in draws for path in data.normal_paths],
        model.preprocess,
        truth.defect,
        n_pairs=settings.n_pairs,
        twins=settings.twins,
        seed=settings.seed,
    )
    text = None
    if first.text is not None:
        name = first.provenance.get("class_name") or first.category.replace("_", " ")
        text = fit_text(model, name, first.options.text)
    every = [data.branches([data.select(1, "all")])[0] for data in draws]
    readouts = Readouts(every, first.grids, first.options.image_score, text)
    interchange = Interchange(model, pairs, readouts)
    point = settings.point or first.points[0]
    model.tower.resolve(point)
    unreached = interchange.reaches(point, "image score")
    if unreached and text is None:
        raise ConfigError(f"{unreached}; name an earlier hook point")
    statistics = [
        stream_statistics(model, data.normal_paths, [point], with_covariance=True) for data in draws
    ]
    named = neurons_named(settings.selector) or {}
    k = len(named[point]) if point in named else first.options.k
    sets = UnitSets(interchange, point, [dict(s)[point] for s in statistics], settings, k)
    confidence = evaluator.bootstrap.confidence
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in PatchingResult.table_names()}
    tables["effects"] = list(effect_rows(sets, settings, confidence))
    if settings.heatmap:
        tables["heatmap"] = list(heatmap_rows(interchange, settings, confidence))
    if settings.curves:
        tables["curves"], tables["areas"] = curve_rows(sets, settings, confidence)
    if settings.attribution:
        tables["attribution"], tables["checks"] = attribution_rows(interchange, point, settings)
        tables["agreement"] = list(agreement_rows(tables["checks"]))
        tables["concentration"] = list(concentration_rows(tables["attribution"]))
    if settings.doses:
        tables["steering"] = list(steering_rows(sets, settings, confidence))
    tables["pairs"] = list(_pair_rows(interchange))
    notes = [f"{first.category}: {note}" for note in (*pairs.notes, *sets.notes)]
    if pairs.kind != "rendered":
        notes.append(
            f"{first.category}: twins are {pairs.kind}, so that the difference within a pair is "
            "not of the defect alone"
        )
    return Measured({name: pd.DataFrame(rows) for name, rows in tables.items()}, notes)


def _pair_rows(interchange: Interchange) -> Sequence[dict[str, Any]]:
    defect, twin = interchange.intact
    pairs = interchange.pairs
    return [
        {
            "image": name,
            "twin": pairs.kind,
            "readout": readout,
            "defect": float(defect[readout][:, i].mean()),
            "without": float(twin[readout][:, i].mean()),
            "n_defect_patches": int(pairs.is_defect[i].sum()),
        }
        for readout in defect
        for i, name in enumerate(pairs.names)
    ]


class Patching(Study):
    """Needs pairs, and no metric of the test images."""

    needs_a_metric: ClassVar[bool] = False


STUDY = Patching(Settings, PatchingResult, measure, over_draws=True)
