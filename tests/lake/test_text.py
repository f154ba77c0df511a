"""The text branch against the same numbers computed by hand from the bare open_clip model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lakeviz.errors import ConfigError, TextBranchError
from lakeviz.lake import PromptEnsemble, TextOptions, fit_text

PROMPTS = PromptEnsemble(("{}", "good {}"), ("broken {}",), ("a photo of a {}.", "the {}"))


def noise(n: int = 3) -> torch.Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def prompts_by_hand(model) -> torch.Tensor:
    """Normalised mean of the unit vectors of each ensemble, from the bare text tower."""
    vectors = []
    for texts in (
        ["a photo of a nut.", "the nut", "a photo of a good nut.", "the good nut"],
        ["a photo of a broken nut.", "the broken nut"],
    ):
        encoded = model.module.encode_text(model.text.tokenizer(texts))
        mean = (encoded / encoded.norm(dim=1, keepdim=True)).mean(0)
        vectors.append(mean / mean.norm())
    return torch.stack(vectors)


def test_vectors_equal_those_of_the_bare_text_tower(tiny_model) -> None:
    model = tiny_model("clip")
    branch = fit_text(model, "nut", TextOptions(PROMPTS))
    torch.testing.assert_close(branch.vectors, prompts_by_hand(model))
    assert branch.point == "blocks.3.hook_resid_post"
    assert branch.logit_scale == pytest.approx(model.module.logit_scale.exp().item())


def test_patch_scores_equal_a_softmax_by_hand(tiny_model) -> None:
    model = tiny_model("clip")
    branch = fit_text(model, "nut", TextOptions(PROMPTS))
    resid = model.tower.run_with_cache(noise(), names_filter=branch.point)[1][branch.point][:, 1:]
    scores = branch.score_patches(model, resid, noise())
    visual = model.module.visual
    patches = F.normalize(visual.ln_post(resid) @ visual.proj, dim=-1)
    normal, anomalous = (patches @ v for v in prompts_by_hand(model))
    scale = model.module.logit_scale.exp()
    weights = torch.exp(scale * normal), torch.exp(scale * anomalous)
    expected = weights[1] / (weights[0] + weights[1])
    assert scores.shape == (3, 16)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)


def test_image_scores_equal_those_of_the_bare_model(tiny_model) -> None:
    model = tiny_model("clip")
    branch = fit_text(model, "nut", TextOptions(PROMPTS))
    image = model.module.encode_image(noise(), normalize=True)
    logits = model.module.logit_scale.exp() * image @ prompts_by_hand(model).T
    found = branch.probability(model.encode_image(noise()))
    torch.testing.assert_close(found, logits.softmax(1)[:, 1], rtol=1e-4, atol=1e-6)


def test_an_offset_of_both_logits_cancels(tiny_model) -> None:
    """SigLIP adds a bias to every logit; a sigmoid would move with it, this softmax must not."""
    model = tiny_model("clip")
    model.logit_bias = -12.9
    branch = fit_text(model, "nut", TextOptions(PROMPTS))
    embeddings = model.encode_image(noise())
    logits = branch.logit_scale * F.normalize(embeddings, dim=-1) @ branch.vectors.T
    with_bias = (logits + model.logit_bias).softmax(-1)[:, 1]
    torch.testing.assert_close(branch.probability(embeddings), with_bias, rtol=1e-4, atol=1e-6)


def test_probability_of_the_prompts_themselves(tiny_model) -> None:
    branch = fit_text(tiny_model("clip"), "nut", TextOptions(PROMPTS))
    sharp = replace(branch, logit_scale=1e4)
    assert sharp.probability(3.0 * branch.vectors).tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    middle = branch.vectors.sum(0)
    assert branch.probability(middle).item() == pytest.approx(0.5, abs=1e-4)


def test_an_earlier_layer(tiny_model) -> None:
    assert fit_text(tiny_model("clip"), "nut", TextOptions(layer=1)).point == (
        "blocks.1.hook_resid_post"
    )


def test_value_value_attention_reads_its_own_path(tiny_model) -> None:
    model = tiny_model("clip")
    branch = fit_text(model, "nut", TextOptions(PROMPTS, attention="value_value", value_blocks=2))
    resid = model.tower.run_with_cache(noise(), names_filter=branch.point)[1][branch.point][:, 1:]
    found = branch.score_patches(model, resid, noise())
    tokens = model.tower.value_value_tokens(noise(), 2)
    torch.testing.assert_close(found, branch.probability(model.project_patches(tokens)))
    plain = replace(branch, options=TextOptions(PROMPTS)).score_patches(model, resid, noise())
    assert (found - plain).abs().max() > 1e-4


def test_options_out_of_range(tiny_model) -> None:
    model = tiny_model("clip")
    with pytest.raises(ConfigError, match="plain or value_value"):
        TextOptions(attention="key_key")
    for layer in (4, -1):
        with pytest.raises(ConfigError, match="blocks 0 to 3"):
            fit_text(model, "nut", TextOptions(layer=layer))
    with pytest.raises(ConfigError, match="value_blocks must be between 1 and 4, not 6"):
        fit_text(model, "nut", TextOptions(attention="value_value"))


@pytest.mark.parametrize(
    ("kind", "said"), [("timm", "no text encoder"), ("resnet", "pools with attention")]
)
def test_towers_that_cannot_have_one(tiny_model, kind: str, said: str) -> None:
    with pytest.raises(TextBranchError, match=said):
        fit_text(tiny_model(kind), "nut")
