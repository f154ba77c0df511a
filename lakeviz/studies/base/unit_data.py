"""Study data whose tokens are unit activations, so that every study of neurons is one of units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lakeviz.activations.token_subsets import CapturedTokens, MappedTokens
from lakeviz.data.streams import IMAGE, stream_of
from lakeviz.errors import ConfigError
from lakeviz.lake.fitted import described_units
from lakeviz.units.base import Units, units_by_point

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.studies.base.captured import StudyData


def on_units(data: StudyData, units: Units | Sequence[Units]) -> StudyData:
    """See captured neurons as other units; settings and images stay the same.

    The data hold no model then: what is done to a unit is not done to the network, but by an
    exchange in the explorer.

    Parameters
    ----------
    data : StudyData
        With the model, which the units are checked against where it is there.
    units : Units or sequence of Units
        One set for each hook point of the result.

    Raises
    ------
    ConfigError
        If a hook point was not captured, or units do not fit the model.
    """
    given = units_by_point(units)
    for one in given.values():
        if data.model is not None:
            one.check(data.model)
    found = _mapped(data, {p: one.encode for p, one in given.items()})
    provenance = {**data.provenance, **described_units(given)}
    behind = None if data.model is None else (data.model, given)
    return replace(found, model=None, behind=behind, provenance=provenance)


def reconstructed(data: StudyData, units: Units | Sequence[Units]) -> StudyData:
    """See captured neurons as units reconstruct them.

    Raises
    ------
    ConfigError
        If a hook point was not captured.
    """
    given = units_by_point(units)
    said: dict[str, Any] = {"reconstructed_by": described_units(given)["units"]}
    found = _mapped(data, {p: one.reconstruct for p, one in given.items()})
    return replace(found, model=None, provenance={**data.provenance, **said})


def _mapped(data: StudyData, functions: Mapping[str, Callable[[Tensor], Tensor]]) -> StudyData:
    seen = data.view(points=tuple(functions))
    normal, test = (
        CapturedTokens(MappedTokens(tokens.source, functions), tokens.n_prefix)
        for tokens in (seen.normal, seen.test)
    )
    return replace(seen, normal=normal, test=test)


def model_of(data: StudyData, what: str) -> VisionModel:
    """The model of study data.

    Raises
    ------
    ConfigError
        If there is none; says why.
    """
    if data.model is not None:
        return data.model
    why = "they come without one; make them with capture_study"
    if data.geometry.tiles != (1, 1):
        why = f"images pass it in parts ({data.geometry.aspect}); load it with another aspect"
    for one in data.provenance.get("units", {}).values():
        why = f"they hold {one['name']} of {one['source']}; make them without units="
    raise ConfigError(f"{data.category}: {what} the model, which these data do not have: {why}")


def class_name_of(data: StudyData) -> str:
    """What prompts call the thing: as the data were captured, or the category."""
    return data.provenance.get("class_name") or data.category.replace("_", " ")


def require_pictures(name: str, points: Sequence[str], what: str) -> None:
    """Refuse hook points of a category (or a run) on other streams than the pictures.

    Raises
    ------
    ConfigError
        Names the first such hook point.
    """
    others = [p for p in points if stream_of(p) != IMAGE]
    if others:
        raise ConfigError(
            f"{name}: {what} the model on the pictures alone, and these data have "
            f"{others[0]}; make a run without --stream, or with --stream image alone"
        )
