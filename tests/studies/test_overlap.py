"""Overlap: planted agreement is found, independence is not, and order does not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster
from scipy.stats import binom, ttest_1samp

from lakeviz.activations import ImageStatistics, Loading
from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.metrics.estimates import estimate
from lakeviz.studies import load_study
from lakeviz.studies.overlap import OverlapItem, OverlapResult, capture_items, overlap
from lakeviz.studies.overlap.pairs import pair_mean

POINT, NEXT = "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"
D, K, PATCHES = 80, 8, 10


def pool_of(log_variance, n=8, noise=0.0, draw=0, point=POINT) -> ImageStatistics:
    """Images of equal means; each one's log variances differ by ``noise`` standard deviations."""
    log_variance = np.asarray(log_variance, dtype=float)
    shape = (n, len(log_variance))
    drawn = np.random.default_rng(draw).standard_normal(shape)
    m2 = PATCHES * np.exp(log_variance + noise * drawn)
    zeros, ids = np.zeros(shape), tuple(f"{i:03d}" for i in range(n))
    return ImageStatistics(point, ids, np.full(n, PATCHES), zeros, m2, zeros, zeros)


def item(name, log_variance, *, images=(), dataset="d", **settings) -> OverlapItem:
    known = {n: settings.pop(n) for n in ("shots", "seed", "weights_hash") if n in settings}
    return OverlapItem(dataset, name, pool_of(log_variance, **settings), images, **known)


def planted(sets, level=5.0, noise=0.0, **settings) -> list[OverlapItem]:
    """Items whose top neurons are exactly the given ones; all else is independent."""
    generator = np.random.default_rng(7)
    items = []
    for number, channels in enumerate(sets):
        log_variance = 0.5 * generator.standard_normal(D)
        log_variance[list(channels)] = level - 0.1 * np.arange(len(channels))
        items.append(item(f"c{number}", log_variance, noise=noise, draw=number, **settings))
    return items


def quick(items, k=K, **settings) -> OverlapResult:
    return overlap(items, k, **({"n_random_sets": 40, "n_resamples": 30} | settings))


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
    assert result.overview["n_pairs"].tolist() == [6]
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


# --- order, ways to compare, errors ---


@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(4)), images=st.permutations(range(6)))
def test_order_of_items_and_images_does_not_matter(order, images):
    def make(shuffled):
        made = planted([range(8), range(4, 12), range(3, 11), range(20, 28)], noise=0.6, n=6)
        if not shuffled:
            return made
        taken = [OverlapItem(m.dataset, m.category, m.pool.take(images)) for m in made]
        return [taken[i] for i in order]

    one, other = quick(make(False), n_random_sets=5), quick(make(True), n_random_sets=5)
    for name, table in one.tables.items():
        assert list(table.columns) == list(other.tables[name].columns)
        for column in table:
            if table[column].dtype.kind == "f":
                np.testing.assert_allclose(table[column], other.tables[name][column], rtol=1e-9)
            else:
                assert table[column].tolist() == other.tables[name][column].tolist()


def test_across_data_sets_only_pairs_of_different_ones():
    sets = [range(8), range(8), range(40, 48)]
    first = planted(sets, dataset="one")
    second = planted(sets[:1], dataset="two")
    result = quick([*first, *second], across="dataset")
    assert len(result.pairs) == 3
    assert set(result.pairs["dataset_a"]) == {"one"}
    assert set(result.pairs["dataset_b"]) == {"two"}
    assert result.pairs["a"].tolist() == ["one/c0", "one/c1", "one/c2"]
    assert result.pairs["n_shared"].tolist() == [8, 8, 0]
    assert list(result.provenance["categories"]) == ["one/c0", "one/c1", "one/c2", "two/c0"]


@pytest.mark.parametrize("across", ["layer", "shots", "seed"])
def test_within_a_category(across):
    varied = {
        "layer": ({"point": POINT}, {"point": NEXT}),
        "shots": ({"shots": "4"}, {"shots": "16"}),
        "seed": ({"seed": 0}, {"seed": 1}),
    }[across]
    generator = np.random.default_rng(2)
    items = []
    for name in ("a", "b"):
        low = generator.standard_normal(D)
        high = low + 0.2 * generator.standard_normal(D)
        items += [item(name, v, n=4, **kw) for v, kw in zip((low, high), varied)]
    result = quick(items, across=across)
    assert result.pairs["category"].tolist() == ["a", "b"]
    (row,) = result.overview.to_dict("records")
    assert row["n_categories"] == 2
    assert row["jaccard"] == pytest.approx(result.pairs["jaccard"].mean())
    expected = ttest_1samp(result.pairs["jaccard"], 0).confidence_interval(0.95)
    assert row["jaccard_low"] == pytest.approx(expected.low)
    assert "items of one category" in result.pairs["reason"].iloc[0]
    assert "blocks.1" in result.summary()


