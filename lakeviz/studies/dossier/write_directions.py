"""Where a neuron points in the joint space: its write direction through final norm and projection.

What a neuron adds to the residual stream is added along one direction. With the deviation of the
final normalisation frozen, that direction goes through it and the projection as through one matrix.
This is the direct path: what later blocks make of the direction is not in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import HookError
from lakeviz.studies.decompose.linearised_forward import NORMS, frozen_norm, straight_through

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

_STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out")
_MLP = re.compile(r"blocks\.(\d+)\.mlp\.hook_post")


def write_directions(model: VisionModel, point: str) -> Float[Tensor, "channel d_model"]:
    """Direction in the residual stream that each channel of a point writes along.

    A channel of the residual stream, or of what is added to it, writes along itself; a neuron of an
    MLP along its column of the output weights.
    """
    if point.startswith("blocks.") and point.endswith(_STREAM):
        n_channels = model.tower.points[point].sizes[-1]
        if n_channels == model.d_model:
            return torch.eye(model.d_model)
    found = _MLP.fullmatch(point)
    if found:
        parts = model.tower.adapter.blocks[int(found[1])]
        if parts.mlp_write is not None and parts.mlp_rows is parts.mlp_write:
            weight = parts.mlp_write.weight.detach().float().cpu().T
            scale = parts.scale_mlp
            return weight if scale is None else weight * scale.detach().float().cpu()
    raise HookError(
        f"channels of {point} write to the residual stream along no one direction each, so they "
        "have no label from it; take points such as blocks.N.hook_resid_post or "
        "blocks.N.mlp.hook_post"
    )


def projection(
    model: VisionModel, token: Float[Tensor, " d_model"]
) -> Float[Tensor, "joint d_model"]:
    """Final norm at the deviation of a token, then projection, as one matrix.

    The deviation is a common factor where the norm is a LayerNorm: for cosines it does not matter
    which token is taken.
    """

    def freeze(module: Any, args: Any, out: Tensor) -> Tensor:
        return straight_through(out, frozen_norm(module, args[0]))

    tower: Any = model.tower.tower
    handles = [m.register_forward_hook(freeze) for m in tower.modules() if isinstance(m, NORMS)]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            start = token.detach().clone().to(model.device, model.dtype).requires_grad_(True)
            out = model.tower.adapter.project_tokens(start[None, None])[0, 0]
            rows = [torch.autograd.grad(one, start, retain_graph=True)[0] for one in out]
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(rows).float().cpu()
