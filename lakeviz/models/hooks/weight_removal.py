"""Remove the weights that write a channel, within a ``with`` block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from lakeviz.errors import HookError
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.models.hooks.weight_rows import writers_of
from lakeviz.models.towers.base import Rows


@contextmanager
def weights_removed(
    tower: HookedTower, point: str, channels: Sequence[int]
) -> Iterator[HookedTower]:
    """Run a tower without the weights that write some channels of a hook point.

    As long as the block lasts, every parameter that writes the channels
    (:func:`~lakeviz.models.hooks.weight_rows.writers_of`) is replaced by an edited copy whose
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
