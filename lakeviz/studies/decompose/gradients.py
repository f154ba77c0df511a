"""Contributions of the terms of a tower: every term times its gradient in the frozen map.

With the deviations frozen, a class token or a mean of normalised tokens reads every token along one
and the same vector, with a weight of its own: the gradient at token t is ``w_t g``. Blocks that
write through constant matrices then need their terms summed over tokens once, whatever the number
of directions, and no gradient inside (:func:`pooled_contributions`). Whether it is so is measured,
not assumed; elsewhere gradients are taken at every term (:func:`contributions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.studies.decompose.linearised_forward import NORMS, FrozenPass
from lakeviz.studies.decompose.terms import Decomposition

_ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass(frozen=True)
class LinearBlock:
    """What a block writes with, LayerScale folded in."""

    heads: Float[Tensor, "head d_head d_model"]
    heads_bias: Float[Tensor, " d_model"]
    neurons: Float[Tensor, "neuron d_model"]
    neurons_bias: Float[Tensor, " d_model"]


def linear_blocks(tower: HookedTower) -> list[LinearBlock] | None:
    """The output matrices of all blocks; None if one normalises or gates before it writes."""
    found = []
    for parts in tower.adapter.blocks:
        view, write, block = parts.attn, parts.mlp_write, parts.block
        assert view is not None
        assert write is not None
        mlp: Any = getattr(block, "mlp", block)
        normed = any(isinstance(module, NORMS) for module in mlp.modules())
        last = parts.attn_rows is view.out_proj and parts.mlp_rows is write
        if normed or not last or not view.additive:
            return None
        found.append(
            LinearBlock(
                _scaled(view.W_O, parts.scale_attn),
                _scaled(view.b_O, parts.scale_attn),
                _scaled(write.weight.T, parts.scale_mlp),
                _scaled(
                    write.weight.new_zeros(write.out_features)
                    if write.bias is None
                    else write.bias,
                    parts.scale_mlp,
                ),
            )
        )
    return found


def _scaled(weights: Tensor, scale: Tensor | None) -> Tensor:
    return (weights if scale is None else weights * scale).detach()


def pooled_contributions(
    passed: FrozenPass,
    output: Float[Tensor, "image out"],
    along: Float[Tensor, "direction out"],
    blocks: list[LinearBlock],
    sources: bool,
) -> Decomposition | None:
    """Contributions by token weights; None if tokens are read along several vectors."""
    biases = [out for _, _, out in passed.biases]
    wanted = [passed.residual, *passed.pool, *biases]
    pulls, rest = [], []
    weights = None
    for direction in along:
        grads = torch.autograd.grad(
            (output @ direction).sum(), wanted, retain_graph=True, allow_unused=True
        )
        found = _one_vector(grads[0], weights)
        if found is None:
            return None
        weights, vector = found
        pulls.append(vector)
        rest.append(_after_blocks(passed, grads[1:]))
    assert weights is not None
    with torch.no_grad():
        return _summed(passed, output, along, blocks, sources, weights, torch.stack(pulls, 1), rest)


def _one_vector(grad: Tensor | None, weights: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Weights of the tokens and the one vector they are read along, if there is one.

    The weights are those of the first direction, since another can be read with no weight of its
    own only if it is nothing.
    """
    if grad is None:
        return None
    flat = grad.flatten(0, 1)
    if weights is None:
        longest = flat[flat.norm(dim=1).argmax()]
        size = longest.square().sum()
        if not size > 0:
            return None
        weights = grad @ longest / size
        vector = longest
    else:
        vector = torch.einsum("bt,btd->d", weights, grad) / weights.square().sum()
    error = (grad - weights[..., None] * vector).abs().max()
    if not error <= _ROUNDING[grad.dtype] * grad.abs().max():
        return None
    return weights, vector


def _after_blocks(passed: FrozenPass, grads: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor]:
    """Neurons of a pool, and biases after the blocks."""
    n_pool = len(passed.pool)
    with torch.no_grad():
        nothing = passed.embedding.new_zeros(len(passed.embedding), 0)
        pool = [
            (leaf if grad is None else leaf * grad).sum(1)
            for leaf, grad in zip(passed.pool, grads[:n_pool], strict=True)
        ]
        bias = passed.embedding.new_zeros(len(passed.embedding))
        for (_, own, _), grad in zip(passed.biases, grads[n_pool:], strict=True):
            if grad is not None:
                bias = bias + (own * grad).flatten(1).sum(1)
    return torch.cat([nothing, *pool], dim=1), bias


