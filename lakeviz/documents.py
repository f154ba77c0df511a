"""Plain data of a known shape: what a JSON document says, checked field by field.

A shape is a dataclass, a ``TypedDict`` or any type made of them. Nothing is guessed or converted:
``"4"`` is no number and ``true`` is not 1. A leaf: every floor may use it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from lakeviz.errors import ConfigError, LakevizError, StoreError
from lakeviz.files import REMEDY, read_json

T = TypeVar("T")

_LARGEST = 2**63
_TYPES: dict[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
    list: "a list",
    dict: "an object",
}


def read_document(path: str | Path, shape: type[T], remedy: str = REMEDY) -> T:
    """Read a JSON file of a known shape."""
    return of_file(path, shape, read_json(path), remedy)


def of_file(path: str | Path, shape: Any, found: Any, remedy: str = REMEDY) -> Any:
    """Check what was read from a file; errors as :func:`read_document`."""
    try:
        return restored(shape, found)
    except LakevizError as error:
        raise StoreError(f"{path} is damaged: {error}; {remedy}") from error


def restored(shape: Any, value: Any, at: str = "") -> Any:
    """Make what a shape says of plain data, found at a place of that name.

    A dataclass gives an instance: every field is there, except those that its ``LATER`` names, and
    no other. A ``TypedDict`` gives a dict, which may hold more. ``tuple[...]`` is made of a list.
    """
    if shape is Any or shape is object:
        return value
    if is_dataclass(shape):
        return _dataclass(shape, value, at)
    if is_typeddict(shape):
        return _typed_dict(shape, value, at)
    kind, inner = get_origin(shape) or shape, get_args(shape)
    if kind in (Union, UnionType):
        return _one_of(inner, value, at)
    if kind is Literal:
        if not isinstance(value, str) or value not in inner:
            raise _wrong(at, value, " or ".join(map(repr, inner)))
        return value
    if kind in (dict, Mapping):
        _require(dict, value, at)
        of = inner[1] if inner else Any
        return {name: restored(of, member, _below(at, name)) for name, member in value.items()}
    if kind in (list, tuple, Sequence):
        return _several(kind, inner, value, at)
    return _single(str if kind is Path else kind, value, at)


def _single(kind: Any, value: Any, at: str) -> Any:
    if kind is float and type(value) is int and abs(value) < _LARGEST:
        return float(value)
    _require(kind, value, at)
    too_large = kind is int and not -_LARGEST <= value < _LARGEST
    if too_large or (kind is float and not math.isfinite(value)):
        raise _wrong(at, value, f"{_TYPES[kind]} of 64 bits")
    return value


def _several(kind: Any, inner: tuple[Any, ...], value: Any, at: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _wrong(at, value, "a list")
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise _wrong(at, value, f"a list of {len(inner)}")
        return tuple(restored(t, v, f"{at}[{i}]") for i, (t, v) in enumerate(zip(inner, value)))
    of = inner[0] if inner else Any
    made = (restored(of, member, f"{at}[{i}]") for i, member in enumerate(value))
    return tuple(made) if kind is tuple else list(made)


def _one_of(shapes: Sequence[Any], value: Any, at: str) -> Any:
    if value is None and NoneType in shapes:
        return None
    others = [shape for shape in shapes if shape is not NoneType]
    for shape in others[:-1]:
        try:
            return restored(shape, value, at)
        except LakevizError:
            continue
    try:
        return restored(others[-1], value, at)
    except ConfigError:
        if len(others) == 1:
            raise
        names = dict.fromkeys(_TYPES.get(get_origin(s) or s, "a list") for s in shapes)
        raise _wrong(at, value, " or ".join(names)) from None


def _typed_dict(shape: Any, value: Any, at: str) -> dict[str, Any]:
    _require(dict, value, at)
    made = dict(value)
    # Not by __required_keys__, which take all for required where annotations are text.
    for name, said in get_type_hints(shape, include_extras=True).items():
        if name in value:
            made[name] = restored(_hints(shape)[name], value[name], _below(at, name))
        elif get_origin(said) is not NotRequired:
            raise ConfigError(f"{_below(at, name)} is missing")
    return made


def _dataclass(shape: Any, value: Any, at: str) -> Any:
    _require(dict, value, at)
    own = {entry.name: entry for entry in fields(shape) if entry.init}
    for name in value:
        if name not in own:
            raise ConfigError(f"{_below(at, name)} is unknown")
    made = {}
    for name, entry in own.items():
        if name in value:
            unset = value[name] is None and entry.default is None
            of = Any if unset else _hints(shape)[name]
            made[name] = restored(of, value[name], _below(at, name))
        elif name not in getattr(shape, "LATER", ()) or entry.default is MISSING:
            raise ConfigError(f"{_below(at, name)} is missing")
    return shape(**made)


@cache
def _hints(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape)


def _require(kind: Any, value: Any, at: str) -> None:
    if type(value) is not kind:
        raise _wrong(at, value, _TYPES[kind])


def _wrong(at: str, value: Any, wanted: str) -> ConfigError:
    try:
        said = repr(value)
    except ValueError:  # an integer of thousands of digits
        said = "too large a number"
    said = said if len(said) <= 60 else f"{said[:57]}..."
    return ConfigError(f"{at or 'it'} is {said}, not {wanted}")


def _below(at: str, name: str) -> str:
    short = name if len(name) <= 60 else f"{name[:57]}..."
    short = short if short.isprintable() and short else repr(short)
    return f"{at}.{short}" if at else short
