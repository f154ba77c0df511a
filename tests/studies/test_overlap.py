"""Overlap: planted agreement is found, and independence is not."""

from __future__ import annotations

import numpy as np
import pytest
from overlap_items import D, K, item, planted, quick
from scipy.cluster.hierarchy import fcluster
from scipy.stats import binom, ttest_1samp

from lakeviz.errors import DataError
from lakeviz.studies.overlap import OverlapItem
from lakeviz.studies.overlap.pairs import pair_mean

# --- planted agreement ---


@pytest.mark.parametrize("n_common", [0, 3, 8])
def test_planted_neurons_are_found_shared(n_common):
    common = list(range(n_common))
    own = [[*common, *range(10 + 10 * i, 18 + 10 * i - n_common)] for i in range(4)]
    result = quick(planted(own))
    pairs = result.pairs
    assert (pairs["n_shared"] == n_common).all()
    np.testing.assert_allclose(pairs["jaccard"], n_common / (2 * K - n_common))
    np.testing.assert_allclose(pairs["overlap_coefficient"], n_common / K)
    np.testing.assert_allclose(pairs["projection_kernel"], n_common / K)
    above = (n_common - K * K / D) / (K - K * K / D)
    np.testing.assert_allclose(pairs["above_chance"], above)
    if n_common == 8:
        assert (pairs["q_hypergeometric"] < 1e-8).all()
        np.testing.assert_allclose(pairs["rbo"], 1)
    if n_common == 0:
        assert (pairs["p_hypergeometric"] > 0.9).all()
    shared = result.shared.set_index("m")
    assert shared.loc[4, "n_neurons"] == n_common
    assert (shared.loc[4, "p_random"] < 0.05) == (n_common > 0)
    of_all = result.neurons[result.neurons["n_items"] == 4]
    assert sorted(of_all["channel"]) == common


def test_identical_sides_agree_in_all_and_reach_the_ceiling():
    result = quick(planted([range(8), range(8)], noise=0.01))
    (pair,) = result.pairs.to_dict("records")
    assert pair["jaccard"] == pair["ceiling"] == pair["jaccard_of_ceiling"] == 1
    assert pair["jaccard_resampled"] == 1
    assert "no clustering" in " ".join(result.notes)


def test_a_channel_that_all_rank_first_is_left_out():
    shared_first = [[0, *range(10 + 10 * i, 17 + 10 * i)] for i in range(3)]
    result = quick(planted(shared_first))
    np.testing.assert_allclose(result.pairs["jaccard"], 1 / (2 * K - 1))
    # The next in variance is another one on each side, drawn by chance.
    own = [set(part["channel"]) for _, part in result.selections.groupby("category")]
    assert all(0 in channels for channels in own)
    assert (result.pairs["jaccard_without_first"] <= 1 / (2 * K - 1)).all()
    assert "without each side's channel of highest variance" in result.summary()
    whole = quick(planted(shared_first), k=D)
    assert whole.pairs["jaccard_without_first"].isna().all()


def test_draws_are_averaged_and_the_sets_are_those_of_the_first():
    items = [
        one
        for seed in (0, 1)
        for one in planted([range(8), range(4, 12), range(20, 28)], seed=seed, noise=0.3)
    ]
    result = quick(items)
    assert len(result.pairs) == 6
    assert result.overview[["n_pairs", "n_draws"]].to_numpy().tolist() == [[6, 2]]
    assert "mean over 3 pairs in each of 2 draws" in result.summary()
    titles = [figure.layout.title.text for figure in result.figures()]
    assert len(titles) == 4
    assert "mean of 2 draws" in titles[0]
    assert all("first draw" in title for title in titles[1:3])


