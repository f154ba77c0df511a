"""From a category on some draws to pairs, read-outs and sets of units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.activations import ChannelStatistics, stream_statistics, token_grid
from lakeviz.errors import ConfigError
from lakeviz.lake import fit_text
from lakeviz.lake.selectors import neurons_named
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.unit_data import model_of, on_units, require_pictures
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.patching.interchange import Interchange
from lakeviz.studies.patching.pairs import make_pairs
from lakeviz.studies.patching.readouts import Readouts
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import IMAGE
from lakeviz.units.base import Units


def make_interchange(
    draws: Sequence[StudyData], settings: Settings, *, with_text: bool = True
) -> Interchange:
    """Make the pairs of a category, read by a detector of all channels on every draw.

    Raises
    ------
    ConfigError
        If there is no model, or no image files.
    DataError
        If no anomalous image has a mask.
    """
    first = draws[0]
    model = model_of(first, "interventions run")
    require_pictures(first, "interventions run")
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
    if with_text and first.text is not None:
        name = first.provenance.get("class_name") or first.category.replace("_", " ")
        text = fit_text(model, name, first.options.text)
    every = [data.branches([data.select(1, "all")])[0] for data in draws]
    readouts = Readouts(every, first.grids, first.options.image_score, text)
    return Interchange(model, pairs, readouts)


def unit_sets(
    draws: Sequence[StudyData], settings: Settings, *, with_text: bool = True
) -> UnitSets:
    """Sets of neurons at the hook point of the settings, ready to be exchanged.

    Raises
    ------
    ConfigError
        If there is no model, or the hook point lies behind what the detector reads.
    DataError
        If no anomalous image has a mask.
    """
    first = draws[0]
    interchange = make_interchange(draws, settings, with_text=with_text)
    point = settings.point or first.points[0]
    interchange.tower.resolve(point)
    unreached = interchange.reaches(point, IMAGE)
    if unreached and interchange.readouts.text is None:
        raise ConfigError(f"{unreached}; name an earlier hook point")
    statistics = [
        stream_statistics(interchange.model, data.normal_paths, [point], with_covariance=True)
        for data in draws
    ]
    named = neurons_named(settings.selector) or {}
    k = len(named[point]) if point in named else first.options.k
    return UnitSets(interchange, point, [dict(s)[point] for s in statistics], settings, k)


def sets_of_units(sets: UnitSets, draws: Sequence[StudyData], units: Units) -> UnitSets:
    """Sets of other units at the hook point of some sets, on the same pairs.

    Raises
    ------
    ConfigError
        If the units are of another hook point or model.
    """
    if units.point != sets.point:
        raise ConfigError(
            f"{units.source}: {units.name} are of {units.point}, and interventions are at "
            f"{sets.point}; name that hook point, or take units of this one"
        )
    own = sets.interchange
    interchange = Interchange(own.model, own.pairs, own.readouts, {units.point: units})
    found: list[Mapping[str, ChannelStatistics]] = [on_units(d, units).statistics for d in draws]
    statistics = [one[units.point] for one in found]
    return UnitSets(interchange, sets.point, statistics, sets.settings, sets.k)
