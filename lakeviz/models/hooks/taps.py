"""What is put on a tower for one forward pass: taps for hooks, or an activation to resume from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from lakeviz.errors import ActivationError, HookDidNotFireError, HookError, HookNotEditableError
from lakeviz.models.hooks.hook_points import Handle, Point
from lakeviz.models.hooks.threads import StandIn, only_here

Hook = Callable[..., Tensor | None]
"""``fn(tensor, hook)``, TransformerLens' form; what it returns replaces the tensor."""


class StopForward(Exception):  # noqa: N818 - control flow, not an error
    """Leaves the tower's forward pass, and its taps, once nothing deeper is needed."""


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
    """The taps of one forward pass: put on at entry, off at exit, where all must have fired."""

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
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> bool:
        self._remove()
        stopped = kind is StopForward
        if self._silent and (stopped or kind is None):
            raise HookDidNotFireError(
                f"{', '.join(sorted(self._silent))}: requested, but not reached in this forward "
                "pass (the tower does not call that module, or the run stopped before it)"
            ) from None
        return stopped

    def _remove(self) -> None:
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


def _check_resume(
    points: Mapping[str, Point], point: str, activation: Tensor, asked: Sequence[str]
) -> None:
    """Refuse to resume from a point that is no residual stream, or to look back before it."""
    if not point.endswith(("hook_resid_pre", "hook_resid_post")):
        raise HookError(
            "the tower resumes from hook_resid_pre or hook_resid_post of a block, not from "
            f"{point!r}"
        )
    expected = points[point].sizes
    if tuple(activation.shape[1:]) != expected:
        raise ActivationError(
            f"{point} holds {expected} per image here, the activation given has "
            f"{tuple(activation.shape[1:])}"
        )
    order = {name: i for i, name in enumerate(points)}
    before = [name for name in asked if order[name] <= order[point]]
    if before:
        raise HookError(f"{before[0]} is not after {point}, from which the tower resumes")


@contextmanager
def resumed(
    blocks: Sequence[nn.Module],
    points: Mapping[str, Point],
    start: str,
    activation: Tensor,
    later: Sequence[str],
) -> Iterator[None]:
    """Make the blocks before ``start`` hand on ``activation`` as long as the context lasts.

    The blocks' ``forward`` is hidden in this thread, as for per-head points; classes, weights and
    hooks stay as they are. Where no block lies before the point, the input of the first one is
    replaced.
    """

    def hand_on(*_args: Any, **_kwargs: Any) -> Tensor:
        return activation

    def replace_input(_block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (activation, *args[1:])

    _check_resume(points, start, activation, later)
    point = points[start]
    n_skipped = point.block + (1 if point.name.endswith("hook_resid_post") else 0)
    handles: list[Handle] = []
    try:
        if not n_skipped:
            handles.append(blocks[0].register_forward_pre_hook(only_here(replace_input)))
        for block in blocks[:n_skipped]:
            handles.append(StandIn(block, hand_on))
        yield
    finally:
        for handle in handles:
            handle.remove()
