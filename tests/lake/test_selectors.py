"""Selectors against hand-worked variances, numpy's eigenvectors and their own promises."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
import torch

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import SelectionError
from lakeviz.lake import (
    SELECTORS,
    NeuronSelection,
    SubspaceSelection,
    get_selector,
    register_selector,
    select,
)
from lakeviz.lake.selectors import all_channels
from lakeviz.selector_names import SELECTOR_NAMES, selector_name, selector_order, selector_short

POINT = "blocks.0.hook_resid_post"


def with_variances(variances: list[float], point: str = POINT) -> ChannelStatistics:
    """Statistics of tokens at +-sqrt(variance) in one channel each: a diagonal covariance."""
    n = len(variances)
    deviation = torch.diag(torch.tensor(variances, dtype=torch.float64).sqrt() * n**0.5)
    tokens = torch.cat((deviation, -deviation)) + 7.0
    return ChannelStatistics(point, with_covariance=True).update(tokens)


def correlated(seed: int = 0, n: int = 500, channels: int = 20) -> ChannelStatistics:
    generator = np.random.default_rng(seed)
    tokens = generator.standard_normal((n, channels)) @ generator.standard_normal(
        (channels, channels)
    )
    return ChannelStatistics(POINT, with_covariance=True).update(torch.from_numpy(tokens))


def test_variance_takes_the_highest_in_order() -> None:
    selection = select(with_variances([1, 9, 4, 0, 16, 25]), 3)
    assert isinstance(selection, NeuronSelection)
    assert selection.channels.tolist() == [5, 4, 1]
    assert selection.scores.tolist() == pytest.approx([25, 16, 9])
    assert (selection.k, selection.n_channels) == (3, 6)
    assert selection.provenance["n_tokens"] == 12


def test_bottom_takes_the_lowest() -> None:
    selection = select(with_variances([1, 9, 4, 0, 16, 25]), 3, "bottom_variance")
    assert selection.channels.tolist() == [3, 0, 2]


def test_a_single_lowest_channel_can_be_projected_on() -> None:
    selection = select(with_variances([1, 9, 4, 0, 16]), 1, "bottom_variance")
    assert selection.project(torch.arange(10.0).reshape(2, 5)).tolist() == [[3.0], [8.0]]


def test_equal_variances_keep_the_order_of_their_index() -> None:
    assert select(with_variances([2, 5, 5, 5, 1]), 2).channels.tolist() == [1, 2]


def test_all_takes_every_channel_whatever_k_is() -> None:
    for k in (1, 6, 100):
        assert select(with_variances([1, 9, 4, 0, 16, 25]), k, "all").channels.tolist() == [
            *range(6)
        ]


@pytest.mark.parametrize("selector", [name for name in SELECTORS if name != "all"])
@pytest.mark.parametrize("k", [0, -1, 7])
def test_k_out_of_range(selector: str, k: int) -> None:
    with pytest.raises(SelectionError, match="k must be between 1 and 6"):
        select(with_variances([1, 9, 4, 0, 16, 25]), k, selector)


@pytest.mark.parametrize("selector", ["random", "next_variance", "random_rotation"])
def test_random_selectors_are_seeded(selector: str) -> None:
    def drawn(seed: int) -> np.ndarray:
        selection = select(correlated(), 5, selector, seed=seed)
        return selection.channels if isinstance(selection, NeuronSelection) else selection.basis

    assert np.array_equal(drawn(3), drawn(3))
    assert any(not np.array_equal(drawn(0), drawn(seed)) for seed in range(1, 5))
    assert get_selector(selector).is_random


def test_one_seed_draws_other_channels_at_other_points() -> None:
    """Or random controls would share their channels along the residual stream of all layers."""
    variances = [float(i) for i in range(1, 41)]
    draws = [
        set(select(with_variances(variances, f"blocks.{b}.x"), 10, "random").channels.tolist())
        for b in range(4)
    ]
    assert len({frozenset(d) for d in draws}) == 4


def test_random_draws_every_channel_equally_often() -> None:
    statistics = with_variances([float(i) for i in range(1, 11)])
    counts = np.zeros(10)
    for seed in range(400):
        counts[select(statistics, 3, "random", seed=seed).channels] += 1
    # Each count is binomial (400, .3): mean 120, deviation 9.2.
    assert np.abs(counts - 120).max() < 5 * 9.2


def test_next_variance_does_not_overlap_while_it_can() -> None:
    statistics = correlated(channels=20)
    top = set(select(statistics, 10).channels.tolist())
    matched = select(statistics, 10, "next_variance", seed=1)
    assert not top & set(matched.channels.tolist())
    assert matched.provenance["overlap_with_top_k"] == 0


def test_next_variance_says_how_far_off_it_is() -> None:
    # Top two: 16 and 8. Outside: 4 and 2, so every pairing is off by log 4 on average.
    matched = select(with_variances([16, 8, 4, 2]), 2, "next_variance")
    assert sorted(matched.channels.tolist()) == [2, 3]
    assert matched.provenance["mean_log_variance_gap"] == pytest.approx(-np.log(4))


def test_next_variance_takes_the_nearest() -> None:
    variances = [100.0] + [10.0] * 5 + [1.0] * 20
    for seed in range(10):
        matched = select(with_variances(variances), 1, "next_variance", seed=seed)
        assert matched.channels[0] in range(1, 6)


def test_next_variance_fills_up_where_it_must() -> None:
    matched = select(with_variances([5, 4, 3, 2, 1]), 4, "next_variance")
    assert matched.k == 4
    assert 4 in matched.channels  # the only one outside the top four
    assert matched.provenance["overlap_with_top_k"] == 3


def test_pca_of_a_diagonal_covariance_is_the_top_variance_channels() -> None:
    statistics = with_variances([1, 9, 4, 0, 16, 25])
    subspace, neurons = select(statistics, 3, "pca"), select(statistics, 3)
    assert isinstance(subspace, SubspaceSelection)
    expected = np.eye(6)[:, neurons.channels]
    np.testing.assert_allclose(subspace.basis, expected, atol=1e-12)
    np.testing.assert_allclose(subspace.scores, neurons.scores, rtol=1e-12)
    assert subspace.provenance["retained_variance"] == pytest.approx(50 / 55)
    tokens = torch.randn(4, 7, 6)
    torch.testing.assert_close(subspace.project(tokens), neurons.project(tokens))


def test_pca_equals_the_singular_vectors_of_the_centred_tokens() -> None:
    generator = np.random.default_rng(1)
    tokens = generator.standard_normal((300, 8)) @ generator.standard_normal((8, 8)) + 5
    statistics = ChannelStatistics(POINT, True).update(torch.from_numpy(tokens))
    subspace = select(statistics, 3, "pca")
    _, singular, rows = np.linalg.svd(tokens - tokens.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(subspace.basis.T @ rows[:3].T), np.eye(3), atol=1e-8)
    np.testing.assert_allclose(subspace.scores, singular[:3] ** 2 / 300, rtol=1e-10)
    assert (subspace.basis[np.abs(subspace.basis).argmax(0), range(3)] > 0).all()


def test_pca_needs_the_covariance() -> None:
    assert get_selector("pca").needs_covariance
    with pytest.raises(Exception, match="with_covariance=True"):
        select(ChannelStatistics(POINT).update(torch.randn(9, 4)), 2, "pca")


def test_pca_of_constant_tokens() -> None:
    statistics = ChannelStatistics(POINT, True).update(torch.ones(9, 4))
    assert select(statistics, 2, "pca").provenance["retained_variance"] == 1.0


def test_random_rotation_is_orthonormal_and_scored_by_its_variance() -> None:
    statistics = correlated()
    subspace = select(statistics, 6, "random_rotation", seed=2)
    np.testing.assert_allclose(subspace.basis.T @ subspace.basis, np.eye(6), atol=1e-12)
    expected = np.diag(subspace.basis.T @ statistics.covariance @ subspace.basis)
    np.testing.assert_allclose(subspace.scores, expected, rtol=1e-10)


def test_full_rotation_keeps_distances() -> None:
    subspace = select(correlated(channels=8), 8, "random_rotation")
    tokens = torch.randn(30, 8, dtype=torch.float64)
    torch.testing.assert_close(
        torch.cdist(subspace.project(tokens), subspace.project(tokens)),
        torch.cdist(tokens, tokens),
        rtol=1e-6,
        atol=1e-6,
    )


def test_project_and_frame_of_neurons() -> None:
    selection = select(with_variances([1, 9, 4]), 2)
    tokens = torch.arange(12.0).reshape(2, 2, 3)
    assert torch.equal(selection.project(tokens), tokens[..., [1, 2]])
    frame = selection.frame()
    assert frame.columns.tolist() == ["point", "rank", "channel", "score", "selector"]
    assert frame["rank"].tolist() == [1, 2]
    assert frame["channel"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("channels", "said"),
    [([], "no channel"), ([1, 1], "twice"), ([4], "outside"), ([-1], "outside")],
)
def test_impossible_selections(channels: list[int], said: str) -> None:
    with pytest.raises(SelectionError, match=said):
        NeuronSelection(POINT, np.array(channels, int), np.ones(len(channels)), 4, "mine")


@pytest.fixture
def registry() -> Iterator[None]:
    """Selectors registered in a test are forgotten after it."""
    with patch.dict(SELECTORS), patch.dict(SELECTOR_NAMES):
        yield


@pytest.mark.usefixtures("registry")
def test_registering_a_selector() -> None:
    @register_selector("last")
    def last(statistics, k, generator):
        """The last k channels.

        More text.
        """
        channels = np.arange(statistics.n_channels)[-k:]
        return NeuronSelection(POINT, channels, np.ones(k), statistics.n_channels, "last")

    assert get_selector("last").description == "The last k channels."
    assert select(with_variances([1, 2, 3]), 2, "last").channels.tolist() == [1, 2]
    with pytest.raises(SelectionError, match="already registered"):
        register_selector("last")(last)


@pytest.mark.usefixtures("registry")
def test_registering_names_a_selector_everywhere() -> None:
    register_selector("last_ones", label="last neurons", short="last")(all_channels)
    register_selector("first_ones")(all_channels)
    assert selector_name("last_ones") == get_selector("last_ones").label == "last neurons"
    assert selector_short("last_ones") == get_selector("last_ones").short == "last"
    assert selector_name("first_ones") == selector_short("first_ones") == "first ones"
    shown = ["gone", "first_ones", "pca", "last_ones", "variance", "gone"]
    assert selector_order(shown) == ["variance", "pca", "last_ones", "first_ones", "gone"]


def test_names_of_selectors() -> None:
    assert list(SELECTOR_NAMES) == list(SELECTORS)
    assert selector_name("next_variance") == "neurons next in variance"
    assert selector_short("next_variance") == "next variance"
    assert selector_name("random") == "random neurons"
    assert selector_name("never_registered") == selector_short("never_registered")
    controls = ["bottom_variance", "next_variance", "random", "all"]
    assert selector_order(controls) == ["all", "random", "next_variance", "bottom_variance"]


def test_unknown_selector_and_negative_seed() -> None:
    with pytest.raises(SelectionError, match="nearest: variance"):
        get_selector("varience")
    with pytest.raises(SelectionError, match="seed"):
        select(with_variances([1, 2]), 1, "random", seed=-1)
