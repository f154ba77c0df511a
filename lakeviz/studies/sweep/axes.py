"""What a grid can vary: each axis checks its values and puts one into the settings of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lakeviz.errors import ConfigError, nearest
from lakeviz.lake import LakeOptions, get_selector
from lakeviz.lake.options import DISTANCES, KINDS, STAGES, ImageScoreRule
from lakeviz.runs.spec import RunSpec

Value = str | int | float
"""A value on an axis: plain, so that it can stand in a table."""


@dataclass(frozen=True)
class Axis:
    """One setting that a grid can vary.

    Attributes
    ----------
    name : str
    check : callable
        From what was given to the value itself.
    put : callable
        The settings of a run with a value of this axis in them.
    get : callable
        The value that settings have already.
    read : callable
        From text, as on the command line.

    Raises
    ------
    ConfigError
        By ``check`` and ``read``, on a value of the wrong kind.
    """

    name: str
    check: Callable[[Any], Value]
    put: Callable[[RunSpec, Any], RunSpec]
    get: Callable[[RunSpec], Value | None]
    read: Callable[[str], Any] = str


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"must be a whole number, not {value!r}")
    return value


def _from_zero(value: Any) -> int:
    if _whole(value) < 0:
        raise ConfigError(f"must be 0 or more, not {value}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise ConfigError(f"must be a number, not {value!r}")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"must be a name, not {value!r}")
    return value


def _one_of(known: Sequence[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if _text(value) not in known:
            raise ConfigError(f"must be one of {', '.join(known)}, not {value!r}")
        return value

    return check


def _shots(value: Any) -> int | str:
    return "all" if value == "all" else _whole(value)


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


def _selector(value: Any) -> str:
    return get_selector(_text(value)).name


def _normalisation(value: Any) -> str:
    """A kind, or a kind and its stage: ``l2``, ``l2/after``."""
    kind, _, stage = _text(value).partition("/")
    _one_of(KINDS)(kind)
    if stage:
        _one_of(STAGES)(stage)
    return value


def _put_model(spec: RunSpec, value: str) -> RunSpec:
    name, _, tag = value.partition("@")
    if not tag:
        return spec if name == spec.model else replace(spec, model=name, pretrained=None)
    return replace(spec, model=name, pretrained=True if tag == "true" else tag)


def _put_shots(spec: RunSpec, value: int | str) -> RunSpec:
    return replace(spec, shots=value, few_shot_lists={})


def _put_seed(spec: RunSpec, value: int) -> RunSpec:
    options = replace(spec.options, seed=value)
    return replace(spec, seed=value, options=options, few_shot_lists={})


def _put_layer(spec: RunSpec, value: str) -> RunSpec:
    layers = tuple(int(part) if part.isdecimal() else part for part in value.split("+"))
    return _with(spec, layers=layers)


def _put_normalisation(spec: RunSpec, value: str) -> RunSpec:
    kind, _, stage = value.partition("/")
    own = spec.options.visual.normalisation
    return _with_visual(spec, normalisation=replace(own, kind=kind, stage=stage or own.stage))


def _put_image_score(spec: RunSpec, value: str) -> RunSpec:
    own = spec.options.image_score
    return _with(spec, image_score=ImageScoreRule(value, own.fraction))


def _with(spec: RunSpec, **options: Any) -> RunSpec:
    return replace(spec, options=replace(spec.options, **options))


def _with_visual(spec: RunSpec, **options: Any) -> RunSpec:
    return _with(spec, visual=replace(spec.options.visual, **options))


def _option(name: str, check: Callable[[Any], Value], read: Callable[[str], Any] = str) -> Axis:
    return Axis(
        name,
        check,
        lambda spec, value: _with(spec, **{name: value}),
        lambda spec: getattr(spec.options, name),
        read,
    )


def _visual(name: str, check: Callable[[Any], Value], read: Callable[[str], Any] = str) -> Axis:
    return Axis(
        name,
        check,
        lambda spec, value: _with_visual(spec, **{name: value}),
        lambda spec: getattr(spec.options.visual, name),
        read,
    )


def _layers_of(options: LakeOptions) -> str:
    return "default" if options.layers is None else "+".join(map(str, options.layers))


def _normalisation_of(options: LakeOptions) -> str:
    own = options.visual.normalisation
    return own.kind if own.stage == "before" else f"{own.kind}/{own.stage}"


def _read_shots(text: str) -> int | str:
    return text if text == "all" else int(text)


_AXES = (
    Axis("category", _text, lambda s, v: replace(s, categories=(v,)), lambda s: None),
    Axis("model", _text, _put_model, lambda s: s.model),
    Axis("layer", _layer, _put_layer, lambda s: _layers_of(s.options)),
    Axis("shots", _shots, _put_shots, lambda s: s.shots, _read_shots),
    Axis("seed", _from_zero, _put_seed, lambda s: s.seed, int),
    _option("k", _whole, int),
    Axis(
        "normalisation", _normalisation, _put_normalisation, lambda s: _normalisation_of(s.options)
    ),
    _visual("distance", _one_of(DISTANCES)),
    _visual("neighbours", _whole, int),
    _visual("coreset", _number, float),
    _option("text_weight", _number, float),
    Axis(
        "image_score",
        _one_of(("max", "top_mean")),
        _put_image_score,
        lambda s: s.options.image_score.name,
    ),
    _option("selector", _selector),
)
AXES: dict[str, Axis] = {axis.name: axis for axis in _AXES}
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
        raise ConfigError(f"a sweep needs an axis to vary; there are {', '.join(AXES)}")
    for name in grid:
        if name not in AXES:
            raise ConfigError(f"no axis {name!r}{nearest(name, AXES)}; there are {', '.join(AXES)}")
    return {name: _check_axis(AXES[name], grid[name], base) for name in AXES if name in grid}


def _check_axis(axis: Axis, given: Any, base: RunSpec) -> tuple[Value, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigError(f"axis {axis.name} needs a sequence of values, not {given!r}")
    values = []
    for one in given:
        try:
            value = axis.check(one)
            axis.put(base, value)
        except ConfigError as error:
            raise ConfigError(f"axis {axis.name}: {error}") from error
        if value in values:
            raise ConfigError(f"axis {axis.name} names {value!r} twice")
        values.append(value)
    if not values:
        raise ConfigError(f"axis {axis.name} has no value")
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
        if name not in AXES:
            raise ConfigError(f"no axis {name!r}{nearest(name, AXES)}; there are {', '.join(AXES)}")
        try:
            grid[name] = tuple(AXES[name].read(v.strip()) for v in values.split(",") if v.strip())
        except ValueError:
            raise ConfigError(f"axis {name} has numbers, not {values!r}") from None
    return grid
