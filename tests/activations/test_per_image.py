"""Statistics of each image apart, merged: equal to those of the tokens taken together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeviz.activations import (
    ChannelStatistics,
    ImageStatistics,
    Loading,
    stream_image_statistics,
    stream_statistics,
)
from lakeviz.errors import ActivationError
from lakeviz.models import load_model

POINT = "blocks.1.hook_resid_post"


def tokens_of(seed: int, n: int = 5, patches: int = 7, channels: int = 4, offset: float = 0.0):
    """Tokens whose images differ in mean and spread."""
    generator = np.random.default_rng(seed)
    means = offset + 3 * generator.standard_normal((n, 1, channels))
    spread = np.exp(generator.standard_normal((n, 1, channels)))
    drawn = means + spread * generator.standard_normal((n, patches, channels))
    return torch.from_numpy(drawn.astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 7),
    patches=st.integers(1, 6),
    offset=st.sampled_from([0.0, 1e3]),
    data=st.data(),
)
def test_any_multiset_of_images_equals_its_tokens(seed, n, patches, offset, data):
    tokens = tokens_of(seed, n, patches, offset=offset)
    images = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=9))
    of_images = ImageStatistics.of_tokens(POINT, tokens)
    merged = of_images.merged(images)
    streamed = ChannelStatistics(POINT).update(tokens[images])
    wide = tokens[images].double().numpy().reshape(-1, tokens.shape[-1])
    assert merged.count == streamed.count == len(wide)
    np.testing.assert_allclose(merged.mean, streamed.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.m2, streamed.m2, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(merged.minimum, wide.min(0))
    np.testing.assert_array_equal(merged.maximum, wide.max(0))
    weights = np.bincount(images, minlength=n)[None]
    np.testing.assert_allclose(of_images.variances(weights)[0], wide.var(0), rtol=1e-8, atol=1e-8)


def test_images_of_unequal_size_count_by_their_tokens():
    parts = [tokens_of(0, 2, 3), tokens_of(1, 1, 30)]
    joined = ImageStatistics.concatenate([ImageStatistics.of_tokens(POINT, t) for t in parts])
    wide = np.concatenate([t.double().numpy().reshape(-1, 4) for t in parts])
    np.testing.assert_allclose(joined.merged().variance, wide.var(0), rtol=1e-12)
    np.testing.assert_allclose(joined.variances(np.ones((1, 3), int))[0], wide.var(0), rtol=1e-12)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(5)))
def test_order_of_images_does_not_matter(order):
    of_images = ImageStatistics.of_tokens(POINT, tokens_of(3))
    one, other = of_images.merged(), of_images.take(order).merged()
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-13)
    weights = np.array([[1, 0, 2, 0, 1]])
    np.testing.assert_allclose(
        of_images.variances(weights), of_images.take(order).variances(weights[:, order]), rtol=1e-12
    )


def test_a_constant_channel_has_variance_zero():
    tokens = tokens_of(0)
    tokens[..., 1] = 7.25
    of_images = ImageStatistics.of_tokens(POINT, tokens)
    assert of_images.merged().variance[1] == 0
    assert of_images.variances(np.array([[1, 2, 0, 0, 1]]))[0, 1] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.merged([5]), "images 0 to 4, not 5"),
        (lambda s: s.merged([-1]), "images 0 to 4, not -1"),
        (lambda s: s.merged([]), "no image was taken"),
        (lambda s: s.merged([0], weights=np.ones(5, int)), "not both"),
        (lambda s: s.variances(np.zeros((1, 5), int)), "no image was taken"),
        (lambda s: s.variances(np.ones((1, 4), int)), "for 5 images"),
        (lambda s: s.variances(np.array([[1, 1, 1, 1, -1]])), "less than 0"),
        (lambda s: ImageStatistics.concatenate([]), "no statistics of images"),
        (
            lambda s: ImageStatistics.concatenate(
                [s, ImageStatistics.of_tokens("other", tokens_of(0))]
            ),
            "cannot be put together",
        ),
        (
            lambda s: ImageStatistics(POINT, ("a",), s.count, s.mean, s.m2, s.minimum, s.maximum),
            "other sizes than 1 images",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ActivationError, match=message):
        call(ImageStatistics.of_tokens(POINT, tokens_of(0)))


def test_nan_names_the_image():
    tokens = tokens_of(0)
    tokens[2, 0, 1] = torch.nan
    with pytest.raises(ActivationError, match="of c: 1 activations are NaN"):
        ImageStatistics.of_tokens(POINT, tokens, ["a", "b", "c", "d", "e"])


def test_streamed_from_images(image_files):
    model, paths = load_model("tiny"), image_files(5)
    loading = Loading(batch_size=2, workers=0)
    found = stream_image_statistics(model, paths, [POINT], loading=loading)[POINT]
    assert found.sample_ids == tuple(p.as_posix() for p in paths)
    for subset in (range(5), [3, 1]):
        expected = stream_statistics(model, [paths[i] for i in subset], [POINT], loading=loading)
        merged = found.merged(subset)
        np.testing.assert_allclose(merged.variance, expected[POINT].variance, rtol=1e-5)
        assert merged.count == expected[POINT].count