def test_layers_of_other_widths_are_refused():
    items = [item("a", np.zeros(10)), item("a", np.zeros(12), point=NEXT)]
    with pytest.raises(ConfigError, match="blocks of one residual stream"):
        overlap(items, 3, across="layer")
    more = [item("b", np.zeros(10)), item("b", np.zeros(12), point=NEXT)]
    assert len(quick([*items, *more], k=3).pairs) == 2  # across categories, each at its own width


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda i: ([i[0]], {}), ConfigError, "there is d/c0 alone: add categories"),
        (lambda i: ([], {}), ConfigError, "no item"),
        (lambda i: (i, {"across": "seed"}), ConfigError, "add draws of the normal images"),
        (lambda i: (i, {"across": "dataset"}), ConfigError, "of different data sets"),
        (lambda i: (i, {"across": "moon"}), ConfigError, "across is 'moon'; it must be one of"),
        (lambda i: ([i[0], i[0]], {}), ConfigError, "twice .dataset d, category c0"),
        (lambda i: (i, {"k": 0}), SelectionError, "between 1 and 80, not 0"),
        (lambda i: (i, {"k": 81}), SelectionError, "between 1 and 80, not 81"),
        (lambda i: (i, {"n_random_sets": 0}), ConfigError, "n_random_sets"),
        (lambda i: (i, {"rbo_p": 1.5}), SelectionError, "persistence"),
        (
            lambda i: ([i[0], item("x", np.zeros(D), weights_hash="ee" * 20)], {}),
            ConfigError,
            "different weights",
        ),
    ],
)
def test_bad_input_is_refused(change, error, message):
    items = planted([range(8), range(4, 12)], weights_hash="aa" * 20)
    given_items, settings_of = change(items)
    with pytest.raises(error, match=message):
        quick(given_items, **({"k": K} | settings_of))


def test_images_outside_the_pool_are_refused():
    with pytest.raises(DataError, match="different positions in a pool of 8"):
        item("a", np.zeros(D), images=(0, 8))


def test_round_trip(tmp_path):
    result = quick(planted([range(8), range(4, 12), range(2, 10)], noise=0.5))
    back = load_study(result.to_parquet(tmp_path / "overlap"))
    assert isinstance(back, OverlapResult)
    assert back.summary() == result.summary()
    assert back.notes == result.notes
    for name, table in result.tables.items():
        np.testing.assert_array_equal(
            table.select_dtypes("number").to_numpy(), back.tables[name].select_dtypes("number")
        )
    assert "Overlap of selected neurons" in result._repr_html_()


def test_summary_says_what_the_tables_hold():
    result = quick(planted([range(8), range(4, 12), range(2, 10)], noise=0.5))
    (row,) = result.overview.to_dict("records")
    said = result.summary()
    gap = estimate(row, "minus_chance")
    assert f"two categories, Jaccard index {row['jaccard']:.3f}, minus random sets" in said
    assert f"{gap.text(signed=True)} (95 % over 3 categories): cannot tell" in said
    assert f"Jaccard index of random sets {row['expected_jaccard']:.3f}" in said
    assert "3 of 3 than random sets" in said
    assert "does not say that they respond to anomalies" in said


# --- from images ---


