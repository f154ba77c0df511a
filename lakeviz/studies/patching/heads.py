"""Attention heads as units of an exchange: groups of channels of ``attn.hook_z``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lakeviz.lake import NeuronSelection

if TYPE_CHECKING:
    from lakeviz.models import HookedTower

HEADS_END = ".attn.hook_z"
"""What every head gives a token, before the output projection mixes them."""


def is_of_heads(point: str) -> bool:
    """Whether a hook point has the heads side by side."""
    return point.endswith(HEADS_END)


def heads_of(tower: HookedTower, point: str) -> dict[int, NeuronSelection]:
    """Channels of every head at a hook point."""
    n_heads, width = tower.points[point].sizes[-2:]
    own = np.arange(n_heads * width).reshape(n_heads, width)
    return {
        head: NeuronSelection(point, channels, np.zeros(width), own.size, f"head {head}")
        for head, channels in enumerate(own)
    }
