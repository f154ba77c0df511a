"""How many tokens the blocks of a tower really carry, seen in a pass without numbers.

An attribute of a library says how many prefix tokens a model has, not where they join: in CaiT,
ConViT and XCiT the class token comes after some or all of the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from lakeviz.errors import ModelError


def tokens_in_blocks(
    tower: nn.Module, blocks: Sequence[nn.Module], image_size: tuple[int, int], width: int
) -> int:
    """Count the tokens of one image in the residual stream."""
    name = type(getattr(tower, "trunk", tower)).__name__
    shapes: dict[int, list[tuple[int, ...]]] = {}

    def look(index: int) -> Any:
        def hook(_block: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            for stream in (args[0], output):
                shape = tuple(stream.shape) if isinstance(stream, torch.Tensor) else ()
                shapes.setdefault(index, []).append(shape)

        return hook

    handles = [block.register_forward_hook(look(i)) for i, block in enumerate(blocks)]
    try:
        _pass_without_numbers(tower, image_size)
    except Exception as e:  # architectures need inputs of their own
        raise ModelError(
            f"no hook points are known for the tower {name}: it does not take one batch of images "
            f"alone ({type(e).__name__}: {(str(e).splitlines() or [''])[0][:150]})"
        ) from e
    finally:
        for handle in handles:
            handle.remove()
    first = shapes.get(0, [()])[0]
    for index in range(len(blocks)):
        for shape in shapes.get(index, [()]):
            if len(shape) != 3 or shape[-1] != width or shape[1] != first[1]:
                what = f"[{', '.join(map(str, shape[1:]))}]" if shape else "no tokens"
                raise ModelError(
                    f"no hook points are known for the tower {name}: block {index} carries {what} "
                    f"where one stream of tokens [tokens, {width}] is needed from the first block "
                    "to the last (stages, maps, or a class token that joins between blocks)"
                )
    return first[1]


@torch.no_grad()
def _pass_without_numbers(tower: nn.Module, image_size: tuple[int, int]) -> None:
    """Run one blank image through meta tensors; where a tower cannot, through its own weights."""
    training = tower.training
    tower.eval()
    weights = dict(tower.named_parameters()) | dict(tower.named_buffers())
    try:
        empty = {name: torch.empty_like(weight, device="meta") for name, weight in weights.items()}
        dtype = max(tower.parameters(), key=lambda p: p.ndim).dtype
        blank = torch.empty((1, 3, *image_size), device="meta", dtype=dtype)
        try:
            torch.func.functional_call(tower, empty, (blank,))
        except (RuntimeError, NotImplementedError):  # a tensor that is no buffer, a data-bound step
            device = next(tower.parameters()).device
            tower(torch.zeros((1, 3, *image_size), device=device, dtype=dtype))
    finally:
        tower.train(training)
