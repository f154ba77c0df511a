"""Weights that write a channel of a hook point, and their removal within a ``with`` block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

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


@contextmanager
def weights_removed(
    tower: HookedTower, point: str, channels: Sequence[int]
) -> Iterator[HookedTower]:
    """Run a tower without the weights that write some channels of a hook point.

    As long as the block lasts, every parameter that writes the channels
    (:func:`~lakeviz.models.hooks.weight_removal.writers_of`) is replaced by an edited copy whose
    rows of these channels are 0, so the channels are exactly 0 at the point, for every token of
    every image. The tower's own tensors are never written into and are put back whatever happens.
    Blocks may be nested, also at the same point. A pass of another thread is refused meanwhile, as
    weights belong to all threads.

    Parameters
    ----------
    tower : HookedTower
    point : str
        ``blocks.B.hook_resid_pre``, ``hook_resid_mid``, ``hook_resid_post`` (all writers of the
        residual stream up to there), ``hook_attn_out``, ``hook_mlp_out`` (that block's writer), or
        ``mlp.hook_pre``, ``mlp.hook_post`` (the row of the layer into the neuron).
    channels : sequence of int
        May be empty.

    Yields
    ------
    HookedTower
        The tower given.

    Raises
    ------
    UnknownHookPointError
        If there is no such point.
    HookError
        If the writers of the point are not known, as in a ResNet, a channel does not exist, or
        another thread has removed weights.
    """
    writers = writers_of(tower, point)
    wanted = [int(channel) for channel in channels]
    n_channels = tower.points[point].sizes[-1]
    outside = [channel for channel in wanted if not 0 <= channel < n_channels]
    if outside:
        raise HookError(f"{point} has channels 0 to {n_channels - 1}, not {outside[0]}")
    hidden: list[tuple[Rows, nn.Parameter]] = []
    with tower.changing_weights():
        try:
            for rows in writers if wanted else []:
                own = rows.module._parameters[rows.name]
                assert own is not None  # writers_of lists what is there
                edited = _without(own, rows.axis, wanted)
                hidden.append((rows, own))
                # Not setattr: that runs a tower's own hooks, and a plain entry is put back alike.
                rows.module._parameters[rows.name] = edited
            yield tower
        finally:
            for rows, own in reversed(hidden):
                rows.module._parameters[rows.name] = own


def _without(own: nn.Parameter, axis: int, channels: Sequence[int]) -> nn.Parameter:
    with torch.no_grad():
        copy = own.detach().clone()
        copy.index_fill_(axis, torch.tensor(channels, device=copy.device), 0)
    return nn.Parameter(copy, requires_grad=own.requires_grad)
