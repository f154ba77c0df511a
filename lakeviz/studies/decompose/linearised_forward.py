"""A forward pass that is affine in its terms: normalisations and attention patterns are frozen.

Everything a term passes on its way to the output is then linear: residual additions, output
projections, LayerScale, normalisations at the deviation the image really had, pooling, the final
projection. What is computed stays the tower's own: every value is the one the tower computes, and
only the gradient is that of the frozen map (a straight-through pass).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from timm.layers.attention_pool import AttentionPoolLatent
from timm.layers.norm import RmsNorm
from torch import Tensor, nn

from lakeviz.errors import HookError
from lakeviz.models.hooks.hook_points import Handle
from lakeviz.models.hooks.hooked_tower import FwdHooks, HookedTower
from lakeviz.models.hooks.taps import read_only

FINAL = -1
"""Stage of what comes after the last block."""

NORMS = (nn.LayerNorm, nn.RMSNorm, RmsNorm)

Stage = tuple[str, int]
"""Branch (``"attention"``, ``"mlp"``, ``"final"``) and block."""


@dataclass
class FrozenPass:
    """What one frozen pass leaves behind.

    Residual stream before the first block (``embedding`` [image, token, d_model]) and after the
    last (``residual``). Of every block: ``z`` (values mixed by the pattern) and ``v`` [image,
    token, head, d_head], ``pattern`` [image, head, query, key], and ``neurons`` [image, token,
    neuron] of the MLP. ``pool``: neurons [image, query, neuron] of an MLP in the attention pool, if
    any. ``biases``: stage, bias, and the tensor it was added to. ``output`` [image, out].
    """

    embedding: Tensor = field(default_factory=lambda: torch.empty(0))
    z: list[Tensor] = field(default_factory=list)
    v: list[Tensor] = field(default_factory=list)
    pattern: list[Tensor] = field(default_factory=list)
    neurons: list[Tensor] = field(default_factory=list)
    pool: list[Tensor] = field(default_factory=list)
    biases: list[tuple[Stage, Tensor, Tensor]] = field(default_factory=list)
    residual: Tensor = field(default_factory=lambda: torch.empty(0))
    output: Tensor = field(default_factory=lambda: torch.empty(0))
    stage: Stage = ("embedding", 0)

    @property
    def leaves(self) -> list[Tensor]:
        """The terms that gradients are taken at, biases not among them."""
        return [self.embedding, *self.z, *self.neurons, *self.pool]


def obstacle(tower: HookedTower) -> str | None:
    """Say why a tower cannot be decomposed exactly, or return None if it can."""
    adapter = tower.adapter
    if not adapter.n_heads:
        return "its blocks are not attention and MLP that add to one residual stream of tokens"
    for index, parts in enumerate(adapter.blocks):
        if parts.attn is None:
            return f"the attention of block {index} is of a form that does not show its heads"
        if parts.attn_out is None or parts.mlp_post is None or parts.mlp_write is None:
            return f"block {index} has no MLP between two linear layers"
    return None


def require_decomposable(tower: HookedTower, name: str) -> None:
    """Refuse a tower that is no sum of heads and neurons."""
    reason = obstacle(tower)
    if reason is not None:
        raise HookError(
            f"{name} ({tower.adapter.architecture}) has no exact decomposition: {reason}; use a "
            "vision transformer of open_clip or timm"
        )


@contextmanager
def frozen_pass(
    tower: HookedTower, images: Float[Tensor, "image 3 height width"], *, head_alone: bool = False
) -> Iterator[FrozenPass]:
    """Run a tower with everything frozen; inside the block more of it may be called.

    ``head_alone`` takes gradients at the residual stream after the last block instead of at the
    terms.
    """
    made = FrozenPass()
    learning = [p for p in tower.tower.parameters() if p.requires_grad]
    handles: list[Handle] = []
    try:
        for parameter in learning:  # their gradients are not wanted, and cost memory
            parameter.requires_grad_(False)
        handles = _freeze(tower.tower, made)
        with torch.enable_grad():
            # Inference tensors cannot take part in a gradient.
            own = images.clone() if images.is_inference() else images
            output = tower.run_with_hooks(own, fwd_hooks=_cuts(tower, made, head_alone))
            made.output = output[0] if isinstance(output, tuple) else output
            yield made
    finally:
        for handle in reversed(handles):
            handle.remove()
        for parameter in learning:
            parameter.requires_grad_(True)


def _cuts(tower: HookedTower, made: FrozenPass, head_alone: bool) -> FwdHooks:
    """Hooks that replace every term by a leaf of the gradient, and cut what leads to it."""

    def leaf(tensor: Tensor) -> Tensor:
        own = tensor.detach().clone()
        return own if head_alone else own.requires_grad_(True)

    def embedding(tensor: Tensor, hook: Any) -> Tensor:
        made.embedding = leaf(tensor)
        return made.embedding

    def cut(tensor: Tensor, hook: Any) -> Tensor:
        return tensor.detach()

    def last(tensor: Tensor, hook: Any) -> Tensor:
        made.stage = ("final", FINAL)
        made.residual = tensor.detach().requires_grad_(True) if head_alone else tensor
        return made.residual

    def in_block(i: int) -> list[tuple[str, Any]]:
        def z(tensor: Tensor, hook: Any) -> Tensor:
            made.z.append(leaf(tensor))
            made.stage = ("attention", i)
            return made.z[-1]

        def post(tensor: Tensor, hook: Any) -> Tensor:
            made.neurons.append(leaf(tensor))
            made.stage = ("mlp", i)
            return made.neurons[-1]

        def values(tensor: Tensor, hook: Any) -> None:
            made.v.append(tensor.detach())

        def pattern(tensor: Tensor, hook: Any) -> None:
            made.pattern.append(tensor.detach())

        name = f"blocks.{i}."
        norms = [f"{name}{n}.hook_normalized" for n in ("ln1", "ln2")]
        return [
            *((norm, cut) for norm in norms if norm in tower.points),
            (f"{name}attn.hook_v", read_only(values)),
            (f"{name}attn.hook_pattern", read_only(pattern)),
            (f"{name}attn.hook_z", z),
            (f"{name}mlp.hook_post", post),
        ]

    n = len(tower.adapter.blocks)
    hooks: list[Any] = [("blocks.0.hook_resid_pre", embedding)]
    for index in range(n):
        hooks += in_block(index)
    return [*hooks, (f"blocks.{n - 1}.hook_resid_post", last)]


def _freeze(tower: nn.Module, made: FrozenPass) -> list[Handle]:
    """Hooks on modules: normalisations and pooling are frozen, biases are written down."""
    handles: list[Handle] = []

    def linear(module: Any, _args: Any, out: Tensor) -> None:
        if module.bias is not None and out.requires_grad:
            made.biases.append((made.stage, module.bias, out))

    def norm(module: Any, args: Any, out: Tensor) -> Tensor | None:
        if not args[0].requires_grad:
            return None
        frozen = straight_through(out, frozen_norm(module, args[0]))
        if getattr(module, "bias", None) is not None:
            made.biases.append((made.stage, module.bias, frozen))
        return frozen

    def pool_neurons(_module: Any, _args: Any, out: Tensor) -> Tensor:
        made.pool.append(out.detach().clone().requires_grad_(True))
        return made.pool[-1]

    def pooled(module: Any, args: Any, out: Any) -> Any:
        # In a block, attention is written out by the taps; what fires here is a pool.
        if made.stage[0] != "final" or not args[1].requires_grad:
            return None
        return (_frozen_pool(module, args, out[0], made), None)

    for module in tower.modules():
        if isinstance(module, nn.Linear):
            handles.append(module.register_forward_hook(linear))
        elif isinstance(module, NORMS):
            handles.append(module.register_forward_hook(norm))
        elif isinstance(module, nn.MultiheadAttention):
            handles.append(module.register_forward_hook(pooled))
    # Last, so that a norm of the keys is cut after it was frozen.
    for pool in (m for m in tower.modules() if isinstance(m, AttentionPoolLatent)):
        # Constant keys make a constant pattern.
        key_norm: Any = pool.k_norm
        handles.append(key_norm.register_forward_hook(lambda _m, _a, out: out.detach()))
        act: Any = getattr(pool.mlp, "act", None)
        if act is not None:
            handles.append(act.register_forward_hook(pool_neurons))
    return handles


def straight_through(value: Tensor, gradient: Tensor) -> Tensor:
    """Return the value of one tensor with the gradient of another."""
    return value.detach() + (gradient - gradient.detach())


def frozen_norm(module: Any, x: Float[Tensor, "*any channel"]) -> Float[Tensor, "*any channel"]:
    """Normalisation at the deviation ``x`` has: linear in ``x`` but for its bias.

    The mean needs no freezing: it is linear, and centres every term by the term's own mean.
    """
    shape = getattr(module, "normalized_shape", (x.shape[-1],))
    dims = tuple(range(-len(shape), 0))
    eps = torch.finfo(x.dtype).eps if module.eps is None else module.eps
    centred = x - x.mean(dims, keepdim=True) if isinstance(module, nn.LayerNorm) else x
    scale = (centred.detach().square().mean(dims, keepdim=True) + eps).rsqrt()
    y = centred * scale
    y = y if module.weight is None else y * module.weight
    bias = getattr(module, "bias", None)
    return y if bias is None else y + bias


def _frozen_pool(module: Any, args: Any, out: Tensor, made: FrozenPass) -> Tensor:
    """An ``nn.MultiheadAttention`` that pools tokens, as a sum over them by its own pattern."""
    query, key, value = (t.detach() for t in args[:3])
    # ``forward`` itself, so that no hook fires again.
    _, pattern = module.forward(query, key, value, need_weights=True, average_attn_weights=False)
    width, n_heads = module.embed_dim, module.num_heads
    weight = module.v_proj_weight
    weight = module.in_proj_weight[2 * width :] if weight is None else weight
    values = nn.functional.linear(args[2], weight)
    if module.in_proj_bias is not None:
        values = values + module.in_proj_bias[2 * width :]
        made.biases.append((made.stage, module.in_proj_bias[2 * width :], values))
    by_head = values.unflatten(-1, (n_heads, width // n_heads)).transpose(1, 2)
    z = (pattern @ by_head).transpose(1, 2).flatten(-2)
    return straight_through(out, module.out_proj(z))