def test_clusters_that_were_planted_are_found():
    own = [range(8), range(1, 9), range(2, 10), range(40, 48), range(41, 49), range(42, 50)]
    order = np.random.default_rng(0).permutation(6)
    result = quick([planted(own)[i] for i in order])
    merges = result.clusters[["left", "right", "distance", "n_leaves"]].to_numpy(dtype=float)
    of_item = fcluster(merges, 2, criterion="maxclust")
    assert len(set(of_item[:3])) == len(set(of_item[3:])) == 1
    assert of_item[0] != of_item[3]
    names = result.leaves.sort_values("position")["name"].tolist()
    assert {frozenset(names[:3]), frozenset(names[3:])} == {
        frozenset({"c0", "c1", "c2"}),
        frozenset({"c3", "c4", "c5"}),
    }


# --- nothing in common ---


def independent(n, seed) -> list[OverlapItem]:
    generator = np.random.default_rng(seed)
    return [item(f"c{i}", generator.standard_normal(D), n=2) for i in range(n)]


def test_independent_rankings_are_called_alike_as_rarely_as_stated():
    """Disjoint pairs, so that the tests are independent of each other; p-values are discrete."""
    p_values = []
    for seed in range(40):
        pairs = quick(independent(6, seed), n_random_sets=1, n_resamples=1).pairs
        p_values += pairs.loc[[0, 9, 14], "p_hypergeometric"].tolist()  # 0 and 1, 2 and 3, 4 and 5
    p_values = np.array(p_values)
    for level in (0.05, 0.25):
        bound = 3 * np.sqrt(level * (1 - level) * len(p_values))
        assert np.count_nonzero(p_values <= level) <= level * len(p_values) + bound
    assert np.count_nonzero(p_values <= 0.25) > 3  # they are not all 1


def common_profile(n, seed, spread=0.6):
    """Items that share a profile of variances, and deviate from it independently."""
    generator = np.random.default_rng(seed)
    profile = generator.standard_normal(192)
    drawn = profile + spread * generator.standard_normal((n, 192))
    return [item(f"c{i:02d}", row, n=2) for i, row in enumerate(drawn)]


def test_a_common_profile_beats_random_and_matched_sets_but_not_the_permutation():
    """The reason for the permutation null: all agreement here is that of the model."""
    beyond, tests = 0, 0
    for seed in range(3):
        pairs = quick(common_profile(21, seed), k=20, n_random_sets=20, n_resamples=1).pairs
        assert (pairs["q_hypergeometric"] < 0.05).mean() > 0.9
        assert (pairs["n_shared"] > pairs["matched_quantile_high"]).mean() > 0.5
        # Pairs of one group share items, so take disjoint ones.
        disjoint = pairs[(pairs["a"].str[1:].astype(int) % 2 == 0)]
        disjoint = disjoint[
            disjoint["b"].str[1:].astype(int) == disjoint["a"].str[1:].astype(int) + 1
        ]
        beyond += int((disjoint["p_permutation"] < 0.05).sum())
        tests += len(disjoint)
    assert tests == 30
    assert beyond <= 0.05 * tests + 3 * np.sqrt(0.05 * 0.95 * tests)


def test_what_two_share_beyond_the_common_profile_is_found():
    items = common_profile(12, 0)
    generator = np.random.default_rng(1)
    special = generator.choice(192, 12, replace=False)
    changed = []
    for number, one in enumerate(items):
        log_variance = np.log(one.statistics.variance)
        if number < 2:
            log_variance[special] = 6.0
        changed.append(item(one.category, log_variance, n=2))
    pairs = quick(changed, k=20, n_random_sets=20, n_resamples=1).pairs
    assert pairs["q_permutation"].idxmin() == 0
    assert pairs["q_permutation"].iloc[0] < 0.01
    assert (pairs["q_permutation"].iloc[1:] < 0.05).mean() < 0.05


def sides_of(n: int) -> np.ndarray:
    return np.array([(i, j) for i in range(n) for j in range(i + 1, n)])


