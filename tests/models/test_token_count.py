"""Prefix tokens are where the library says, later, or the tower is refused at load."""

from __future__ import annotations

import pytest
import torch

from lakeviz.errors import ModelError
from lakeviz.lake import Lake
from lakeviz.models import load_model


def _images(model, n=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, *model.image_size, generator=generator)


@pytest.mark.parametrize(
    "name, prefix",
    [
        ("timm/cait_xxs24_224", 0),
        ("timm/xcit_nano_12_p16_224", 0),
        ("timm/vit_relpos_small_patch16_224", 0),
        ("timm/deit_tiny_distilled_patch16_224", 2),
        ("timm/vit_tiny_patch16_224", 1),
    ],
)
def test_captured_tokens_are_prefix_and_every_patch(name, prefix):
    model = load_model(name, "random")
    x = _images(model)
    rows, columns = model.grid()
    assert (model.n_prefix_tokens, rows, columns) == (prefix, 14, 14)
    everything = list(model.tower.points)
    output, cache = model.tower.run_with_cache(x, names_filter=everything, stop_at=None)
    torch.testing.assert_close(output, model.tower(x), rtol=1e-3, atol=1e-3)
    for point in model.tower.points.values():
        assert tuple(cache[point.name].shape[1:]) == point.sizes, point.name
    last = f"blocks.{model.n_blocks - 1}.hook_resid_post"
    before, patches = model.split_tokens(cache[last])
    assert (before.shape[1], patches.shape[1]) == (prefix, rows * columns)
    resumed, _ = model.tower.run_from("blocks.1.hook_resid_post", cache["blocks.1.hook_resid_post"])
    torch.testing.assert_close(resumed, output, rtol=1e-3, atol=1e-3)
    raw = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    detector = Lake(model, k=8, text_weight=0).fit(raw)
    assert detector.score(raw).image_scores.shape == (2,)


def test_a_patch_of_the_image_is_the_token_at_its_place():
    """Before the first block only the token of the changed patch differs."""
    model = load_model("timm/cait_xxs24_224", "random")
    x = _images(model, 1)
    changed = x.clone()
    changed[:, :, 16:32, 48:64] += 1  # row 1, column 3
    point = "blocks.0.hook_resid_pre"
    one, other = (model.tower.run_with_cache(i, names_filter=point)[1][point] for i in (x, changed))
    differs = (one != other).any(dim=-1)[0].nonzero().flatten().tolist()
    assert [i - model.n_prefix_tokens for i in differs] == [14 + 3]


@pytest.mark.parametrize(
    "name, reason",
    [
        ("timm/convit_tiny", r"block 10 carries \[197, 192\]"),
        ("timm/naflexvit_base_patch16_gap", "NaFlexVit"),
        ("timm/samvit_base_patch16_224", "num_prefix_tokens"),
        ("timm/tnt_s_patch16_224", "it has no patch_embed"),
    ],
)
def test_towers_without_one_stream_of_tokens_are_refused_at_load(name, reason):
    with pytest.raises(ModelError, match=reason) as caught:
        load_model(name, "random")
    assert "\n" not in str(caught.value)
