"""Attention written out step by step, on the parameters of the tower's own attention module.

``nn.MultiheadAttention`` and the fused kernels never show queries, patterns or heads. When a
per-head point is in use, the ``forward`` of that one attention module is shadowed for the call by
:func:`explicit_attention`, which computes the same function from the same parameters, so outputs
agree to rounding (and not to the bit: the order of the sums differs).

Shapes follow TransformerLens: q, k, v, z are ``[batch, token, head, d_head]``; scores and pattern
``[batch, head, query, key]``; result ``[batch, token, head, d_model]``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lakeviz.errors import HookError
from lakeviz.models.hooks.hook_points import Fire, Handle, Tap
from lakeviz.models.hooks.threads import StandIn, stand_in_of

HEAD_POINTS = (
    "hook_q",
    "hook_k",
    "hook_v",
    "hook_attn_scores",
    "hook_pattern",
    "hook_z",
    "hook_result",
)


Stream = Float[Tensor, "batch token d_model"]
Heads = Float[Tensor, "batch token head d_head"]


class AttentionView(ABC):
    """One attention module seen as per-head steps. It holds no parameters of its own."""

    module: nn.Module
    out_proj: nn.Linear
    n_heads: int
    d_head: int
    additive: bool = True  # the output is a sum over heads plus a bias: hook_result has a meaning

    @abstractmethod
    def project(self, x: Stream) -> tuple[Heads, ...]:
        """Queries, keys and values, before any query/key normalisation or rotation."""

    def position(self, q: Tensor, k: Tensor, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Apply what acts on queries and keys only (normalisation, rotary embedding)."""
        return q, k

    def merge(self, z: Heads, x: Tensor) -> Tensor:
        """Concatenate heads and project them back to the residual width; ``x`` feeds gates."""
        return self.out_proj(z.flatten(-2))

    def returned(self, out: Tensor) -> Any:
        """Shape the result as the module's own ``forward`` does."""
        return out

    @property
    def W_O(self) -> Float[Tensor, "head d_head d_model"]:  # noqa: N802 - the field's name
        """Output weights by head: what one head writes is ``z[:, :, h] @ W_O[h]``."""
        return self.out_proj.weight.T.reshape(self.n_heads, self.d_head, -1)

    @property
    def b_O(self) -> Float[Tensor, " d_model"]:  # noqa: N802 - the field's name
        """Output bias, zero where the projection has none."""
        bias = self.out_proj.bias
        return bias if bias is not None else self.out_proj.weight.new_zeros(self.W_O.shape[-1])

    def check_context(self, context: dict[str, Any]) -> None:
        """Refuse what the written-out form does not compute: masks and training-time dropout."""
        if context.get("attn_mask") is not None or context.get("is_causal"):
            raise HookError("per-head points do not support attention masks on an image tower")
        if self.module.training and any(
            isinstance(m, nn.Dropout) and m.p > 0 for m in self.module.modules()
        ):
            raise HookError(
                "per-head points need the tower in eval mode, for its attention has dropout: "
                "call tower.eval()"
            )


def explicit_attention(
    view: AttentionView,
    fires: Mapping[str, Fire],
    x: Stream,
    *_more: Any,
    **context: Any,
) -> Any:
    """Self-attention with every wanted step shown to its point.

    ``scores = q k^T / sqrt(d_head)``, ``pattern = softmax(scores)``, ``z = pattern v``,
    ``result_h = z_h W_O_h``, ``out = sum_h result_h + b_O``. Scores and results are only
    materialised where a point asks for them.
    """
    view.check_context(context)

    def show(name: str, tensor: Tensor) -> Tensor:
        return fires[name](tensor) if name in fires else tensor

    q, k, v = view.project(x)
    q, k, v = show("hook_q", q), show("hook_k", k), show("hook_v", v)
    q, k = view.position(q, k, context)
    q, k, v_heads = (t.transpose(1, 2) for t in (q, k, v))
    if "hook_attn_scores" in fires or "hook_pattern" in fires:
        scores = show("hook_attn_scores", (q * view.d_head**-0.5) @ k.transpose(-2, -1))
        z = show("hook_pattern", scores.softmax(dim=-1)) @ v_heads
    else:
        z = F.scaled_dot_product_attention(q, k, v_heads)
    z = show("hook_z", z.transpose(1, 2))
    if "hook_result" in fires:
        result = fires["hook_result"](torch.einsum("bthd,hdm->bthm", z, view.W_O))
        return view.returned(result.sum(dim=2) + view.b_O)
    return view.returned(view.merge(z, x))


def value_value_attention(view: AttentionView, x: Stream) -> Stream:
    """Attention in which the values attend to themselves: ``softmax(v v^T / sqrt(d_head)) v``.

    Source of the formula: Li et al., "CLIP Surgery for Better Explainability with Enhancement in
    Open-Vocabulary Tasks", arXiv 2304.05653.
    """
    v = view.project(x)[2].transpose(1, 2)
    z = F.scaled_dot_product_attention(v, v, v)
    return view.merge(z.transpose(1, 2), x)


@dataclass(frozen=True)
class HeadTap(Tap):
    """A step inside an attention module; all taps of one module share one shadowed ``forward``."""

    view: AttentionView
    step: str

    @property
    def module(self) -> nn.Module:  # type: ignore[override]
        """The attention module."""
        return self.view.module

    def attach(self, fire: Fire) -> Sequence[Handle]:
        """Join the stand-in that another tap of this module has put on, or put it on."""
        on = stand_in_of(self.module)
        if not isinstance(on, _Explicit):
            on = _Explicit(self.view)
        on.fires[self.step] = fire
        return [on]


class _Explicit(StandIn):
    """Attention written out, in place of a module's ``forward`` as long as a tap is on."""

    def __init__(self, view: AttentionView) -> None:
        self.fires: dict[str, Fire] = {}
        super().__init__(view.module, partial(explicit_attention, view, self.fires))