def test_captured_items_hold_the_draws_of_the_detector(tmp_path):
    from lakeviz.data import read_dataset
    from lakeviz.data.synthetic import write_benchmark
    from lakeviz.lake import select
    from lakeviz.models import load_model

    write_benchmark(
        tmp_path, categories=("carpet", "hex_nut"), size=48, n_train=6, n_good=1, n_per_defect=0
    )
    dataset, model = read_dataset("mvtec", tmp_path), load_model("tiny")
    items = capture_items(
        model, dataset, 10, shots=(2, "all"), seeds=(0, 1), points=[1], pool=5,
        loading=Loading(batch_size=4, workers=0),
    )  # fmt: skip
    assert [(i.category, i.shots, i.seed) for i in items[:4]] == [
        ("carpet", "2", 0), ("carpet", "2", 1), ("carpet", "all", 0), ("carpet", "all", 1),
    ]  # fmt: skip
    one = items[0]
    draw = dataset.category("carpet").few_shot(2, 0)
    assert {one.pool.sample_ids[i] for i in one.images} == set(draw.sample_ids)
    from lakeviz.activations import stream_statistics

    direct = stream_statistics(model, draw.paths, [POINT], with_covariance=True)[POINT]
    np.testing.assert_allclose(one.statistics.variance, direct.variance, rtol=1e-4)
    assert one.select(10).channels.tolist() == select(direct, 10).channels.tolist()
    expected = select(direct, 10, "pca").project(torch.eye(192))
    found = one.subspace.project(torch.eye(192))
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)
    result = quick(items, k=10)
    assert len(result.pairs) == 4
    assert result.pairs["pca_kernel"].between(0, 1).all()
    with pytest.raises(SelectionError, match="between 1 and 192"):
        capture_items(model, dataset, 193, points=[1])


def test_figures_and_headline():
    result = quick(planted([range(8), range(4, 12), range(2, 10)], noise=0.5))
    assert len(result.figures()) == 4
    (row,) = result.headline().to_dict("records")
    assert row["neurons"] == "8 of 80"
    assert row["pairs above random"] == "3 of 3"
    assert row["common ranking"] == "–"
    one_image = quick(planted([range(8), range(4, 12)], n=1))
    assert len(one_image.figures()) == 2  # one pair is no matrix, and there is no ceiling


def test_command_line_compares_two_runs_of_one_model_only(tmp_path, monkeypatch):
    """Two runs by their manifests; the reports themselves are another test's."""
    import json

    from click.testing import CliRunner

    from lakeviz.cli import study
    from lakeviz.cli.app import lakeviz
    from lakeviz.data.synthetic import write_benchmark
    from lakeviz.lake import LakeOptions
    from lakeviz.models import load_model
    from lakeviz.runs.run import RunSpec

    described = load_model("tiny").describe()
    for number, category in enumerate(("carpet", "hex_nut")):
        root = tmp_path / f"data{number}"
        write_benchmark(root, categories=(category,), size=48, n_train=4, n_good=1, n_per_defect=0)
        spec = RunSpec("mvtec", str(root), shots=2, options=LakeOptions(k=10, layers=(1,)))
        manifest = {"protocol": "lakeviz-run/1", "spec": spec.to_plain(), "model": described}
        (tmp_path / f"run{number}").mkdir()
        (tmp_path / f"run{number}" / "manifest.json").write_text(json.dumps(manifest))
    concluded = []
    monkeypatch.setattr(study, "conclude", lambda run, result: concluded.append((run, result)))

    def invoke(*arguments: str):
        runs = [str(tmp_path / "run0"), str(tmp_path / "run1")]
        given_options = ["--resamples", "20", "--random-sets", "20", "--workers", "0", *arguments]
        return CliRunner().invoke(lakeviz, ["study", "overlap", *runs, *given_options])

    assert invoke("--across", "dataset").exit_code == 0
    ((run, result),) = concluded
    assert run.folder == tmp_path / "run0"
    assert result.pairs["seed"].tolist() == [0, 1]  # both draws of two of the four images
    assert set(result.pairs["k"]) == {10}
    assert set(result.pairs["dataset_a"]) == {"mvtec (run0)"}
    assert result.provenance["model"]["weights_hash"] == described["weights_hash"]
    assert result.settings["n_resamples"] == 20
    assert isinstance(invoke("--category", "moon").exception, ConfigError)
    assert isinstance(invoke("--category", "carpet").exception, ConfigError)  # one only
    assert "'none'" in str(invoke("--shots", "none").exception)
    assert "one run only" in str(invoke("--root", str(tmp_path)).exception)
    path = tmp_path / "run1" / "manifest.json"
    other = json.loads(path.read_text())
    other["model"]["weights_hash"] = "f" * 64
    path.write_text(json.dumps(other))
    refused = invoke().exception
    assert isinstance(refused, ConfigError)
    assert "run0" in str(refused)
    assert "ffffffffffff" in str(refused)
