"""Tower adapters: hook points, blocks, patch grid and projection of a tower under common names.

One subclass per kind of tower. An adapter only points
at the tower's own modules; it computes nothing the tower computes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lakeviz.errors import HookError, ModelError
from lakeviz.models.hooks.attention import HEAD_POINTS, AttentionView, HeadTap, Stream
from lakeviz.models.hooks.hook_points import InputTap, OutputTap, Point, ResidMidTap, Tap

Joint = Float[Tensor, "batch token joint"]
TOKENS = ("batch", "token", "d_model")


@dataclass(frozen=True)
class Rows:
    """One parameter of a module that writes channels: entry ``c`` along ``axis`` writes ``c``."""

    module: nn.Module
    name: str
    axis: int = 0


@dataclass(frozen=True)
class BlockParts:
    """The modules of one transformer block under the field's names; None where it has none.

    ``attn_rows`` and ``mlp_rows`` are the last layers of the two branches that have one row of
    weights per channel: where that row is 0, so is the channel of ``attn_out`` or ``mlp_out``.
    """

    block: nn.Module
    ln1: nn.Module | None = None  # before attention
    ln2: nn.Module | None = None  # before the MLP
    attn: AttentionView | None = None  # where its form is known
    attn_out: nn.Module | None = None  # its output is added to the stream, after LayerScale
    mlp_out: nn.Module | None = None  # likewise
    scale_attn: Tensor | None = None  # of LayerScale
    scale_mlp: Tensor | None = None
    mlp_in: nn.Linear | None = None  # into the neurons
    mlp_post: Tap | None = None  # where the neurons' activations are read
    mlp_write: nn.Linear | None = None  # from the neurons into the residual stream
    attn_rows: nn.Module | None = None
    mlp_rows: nn.Module | None = None
    neurons_keep_zero: bool = False  # a channel of mlp_post is 0 where the row of mlp_in is


class TowerAdapter(ABC):
    """A tower's own modules under common names."""

    architecture: str  # open_clip_vit, open_clip_timm, timm_vit or open_clip_resnet
    tower: nn.Module  # never modified
    blocks: list[BlockParts]  # in the order they run
    image_size: tuple[int, int]  # height and width in pixels
    patch_size: tuple[int, int]
    n_prefix_tokens: int  # before the first patch token: class token and registers
    has_class_token: bool = False  # as the first of them
    d_model: int  # residual width
    n_heads: int = 0
    d_head: int = 0

    @abstractmethod
    def points(self) -> list[Point]:
        """All hook points in the order in which a forward pass reaches them."""

    @abstractmethod
    def project_tokens(self, tokens: Stream) -> Joint:
        """Map residual tokens as the pooled token is mapped: final norm, then projection."""

    def embedding_writers(self) -> list[Rows]:
        """Parameters that write the residual stream before the first block."""
        raise HookError(
            f"weights of a channel cannot be removed from this {self.architecture} tower: its "
            "blocks do not add to one residual stream of tokens; use a vision transformer"
        )

    def grid(self, image_size: tuple[int, int] | None = None) -> tuple[int, int]:
        """Rows and columns of patches for an image size (the tower's own by default)."""
        height, width = image_size or self.image_size
        return height // self.patch_size[0], width // self.patch_size[1]

    @property
    def n_tokens(self) -> int:
        """Prefix and patch tokens of one image at the tower's image size."""
        rows, columns = self.grid()
        return self.n_prefix_tokens + rows * columns

    def _no_projection(self, reason: str) -> ModelError:
        return ModelError(
            f"patch tokens of this {self.architecture} tower cannot be projected into the joint "
            f"space: {reason}; use the visual branch alone (text weight 0) or another model"
        )

    def _stem_points(self, full_embed: Tap | None, ln_pre: nn.Module | None) -> list[Point]:
        sizes = (self.n_tokens, self.d_model)
        points = []
        if full_embed is not None:
            formula = "patch, class and position embeddings"
            points.append(Point("hook_full_embed", full_embed, TOKENS, sizes, formula, -1))
        if ln_pre is not None:
            formula = "ln_pre(hook_full_embed)"
            points.append(Point("hook_ln_pre", OutputTap(ln_pre), TOKENS, sizes, formula, -1))
        return points

    def _head_points(
        self, ln_final: nn.Module | None, per_token: bool, joint: int, axis: str
    ) -> list[Point]:
        n, points = len(self.blocks), []
        if ln_final is not None:
            axes = TOKENS if per_token else ("batch", "d_model")
            sizes = (self.n_tokens, self.d_model) if per_token else (self.d_model,)
            formula = "final normalisation" + ("" if per_token else " of the pooled token")
            points.append(Point("hook_ln_final", OutputTap(ln_final), axes, sizes, formula, n))
        image = OutputTap(self.tower)
        formula = "output of the tower"
        points.append(Point("hook_image_features", image, ("batch", axis), (joint,), formula, n))
        return points

    def _block_points(self, index: int) -> list[Point]:
        """Points of one block, as far as its modules are known."""
        parts, name = self.blocks[index], f"blocks.{index}."
        sizes = (self.n_tokens, self.d_model)
        points: list[Point] = []

        def add(point: str, tap: Tap, formula: str, d: int | None = None) -> None:
            axes = TOKENS if d is None else ("batch", "token", "d_mlp")
            shape = sizes if d is None else (self.n_tokens, d)
            points.append(Point(name + point, tap, axes, shape, formula, index))

        before = "hook_ln_pre" if index == 0 else f"blocks.{index - 1}.hook_resid_post"
        add("hook_resid_pre", InputTap(parts.block), f"= {before}")
        if parts.ln1 is not None:
            add("ln1.hook_normalized", OutputTap(parts.ln1), "ln1(hook_resid_pre)")
        if parts.attn is not None:
            points.extend(self._attention_points(index, parts.attn))
        if parts.attn_out is not None:
            formula = "LayerScale(sum_heads attn.hook_result + b_O)"
            add("hook_attn_out", OutputTap(parts.attn_out), formula)
            tap = ResidMidTap(parts.block, parts.attn_out)
            add("hook_resid_mid", tap, "hook_resid_pre + hook_attn_out")
        if parts.ln2 is not None:
            add("ln2.hook_normalized", OutputTap(parts.ln2), "ln2(hook_resid_mid)")
        if parts.mlp_in is not None:
            formula = "W_in ln2.hook_normalized + b_in"
            add("mlp.hook_pre", OutputTap(parts.mlp_in), formula, parts.mlp_in.out_features)
        if parts.mlp_post is not None and parts.mlp_write is not None:
            add("mlp.hook_post", parts.mlp_post, "act(mlp.hook_pre)", parts.mlp_write.in_features)
        if parts.mlp_out is not None:
            formula = "LayerScale(W_out mlp.hook_post + b_out)"
            add("hook_mlp_out", OutputTap(parts.mlp_out), formula)
        add("hook_resid_post", OutputTap(parts.block), "hook_resid_mid + hook_mlp_out")
        return points

    def _attention_points(self, index: int, view: AttentionView) -> list[Point]:
        tokens, heads = self.n_tokens, view.n_heads
        per_head = (("batch", "token", "head", "d_head"), (tokens, heads, view.d_head))
        square = (("batch", "head", "query", "key"), (heads, tokens, tokens))
        written = (("batch", "token", "head", "d_model"), (tokens, heads, self.d_model))
        table = {
            "hook_q": (per_head, "W_Q ln1.hook_normalized + b_Q"),
            "hook_k": (per_head, "W_K ln1.hook_normalized + b_K"),
            "hook_v": (per_head, "W_V ln1.hook_normalized + b_V"),
            "hook_attn_scores": (square, "q k^T / sqrt(d_head)"),
            "hook_pattern": (square, "softmax(hook_attn_scores) over keys"),
            "hook_z": (per_head, "hook_pattern hook_v"),
            "hook_result": (written, "hook_z W_O, head by head, before LayerScale"),
        }
        return [
            Point(f"blocks.{index}.attn.{step}", HeadTap(view, step), axes, sizes, formula, index)
            for step in HEAD_POINTS
            for (axes, sizes), formula in [table[step]]
            if view.additive or step != "hook_result"
        ]


