"""Which weights write a channel: the rows of parameters that decide its value at a hook point."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from lakeviz.errors import HookError

if TYPE_CHECKING:
    from lakeviz.models.hooks.hooked_tower import HookedTower
    from lakeviz.models.towers.base import BlockParts, TowerAdapter

REMOVABLE: tuple[str, ...] = (
    "hook_resid_pre",
    "hook_resid_mid",
    "hook_resid_post",
    "hook_attn_out",
    "hook_mlp_out",
    "mlp.hook_pre",
    "mlp.hook_post",
)
"""Points of a block ``blocks.B`` whose writers are known."""

_BLOCK_POINT = re.compile(r"blocks\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Rows:
    """One parameter that writes channels: entry ``c`` along ``axis`` writes channel ``c``.

    Attributes
    ----------
    module
        The module that holds it.
    name
        Its name there.
    axis
        The axis over channels.
    """

    module: nn.Module
    name: str
    axis: int = 0


def rows_of(module: nn.Module | None, what: str) -> list[Rows]:
    """Weight and bias of a linear layer, convolution or normalisation: one row per channel.

    Raises
    ------
    HookError
        If there is no such module or it holds no weight of its own, so that no row can be removed.
    """
    held = {} if module is None else module._parameters
    if module is None or held.get("weight") is None:
        raise HookError(
            f"{what} is not written by a layer with one row of weights per channel, so the weights "
            "of a channel cannot be removed there"
        )
    return [Rows(module, name) for name in ("weight", "bias") if held.get(name) is not None]


def embedding_rows(
    norm: nn.Module | None, patches: nn.Module | None, others: Iterable[Rows], tower: str
) -> list[Rows]:
    """Writers of the residual stream before the first block of a vision transformer.

    Parameters
    ----------
    norm
        The normalisation after the embedding: where there is one, it alone decides.
    patches
        The layer that writes the patch embeddings.
    others
        Class token, registers and position embeddings, where the tower has them.
    tower
        What the tower is called in messages.
    """
    if norm is not None and not isinstance(norm, nn.Identity):
        return rows_of(norm, f"the normalised embedding of this {tower} tower")
    held = [rows for rows in others if getattr(rows.module, rows.name, None) is not None]
    return [*rows_of(patches, f"the patch embedding of this {tower} tower"), *held]


def writers_of(tower: HookedTower, point: str) -> list[Rows]:
    """All parameters that write the channels of a hook point.

    The residual stream is a sum, so every term up to the point is one of its writers: the embedding
    and, block by block, attention and MLP. ``hook_attn_out`` and ``hook_mlp_out`` have their own
    block's writer, ``mlp.hook_pre`` and ``mlp.hook_post`` the layer into the neurons.

    Raises
    ------
    UnknownHookPointError
        If the tower has no such point.
    HookError
        If the writers of the point are not known; the message says which points' are.
    """
    tower.resolve(point)
    found = _BLOCK_POINT.fullmatch(point)
    if found is None or found.group(2) not in REMOVABLE:
        raise HookError(
            f"the weights that write {point} are not known; they are for "
            f"{', '.join(REMOVABLE)} of the blocks of a vision transformer"
        )
    adapter, index, name = tower.adapter, int(found.group(1)), found.group(2)
    parts = adapter.blocks[index]
    if name in ("mlp.hook_pre", "mlp.hook_post"):
        return _neuron_rows(parts, point, after=name == "mlp.hook_post")
    if name == "hook_attn_out":
        return rows_of(parts.attn_rows, point)
    if name == "hook_mlp_out":
        return rows_of(parts.mlp_rows, point)
    return _residual_rows(adapter, index, name)


def _residual_rows(adapter: TowerAdapter, index: int, name: str) -> list[Rows]:
    writers = adapter.embedding_writers()
    for i in range(index + 1):
        if i < index or name != "hook_resid_pre":
            writers += rows_of(adapter.blocks[i].attn_rows, f"blocks.{i}.hook_attn_out")
        if i < index or name == "hook_resid_post":
            writers += rows_of(adapter.blocks[i].mlp_rows, f"blocks.{i}.hook_mlp_out")
    return writers


def _neuron_rows(parts: BlockParts, point: str, after: bool) -> list[Rows]:
    if after and not parts.neurons_keep_zero:
        raise HookError(
            f"a neuron of {point} is not 0 where its input is (a normalisation or another "
            "activation comes between), so removing its row does not remove it; use mlp.hook_pre"
        )
    return rows_of(parts.mlp_in, point)


def keeps_zero(activation: nn.Module | None) -> bool:
    """Whether an activation maps 0 to 0, as ReLU, GELU and SiLU do, and the sigmoid does not."""
    if activation is None:
        return False
    with torch.no_grad():
        return bool((activation(torch.zeros(1)) == 0).all())
