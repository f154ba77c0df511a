"""Skip the first blocks of a tower for one call, so that it resumes from a stored activation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from lakeviz.errors import ActivationError, HookError
from lakeviz.models.hooks.hook_points import Handle, Point
from lakeviz.models.hooks.threads import StandIn, only_here


def check_resume(
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
def resumed(blocks: Sequence[nn.Module], point: Point, activation: Tensor) -> Iterator[None]:
    """Make the blocks before ``point`` hand on ``activation`` as long as the context lasts.

    The blocks' ``forward`` is hidden in this thread, as for per-head points; classes, weights and
    hooks stay as they are. Where no block lies before the point, the input of the first one is
    replaced.
    """

    def hand_on(*_args: Any, **_kwargs: Any) -> Tensor:
        return activation

    def replace_input(_block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (activation, *args[1:])

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
