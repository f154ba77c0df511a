"""Options of the command line made from a settings dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import click

from lakeviz.cli.terminal import say
from lakeviz.settings import MANY, Option, Settings

Command = Callable[..., Any]
_DIGITS = 300
SEEDS = 2**32 - 1
PATH = click.Path(path_type=Path)


class Number(click.ParamType):
    """A finite number in a range."""

    name, kind = "float", "number"
    read: Callable[[Any], float] = float

    def __init__(self, least: float = 0, most: float = MANY) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it, or refuse it by its range."""
        if len(str(value)) > _DIGITS:
            self.fail(f"a {self.kind} of {len(str(value))} characters is too long", param, ctx)
        try:
            found = type(self).read(value)
        except ValueError:
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        if not self.least <= found <= self.most:
            self.fail(f"{found} is not between {self.least:.12g} and {self.most:.12g}", param, ctx)
        return found


class Whole(Number):
    """A whole number in a range."""

    name, kind = "integer", "whole number"
    read = int


def stack(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Make one decorator of several options, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def renamed(old: str, new: str, parameter: str) -> Callable[[Command], Command]:
    """Make a hidden option of the version before, which gives its value to today's, and says so."""

    def hand_on(context: click.Context, own: click.Parameter, value: str | None) -> None:
        if value is not None:
            say(f"{old} is called {new} now; the old name goes with the next version", err=True)
            context.default_map = {**(context.default_map or {}), parameter: value}

    return click.option(
        old, f"{parameter}_was", hidden=True, is_eager=True, expose_value=False, callback=hand_on
    )


def settings_options(settings: type[Settings]) -> Callable[[Command], Command]:
    """Make a decorator that adds an option for each field: flag, type, default, help, repeats."""
    return stack(
        *(_option(settings, name, o) for name, o in settings.options().items() if o.command)
    )


def with_settings(load: Callable[[], type[Settings]]) -> type[click.Command]:
    """Make a class of commands that have the options of some settings, loaded when it is used."""

    class Command(click.Command):
        def get_params(self, ctx: click.Context) -> list[click.Parameter]:
            own = click.command()(settings_options(load())(lambda: None)).params
            return [*own, *super().get_params(ctx)]

    return Command


def flag_of(name: str, option: Option) -> str:
    """Name of a field's option, such as ``--random-sets`` of ``n_random_sets``."""
    return option.flag or "--" + name.removeprefix("n_").replace("_", "-")


def _option(settings: type[Settings], name: str, option: Option) -> Callable[[Command], Command]:
    kind, default, flag = settings.kind(name), settings.default(name), flag_of(name, option)
    if kind.type is bool:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
        return click.option(flag, name, default=default, help=option.help)
    said = option.help + (" Repeatable." if kind.several else "")
    given: dict[str, Any] = {"required": True} if default is MISSING else {"default": default}
    return click.option(
        flag,
        name,
        type=_type(kind.type, option),
        multiple=kind.several,
        **given,
        callback=(lambda _, __, value: value or None) if kind.several and default is None else None,
        help=said,
    )


def _type(wanted: type, option: Option) -> Any:
    if option.choices is not None:
        return click.Choice(option.choices)
    if wanted in (int, float):
        low, high = option.least, option.most
        number = Whole if wanted is int else Number
        return number(-MANY if low is None else low, MANY if high is None else high)
    if wanted is Path:
        return click.Path(exists=True, dir_okay=False, path_type=Path)
    return str if wanted is object else wanted
