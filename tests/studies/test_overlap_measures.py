"""Measures and nulls of overlap against values worked by hand, scipy and TransformerLens."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom, spearmanr

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import SelectionError
from lakeviz.lake import NeuronSelection, SubspaceSelection
from lakeviz.studies.overlap.measures import (
    at_least,
    expected_at_least,
    hypergeometric,
    jaccard,
    matched_draws,
    matched_obstacle,
    projection_kernel,
    random_at_least,
    rank_biased_overlap,
    spearman_matrix,
    strata,
    stratified,
    top_k,
)


def neurons(channels, n=10) -> NeuronSelection:
    return NeuronSelection("p", np.array(channels), np.ones(len(channels)), n, "variance")


def subspace(basis) -> SubspaceSelection:
    return SubspaceSelection("p", basis, np.ones(basis.shape[1]), "pca")


def test_jaccard_of_sets():
    first, second = {1, 2, 3, 4}, {3, 4, 5, 6}
    assert jaccard(len(first & second), 4) == len(first & second) / len(first | second) == 1 / 3


def test_rank_biased_overlap_by_hand():
    # Lists a b c and b a d: X = 0, 2, 2 at depths 1 to 3.
    p = 0.9
    expected = 2 / 3 * p**3 + (1 - p) / p * (0 * p + 2 / 2 * p**2 + 2 / 3 * p**3)
    assert rank_biased_overlap("abc", "bad", p) == pytest.approx(expected, abs=1e-15)
    assert rank_biased_overlap([1, 2], [3, 4], p) == 0
    assert rank_biased_overlap([5, 2, 7], [5, 2, 7], p) == pytest.approx(1, abs=1e-15)


@given(st.integers(1, 30), st.floats(0.05, 0.99), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_rank_biased_overlap_equals_its_definition(k, p, random):
    """The infinite sum of the definition, the agreement at depth k going on for ever."""
    first, second = (random.sample(range(40), k) for _ in range(2))
    total = 0.0
    for d in range(1, k + 1):
        total += (1 - p) * p ** (d - 1) * len(set(first[:d]) & set(second[:d])) / d
    total += p**k * len(set(first) & set(second)) / k
    assert rank_biased_overlap(first, second, p) == pytest.approx(total, abs=1e-12)
    assert rank_biased_overlap(second, first, p) == pytest.approx(total, abs=1e-12)


def test_first_ranks_hold_the_stated_weight():
    """Webber et al. 2010: with p = 0.9 the first ten ranks hold 86 % of the weight."""
    p, d = 0.9, 10
    tail = sum(p**i / i for i in range(1, d))
    weight = 1 - p ** (d - 1) + (1 - p) / p * d * (np.log(1 / (1 - p)) - tail)
    assert weight == pytest.approx(0.86, abs=0.005)


@pytest.mark.parametrize(
    ("lists", "p", "message"),
    [
        (([], []), 0.9, "two lists"),
        (([1], [1, 2]), 0.9, "two lists"),
        (([1, 1], [1, 2]), 0.9, "two lists"),
        (([1], [1]), 1.0, "persistence"),
    ],
)
def test_bad_lists_are_refused(lists, p, message):
    with pytest.raises(SelectionError, match=message):
        rank_biased_overlap(*lists, p)


def test_spearman_equals_scipy_also_with_ties():
    values = np.random.default_rng(0).integers(0, 6, size=(4, 30)).astype(float)
    expected = np.asarray(spearmanr(values, axis=1).statistic)
    np.testing.assert_allclose(spearman_matrix(values), expected, rtol=1e-12)
    values[2] = 1.0
    assert np.isnan(spearman_matrix(values)[2]).all()


def test_top_k_is_that_of_the_selector_with_ties():
    values = np.array([[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(
        top_k(values, 2), [[False, True, True, False], [True, True, False, False]]
    )


def test_projection_kernel_of_neurons_is_their_share():
    first, second = neurons([1, 5, 2]), neurons([5, 9, 1])
    assert projection_kernel(first, second) == pytest.approx(2 / 3, abs=1e-15)
    # The same sets as subspaces, through TransformerLens.
    eye = np.eye(10)
    of_first, of_second = subspace(eye[:, [1, 5, 2]]), subspace(eye[:, [5, 9, 1]])
    assert projection_kernel(of_first, of_second) == pytest.approx(2 / 3, abs=1e-12)
    assert projection_kernel(first, of_second) == pytest.approx(2 / 3, abs=1e-12)


def test_projection_kernel_of_subspaces_is_the_mean_squared_cosine():
    generator = np.random.default_rng(1)
    a, b = (np.linalg.qr(generator.standard_normal((10, 3)))[0] for _ in range(2))
    cosines = np.linalg.svd(a.T @ b, compute_uv=False)
    assert projection_kernel(subspace(a), subspace(b)) == pytest.approx(np.mean(cosines**2))
    assert projection_kernel(neurons([0, 4, 7]), subspace(b)) == pytest.approx(
        (b[[0, 4, 7]] ** 2).sum() / 3
    )


def test_hypergeometric_by_hand_and_by_scipy():
    null = hypergeometric(6, 2)  # 15 sets of 2; with one fixed: 6 share none, 8 one, 1 both
    np.testing.assert_allclose(null.probability, [6 / 15, 8 / 15, 1 / 15])
    assert null.expected == pytest.approx(2 * 2 / 6)
    assert null.expected_jaccard == pytest.approx(8 / 15 / 3 + 1 / 15)
    assert null.p_value(1) == pytest.approx(9 / 15)
    assert null.p_value(0) == 1
    wide = hypergeometric(192, 20)
    assert wide.p_value(7) == pytest.approx(hypergeom.sf(6, 192, 20, 20))
    assert wide.p_value(20) == pytest.approx(1 / comb(192, 20))


def test_strata_are_neighbours_in_rank_and_the_rest_joins_the_last():
    rank = np.array([5.0, 1.0, 2.0, 9.0, 3.0, 4.0, 8.0])
    np.testing.assert_array_equal(strata(rank, 3), [1, 0, 0, 1, 0, 1, 1])
    np.testing.assert_array_equal(strata(rank, 10), np.zeros(7))


def test_one_stratum_is_the_hypergeometric():
    first, second = np.arange(12) < 4, np.arange(12) % 3 == 0
    one = stratified(first, second, np.zeros(12, int))
    np.testing.assert_allclose(one.probability, hypergeometric(12, 4).probability, atol=1e-14)


def test_stratified_null_equals_all_permutations():
    """Both sets are fixed in number within each stratum: count every arrangement."""
    from itertools import combinations, product

    stratum = np.array([0, 0, 0, 1, 1, 1, 1])
    first = np.array([1, 1, 0, 0, 0, 1, 0], dtype=bool)
    second = np.array([1, 0, 0, 1, 1, 0, 0], dtype=bool)
    counts = np.zeros(4)
    for a, b in product(combinations(range(3), 1), combinations(range(3, 7), 2)):
        moved = np.isin(np.arange(7), [*a, *b])
        counts[(moved & first).sum()] += 1
    null = stratified(first, second, stratum)
    np.testing.assert_allclose(null.probability, counts / counts.sum(), atol=1e-14)


def test_stratified_null_explains_what_the_strata_force():
    members = np.arange(12) < 4
    assert stratified(members, members, strata(np.arange(12), 4)).p_value(4) == pytest.approx(1)


def test_at_least_by_hand_and_its_expectation():
    members = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(at_least(members), [3, 2, 1])
    # Three sets of 2 of 4: each channel is held by Binomial(3, 1/2) of them.
    np.testing.assert_allclose(expected_at_least(4, 2, 3), [4 * 7 / 8, 4 * 4 / 8, 4 / 8])
    drawn = random_at_least(30, 6, 5, 3000, np.random.default_rng(0))
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert (abs(drawn.mean(0) - expected_at_least(30, 6, 5)) < 4 * error + 1e-3).all()


def test_matched_draws_are_the_selector_and_avoid_the_top():
    variance = np.linspace(4, 1, 30)
    statistics = ChannelStatistics("p", count=1, mean=variance * 0, m2=variance)
    members = matched_draws(statistics, 6, np.arange(20))
    assert (members.sum(1) == 6).all()
    assert not members[:, :6].any()
    assert len(np.unique(members, axis=0)) > 1
    assert not matched_obstacle(30, 10)
    assert "leaves 19 of 30" in matched_obstacle(30, 11)
