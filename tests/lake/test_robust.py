"""Robust selectors against numpy's order statistics, and their need of the tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lakeviz.activations import ChannelStatistics, RunningStatistics
from lakeviz.errors import ActivationError
from lakeviz.lake import NeuronSelection, get_selector, select
from lakeviz.lake.selectors import TRIM

POINT = "blocks.0.hook_resid_post"


def tokens(seed: int = 0, n: int = 403, channels: int = 12) -> np.ndarray:
    generator = np.random.default_rng(seed)
    drawn = generator.standard_t(3, (n, channels)) * generator.uniform(0.1, 4, channels)
    return (drawn + generator.normal(0, 10, channels)).astype(np.float32)


def of(values: np.ndarray, *, with_tokens: bool = True) -> ChannelStatistics:
    made = ChannelStatistics(POINT, with_tokens=with_tokens)
    return made.update(torch.from_numpy(np.asarray(values, dtype=np.float32)))


def by_hand(selector: str, values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    if selector == "mad":
        centre = np.median(values, axis=0)
        return (1.4826022185056018 * np.median(abs(values - centre), axis=0)) ** 2
    cut = int(TRIM * len(values))
    return np.sort(values, axis=0)[cut : len(values) - cut].var(axis=0)


@pytest.mark.parametrize("selector", ["mad", "trimmed_variance"])
def test_scores_are_those_of_numpy(selector):
    values = tokens()
    selection = select(of(values), 12, selector)
    assert isinstance(selection, NeuronSelection)
    expected = by_hand(selector, values)
    assert selection.channels.tolist() == np.argsort(-expected, kind="stable").tolist()
    np.testing.assert_allclose(selection.scores, expected[selection.channels], rtol=2e-5)
    assert (selection.selector, selection.provenance["n_tokens"]) == (selector, 403)


def test_hand_worked():
    values = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [100, 0]])
    found = select(of(values), 2, "mad")
    assert found.channels.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([1.4826022185**2, 0])
    ten = np.c_[np.arange(10.0), [-999, 0, 0, 0, 0, 1, 1, 1, 1, 999]]
    found = select(of(ten), 2, "trimmed_variance")  # drops one at either end
    assert found.scores.tolist() == pytest.approx([np.arange(1.0, 9).var(), 0.25])


def test_a_normal_channel_has_its_variance_as_mad():
    values = np.random.default_rng(0).normal(3, 2, (200_000, 1))
    assert select(of(values), 1, "mad").scores[0] == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("selector", ["mad", "trimmed_variance"])
def test_a_few_outliers_lead_the_variance_astray_but_not_the_robust(selector):
    values = np.random.default_rng(0).normal(size=(200, 4)) * [3, 2, 1, 0.5]
    values[:10, 3] += 200
    assert select(of(values), 2).channels[0] == 3
    assert select(of(values), 2, selector).channels.tolist() == [0, 1]


def test_equal_scores_keep_the_order_of_their_index():
    values = np.repeat(tokens(channels=1), 5, axis=1)
    assert select(of(values), 3, "mad").channels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("selector", ["mad", "trimmed_variance"])
def test_tokens_are_needed(selector):
    assert get_selector(selector).needs_tokens
    with pytest.raises(ActivationError, match=r"blocks\.0.*with_tokens=True"):
        select(of(tokens(), with_tokens=False), 3, selector)
    assert not get_selector("variance").needs_tokens


def test_tokens_are_merged_in_order_and_do_not_alias_the_batch():
    values = tokens(n=30)
    batch = torch.from_numpy(values.copy())
    streamed = ChannelStatistics(POINT, with_tokens=True).update(batch[:7])
    batch[:7] = 0
    streamed.merge(of(values[7:20])).merge(of(values[20:]))
    np.testing.assert_array_equal(streamed.tokens, values)
    np.testing.assert_allclose(streamed.variance, values.var(axis=0, dtype=np.float64), rtol=1e-6)


def test_tokens_are_dropped_when_a_part_has_none():
    mixed = of(tokens(n=9)).merge(of(tokens(n=9), with_tokens=False))
    with pytest.raises(ActivationError, match="no tokens were kept"):
        _ = mixed.tokens
    read_back = ChannelStatistics.from_arrays(POINT, of(tokens()).arrays())
    with pytest.raises(ActivationError, match="with_tokens=True"):
        select(read_back, 3, "mad")


def test_running_statistics_keep_tokens_of_every_point():
    running = RunningStatistics(["a", "b"], with_tokens=True)
    running.update_tokens({"a": torch.ones(2, 3, 4), "b": torch.zeros(2, 5, 6)})
    assert [running[p].tokens.shape for p in "ab"] == [(6, 4), (10, 6)]
