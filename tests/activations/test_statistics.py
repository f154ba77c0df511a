"""Streaming statistics against numpy in float64, whatever way the tokens come."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeviz.activations import ChannelStatistics, RunningStatistics
from lakeviz.activations import statistics as module
from lakeviz.errors import ActivationError

POINT = "blocks.2.hook_resid_post"


def draw(seed: int, n: int, channels: int, offset: float = 0.0) -> torch.Tensor:
    """Correlated float32 tokens whose channels differ in scale by a factor of 100."""
    generator = np.random.default_rng(seed)
    scale = np.logspace(-1, 1, channels)
    mixing = generator.standard_normal((channels, channels)) * scale
    return torch.from_numpy(
        (generator.standard_normal((n, channels)) @ mixing + offset).astype(np.float32)
    )


def assert_equals_numpy(statistics: ChannelStatistics, tokens: torch.Tensor, rel: float) -> None:
    wide = tokens.double().numpy().reshape(-1, tokens.shape[-1])
    assert statistics.count == len(wide)
    np.testing.assert_allclose(statistics.mean, wide.mean(0), rtol=rel, atol=rel)
    np.testing.assert_allclose(statistics.variance, wide.var(0), rtol=rel)
    np.testing.assert_array_equal(statistics.minimum, wide.min(0))
    np.testing.assert_array_equal(statistics.maximum, wide.max(0))
    if statistics.with_covariance:
        expected = np.cov(wide.T, bias=True)
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        np.testing.assert_array_less(abs(statistics.covariance - expected), rel * scale + 1e-300)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_equals_numpy(offset: float) -> None:
    tokens = draw(0, 1000, 12, offset).reshape(10, 100, 12)
    assert_equals_numpy(ChannelStatistics(POINT).update(tokens), tokens, 1e-12)


def test_many_blocks_equal_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = draw(1, 1000, 12, 50.0)
    monkeypatch.setattr(module, "_PRODUCT_ELEMENTS", 7 * 12)
    assert_equals_numpy(ChannelStatistics(POINT, True).update(tokens), tokens, 1e-12)


def test_patch_tokens_cut_out_of_all_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view with gaps between the images, as a hook sees it."""
    tokens = draw(1, 600, 12).reshape(6, 2, 50, 12)[:, :, 3:]
    assert not tokens.is_contiguous()
    assert_equals_numpy(ChannelStatistics(POINT).update(tokens), tokens, 1e-12)
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", 7 * 12)
    assert_equals_numpy(ChannelStatistics(POINT).update(tokens), tokens, 1e-12)


def test_first_block_is_an_outlier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deviations are taken from the first block's mean: it must not matter where that lies."""
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", 10 * 4)
    tokens = torch.cat((draw(2, 10, 4) + 1e4, draw(3, 990, 4)))
    assert_equals_numpy(ChannelStatistics(POINT).update(tokens), tokens, 1e-10)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 300),
    offset=st.sampled_from([0.0, 3.0, 1e3]),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_any_split_gives_the_same(seed: int, n: int, offset: float, cuts: list[int]) -> None:
    tokens = draw(seed, n, 5, offset)
    statistics = ChannelStatistics(POINT, with_covariance=True)
    edges = [0, *sorted(min(c, n) for c in cuts), n]
    for start, stop in pairwise(edges):
        statistics.update(tokens[start:stop])
    assert_equals_numpy(statistics, tokens, 1e-10)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 10**6))
