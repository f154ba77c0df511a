"""Contributions of any tower: every term times its gradient in the frozen map."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.studies.decompose.linearised_forward import FrozenPass
from lakeviz.studies.decompose.terms import Decomposition


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
            embedding=joined["embedding"],
            heads=joined["heads"],
            neurons=[joined[f"neurons.{i}"] for i in range(n_blocks)],
            attention_bias=joined["attention_bias"],
            mlp_bias=joined["mlp_bias"],
            pool=joined["pool"],
            final_bias=joined["final_bias"],
            output=output.detach() @ along.T,
            norm=output.detach().norm(dim=-1),
            sources=joined.get("sources"),
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