def _summed(
    passed: FrozenPass,
    output: Tensor,
    along: Tensor,
    blocks: list[LinearBlock],
    sources: bool,
    weights: Float[Tensor, "image token"],
    pulls: Float[Tensor, "d_model direction"],
    rest: list[tuple[Tensor, Tensor]],
) -> Decomposition:
    total = weights.sum(1)
    heads, by_source, neurons, attention_bias, mlp_bias = [], [], [], [], []
    for block, z, v, pattern, post in zip(
        blocks, passed.z, passed.v, passed.pattern, passed.neurons, strict=True
    ):
        onto = block.heads @ pulls  # head, d_head, direction
        heads.append(torch.einsum("bthd,bt,hdk->bhk", z, weights, onto))
        if sources:
            reach = torch.einsum("bhqs,bq->bhs", pattern, weights)
            by_source.append(torch.einsum("bshd,hdk->bhsk", v, onto) * reach[..., None])
        active = torch.einsum("btn,bt->bn", post, weights)
        neurons.append(active[..., None] * (block.neurons @ pulls))
        attention_bias.append(total[:, None] * (block.heads_bias @ pulls))
        mlp_bias.append(total[:, None] * (block.neurons_bias @ pulls))
    return Decomposition(
        embedding=torch.einsum("btd,bt,dk->btk", passed.embedding, weights, pulls),
        heads=torch.stack(heads, dim=1),
        neurons=neurons,
        attention_bias=torch.stack(attention_bias, dim=1),
        mlp_bias=torch.stack(mlp_bias, dim=1),
        pool=torch.stack([pool for pool, _ in rest], dim=-1),
        final_bias=torch.stack([bias for _, bias in rest], dim=-1),
        output=output.detach() @ along.T,
        norm=output.detach().norm(dim=-1),
        sources=torch.stack(by_source, dim=1) if sources else None,
    )


def contributions(
    passed: FrozenPass, output: Tensor, along: Tensor, sources: bool
) -> Decomposition:
    """Term times gradient, direction by direction, summed over what the term does not keep."""
    biases = [out for _, _, out in passed.biases]
    wanted = [*passed.leaves, *biases]
    parts: list[dict[str, Tensor]] = []
    for number, direction in enumerate(along):
        grads = torch.autograd.grad(
            (output @ direction).sum(),
            wanted,
            retain_graph=number + 1 < len(along),
            allow_unused=True,
        )
        parts.append(_along_one(passed, grads, sources))
    joined = {name: torch.stack([p[name] for p in parts], dim=-1) for name in parts[0]}
    n_blocks = len(passed.z)
    with torch.no_grad():
        return Decomposition(
            **{name: own for name, own in joined.items() if "." not in name},
            neurons=[joined[f"neurons.{i}"] for i in range(n_blocks)],
            output=output.detach() @ along.T,
            norm=output.detach().norm(dim=-1),
        )


@torch.no_grad()
def _along_one(
    passed: FrozenPass, grads: tuple[Tensor | None, ...], sources: bool
) -> dict[str, Tensor]:
    remaining = iter(grads)

    def times(leaf: Tensor) -> tuple[Tensor, Tensor]:
        grad = next(remaining)
        grad = torch.zeros_like(leaf) if grad is None else grad
        return leaf * grad, grad

    n_images, n_blocks = len(passed.embedding), len(passed.z)
    made = {"embedding": times(passed.embedding)[0].sum(-1)}
    heads, by_source = [], []
    for block, z in enumerate(passed.z):
        product, grad = times(z)
        heads.append(product.sum((1, 3)))
        if sources:
            by_source.append(_by_source(passed.pattern[block], passed.v[block], grad))
    made["heads"] = torch.stack(heads, dim=1)
    if sources:
        made["sources"] = torch.stack(by_source, dim=1)
    for block, neurons in enumerate(passed.neurons):
        made[f"neurons.{block}"] = times(neurons)[0].sum(1)
    pool = [times(neurons)[0].sum(1) for neurons in passed.pool]
    made["pool"] = torch.cat(pool, 1) if pool else passed.embedding.new_zeros(n_images, 0)
    for name in ("attention_bias", "mlp_bias"):
        made[name] = passed.embedding.new_zeros(n_images, n_blocks)
    made["final_bias"] = passed.embedding.new_zeros(n_images)
    for (branch, block), bias, _ in passed.biases:
        grad = next(remaining)
        if grad is None:
            continue
        added = (bias * grad).flatten(1).sum(1)
        if branch == "final":
            made["final_bias"] += added
        else:
            made[f"{branch}_bias"][:, block] += added
    return made


def _by_source(
    pattern: Float[Tensor, "image head query key"],
    v: Float[Tensor, "image key head d_head"],
    grad: Float[Tensor, "image query head d_head"],
) -> Float[Tensor, "image head key"]:
    """What each key's value adds through the queries that reach the output."""
    # With a class token alone pooled, most queries of the last block lead nowhere.
    reached = grad.abs().amax((0, 2, 3)) > 0
    mixed = torch.einsum("bhqk,bqhd->bkhd", pattern[:, :, reached], grad[:, reached])
    return (v * mixed).sum(-1).transpose(1, 2)
