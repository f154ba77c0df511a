"""The taps of one forward pass, and how hooks are shown tensors so that nothing is overwritten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from lakeviz.errors import HookDidNotFireError, HookNotEditableError
from lakeviz.models.hooks.hook_points import Handle, Point

Hook = Callable[..., Tensor | None]
"""``fn(tensor, hook)``, TransformerLens' form; what it returns replaces the tensor."""


class StopForward(Exception):  # noqa: N818 - control flow, not an error
    """Leaves the tower's forward pass once nothing deeper is needed."""


def read_only(fn: Hook) -> Hook:
    """Mark a hook that only reads, so that it gets the tensor itself and not a copy.

    The mark is a promise not to write into the tensor; a value the hook returns is dropped.
    """

    def look(tensor: Tensor, hook: HookPoint) -> None:
        fn(tensor, hook=hook)

    look.read_only = True  # type: ignore[attr-defined]
    return look


def out_of_place(fn: Hook) -> Hook:
    """Give a hook its own copy, so that editing in place cannot rewrite what was cached before."""
    if getattr(fn, "read_only", False):
        return fn

    def edit(tensor: Tensor, hook: HookPoint) -> Tensor | None:
        own = tensor.clone()
        edited = fn(own, hook=hook)
        if edited is None:
            return None if torch.equal(own, tensor) else own
        return edited

    return edit


class Taps:
    """The taps of one forward pass: put on at entry, off at exit, counting what has fired."""

    def __init__(
        self,
        hook_points: dict[str, HookPoint],
        active: Sequence[Point],
        awaited: set[str],
        last_to_stop: int,
    ) -> None:
        self._hook_points, self._active, self._last_to_stop = hook_points, active, last_to_stop
        self._awaited, self._silent = set(awaited), {point.name for point in active}
        self._handles: list[Handle] = []

    def __enter__(self) -> Taps:
        try:
            for point in self._active:
                self._handles.extend(point.tap.attach(partial(self._fire, point)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _fire(self, point: Point, tensor: Tensor) -> Tensor:
        shown = tensor.clone() if point.volatile else tensor
        edited = self._hook_points[point.name](shown)
        self._silent.discard(point.name)
        self._awaited.discard(point.name)
        if point.block < self._last_to_stop and not self._awaited:
            raise StopForward
        if edited is shown:
            return tensor
        if not point.editable:
            raise HookNotEditableError(f"{point.name} can be read but not edited")
        return edited

    def check_all_fired(self) -> None:
        """Raise ``HookDidNotFireError`` if a point with hooks was not reached."""
        if self._silent:
            raise HookDidNotFireError(
                f"{', '.join(sorted(self._silent))}: requested, but not reached in this forward "
                "pass (the tower does not call that module, or the run stopped before it)"
            )
