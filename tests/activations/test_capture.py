"""Capture to memory against ``run_with_cache``, and everything that must be refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lakeviz.activations import (
    ChannelStatistics,
    Loading,
    TokenBatches,
    capture_activations,
    stream_statistics,
)
from lakeviz.errors import (
    ActivationError,
    CaptureTooLargeError,
    ConfigError,
    DataError,
    ImageReadError,
    StoreError,
    UnknownHookPointError,
)

POINTS = ["blocks.0.hook_resid_post", "blocks.2.mlp.hook_post", "blocks.1.attn.hook_z"]


def noise(model, n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, *model.image_size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["clip", "timm"])
def test_equals_run_with_cache(tiny_model, kind: str) -> None:
    model = tiny_model(kind)
    images = noise(model, 5)
    held = capture_activations(
        model, images, POINTS, loading=Loading(batch_size=2), preprocessed=True
    )
    with torch.inference_mode():
        _, cache = model.tower.run_with_cache(images, names_filter=POINTS)
    assert held.points == tuple(model.tower.resolve(POINTS))
    for point in POINTS:
        expected = cache[point][:, model.n_prefix_tokens :].flatten(2)
        torch.testing.assert_close(held.read(point), expected, rtol=1e-5, atol=1e-6)
        assert not held.read(point).is_inference()  # may be used where gradients are wanted


def test_equals_run_with_cache_to_the_bit_in_one_batch(tiny_model) -> None:
    model = tiny_model("resnet")
    images, point = noise(model, 3), "layer3.0.hook_resid_post"
    held = capture_activations(model, images, point, preprocessed=True)
    with torch.inference_mode():
        raw = model.tower.run_with_cache(images, names_filter=point)[1][point]
    assert torch.equal(held.read(point), raw.flatten(2).transpose(1, 2))


def test_files_are_preprocessed_and_named(tiny_model, image_files) -> None:
    model, paths = tiny_model("clip"), image_files(3)
    held = capture_activations(model, paths, POINTS[0])
    images = torch.stack([model.preprocess(Image.open(path)) for path in paths])
    expected = capture_activations(model, images, POINTS[0], preprocessed=True)
    assert torch.equal(held.read(POINTS[0]), expected.read(POINTS[0]))
    assert held.sample_ids == [path.as_posix() for path in paths]
    assert held.sizes == [(12, 20)] * 3
    assert expected.sizes == [(32, 32)] * 3


def test_reading_some_images(tiny_model) -> None:
    model = tiny_model("clip")
    held = capture_activations(model, noise(model, 4), POINTS[0], preprocessed=True)
    whole = held.read(POINTS[0])
    assert torch.equal(held.read(POINTS[0], (2, 0)), whole[[2, 0]])
    assert torch.equal(held.read(POINTS[0], slice(1, 3)), whole[1:3])
    with pytest.raises(StoreError, match="asked for 4"):
        held.read(POINTS[0], [0, 4])
    with pytest.raises(StoreError, match="was not captured"):
        held.read("hook_ln_pre")


def test_statistics_are_those_of_the_captured_tokens(tiny_model) -> None:
    model = tiny_model("clip")
    images = noise(model, 7)
    streamed = stream_statistics(
        model,
        images,
        POINTS,
        with_covariance=True,
        loading=Loading(batch_size=3),
        preprocessed=True,
    )
    held = capture_activations(
        model, images, POINTS, loading=Loading(batch_size=3), preprocessed=True
    )
    for point in POINTS:
        expected = ChannelStatistics(point, True).update(held.read(point))
        assert streamed[point].count == 7 * 16
        np.testing.assert_allclose(streamed[point].mean, expected.mean, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(streamed[point].covariance, expected.covariance, atol=1e-12)


def test_size_is_foretold_and_limited(tiny_model) -> None:
    model = tiny_model("timm")
    for tokens in ("patch", "prefix", "all"):
        batches = TokenBatches(model, noise(model, 2), POINTS, tokens=tokens, preprocessed=True)
        held = capture_activations(model, noise(model, 2), POINTS, tokens=tokens, preprocessed=True)
        assert sum(held.read(p).nbytes for p in POINTS) == 2 * batches.bytes_per_image()
    with pytest.raises(CaptureTooLargeError, match="capture to a store"):
        capture_activations(model, noise(model, 2), POINTS, max_bytes=1000, preprocessed=True)


def test_blocks_after_the_deepest_point_do_not_run(tiny_model) -> None:
    model, calls = tiny_model("clip"), []
    block = model.tower.adapter.blocks[3].block
    handle = block.register_forward_hook(lambda *_: calls.append(1))
    try:
        (batch,) = TokenBatches(
            model, noise(model, 2), "blocks.1.hook_resid_post", preprocessed=True
        )
        assert not calls
        assert batch.output is None
        (batch,) = TokenBatches(
            model, noise(model, 2), "blocks.1.hook_resid_post", run_on=True, preprocessed=True
        )
        assert calls
    finally:
        handle.remove()
    torch.testing.assert_close(batch.output, model.encode_image(noise(model, 2)))


def test_output_of_a_tower_that_hands_out_tokens_too(tiny_model) -> None:
    model = tiny_model("clip")
    expected = model.encode_image(noise(model, 2))
    model.module.visual.output_tokens = True
    (batch,) = TokenBatches(
        model, noise(model, 2), "blocks.1.hook_resid_post", run_on=True, preprocessed=True
    )
    torch.testing.assert_close(batch.output, expected)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_non_finite_activations_name_point_image_and_channel(tiny_model, weight: float) -> None:
    model = tiny_model("clip")
    images = noise(model, 4)
    images[2, 0, 0, 0] = weight
    with pytest.raises(ActivationError, match=r"blocks\.0\.hook_resid_post of image 2.*channel"):
        stream_statistics(model, images, POINTS[0], preprocessed=True)
    with pytest.raises(ActivationError, match="of image 2"):
        capture_activations(model, images, POINTS[0], preprocessed=True)


def test_unreadable_images(tiny_model, image_files) -> None:
    model, paths = tiny_model("clip"), image_files(3)
    paths[1].write_bytes(b"no image")
    with pytest.raises(ImageReadError, match=r"001\.png"):
        capture_activations(model, paths, POINTS[0])
    batches = TokenBatches(model, paths, POINTS[0], loading=Loading(skip_bad=True))
    assert [name for batch in batches for name in batch.sample_ids] == [
        paths[0].as_posix(),
        paths[2].as_posix(),
    ]
    assert [path for path, _ in batches.skipped] == [str(paths[1])]
    held = capture_activations(model, paths, POINTS[0], loading=Loading(skip_bad=True))
    assert held.read(POINTS[0]).shape == (2, 16, 32)
    with pytest.raises(DataError, match="none of the 1 images"):
        capture_activations(model, paths[1:2], POINTS[0], loading=Loading(skip_bad=True))


def test_what_is_no_image_is_refused(tiny_model, image_files) -> None:
    model = tiny_model("clip")
    with pytest.raises(DataError, match="no images"):
        capture_activations(model, [], POINTS[0])
    with pytest.raises(DataError, match="neither an image nor a folder"):
        capture_activations(model, "nowhere", POINTS[0])
    with pytest.raises(DataError, match=r"not \[1, 3, 64, 64\]"):
        capture_activations(model, torch.zeros(1, 3, 64, 64), POINTS[0], preprocessed=True)


def test_points_are_checked_before_anything_runs(tiny_model) -> None:
    model = tiny_model("clip")
    with pytest.raises(UnknownHookPointError):
        TokenBatches(model, noise(model, 1), "blocks.9.hook_resid_post", preprocessed=True)
    with pytest.raises(ActivationError, match="no neurons per patch token"):
        TokenBatches(model, noise(model, 1), "hook_image_features", preprocessed=True)
    with pytest.raises(ActivationError, match="patch, prefix or all"):
        capture_activations(model, noise(model, 1), POINTS[0], tokens="cls", preprocessed=True)


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"workers": -1}])
def test_loading_is_checked(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Loading(**bad)
