"""An untrained tower: the architecture of a model with fresh random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from lakeviz.errors import ModelError


def untrained_tower(
    name: str, trained: nn.Module, build: Callable[[int], nn.Module] | None, seed: int
) -> nn.Module:
    """Build the image tower of a model again, with random weights."""
    if build is None:
        raise ModelError(
            f"{name} was not made by load_model, so its tower cannot be built again with random "
            "weights"
        )
    tower = build(seed).eval().requires_grad_(False)
    was, now = dict(trained.named_parameters()), dict(tower.named_parameters())
    if {n: p.shape for n, p in was.items()} != {n: p.shape for n, p in now.items()}:
        raise ModelError(
            f"{name} cannot be re-initialised: its library builds another architecture"
        )
    bad = [own for own, parameter in now.items() if not _is_drawn(parameter, was[own])]
    if bad:
        raise ModelError(
            f"{name} cannot be re-initialised: {len(bad)} parameters have no initialiser or keep "
            f"their trained values ({', '.join(bad[:5])})"
        )
    return tower


def _is_drawn(parameter: nn.Parameter, trained: nn.Parameter) -> bool:
    """Whether values are finite and, unless constant as in norms, not the trained ones."""
    if not torch.isfinite(parameter).all():
        return False
    same = torch.equal(parameter, trained.to(parameter.dtype))
    return not same or bool((parameter == parameter.flatten()[0]).all())