def test_merge_does_not_depend_on_order(order: list[int], seed: int) -> None:
    sizes = [1, 2, 17, 40, 3, 100]
    tokens = draw(seed, sum(sizes), 4, 10.0)
    parts = [ChannelStatistics(POINT, True).update(p) for p in tokens.split(sizes)]
    merged = ChannelStatistics(POINT, True)
    for index in order:
        merged.merge(parts[index])
    assert_equals_numpy(merged, tokens, 1e-10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_before_it_is_summed(dtype: torch.dtype) -> None:
    tokens = (draw(4, 2000, 6) * 0.1 + 30.0).to(dtype)
    statistics = ChannelStatistics(POINT).update(tokens[:700]).update(tokens[700:])
    assert_equals_numpy(statistics, tokens, 1e-11)


def test_hand_worked() -> None:
    tokens = torch.tensor([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]])
    statistics = ChannelStatistics(POINT, with_covariance=True).update(tokens)
    assert statistics.mean.tolist() == [4.0, 5.0]
    assert statistics.variance.tolist() == pytest.approx([26 / 3, 0.0])
    assert statistics.covariance.ravel().tolist() == pytest.approx([26 / 3, 0, 0, 0])


def test_constant_channel_has_no_variance_at_all() -> None:
    """Or a z-score would divide by rounding noise."""
    statistics = ChannelStatistics(POINT)
    for n in (3, 7, 11):
        statistics.update(torch.full((n, 2), 0.1))
    assert statistics.variance.tolist() == [0.0, 0.0]


def test_covariance_of_its_diagonal_is_the_variance() -> None:
    statistics = ChannelStatistics(POINT, with_covariance=True).update(draw(5, 400, 8))
    np.testing.assert_allclose(np.diag(statistics.covariance), statistics.variance, rtol=1e-12)


def test_covariance_that_was_not_streamed_is_an_error() -> None:
    with pytest.raises(ActivationError, match=r"blocks\.2.*with_covariance=True"):
        _ = ChannelStatistics(POINT).update(draw(0, 5, 3)).covariance


def test_covariance_is_dropped_when_a_part_has_none() -> None:
    whole = ChannelStatistics(POINT, with_covariance=True).update(draw(0, 5, 3))
    whole.merge(ChannelStatistics(POINT).update(draw(1, 5, 3)))
    with pytest.raises(ActivationError, match="no covariance"):
        _ = whole.covariance
    assert whole.count == 10


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_are_named(bad: float) -> None:
    tokens = draw(6, 30, 5)
    tokens[7, 3] = tokens[9, 4] = bad
    statistics = ChannelStatistics(POINT)
    with pytest.raises(ActivationError, match=r"blocks\.2\.hook_resid_post: 2 .*channel 3"):
        statistics.update(tokens)
    assert statistics.count == 0


def test_other_channels_or_another_point_are_refused() -> None:
    statistics = ChannelStatistics(POINT).update(draw(0, 5, 3))
    with pytest.raises(ActivationError, match="3 channels cannot take in tokens of 4"):
        statistics.update(draw(0, 5, 4))
    with pytest.raises(ActivationError, match=r"other.*cannot be merged"):
        statistics.merge(ChannelStatistics("other").update(draw(0, 5, 3)))


def test_no_token_no_statistics() -> None:
    statistics = ChannelStatistics(POINT).update(torch.zeros(0, 3))
    with pytest.raises(ActivationError, match="no token was seen"):
        _ = statistics.variance


def test_arrays_round_trip() -> None:
    tokens = draw(8, 60, 4)
    whole = ChannelStatistics(POINT, True).update(tokens)
    halfway = ChannelStatistics(POINT, True).update(tokens[:20])
    restored = ChannelStatistics.from_arrays(POINT, halfway.arrays()).update(tokens[20:])
    np.testing.assert_allclose(restored.covariance, whole.covariance, rtol=1e-10, atol=1e-12)
    assert_equals_numpy(restored, tokens, 1e-11)


def test_running_statistics_merge_point_by_point() -> None:
    a, b = draw(9, 50, 4), draw(10, 50, 6)
    left, right = RunningStatistics(["a", "b"]), RunningStatistics(["a", "b"])
    left.update_tokens({"a": a[:10], "b": b[:40], "unused": a})
    right.update_tokens({"a": a[10:], "b": b[40:]})
    left.merge(right)
    assert_equals_numpy(left["a"], a, 1e-11)
    assert_equals_numpy(left["b"], b, 1e-11)
    with pytest.raises(ActivationError, match="cannot be merged"):
        left.merge(RunningStatistics(["a"]))
