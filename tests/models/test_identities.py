"""What the points mean: residual identities, heads, patterns, and edits worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from lakeviz.errors import HookError
from lakeviz.models.towers.base import BlockParts

CLOSE = {"rtol": 1e-5, "atol": 2e-6}


def _cache(case, *names):
    return case.hooked.run_with_cache(case.images, names_filter=list(names) or "*", stop_at=None)[1]


def test_residual_stream_adds_up(vit):
    cache = _cache(vit, "blocks.*")
    for i in range(3):
        mid = cache["resid_pre", i] + cache["attn_out", i]
        post = cache["resid_mid", i] + cache["mlp_out", i]
        assert torch.equal(cache["resid_mid", i], mid)
        assert torch.equal(cache["resid_post", i], post)
        if i:
            assert torch.equal(cache["resid_pre", i], cache["resid_post", i - 1])


def test_heads_add_up_to_the_attention_output(vit):
    if "blocks.0.attn.hook_result" not in vit.hooked.points:
        assert vit.name == "open_clip-inner-norm"  # a norm over heads: no sum of heads there
        return
    cache = _cache(vit, "blocks.*")
    for i, parts in enumerate(vit.hooked.adapter.blocks):
        total = cache["result", i].sum(dim=2) + parts.attn.b_O
        if parts.scale_attn is not None:
            total = total * parts.scale_attn
        if vit.name == "timm-postnorm":
            total = parts.block.norm1(total)
        torch.testing.assert_close(total, cache["attn_out", i], **CLOSE)


def test_pattern_rows_sum_to_one_and_mix_the_values(vit):
    cache = _cache(vit, "blocks.*")
    for i in range(3):
        pattern = cache["pattern", i]
        torch.testing.assert_close(pattern.sum(-1), torch.ones(pattern.shape[:-1]))
        torch.testing.assert_close(pattern, cache["attn_scores", i].softmax(-1))
        z = torch.einsum("bhqk,bkhd->bqhd", pattern, cache["v", i])
        torch.testing.assert_close(z, cache["z", i], **CLOSE)


def test_pattern_is_what_pytorch_says(plain):
    """``nn.MultiheadAttention`` can return its weights, if asked by its own argument."""
    cache = _cache(plain, "blocks.1.ln1.hook_normalized", "blocks.1.attn.hook_pattern")
    x = cache["blocks.1.ln1.hook_normalized"]
    attn = plain.bare.transformer.resblocks[1].attn
    _, weights = attn(x, x, x, need_weights=True, average_attn_weights=False)
    torch.testing.assert_close(cache["pattern", 1], weights)


def test_z_is_what_timm_gives_its_projection(make):
    case, seen = make("timm-registers"), {}
    proj = case.bare.blocks[1].attn.proj
    proj.register_forward_pre_hook(lambda module, args: seen.update(z=args[0]))
    case.bare(case.images)
    cache = _cache(case, "blocks.1.attn.hook_z")
    torch.testing.assert_close(cache["z", 1].flatten(-2), seen["z"], **CLOSE)


def test_editing_resid_mid_moves_both_the_mlp_and_the_skip_path(plain):
    new_mid = torch.randn(2, 17, 32)
    block = plain.bare.transformer.resblocks[1]
    expected = new_mid + block.ls_2(block.mlp(block.ln_2(new_mid)))
    with plain.hooked.hooks(fwd_hooks=[("blocks.1.hook_resid_mid", lambda t, hook: new_mid)]):
        cache = _cache(plain, "blocks.1.hook_resid_post")
    torch.testing.assert_close(cache["resid_post", 1], expected, **CLOSE)


def test_editing_attn_out_shows_in_resid_mid(vit):
    with vit.hooked.hooks(fwd_hooks=[("blocks.1.hook_attn_out", lambda t, hook: t * 0)]):
        cache = _cache(vit, "blocks.1.hook_resid_pre", "blocks.1.hook_resid_mid")
    assert torch.equal(cache["resid_mid", 1], cache["resid_pre", 1])


def test_removing_a_head_through_z_and_through_result_agree(vit):
    if "blocks.1.attn.hook_result" not in vit.hooked.points:
        assert vit.name == "open_clip-inner-norm"
        return

    def no_second_head(tensor, hook):
        tensor[:, :, 1] = 0
        return tensor

    outputs = [
        vit.hooked.run_with_hooks(vit.images, fwd_hooks=[(point, no_second_head)])
        for point in ("blocks.1.attn.hook_z", "blocks.1.attn.hook_result")
    ]
    torch.testing.assert_close(*outputs, **CLOSE)
    assert not torch.allclose(outputs[0], vit.output, **CLOSE)


def test_projecting_the_class_token_gives_the_image_embedding(make):
    for name in ("open_clip-tok", "open_clip-layerscale", "open_clip-timm"):
        case = make(name)
        cache = _cache(case, "blocks.2.hook_resid_post")
        projected = case.hooked.adapter.project_tokens(cache["resid_post", 2])
        torch.testing.assert_close(projected[:, 0], case.output, **CLOSE)


def test_projecting_patches_and_averaging_gives_the_embedding_of_an_average_pool(plain):
    plain.bare.pool_type = "avg"  # norm first, then pool: projection and mean commute
    expected = plain.bare(plain.images)
    cache = _cache(plain, "blocks.2.hook_resid_post")
    patches = cache["resid_post", 2][:, 1:]
    projected = plain.hooked.adapter.project_tokens(patches)
    torch.testing.assert_close(projected.mean(dim=1), expected, **CLOSE)


def _by_hand(x, packed_weight, packed_bias, out_proj, n_heads):
    """softmax(v v^T / sqrt(d)) v, head by head in loops, projected."""
    width = x.shape[-1]
    d = width // n_heads
    v = x @ packed_weight[2 * width :].T + packed_bias[2 * width :]
    heads = []
    for h in range(n_heads):
        vh = v[..., h * d : (h + 1) * d]
        weights = torch.softmax(vh @ vh.transpose(1, 2) / math.sqrt(d), dim=-1)
        heads.append(weights @ vh)
    return torch.cat(heads, dim=-1) @ out_proj.weight.T + out_proj.bias


@pytest.mark.parametrize("name", ["open_clip-layerscale", "timm-registers", "open_clip-timm"])
def test_value_value_path_equals_the_sum_worked_by_hand(make, name):
    case = make(name)
    cache = _cache(case, "blocks.*.hook_resid_pre", "blocks.*.ln1.hook_normalized")
    path = cache["resid_pre", 1]
    for i in (1, 2):
        parts: BlockParts = case.hooked.adapter.blocks[i]
        attn = parts.attn.module
        if name.startswith("open_clip-l"):
            weights = (attn.in_proj_weight, attn.in_proj_bias)
        else:
            weights = (attn.qkv.weight, attn.qkv.bias)
        update = _by_hand(cache["normalized", i, "ln1"], *weights, parts.attn.out_proj, 4)
        path = path + (update if parts.scale_attn is None else update * parts.scale_attn)
    tokens = case.hooked.value_value_tokens(case.images, 2)
    torch.testing.assert_close(tokens, path[:, case.hooked.adapter.n_prefix_tokens :], **CLOSE)
    assert tokens.shape[1] == 16


@pytest.mark.parametrize("name", ["resnet", "timm-postnorm"])
def test_value_value_is_refused_where_it_has_no_meaning(make, name):
    case = make(name)
    with pytest.raises(HookError, match="value-value"):
        case.hooked.value_value_tokens(case.images, 1)


@pytest.mark.parametrize("n", [0, 4])
def test_value_value_needs_blocks_that_exist(plain, n):
    with pytest.raises(HookError, match="1 to 3"):
        plain.hooked.value_value_tokens(plain.images, n)


def test_per_head_points_refuse_dropout_in_training():
    from open_clip.transformer import Attention

    from lakeviz.models.hooks.attention import explicit_attention
    from lakeviz.models.towers.open_clip_vit import PackedAttentionView

    attn = Attention(8, num_heads=2, attn_drop=0.5).train()
    with pytest.raises(HookError, match="eval"):
        explicit_attention(PackedAttentionView(attn), {}, torch.zeros(1, 3, 8))
    with pytest.raises(HookError, match="mask"):
        explicit_attention(
            PackedAttentionView(attn.eval()), {}, torch.zeros(1, 3, 8), attn_mask=torch.ones(3)
        )
