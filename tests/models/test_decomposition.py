"""The terms of an embedding sum to what the bare tower gives, and each is what it is said to be."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from open_clip.transformer import VisionTransformer
from torch import nn

from lakeviz.errors import ConfigError, HookError, ModelError
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.studies.decompose import Decomposer
from lakeviz.studies.decompose.decomposer import Decomposition


def _biased(case):
    """A case whose biases and gains are not 0 and 1, as they are at the start of training."""
    torch.manual_seed(1)
    for parameter in case.bare.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn_like(parameter))
    out = case.bare(case.images)
    case.output = out[0] if isinstance(out, tuple) else out
    return case


def _decomposer(case, dtype=torch.float32) -> Decomposer:
    return Decomposer(SimpleNamespace(tower=case.hooked, name=case.name), dtype)  # type: ignore[arg-type]


def _error(total: torch.Tensor, output: torch.Tensor) -> float:
    return float(((total - output).norm(dim=1) / output.norm(dim=1)).max())


def test_terms_sum_to_the_bare_towers_output(vit, untouched):
    case = _biased(vit)
    made = _decomposer(case).decompose(case.images, sources=True)
    assert _error(made.total, case.output) < 1e-5
    assert _error(made.output, case.output) < 1e-5
    for level in ("blocks", "heads"):
        assert _error(torch.stack(list(made.level(level).values())).sum(0), case.output) < 1e-5
    assert made.sources is not None
    torch.testing.assert_close(made.sources.sum(3), made.heads, rtol=1e-4, atol=1e-5)
    untouched(case.bare)


def test_in_double_precision_the_sum_is_exact(vit):
    case = _biased(vit)
    made = _decomposer(case, torch.float64).decompose(case.images.double())
    assert _error(made.total, made.output) < 1e-12
    assert _error(made.output.float(), case.output) < 1e-5
    assert all(p.dtype == torch.float32 for p in case.bare.parameters())


def test_both_ways_give_the_same_terms(vit):
    """Token weights where tokens are read along one vector, gradients everywhere."""
    case = _biased(vit)
    made, by_gradient = (_decomposer(case, torch.float64) for _ in range(2))
    by_gradient.__dict__["_linear_blocks"] = None
    along = torch.randn(3, case.output.shape[1])
    one, other = (d.decompose(case.images, along, sources=True) for d in (made, by_gradient))
    for name in ("embedding", "heads", "attention_bias", "mlp_bias", "final_bias", "sources"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), msg=name)
    for a, b in zip(one.neurons, other.neurons, strict=True):
        torch.testing.assert_close(a, b)
    slow = case.name in ("open_clip-inner-norm", "timm-postnorm")
    assert (made._linear_blocks is None) == slow


def _frozen_by_hand(case, term: torch.Tensor) -> torch.Tensor:
    """What an addition to the last class token adds to the output, by the formula of the norm."""
    vit = case.bare
    _, cache = case.hooked.run_with_cache(case.images, names_filter="blocks.2.hook_resid_post")
    last = cache["blocks.2.hook_resid_post"][:, 0]
    deviation = (last.var(1, unbiased=False, keepdim=True) + vit.ln_post.eps).sqrt()
    centred = term - term.mean(-1, keepdim=True)
    return (centred / deviation * vit.ln_post.weight) @ vit.proj


def test_a_head_adds_what_it_writes_through_the_frozen_norm(make):
    case = _biased(make("open_clip-layerscale"))
    made = _decomposer(case).decompose(case.images)
    for block, parts in enumerate(case.hooked.adapter.blocks):
        point = f"blocks.{block}.attn.hook_result"
        _, cache = case.hooked.run_with_cache(case.images, names_filter=point)
        for head in range(4):
            written = cache[point][:, 0, head] * parts.scale_attn
            expected = _frozen_by_hand(case, written)
            torch.testing.assert_close(made.heads[:, block, head], expected, rtol=1e-4, atol=1e-6)
        bias = (parts.attn.b_O * parts.scale_attn).expand(2, -1)
        expected = _frozen_by_hand(case, bias)
        torch.testing.assert_close(made.attention_bias[:, block], expected, rtol=1e-4, atol=1e-6)


def test_a_source_patch_adds_its_value_by_its_pattern(make):
    case = _biased(make("open_clip-tok"))
    made = _decomposer(case).decompose(case.images, sources=True)
    names = [f"blocks.1.attn.hook_{n}" for n in ("pattern", "v")]
    _, cache = case.hooked.run_with_cache(case.images, names_filter=names)
    view = case.hooked.adapter.blocks[1].attn
    for head, source in ((0, 0), (3, 9)):
        moved = cache[names[0]][:, head, 0, source, None] * cache[names[1]][:, source, head]
        expected = _frozen_by_hand(case, moved @ view.W_O[head])
        torch.testing.assert_close(made.sources[:, 1, head, source], expected, rtol=1e-4, atol=1e-6)


def test_knocking_out_a_neuron_of_the_last_block_is_its_direct_effect_if_the_norm_is_frozen(make):
    """After the last block nothing else reads it; earlier, and with a live norm, more changes."""
    case = _biased(make("open_clip-tok"))
    made = _decomposer(case).decompose(case.images)
    residual = {}

    def run(block: int) -> tuple[torch.Tensor, torch.Tensor]:
        def zero(t, hook):
            t[..., 5] = 0
            return t

        def keep(t, hook):
            residual["last"] = t[:, 0].clone()

        hooks = [(f"blocks.{block}.mlp.hook_post", zero), ("blocks.2.hook_resid_post", keep)]
        return case.hooked.run_with_hooks(case.images, fwd_hooks=hooks), residual["last"]

    _, cache = case.hooked.run_with_cache(case.images, names_filter="blocks.2.hook_resid_post")
    intact = cache["blocks.2.hook_resid_post"][:, 0]
    output, without = run(2)
    direct = made.neurons[2][:, 5]
    torch.testing.assert_close(
        _frozen_by_hand(case, intact - without), direct, rtol=1e-4, atol=1e-6
    )
    assert not torch.allclose(case.output - output, direct, rtol=1e-3, atol=1e-6)
    _, without = run(0)
    earlier = _frozen_by_hand(case, intact - without)
    assert not torch.allclose(earlier, made.neurons[0][:, 5], rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("name", ["open_clip-tok", "open_clip-timm"])
def test_a_projected_patch_token_is_a_sum_too(make, name):
    case = _biased(make(name))
    made = _decomposer(case).decompose(case.images, patch=3)
    _, cache = case.hooked.run_with_cache(case.images, names_filter="blocks.2.hook_resid_post")
    tokens = case.hooked.adapter.project_tokens(cache["blocks.2.hook_resid_post"])
    assert _error(made.total, tokens[:, 1 + 3]) < 1e-5
    with pytest.raises(ConfigError, match="patches 0 to 15, not 16"):
        _decomposer(case).decompose(case.images, patch=16)


def test_patch_tokens_of_a_tower_without_text_end_where_its_classifier_reads(make):
    case = make("timm-cls")
    made = _decomposer(case).decompose(case.images, patch=0)
    tower = case.hooked
    last = f"blocks.{len(tower.adapter.blocks) - 1}.hook_resid_post"
    _, cache = tower.run_with_cache(case.images, names_filter=[last], stop_at=None)
    expected = tower.adapter.project_tokens(cache[last])[:, tower.adapter.n_prefix_tokens]
    assert _error(made.total, expected) < 1e-5


def test_patch_tokens_that_have_no_projection_are_refused(make):
    case = make("timm-no-prefix")
    with pytest.raises(ModelError, match="pools with attention"):
        _decomposer(case).decompose(case.images, patch=0)


def test_an_attention_pool_of_open_clip_is_linear_at_its_own_pattern():
    torch.manual_seed(0)
    options = {"attentional_pool": True, "attn_pooler_queries": 5, "attn_pooler_heads": 4}
    tower = VisionTransformer(32, 8, 32, 3, 4, 2.0, output_dim=16, **options).eval()
    case = SimpleNamespace(bare=tower, hooked=HookedTower(tower).eval(), name="coca")
    case.images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        _biased(case)
    made = _decomposer(case).decompose(case.images, sources=True)
    assert _error(made.total, case.output) < 1e-5
    # The model was loaded for training and is left so.
    assert all(p.requires_grad for p in tower.parameters())


def test_directions_are_dots_with_the_vectors(make):
    case = _biased(make("timm-registers"))
    along = torch.randn(2, case.output.shape[1])
    decomposer = _decomposer(case, torch.float64)
    vectors = decomposer.decompose(case.images)
    dots: Decomposition = decomposer.decompose(case.images, along)
    torch.testing.assert_close(vectors.heads @ along.double().T, dots.heads)
    torch.testing.assert_close(vectors.neurons[1] @ along.double().T, dots.neurons[1])
    unit = dots.unit()
    cosine = nn.functional.normalize(case.output, dim=1) @ along.T
    torch.testing.assert_close(unit.total.float(), cosine, rtol=1e-4, atol=1e-5)


def test_many_images_come_in_parts(make, monkeypatch):
    case = make("open_clip-tok")
    decomposer = _decomposer(case)
    assert decomposer.batch_size > 1
    monkeypatch.setattr(Decomposer, "batch_size", 1)
    parts = list(decomposer.batches(case.images))
    assert [rows for rows, _ in parts] == [slice(0, 1), slice(1, 2)]
    total = torch.cat([made.total for _, made in parts])
    assert _error(total, case.output) < 1e-5


def test_a_resnet_has_none(make):
    with pytest.raises(HookError, match=r"no exact decomposition.*residual stream of tokens"):
        _decomposer(make("resnet"))


def test_attention_of_unknown_form_has_none(make):
    case = make("timm-cls")
    parts = case.hooked.adapter.blocks[1]
    case.hooked.adapter.blocks[1] = type(parts)(parts.block)
    with pytest.raises(HookError, match="block 1 is of a form"):
        _decomposer(case)


def test_a_head_that_is_no_linear_map_is_refused_and_nothing_is_left_behind(make, untouched):
    case = make("open_clip-timm")
    case.bare.head = nn.Sequential(nn.Linear(32, 24), nn.GELU(), nn.Linear(24, 16)).eval()
    with pytest.raises(HookError, match="do not sum to the output"):
        _decomposer(case).decompose(case.images)
    untouched(case.bare)


def test_bad_requests_say_what_is_wrong(make):
    case = make("open_clip-tok")
    decomposer = _decomposer(case)
    with pytest.raises(ConfigError, match=r"\[direction, 16\]"):
        decomposer.decompose(case.images, torch.zeros(2, 5))
    with pytest.raises(ConfigError, match="float64"):
        _decomposer(case, torch.float16)
    made = decomposer.decompose(case.images)
    with pytest.raises(ConfigError, match="blocks, heads"):
        made.level("layers")
    with pytest.raises(ConfigError, match="sources=True"):
        _ = made.by_source


@pytest.mark.parametrize("name", ["tiny", "vit_tiny"])
def test_trained_models_are_exact_sums_too(name, request):
    from lakeviz.models import load_model

    if name == "tiny":
        model = load_model("tiny")
    else:
        weights = request.getfixturevalue("real_data") / "vit_tiny_patch16_224.safetensors"
        model = load_model("timm/vit_tiny_patch16_224", str(weights))
    images = torch.randn(2, 3, *model.image_size, generator=torch.Generator().manual_seed(0))
    along = torch.eye(model.encode_image(images).shape[1])[:16]
    made = Decomposer(model).decompose(images, along)
    expected = model.encode_image(images)
    error = (made.total - expected[:, :16]).norm(dim=1) / expected.norm(dim=1)
    assert float(error.max()) < 1e-5
