"""Calls on a model equal those of its tower and of the bare library."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from lakeviz.errors import CaptureTooLargeError, ConfigError, TextBranchError
from lakeviz.models import calls

POINT = "blocks.1.hook_resid_post"


def noise(n: int) -> torch.Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["clip", "timm"])
def test_equal_to_the_bare_model(tiny_model, kind: str) -> None:
    model = tiny_model(kind)
    bare = model.module.encode_image if kind == "clip" else model.module
    images = noise(2)
    with torch.no_grad():
        assert torch.equal(model(images), bare(images))
    assert torch.equal(model.encode_image(images), model(images))
    assert model(images.clone().requires_grad_()).requires_grad
    unit = model.encode_image(images, normalize=True)
    torch.testing.assert_close(unit.norm(dim=-1), torch.ones(2))


def test_cache_is_everything_and_the_output_by_default(tiny_model, monkeypatch) -> None:
    model = tiny_model("clip")
    output, cache = model.run_with_cache(noise(2))
    assert set(cache) == set(model.hook_dict) == set(model.hook_points()["name"])
    torch.testing.assert_close(output, model(noise(2)))
    assert torch.equal(cache["resid_post", 1], cache[POINT])
    expected = model.tower.run_with_cache(noise(2), names_filter=POINT)[1][POINT]
    torch.testing.assert_close(cache[POINT], expected)
    stopped, few = model.run_with_cache(noise(2), names_filter=POINT, stop_at="auto")
    assert list(few) == [POINT]
    assert stopped is None or torch.allclose(stopped, output, atol=1e-5)
    assert model.run_with_cache(noise(1), remove_batch_dim=True)[1][POINT].ndim == 2
    monkeypatch.setattr(calls, "_MOST_BYTES", 100)
    with pytest.raises(CaptureTooLargeError, match="names_filter"):
        model.run_with_cache(noise(2))


def test_hooks_edit_and_go(tiny_model) -> None:
    model = tiny_model("clip")
    before = model(noise(1))

    def zero(tensor, hook):
        return torch.zeros_like(tensor)

    assert not torch.equal(model.run_with_hooks(noise(1), fwd_hooks=[(POINT, zero)]), before)
    with model.hooks([(POINT, zero)]):
        assert not torch.equal(model(noise(1)), before)
    assert torch.equal(model(noise(1)), before)
    model.add_hook(POINT, zero)
    assert not torch.equal(model(noise(1)), before)
    model.reset_hooks()
    assert torch.equal(model(noise(1)), before)
    assert model.cfg.n_layers == model.n_blocks


def test_images_in_other_forms_are_preprocessed(tiny_model, tmp_path) -> None:
    model = tiny_model("clip")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "a.png")
    expected = model.encode_image(model.preprocess(picture)[None])
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    for given in (picture, pixels, tensor, tmp_path / "a.png", [str(tmp_path / "a.png")]):
        assert torch.equal(model.encode_image(given), expected)


def test_texts(tiny_model) -> None:
    model = tiny_model("clip")
    tokens = model.text.tokenizer(["a nut", "a bolt"])
    with torch.no_grad():
        expected = model.module.encode_text(tokens)
    assert torch.equal(model.encode_text(["a nut", "a bolt"]), expected)
    assert torch.equal(model.encode_text("a nut"), model.encode_text(["a nut"]))
    assert torch.equal(model.encode_text(["a nut"], normalize=True), model.text.encode(["a nut"]))
    with pytest.raises(TextBranchError, match="vision-only"):
        tiny_model("timm").encode_text("a nut")


def test_moving_and_copies(tiny_model) -> None:
    model = tiny_model("clip")
    assert model.to("cpu") is model
    assert model.eval() is model
    with pytest.raises(ConfigError, match="cannot be moved to 'nowhere'"):
        model.to("nowhere")
    assert torch.equal(copy.deepcopy(model)(noise(1)), model(noise(1)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("forward", "model itself"),
        ("predict", "Lake"),
        ("run_with_caches", "run_with_cache"),
        ("cuda", "model.to"),
        ("W_Q", "model.module"),
        ("n_layers", "model.n_blocks"),
        ("zzz", "no 'zzz'"),
    ],
)
def test_other_names_lead_on(tiny_model, name: str, said: str) -> None:
    with pytest.raises(AttributeError, match=said):
        getattr(tiny_model("clip"), name)
    assert not hasattr(tiny_model("clip"), name)
