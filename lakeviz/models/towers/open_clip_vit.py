"""open_clip's own ``VisionTransformer`` under TransformerLens' names."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import Attention, VisionTransformer
from torch import Tensor, nn

from lakeviz.models.hooks.attention import AttentionView, Heads, Stream
from lakeviz.models.hooks.hook_points import InputTap, OutputTap, Point
from lakeviz.models.towers.base import (
    BlockParts,
    Joint,
    Rows,
    TowerAdapter,
    embedding_rows,
    keeps_zero,
    pair,
)


class PackedAttentionView(AttentionView):
    """``nn.MultiheadAttention`` or open_clip's ``Attention``: one packed input projection."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.packed: Any = module
        self.out_proj = self.packed.out_proj
        self.n_heads = self.packed.num_heads
        self.d_head = self.packed.head_dim
        inner = getattr(module, "ln_inner", None)
        self.additive = inner is None or isinstance(inner, nn.Identity)

    def project(self, x: Stream) -> tuple[Heads, ...]:
        """Split the packed projection into queries, keys and values by head."""
        packed = F.linear(x, self.packed.in_proj_weight, self.packed.in_proj_bias)
        heads = (self.n_heads, self.d_head)
        q, k, v = (part.unflatten(-1, heads) for part in packed.chunk(3, dim=-1))
        return q, k, v

    def position(self, q: Tensor, k: Tensor, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Apply the query and key norms of open_clip's ``Attention``, where there are any."""
        if isinstance(self.module, Attention):
            return self.module.ln_q(q), self.module.ln_k(k)
        return q, k

    def merge(self, z: Heads, x: Tensor) -> Tensor:
        """Project heads back; with an inner norm it comes in between."""
        merged = z.flatten(-2)
        if isinstance(self.module, Attention):
            merged = self.module.ln_inner(merged)
        return self.out_proj(merged)

    def returned(self, out: Tensor) -> Any:
        """``nn.MultiheadAttention`` returns ``(output, weights)``."""
        return (out, None) if isinstance(self.module, nn.MultiheadAttention) else out


def _attention_view(attn: nn.Module) -> PackedAttentionView | None:
    if isinstance(attn, nn.MultiheadAttention):
        return PackedAttentionView(attn) if attn.in_proj_weight is not None else None
    if isinstance(attn, Attention) and attn.logit_scale is None and attn.head_scale is None:
        return PackedAttentionView(attn)
    return None


def _parts(block: Any) -> BlockParts:
    ln_attn = getattr(block, "ln_attn", nn.Identity())
    return BlockParts(
        block=block,
        ln1=block.ln_1,
        ln2=block.ln_2,
        attn=_attention_view(block.attn),
        attn_out=block.ls_1,
        mlp_out=block.ls_2,
        scale_attn=getattr(block.ls_1, "gamma", None),
        scale_mlp=getattr(block.ls_2, "gamma", None),
        mlp_in=block.mlp.c_fc,
        mlp_post=OutputTap(block.mlp.gelu),
        mlp_write=block.mlp.c_proj,
        attn_rows=block.attn.out_proj if isinstance(ln_attn, nn.Identity) else ln_attn,
        mlp_rows=block.mlp.c_proj,
        neurons_keep_zero=keeps_zero(block.mlp.gelu),
    )


class OpenClipViT(TowerAdapter):
    """Adapter of ``open_clip.transformer.VisionTransformer``."""

    architecture = "open_clip_vit"
    has_class_token = True

    def __init__(self, tower: VisionTransformer) -> None:
        self.tower = self.vit = tower
        self.blocks = [_parts(block) for block in tower.transformer.resblocks]
        self.image_size = pair(tower.image_size)
        self.patch_size = pair(tower.patch_size)
        self.n_prefix_tokens = 1
        self.d_model = tower.conv1.out_channels
        first: Any = tower.transformer.resblocks[0].attn
        self.n_heads, self.d_head = first.num_heads, first.head_dim

    def points(self) -> list[Point]:
        """Embedding, blocks, final norm and output."""
        vit = self.vit
        points = self._stem_points(InputTap(vit.patch_dropout), vit.ln_pre)
        for index in range(len(self.blocks)):
            points.extend(self._block_points(index))
        plain = vit.attn_pool is None
        joint = vit.output_dim if vit.proj is not None else self.d_model
        ln_final = vit.ln_post if plain else None
        return points + self._head_points(ln_final, not vit.final_ln_after_pool, joint, "joint")

    def embedding_writers(self) -> list[Rows]:
        """``ln_pre``; without it patch convolution, class token and position embeddings."""
        vit = self.vit
        others = (Rows(vit, "class_embedding"), Rows(vit, "positional_embedding", -1))
        return embedding_rows(vit.ln_pre, vit.conv1, others, self.architecture)

    def project_tokens(self, tokens: Stream) -> Joint:
        """``ln_post`` and ``proj``: for the class token this is the image embedding itself."""
        if self.vit.attn_pool is not None:
            raise self._no_projection("it pools with attention, which is not linear in the tokens")
        normalized = self.vit.ln_post(tokens)
        return normalized if self.vit.proj is None else torch.matmul(normalized, self.vit.proj)