def pair(size: Any) -> tuple[int, int]:
    """Height and width of a size, which is one number where both are equal."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def rows_of(module: nn.Module | None, what: str) -> list[Rows]:
    """Weight and bias of a linear layer, convolution or normalisation: one row per channel."""
    held = {} if module is None else module._parameters
    if module is None or held.get("weight") is None:
        raise HookError(
            f"{what} is not written by a layer with one row of weights per channel, so the weights "
            "of a channel cannot be removed there"
        )
    return [Rows(module, name) for name in ("weight", "bias") if held.get(name) is not None]


def embedding_rows(
    norm: nn.Module | None, patches: nn.Module | None, others: Iterable[Rows], tower: str
) -> list[Rows]:
    """Writers of the residual stream before the first block of a vision transformer.

    A normalisation after the embedding decides alone; else the layer of the patches, and the class
    token, registers and position embeddings that the tower has, write it.
    """
    if norm is not None and not isinstance(norm, nn.Identity):
        return rows_of(norm, f"the normalised embedding of this {tower} tower")
    held = [rows for rows in others if getattr(rows.module, rows.name, None) is not None]
    return [*rows_of(patches, f"the patch embedding of this {tower} tower"), *held]


def keeps_zero(activation: nn.Module | None) -> bool:
    """Whether an activation maps 0 to 0, as ReLU, GELU and SiLU do, and the sigmoid does not."""
    if activation is None:
        return False
    with torch.no_grad():
        return bool((activation(torch.zeros(1)) == 0).all())
