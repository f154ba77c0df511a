"""What a grid can vary: each axis checks its values and puts one into the settings of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from lakeviz.errors import ConfigError, nearest
from lakeviz.lake import get_selector
from lakeviz.lake.options import DISTANCES, KINDS, STAGES
from lakeviz.runs.spec import RunSpec
from lakeviz.settings import check_choice
from lakeviz.studies.sweep.result import AXIS_TITLES, NO_AXIS

Value = str | int | float
"""A value on an axis: plain, so that it can stand in a table."""


@dataclass(frozen=True)
class Axis:
    """One setting that a grid can vary."""

    check: Callable[[Any], Value]
    """From what was given to the value itself; raises ConfigError on one of the wrong kind."""
    put: Callable[[RunSpec, Any], RunSpec]
    """The settings of a run with a value of this axis in them."""
    get: Callable[[RunSpec], Value | None]
    """The value that settings have already."""
    read: Callable[[str], Any] = str
    """From text, as on the command line."""


def _typed(said: str, *types: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        is_other = isinstance(value, bool) or not isinstance(value, types)
        if is_other or value != value or value == "":
            raise ConfigError(f"must be {said}, not {value!r}")
        return value

    return check


_whole, _text = _typed("a whole number", int), _typed("a name", str)


def _number(value: Any) -> float:
    return float(_typed("a number", int, float)(value))


def _from_zero(value: Any) -> int:
    if _whole(value) < 0:
        raise ConfigError(f"must be 0 or more, not {value}")
    return value


def _one_of(known: Sequence[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        check_choice("it", _text(value), known)
        return value

    return check


def _layer(value: Any) -> str:
    """One layer or several that are averaged: ``5``, ``"5+6"``, ``(5, 6)``, a hook point."""
    if isinstance(value, (tuple, list)) and value:
        return "+".join(_layer(part) for part in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(_from_zero(value))
    text = _text(value)
    if not all(text.split("+")):
        raise ConfigError(f"must be layers joined by +, such as 5+6, not {value!r}")
    return text


def _normalisation(value: Any) -> str:
    """A kind, or a kind and its stage: ``l2``, ``l2/after``."""
    kind, _, stage = _text(value).partition("/")
    _one_of(KINDS)(kind)
    if stage:
        _one_of(STAGES)(stage)
    return value


def _replaced(value: Any, path: str, new: Any) -> Any:
    """A nested dataclass with one of its fields replaced."""
    name, _, rest = path.partition(".")
    return replace(value, **{name: _replaced(getattr(value, name), rest, new) if rest else new})


def _setting(path: str, check: Callable[[Any], Value], read: Callable[[str], Any] = str) -> Axis:
    """Axis of one field of the settings."""
    return Axis(check, lambda spec, value: _replaced(spec, path, value), attrgetter(path), read)


def _put_model(spec: RunSpec, value: str) -> RunSpec:
    name, _, tag = value.partition("@")
    if not tag:
        return spec if name == spec.model else replace(spec, model=name, pretrained=None)
    return replace(spec, model=name, pretrained=True if tag == "true" else tag)


def _put_seed(spec: RunSpec, value: int) -> RunSpec:
    return replace(_replaced(spec, "options.seed", value), seed=value, few_shot_lists={})


def _put_layer(spec: RunSpec, value: str) -> RunSpec:
    layers = tuple(
        int(part) if part.isdecimal() and len(part) < 10 else part for part in value.split("+")
    )
    return _replaced(spec, "options.layers", layers)


def _get_layer(spec: RunSpec) -> str:
    layers = spec.options.layers
    return "default" if layers is None else "+".join(map(str, layers))


def _put_normalisation(spec: RunSpec, value: str) -> RunSpec:
    kind, _, stage = value.partition("/")
    own = spec.options.visual.normalisation
    new = replace(own, kind=kind, stage=stage or own.stage)
    return _replaced(spec, "options.visual.normalisation", new)


def _get_normalisation(spec: RunSpec) -> str:
    own = spec.options.visual.normalisation
    return own.kind if own.stage == "before" else f"{own.kind}/{own.stage}"


_KNOWN = {
    "category": Axis(_text, lambda s, v: replace(s, categories=(v,)), lambda s: None),
    "model": Axis(_text, _put_model, lambda s: s.model),
    "layer": Axis(_layer, _put_layer, _get_layer),
    "shots": Axis(
        lambda value: "all" if value == "all" else _whole(value),
        lambda s, v: replace(s, shots=v, few_shot_lists={}),
        lambda s: s.shots,
        lambda text: text if text == "all" else int(text),
    ),
    "seed": Axis(_from_zero, _put_seed, lambda s: s.seed, int),
    "k": _setting("options.k", _whole, int),
    "normalisation": Axis(_normalisation, _put_normalisation, _get_normalisation),
    "distance": _setting("options.visual.distance", _one_of(DISTANCES)),
    "neighbours": _setting("options.visual.neighbours", _whole, int),
    "coreset": _setting("options.visual.coreset", _number, float),
    "text_weight": _setting("options.text_weight", _number, float),
    "image_score": _setting("options.image_score.name", _one_of(("max", "top_mean"))),
    "selector": _setting("options.selector", lambda value: get_selector(_text(value)).name),
}
AXES = {name: _KNOWN[name] for name in AXIS_TITLES}
"""Every axis by name, the slowest to vary first: so stand the columns of a sweep's tables."""


def check_grid(grid: Mapping[str, Any], base: RunSpec) -> dict[str, tuple[Value, ...]]:
    """Check a grid, before anything is computed, and put it in the order of the axes.

    Parameters
    ----------
    grid : mapping of axis to sequence of values
    base : RunSpec
        Settings that the values are put into.

    Raises
    ------
    ConfigError
        There is no axis, an axis is unknown or empty, or a value is of the wrong kind, out of the
        range it can ever have, or named twice. (Whether a model has a layer or so many channels,
        and a category so many images, shows in the cells.)
    SelectionError
        A selector is unknown.
    """
    if not grid:
        raise ConfigError(NO_AXIS)
    for name in grid:
        _known(name)
    return {name: _check_axis(name, grid[name], base) for name in AXES if name in grid}


def _known(name: str) -> Axis:
    if name not in AXES:
        raise ConfigError(f"no axis {name!r}{nearest(name, AXES)}; there are {', '.join(AXES)}")
    return AXES[name]


def _check_axis(name: str, given: Any, base: RunSpec) -> tuple[Value, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigError(f"axis {name} needs a sequence of values, not {given!r}")
    values = []
    for one in given:
        try:
            value = AXES[name].check(one)
            AXES[name].put(base, value)
        except ConfigError as error:
            raise ConfigError(f"axis {name}: {error}") from error
        if value in values:
            raise ConfigError(f"axis {name} names {value!r} twice")
        values.append(value)
    if not values:
        raise ConfigError(f"axis {name} has no value")
    return tuple(values)


def read_grid(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Read axes as the command line has them: ``k=10,20``, ``layer=3,5+6``.

    Raises
    ------
    ConfigError
        A text is no ``axis=value,...``, an axis is unknown or named twice, or a value cannot be
        read.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} is no axis with its values, such as k=10,20")
        if name in grid:
            raise ConfigError(f"axis {name} is named twice")
        read = _known(name).read
        try:
            grid[name] = tuple(read(v.strip()) for v in values.split(",") if v.strip())
        except ValueError:
            raise ConfigError(f"axis {name} has numbers, not {values!r}") from None
    return grid
