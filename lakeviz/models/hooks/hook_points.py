"""Hook points and taps: where in an unmodified tower a named tensor is read and written.

A :class:`Point` is a name with its meaning; its :class:`Tap` knows the real module. A tap is put
on for one forward pass and taken off after it, so nothing stays on the tower between passes.
:func:`resolve_names` is strict: a filter that matches no name is an error.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import pandas as pd
from torch import Tensor, nn

from lakeviz.errors import HookError, UnknownHookPointError, nearest
from lakeviz.models.hooks.threads import only_here

Fire = Callable[[Tensor], Tensor]
"""Shows a tensor to the hooks of a point; returns the same object, or the edited tensor."""

NamesFilter = str | Iterable[str] | Callable[[str], bool]
"""A name, a glob such as ``blocks.*.hook_resid_post``, a collection of them, or a predicate."""


class Handle(Protocol):
    """What putting on a tap returns: ``remove()`` takes it off again."""

    def remove(self) -> None:
        """Take the tap off."""
        ...


class Tap(ABC):
    """One way to reach a tensor of a module."""

    module: nn.Module

    @abstractmethod
    def attach(self, fire: Fire) -> Sequence[Handle]:
        """Put the tap on; until removal every forward pass calls ``fire`` with the tensor."""


@dataclass(frozen=True)
class InputTap(Tap):
    """The first positional input of a module."""

    module: nn.Module

    def attach(self, fire: Fire) -> Sequence[Handle]:
        """Read and write in a forward pre-hook."""

        def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            edited = fire(args[0])
            return None if edited is args[0] else (edited, *args[1:])

        return [self.module.register_forward_pre_hook(only_here(hook))]


@dataclass(frozen=True)
class OutputTap(Tap):
    """The output of a module (the first element where a module returns a tuple)."""

    module: nn.Module

    def attach(self, fire: Fire) -> Sequence[Handle]:
        """Read and write in a forward hook."""

        def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
            if not isinstance(output, tuple):
                return fire(output)
            edited = fire(output[0])
            return output if edited is output[0] else (edited, *output[1:])

        return [self.module.register_forward_hook(only_here(hook))]


@dataclass(frozen=True)
class ResidMidTap(Tap):
    """The residual stream between attention and MLP, which no module outputs.

    A block computes ``mid = x + attn_out`` and then uses ``mid`` twice: through ``ln_2`` and along
    the skip path. Editing the input of ``ln_2`` would miss the skip path, so the edit is made where
    ``attn_out`` leaves its last module: that module is made to return ``new_mid - x``.
    """

    block: nn.Module
    module: nn.Module

    def attach(self, fire: Fire) -> Sequence[Handle]:
        """Keep the block's input, add ``attn_out`` as the block will, and turn an edit back."""
        resid_pre: list[Tensor] = []

        def keep_input(_block: nn.Module, args: tuple[Any, ...]) -> None:
            resid_pre[:] = [args[0]]

        def hook(_module: nn.Module, _args: tuple[Any, ...], attn_out: Tensor) -> Tensor:
            before = resid_pre.pop()
            mid = before + attn_out
            edited = fire(mid)
            return attn_out if edited is mid else edited - before

        return [
            self.block.register_forward_pre_hook(only_here(keep_input)),
            self.module.register_forward_hook(only_here(hook)),
        ]


@dataclass(frozen=True)
class Point:
    """One named tensor of a tower."""

    name: str  # TransformerLens', for instance blocks.3.hook_resid_post
    tap: Tap
    axes: tuple[str, ...]  # symbolic shape, for instance ("batch", "token", "d_model")
    sizes: tuple[int, ...]  # the same in numbers, without the batch axis
    formula: str  # in terms of the points before it
    block: int  # that it belongs to; -1 before the first, n_blocks after the last
    editable: bool = True  # a hook may return another tensor
    volatile: bool = False  # the next module overwrites it in place: hooks are shown a copy

    @property
    def elements(self) -> int:
        """Number of elements for one image."""
        return math.prod(self.sizes)


def points_table(points: Iterable[Point], tower: nn.Module) -> pd.DataFrame:
    """Describe hook points, a row each; ``size`` is for one image at the tower's image size."""
    names = {module: name or "(tower)" for name, module in tower.named_modules()}
    rows = [
        {
            "name": point.name,
            "module": names[point.tap.module],
            "shape": ", ".join(point.axes),
            "size": (1, *point.sizes),
            "readable": True,
            "editable": point.editable,
            "formula": point.formula,
        }
        for point in points
    ]
    return pd.DataFrame(rows)


def resolve_names(names_filter: NamesFilter, known: Iterable[str]) -> list[str]:
    """Return the known names a filter asks for, in their order.

    Every element of a collection has to match something.
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


_INSTEAD = {
    "incl_bwd": "incl_bwd differentiates a scalar output and an image tower has none: use "
    "tower.hooks(bwd_hooks=...) and call backward on a scalar of the output",
    "stop_at_layer": "stop_at_layer is stop_at here, the name of a hook point: to stop after block "
    "L, stop_at='blocks.L.hook_resid_post'",
    "return_type": "an image tower has one return_type: its embedding, with no loss",
}


def refuse_arguments(others: Mapping[str, Any]) -> None:
    """Refuse arguments of TransformerLens that are not served, but for its own defaults."""
    for name, value in others.items():
        if name not in _INSTEAD:
            raise TypeError(f"there is no argument {name!r}{nearest(name, _INSTEAD)}")
        if value not in (None, False):
            raise HookError(_INSTEAD[name])


def _matches(pattern: str, names: list[str]) -> list[str]:
    if not isinstance(pattern, str):
        raise UnknownHookPointError(f"a hook point is named by a string, not by {pattern!r}")
    if pattern in names:
        return [pattern]
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        kind = "glob matches no hook point" if set(pattern) & set("*?[") else "unknown hook point"
        raise UnknownHookPointError(
            f"{kind}: {pattern!r}{nearest(pattern, names)}; all names: lakeviz hooks MODEL, or "
            "tower.hook_points()"
        )
    return found
