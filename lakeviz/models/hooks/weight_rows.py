"""Weights that write a channel: the rows of parameters that decide its value at a hook point."""

from __future__ import annotations

import re

from lakeviz.errors import HookError
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.models.towers.base import BlockParts, Rows, TowerAdapter, rows_of

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


def writers_of(tower: HookedTower, point: str) -> list[Rows]:
    """All parameters that write the channels of a hook point.

    The residual stream is a sum, so every term up to the point is one of its writers: the embedding
    and, block by block, attention and MLP. ``hook_attn_out`` and ``hook_mlp_out`` have their own
    block's writer, ``mlp.hook_pre`` and ``mlp.hook_post`` the layer into the neurons.
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