@pytest.mark.parametrize("n", [3, 5, 12])
def test_mean_over_pairs_excludes_its_expectation_as_rarely_as_stated(n):
    """Pairs with an effect of each category, which a bootstrap over 3 excludes in 47 % of cases."""
    generator, sides, n_worlds, wrong = np.random.default_rng(3), sides_of(n), 400, 0
    for _ in range(n_worlds):
        effect = generator.standard_normal(n)
        values = 2 + effect[sides].sum(1) + 0.3 * generator.standard_normal(len(sides))
        found = pair_mean(values, sides, 0.95)
        wrong += not found.low <= 2 <= found.high
    assert binom.ppf(0.001, n_worlds, 0.03) <= wrong <= binom.ppf(0.999, n_worlds, 0.05)


def test_mean_over_pairs_worked_by_hand():
    """Sums of an effect of each category: pseudo-values are twice the effects."""
    effect, sides = np.array([1.0, 2.0, 4.0, 9.0]), sides_of(4)
    found = pair_mean(effect[sides].sum(1), sides, 0.9)
    expected = ttest_1samp(2 * effect, 0).confidence_interval(0.9)
    assert (found.value, found.low, found.high) == pytest.approx((8, *expected))
    # Each category with itself: its own pairs are averaged first.
    values, own = np.array([1.0, 3.0, 2.0, 4.0, 9.0, 7.0, np.nan]), np.array([0, 0, 1, 1, 2, 2, 2])
    found = pair_mean(values, np.stack([own, own], axis=1), 0.95)
    expected = ttest_1samp([2, 3, 8], 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((13 / 3, *expected))
    # Nothing varies that a category in every pair could be left out of.
    one, star = pair_mean(np.ones(1), sides_of(2), 0.95), np.array([[0, 3], [1, 3], [2, 3]])
    assert (one.value, pair_mean(np.ones(3), star, 0.95).value) == (1, 1)
    assert np.isnan([one.low, pair_mean(np.ones(3), star, 0.95).low]).all()


# --- against itself ---


def test_the_ceiling_is_what_another_draw_gives():
    """Redraws from the pool agree with truly independent images of the same category."""
    log_variance = np.random.default_rng(0).standard_normal(D)
    several = [item("c", log_variance, n=4, noise=0.8, draw=s) for s in range(60)]
    chosen = [set(one.select(K).channels.tolist()) for one in several]
    truth = np.mean([len(a & b) / len(a | b) for a, b in zip(chosen[::2], chosen[1::2])])
    settings_of = {"n": 32, "noise": 0.8, "images": (0, 1, 2, 3)}
    result = quick([item(f"c{s}", log_variance, draw=99 + s, **settings_of) for s in range(8)])
    mean = result.stability.groupby("kind")["jaccard"].mean()
    assert mean["redraw"] == pytest.approx(truth, abs=0.05)
    assert mean["split_half"] < mean["redraw"] < mean["bootstrap_pair"] < mean["bootstrap"]
    assert (result.pairs["ceiling_kind"] == "redraw").all()
    # Here all categories are one, so that a pair shares what the category shares with itself.
    assert result.overview["jaccard_of_ceiling"][0] == pytest.approx(1, abs=0.15)


def test_one_image_has_no_resamples_and_says_so():
    items = planted([range(8), range(4, 12)], n=1)
    result = quick(items)
    assert result.pairs["ceiling"].isna().all()
    assert result.pairs["jaccard"].tolist() == [4 / 12]
    assert "one normal image cannot be resampled" in " ".join(result.notes)
    assert (result.stability["reason"] != "").all()
    assert "could not be measured" in result.summary()
    with pytest.raises(DataError, match="2 normal images or more"):
        items[0].resampled(5, "first", 0)


def test_forced_matched_sets_are_left_out_with_its_reason():
    result = quick(planted([range(8), range(4, 12)]), k=40)
    assert result.pairs["matched_mean"].isna().all()
    assert result.shared["matched_mean"].isna().all()
    assert result.pairs["reason"].str.contains("leaves 40 of 80").all()
    assert any("no sets next in variance" in note for note in result.notes)
