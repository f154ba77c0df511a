"""Settings as dataclasses: a field is parameter, option, help, range check and provenance."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from lakeviz.errors import ConfigError, LakevizError, nearest
from lakeviz.wording import joined

_KEY = "option"
MANY = 1_000_000
"""No count on the command line is larger."""
MOST_PIXELS, LONGEST_SIDE = 2**28, 2**16
_FEW = 8  # choices that are seen at a glance


@dataclass(frozen=True)
class Option:
    """What a field says of itself beside its type and default.

    Attributes
    ----------
    help : str
    least, most : number, optional
        Range of a number, or of each member of a sequence.
    choices : tuple of str, optional
        Values there are.
    flag : str, optional
        On the command line; ``--name-of-the-field`` without a leading ``n_`` by default.
    command : bool
        Whether the command line has it.
    was : str
        Name of the parameter in the version before, if it had another.
    """

    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] | None = None
    flag: str | None = None
    command: bool = True
    was: str = ""


def check_pixels(size: tuple[int, int], what: str) -> None:
    """Refuse a size in pixels before memory for it is asked for.

    Raises
    ------
    ConfigError
        If it is not positive, or a single float32 channel of it takes more than a GiB.
    """
    height, width = size
    if min(size) < 1:
        raise ConfigError(f"the {what} is {height} x {width}; it must be at least 1 x 1")
    if height * width > MOST_PIXELS or max(size) > LONGEST_SIDE:
        gib = f" ({4 * height * width / 2**30:.3g} GiB)" if max(size) < 10**9 else ""
        raise ConfigError(
            f"the {what} is {height} x {width}{gib}; it must be at most 16384 x 16384, and "
            f"{LONGEST_SIDE} a side"
        )


def check_choice(
    what: str, value: object, known: Collection[str], error: type[LakevizError] = ConfigError
) -> None:
    """Refuse a value that is none of those there are; of many the nearest are named."""
    if value not in known:
        hint = nearest(str(value), known) if len(known) > _FEW else ""
        raise error(f"{what} must be {joined(list(known), 'or')}, not {value!r}{hint}")


def check_smoothing(smoothing: float) -> None:
    """Refuse a deviation that no map can be smoothed by.

    Raises
    ------
    ConfigError
        If it is negative, not finite, or larger than 1000 pixels.
    """
    if not 0 <= smoothing <= 1000:
        raise ConfigError(f"smoothing must be between 0 and 1000 pixels, not {smoothing}")


def usable_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def most_workers() -> int:
    """Processes that a command may start: some for each processor."""
    return max(16, 4 * (os.cpu_count() or 1))


def option(default: Any = MISSING, help: str = "", **said: Any) -> Any:
    """Make a field of :class:`Settings`; further arguments as :class:`Option`."""
    metadata = {_KEY: Option(help, **said)}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Kind:
    """The type of a setting: one value or several, and whether it may be left open (None)."""

    type: type
    several: bool
    optional: bool


@dataclass(frozen=True)
class Settings:
    """Base of all settings. A subclass is a frozen dataclass of :func:`option` fields.

    Raises
    ------
    ConfigError
        A value is of another type, out of range, or not among the choices.
    """

    def __post_init__(self) -> None:
        for entry in fields(self):
            if _KEY in entry.metadata:
                value = _checked(entry.name, getattr(self, entry.name), self.kind(entry.name))
                object.__setattr__(self, entry.name, value)
                _in_range(entry.name, value, entry.metadata[_KEY])
        self.check()

    def check(self) -> None:
        """Check what concerns several settings at once; overridden where there is such a thing."""

    @classmethod
    def options(cls) -> dict[str, Option]:
        """What each field says of itself, by name."""
        return {f.name: f.metadata[_KEY] for f in fields(cls) if _KEY in f.metadata}

    @classmethod
    def kind(cls, name: str) -> Kind:
        """Type of a field."""
        return _kinds(cls)[name]

    @classmethod
    def default(cls, name: str) -> Any:
        """Default of a field; ``MISSING`` where it has none."""
        found: Field[Any] = cls.__dataclass_fields__[name]
        return found.default

    @classmethod
    def of(cls, settings: Self | None, changes: Mapping[str, Any]) -> Self:
        """Settings with some changed; an old name of a parameter is taken with a warning.

        Raises
        ------
        ConfigError
            A name is not known, or a value impossible.
        """
        given = {} if settings is None else {f.name: getattr(settings, f.name) for f in fields(cls)}
        known = {f.name for f in fields(cls)}
        old = {o.was: name for name, o in cls.options().items() if o.was}
        for name, value in changes.items():
            if name in old and name not in known:
                warnings.warn(f"{name} is called {old[name]} now", DeprecationWarning, stacklevel=3)
                name = old[name]
            if name not in known:
                hint = nearest(name, known) or f"; there are {', '.join(sorted(known))}"
                raise ConfigError(f"there is no setting {name!r}{hint}")
            given[name] = value
        return cls(**given)

    def to_plain(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def check_types(options: Any) -> None:
    """Bring the fields of a frozen dataclass to their types, those that hold None aside.

    Raises
    ------
    ConfigError
        A number, a text or a flag is of another type; names the field.
    """
    for name, kind in _kinds(type(options)).items():
        value = getattr(options, name)
        if value is not None:
            object.__setattr__(options, name, _checked(name, value, kind))


@cache
def _kinds(cls: type[Any]) -> dict[str, Kind]:
    hints, own = get_type_hints(cls), {f.name for f in fields(cls)}
    return {name: _kind(hint) for name, hint in hints.items() if name in own}


def _kind(hint: Any) -> Kind:
    members = [hint]
    if get_origin(hint) in (Union, UnionType):
        members = list(get_args(hint))
    optional = NoneType in members
    inner, *others = [m for m in members if m is not NoneType]
    if others:
        return Kind(object, False, optional)
    if get_origin(inner) is tuple:
        return Kind(_plain_type(get_args(inner)[0]), True, optional)
    return Kind(_plain_type(inner), False, optional)


def _plain_type(hint: Any) -> type:
    if hint is Any:
        return object
    return hint if isinstance(hint, type) else get_origin(hint) or object


def _checked(name: str, value: Any, kind: Kind) -> Any:
    """Bring a value to its type, or refuse it."""
    if value is None and kind.optional:
        return None
    if kind.several:
        if isinstance(value, str) or not isinstance(value, (Sequence, range)):
            raise ConfigError(f"{name} is {value!r}; it must be a sequence")
        return tuple(_one(name, member, kind.type) for member in value)
    return _one(name, value, kind.type)


def _one(name: str, value: Any, wanted: type) -> Any:
    if wanted is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if wanted in (int, float) and hasattr(value, "item"):
        value = value.item()  # a NumPy number
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    is_other = not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))
    if wanted in (int, float, bool, str) and is_other:
        raise ConfigError(f"{name} is {value!r}; it must be {_TYPES[wanted]}")
    if is_dataclass(wanted) and is_other:
        raise ConfigError(f"{name} is {value!r}; it must be {wanted.__name__}(...)")
    return value


_TYPES = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


def _in_range(name: str, value: Any, said: Option) -> None:
    for member in value if isinstance(value, tuple) else (value,):
        if said.choices is not None and member is not None:
            check_choice(name, member, said.choices)
        if isinstance(member, (int, float)) and not isinstance(member, bool):
            low, high = said.least, said.most
            below = low is not None and not member >= low
            above = high is not None and not member <= high
            if below or above or not math.isfinite(member):
                raise ConfigError(f"{name} is {member}; it must be {_range(low, high)}")


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at least {low:g}" if low is not None else f"at most {high:g}" if high else "finite"
    return f"between {low:g} and {high:g}"


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(member) for member in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
