"""Strict resolution of hook-point names: a filter that finds nothing is an error, not silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from lakeviz.errors import UnknownHookPointError, nearest

NamesFilter = str | Iterable[str] | Callable[[str], bool]
"""A name, a glob such as ``blocks.*.hook_resid_post``, a collection of them, or a predicate."""


def resolve_names(names_filter: NamesFilter, known: Iterable[str]) -> list[str]:
    """Return the known names a filter asks for, in the order of ``known``.

    Parameters
    ----------
    names_filter
        What is asked for; every element of a collection has to match something.
    known
        All names there are.

    Raises
    ------
    UnknownHookPointError
        If any part of the filter matches no name; the message gives the nearest names.
    """
    names = list(known)
    if callable(names_filter):
        chosen = {name for name in names if names_filter(name)}
        if not chosen:
            raise UnknownHookPointError(
                f"the names_filter function accepts none of the {len(names)} hook points "
                f"(the first is {names[0]!r}, the last {names[-1]!r})"
            )
    else:
        wanted = [names_filter] if isinstance(names_filter, str) else list(names_filter)
        if not wanted:
            raise UnknownHookPointError("names_filter is empty: name at least one hook point")
        chosen = {name for pattern in wanted for name in _matches(pattern, names)}
    return [name for name in names if name in chosen]


def _matches(pattern: str, names: list[str]) -> list[str]:
    if not isinstance(pattern, str):
        raise UnknownHookPointError(f"a hook point is named by a string, not by {pattern!r}")
    if pattern in names:
        return [pattern]
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        kind = "glob matches no hook point" if set(pattern) & set("*?[") else "unknown hook point"
        raise UnknownHookPointError(
            f"{kind}: {pattern!r}{nearest(pattern, names)}; all names: tower.hook_points()"
        )
    return found
