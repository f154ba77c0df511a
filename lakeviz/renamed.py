"""Old names of modules and parameters, kept for this version: they warn and say the new name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P, R = ParamSpec("P"), TypeVar("R")

MOVED = {
    "lakeviz.analysis": "lakeviz.studies",
    "lakeviz.claims": "lakeviz.studies.claims",
    "lakeviz.plugins": "lakeviz.studies",
    "lakeviz.results": "lakeviz.studies",
}
"""Modules and packages by their old name; what lies in a package has moved with it."""


class _Alias(Loader):
    """Loads a module that hands every name on from another one."""

    def __init__(self, new: str):
        self.new = new

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        warnings.warn(
            f"{module.__name__} is called {self.new} now; the old name goes with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        real = import_module(self.new)

        def hand_on(name: str) -> Any:
            return getattr(real, name)

        vars(module).update(__getattr__=hand_on, __doc__=real.__doc__, __path__=[])


class _Finder(MetaPathFinder):
    """Finds old names only: it is asked last."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = new_name(fullname)
        return None if new is None else ModuleSpec(fullname, _Alias(new), is_package=True)


def new_name(old: str) -> str | None:
    """Today's name of a module of the version before; None if it has not moved."""
    package, rest = old, ""
    while package:
        if package in MOVED:
            return MOVED[package] + rest
        package, _, last = package.rpartition(".")
        rest = f".{last}{rest}"
    return None


def install() -> None:
    """Let old names be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def parameters(**new: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that it also takes old names of keyword parameters, with a warning.

    Parameters
    ----------
    new : str
        Today's name by the old one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **given: P.kwargs) -> R:
            for old in new.keys() & given.keys():
                said = f"{old} of {function.__name__} is called {new[old]} now"
                warnings.warn(said, DeprecationWarning, stacklevel=2)
                given[new[old]] = given.pop(old)
            return function(*args, **given)

        return call

    return decorate
