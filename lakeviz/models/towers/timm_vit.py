"""timm vision transformers (plain, or as the tower of an open_clip model) under the same names.

timm's names differ (``norm1``, ``fc1``, ...), the number of prefix tokens varies (SigLIP 0, ViT 1,
DINOv2 with registers 5), and LayerScale is sometimes a module, sometimes a bare parameter. The
residual updates are therefore read from ``drop_path1/2``, the last module of each branch, which is
the identity in eval mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.timm_model import TimmModel
from timm.layers.attention import Attention, AttentionRope
from timm.layers.mlp import GluMlp, SwiGLU
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlockPostNorm
from timm.models.vision_transformer import ResPostBlock
from torch import Tensor, nn

from lakeviz.errors import ModelError
from lakeviz.models.hooks.attention import AttentionView, Heads, Stream
from lakeviz.models.hooks.hook_points import InputTap, OutputTap, Point, Tap
from lakeviz.models.towers.base import (
    BlockParts,
    Joint,
    Rows,
    TowerAdapter,
    embedding_rows,
    keeps_zero,
    pair,
)


class TimmAttentionView(AttentionView):
    """timm's ``Attention``, ``EvaAttention`` and ``AttentionRope``."""

    def __init__(self, module: Attention | AttentionRope | EvaAttention) -> None:
        self.module = module
        self.attn: Any = module
        self.out_proj = self.attn.proj
        self.n_heads, self.d_head = self.attn.num_heads, self.attn.head_dim
        plain_norm = isinstance(getattr(self.attn, "norm", nn.Identity()), nn.Identity)
        self.additive = plain_norm and self._gate is None

    @property
    def _gate(self) -> nn.Module | None:
        return getattr(self.attn, "gate", None)

    def project(self, x: Stream) -> tuple[Heads, ...]:
        """Fused or separate projections; EVA keeps its fused bias in separate parameters."""
        attn, heads = self.attn, (self.n_heads, self.d_head)
        if attn.qkv is None:
            parts = (attn.q_proj(x), attn.k_proj(x), attn.v_proj(x))
        elif getattr(attn, "q_bias", None) is not None:
            bias = torch.cat((attn.q_bias, attn.k_bias, attn.v_bias))
            parts = F.linear(x, attn.qkv.weight, bias).chunk(3, dim=-1)
        else:
            parts = attn.qkv(x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, heads) for part in parts)
        return q, k, v

    def position(self, q: Tensor, k: Tensor, context: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Query and key norms, then the rotary embedding of the patch tokens."""
        q, k = self.attn.q_norm(q), self.attn.k_norm(k)
        rope = context.get("rope")
        return (q, k) if rope is None else (self._rotate(q, rope), self._rotate(k, rope))

    def _rotate(self, x: Heads, rope: Tensor) -> Tensor:
        n, half = self.attn.num_prefix_tokens, getattr(self.attn, "rotate_half", False)
        by_head = x.transpose(1, 2)
        rotated = apply_rot_embed_cat(by_head[:, :, n:], rope, half=half).type_as(x)
        return torch.cat((by_head[:, :, :n], rotated), dim=2).transpose(1, 2)

    def merge(self, z: Heads, x: Tensor) -> Tensor:
        """Inner norm and gate where the module has them, then the output projection."""
        merged = z.flatten(-2)
        if hasattr(self.attn, "norm"):
            merged = self.attn.norm(merged)
        if self._gate is not None:
            merged = merged * self._gate(x).sigmoid()
        return self.out_proj(merged)


def _attention_view(attn: nn.Module | None) -> TimmAttentionView | None:
    if not isinstance(attn, Attention | AttentionRope | EvaAttention):
        return None
    grouped = getattr(attn, "num_kv_groups", 1) > 1
    return None if grouped else TimmAttentionView(attn)


def _mlp_taps(mlp: Any) -> tuple[nn.Linear | None, Tap | None, nn.Linear | None]:
    """Neurons of an MLP: in a gated one they are what ``fc2`` reads, else the activation."""
    write = getattr(mlp, "fc2", None)
    read = getattr(mlp, "fc1", None) or getattr(mlp, "fc1_g", None)
    if not isinstance(write, nn.Linear) or not isinstance(read, nn.Linear):
        return None, None, None
    gated = read.out_features != write.in_features or hasattr(mlp, "fc1_g")
    return read, InputTap(write) if gated else OutputTap(mlp.act), write


def _neurons_keep_zero(mlp: Any, post: Tap | None) -> bool:
    """Whether a neuron whose row of ``fc1`` is 0 is 0 itself."""
    act = getattr(mlp, "act", None)
    if isinstance(post, OutputTap):
        return keeps_zero(act)
    plain = isinstance(mlp, GluMlp | SwiGLU) and isinstance(mlp.norm, nn.Identity)
    # With the gate last, the first half of fc1 is a factor and not what the gate reads.
    return plain and (getattr(mlp, "gate_last", False) or keeps_zero(act))


def _attn_rows(block: Any, post_norm: bool) -> nn.Module | None:
    if post_norm:
        return block.norm1
    attn = getattr(block, "attn", None)
    return attn.proj if isinstance(attn, Attention | AttentionRope | EvaAttention) else None


def _scale(block: Any, which: int) -> Tensor | None:
    module = getattr(block, f"ls{which}", None)
    return getattr(module, "gamma", getattr(block, f"gamma_{which}", None))


def _parts(block: Any) -> BlockParts:
    attn, mlp = getattr(block, "attn", None), getattr(block, "mlp", None)
    mlp_in, mlp_post, mlp_write = _mlp_taps(mlp)
    # After a sub-layer, norm1 and norm2 are no normalised inputs and go by no standard name.
    post_norm = isinstance(block, ResPostBlock | EvaBlockPostNorm)
    return BlockParts(
        block=block,
        ln1=None if post_norm else getattr(block, "norm1", None),
        ln2=None if post_norm else getattr(block, "norm2", None),
        attn=_attention_view(attn),
        attn_out=getattr(block, "drop_path1", None),
        mlp_out=getattr(block, "drop_path2", None),
        scale_attn=_scale(block, 1),
        scale_mlp=_scale(block, 2),
        mlp_in=mlp_in,
        mlp_post=mlp_post,
        mlp_write=mlp_write,
        attn_rows=_attn_rows(block, post_norm),
        mlp_rows=block.norm2 if post_norm else mlp_write,
        neurons_keep_zero=_neurons_keep_zero(mlp, mlp_post),
    )


class TimmViT(TowerAdapter):
    """Adapter of a timm ViT, and of open_clip's ``TimmModel`` around one."""

    def __init__(self, tower: nn.Module) -> None:
        self.tower = tower
        self.in_open_clip = isinstance(tower, TimmModel)
        self.architecture = "open_clip_timm" if self.in_open_clip else "timm_vit"
        vit: Any = tower.trunk if isinstance(tower, TimmModel) else tower
        self.vit = vit
        self.blocks = [_parts(block) for block in vit.blocks]
        self.image_size, (rows, columns) = _geometry(vit)
        height, width = self.image_size
        # With a convolutional stem (ViTamin) patch_embed.patch_size is not the stride in pixels.
        self.patch_size = (height // rows, width // columns)
        self.d_model = vit.embed_dim
        modules = [parts.block for parts in self.blocks]
        n_tokens = tokens_in_blocks(tower, modules, self.image_size, self.d_model)
        self.n_prefix_tokens = n_tokens - rows * columns
        if self.n_prefix_tokens not in (0, vit.num_prefix_tokens):
            raise ModelError(
                f"no hook points are known for the tower {type(vit).__name__}: its blocks carry "
                f"{n_tokens} tokens of {rows}x{columns} patches and {vit.num_prefix_tokens} before"
            )
        self.joins_late = self.n_prefix_tokens != vit.num_prefix_tokens
        has_class_token = getattr(vit, "cls_token", None) is not None
        self.has_class_token = has_class_token and not self.joins_late
        view = self.blocks[0].attn
        if view is not None:
            self.n_heads, self.d_head = view.n_heads, view.d_head

    def points(self) -> list[Point]:
        """Embedding, blocks, final norm and output."""
        points = self._stem_points(self._full_embed(), getattr(self.vit, "norm_pre", None))
        for index in range(len(self.blocks)):
            points.extend(self._block_points(index))
        fc_norm = getattr(self.vit, "fc_norm", None)
        after_pool = fc_norm is not None and not isinstance(fc_norm, nn.Identity)
        ln_final = fc_norm if after_pool else self.vit.norm
        if self.joins_late:
            ln_final = None  # it sees a token more than the blocks
        axis = "joint" if self.in_open_clip else "d_model"
        return points + self._head_points(ln_final, not after_pool, self._out_features(), axis)

    def _full_embed(self) -> Tap | None:
        patch_drop = getattr(self.vit, "patch_drop", None)
        if patch_drop is not None:
            return InputTap(patch_drop)
        pos_drop = getattr(self.vit, "pos_drop", None)
        return None if pos_drop is None else OutputTap(pos_drop)

    def embedding_writers(self) -> list[Rows]:
        """``norm_pre``; without it patch layer, class token, registers, position embeddings."""
        vit = self.vit
        norm = getattr(vit.patch_embed, "norm", None)
        plain = norm is None or isinstance(norm, nn.Identity)
        patches = getattr(vit.patch_embed, "proj", None) if plain else norm
        names = ("cls_token", "dist_token", "reg_token", "pos_embed")
        others = [Rows(vit, name, -1) for name in names]
        return embedding_rows(getattr(vit, "norm_pre", None), patches, others, self.architecture)

    def _out_features(self) -> int:
        linears = [m for m in _head(self.tower).modules() if isinstance(m, nn.Linear)]
        if linears:
            return linears[-1].out_features
        return getattr(self.vit.head, "out_features", self.d_model)

    def project_tokens(self, tokens: Stream) -> Joint:
        """Final norm, norm after pooling, and the linear head, token by token.

        Without open_clip there is no head: tokens end where a classifier of the model reads.
        """
        if getattr(self.vit, "attn_pool", None) is not None or self.joins_late:
            raise self._no_projection("it pools with attention, which is not linear in the tokens")
        if hasattr(_head(self.tower), "mlp"):
            raise self._no_projection("its head is an MLP, which is not linear in the tokens")
        normalized = self.vit.fc_norm(self.vit.norm(tokens))
        made = self.vit.head(normalized)
        return _head(self.tower)(made) if self.in_open_clip else made


def _geometry(vit: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Image size in pixels and patches of a tower, ``(height, width)`` each."""
    size, grid = (getattr(vit.patch_embed, name, None) for name in ("img_size", "grid_size"))
    if size is None:
        raise ModelError(
            f"no hook points are known for the tower {type(vit).__name__}: its patch embedding has "
            "no image size, so the patches cannot be put on a grid"
        )
    if grid is None:  # XCiT's convolutional stem
        patch = pair(vit.patch_embed.patch_size)
        grid = (size[0] // patch[0], size[1] // patch[1])
    return pair(size), pair(grid)


def missing_parts(module: nn.Module) -> list[str]:
    """What a timm model lacks of the parts a ViT adapter needs."""
    needed = ("blocks", "patch_embed", "num_prefix_tokens", "norm", "embed_dim")
    return [name for name in needed if not hasattr(module, name)]


def _head(tower: Any) -> nn.Module:
    return tower.head


def tokens_in_blocks(
    tower: nn.Module, blocks: Sequence[nn.Module], image_size: tuple[int, int], width: int
) -> int:
    """Count the tokens of one image in the residual stream."""
    name = type(getattr(tower, "trunk", tower)).__name__
    shapes: dict[int, list[tuple[int, ...]]] = {}

    def look(index: int) -> Any:
        def hook(_block: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            for stream in (args[0], output):
                shape = tuple(stream.shape) if isinstance(stream, torch.Tensor) else ()
                shapes.setdefault(index, []).append(shape)

        return hook

    handles = [block.register_forward_hook(look(i)) for i, block in enumerate(blocks)]
    try:
        _pass_without_numbers(tower, image_size)
    except Exception as e:  # architectures need inputs of their own
        raise ModelError(
            f"no hook points are known for the tower {name}: it does not take one batch of images "
            f"alone ({type(e).__name__}: {(str(e).splitlines() or [''])[0][:150]})"
        ) from e
    finally:
        for handle in handles:
            handle.remove()
    first = shapes.get(0, [()])[0]
    for index in range(len(blocks)):
        for shape in shapes.get(index, [()]):
            if len(shape) != 3 or shape[-1] != width or shape[1] != first[1]:
                what = f"[{', '.join(map(str, shape[1:]))}]" if shape else "no tokens"
                raise ModelError(
                    f"no hook points are known for the tower {name}: block {index} carries {what} "
                    f"where one stream of tokens [tokens, {width}] is needed from the first block "
                    "to the last (stages, maps, or a class token that joins between blocks)"
                )
    return first[1]


@torch.no_grad()
def _pass_without_numbers(tower: nn.Module, image_size: tuple[int, int]) -> None:
    """Run one blank image through meta tensors; where a tower cannot, through its own weights."""
    training = tower.training
    tower.eval()
    weights = dict(tower.named_parameters()) | dict(tower.named_buffers())
    try:
        empty = {name: torch.empty_like(weight, device="meta") for name, weight in weights.items()}
        dtype = max(tower.parameters(), key=lambda p: p.ndim).dtype
        blank = torch.empty((1, 3, *image_size), device="meta", dtype=dtype)
        try:
            torch.func.functional_call(tower, empty, (blank,))
        except (RuntimeError, NotImplementedError):  # a tensor that is no buffer, a data-bound step
            device = next(tower.parameters()).device
            tower(torch.zeros((1, 3, *image_size), device=device, dtype=dtype))
    finally:
        tower.train(training)
