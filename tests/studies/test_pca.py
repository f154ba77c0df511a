"""The ``pca`` study: exact equality for a diagonal covariance, closed forms, honest verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import ConfigError, MetricError, SelectionError
from lakeviz.lake import LakeOptions, NeuronSelection, SubspaceSelection, VisualOptions, select
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.overlap.measures import projection_kernel
from lakeviz.studies.pca import pca
from lakeviz.studies.pca.geometry import (
    measures,
    nearness,
    nearness_of_many,
    off_diagonal_share,
    participation_ratio,
    permuted_covariance,
    retained_variance,
)
from lakeviz.studies.pca.result import PCAResult
from lakeviz.studies.pca.study import size_grid

POINT = "blocks.0.hook_resid_post"
FEW = Bootstrap(n_resamples=200)
# Powers of two, so that the planted covariance is diagonal to the last bit.
SCALES = np.array([4, 0.25, 2, 1, 0.5, 8, 0.125, 0.0625])


def planted(rotation: np.ndarray | None = None, shift: float = 1.0, seed: int = 0) -> StudyData:
    """Tokens of an orthogonal design: their covariance is exactly diag(SCALES^2), then rotated."""
    generator = np.random.default_rng(seed)
    design = hadamard(64)[:, 1:9] * SCALES
    labels = np.repeat([0, 1], 12)
    masks = np.zeros((24, 4, 4), dtype=bool)
    masks[12:, 1:3, 1:3] = True
    test = generator.standard_normal((24, 16, 8)) * SCALES
    test += masks.reshape(24, 16, 1) * shift * SCALES
    tokens = design.reshape(4, 16, 8)
    if rotation is not None:
        tokens, test = tokens @ rotation, test @ rotation
    options = LakeOptions(
        k=3, text_weight=0, map_size=(4, 4), visual=VisualOptions(distance="euclidean")
    )
    return StudyData.of_arrays(
        {POINT: torch.from_numpy(tokens).float()},
        {POINT: torch.from_numpy(test).float()},
        labels,
        list(masks),
        grid=(4, 4),
        options=options,
    )


ROTATION = ortho_group.rvs(8, random_state=3)


def rows(table: pd.DataFrame, **equals) -> pd.DataFrame:
    keep = np.ones(len(table), dtype=bool)
    for column, value in equals.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


@pytest.fixture(scope="module")
def diagonal() -> PCAResult:
    return pca(planted(), n_random_sets=3, bootstrap=FEW)


@pytest.fixture(scope="module")
def rotated() -> PCAResult:
    return pca(planted(ROTATION), n_random_sets=3, bootstrap=FEW)


def test_diagonal_covariance_makes_them_one_and_the_same(diagonal):
    geometry = diagonal.geometry
    assert geometry["k"].tolist() == [1, 2, 3, 4, 8]
    assert (geometry["angle_largest"] == 0).all()
    assert (geometry["kernel"] == 1).all()
    np.testing.assert_allclose(geometry["retained_ratio"], 1, rtol=1e-14)
    variance, principal = (rows(diagonal.metrics, selector=s) for s in ("variance", "pca"))
    for column in ("value", "low", "high", "retained_variance"):
        np.testing.assert_allclose(variance[column], principal[column], rtol=1e-6)
    np.testing.assert_allclose(principal["difference"], 0, atol=1e-6)
    # Equal on every resample: the interval is one pair of the 12 x 12 images wide on each side.
    image = principal[(principal["level"] == "image") & (principal["metric"] != "cohens_d")]
    np.testing.assert_allclose(image["difference_low"], -1 / 144, atol=1e-6)
    np.testing.assert_allclose(image["difference_high"], 1 / 144, atol=1e-6)
    off = rows(diagonal.covariance, measure="off_diagonal_covariance")
    assert off["value"].tolist() == [0]
    np.testing.assert_allclose(diagonal.spectrum["eigenvalue"], diagonal.spectrum["variance"])
    np.testing.assert_allclose(diagonal.spectrum["variance"], np.sort(SCALES**2)[::-1])


def test_equal_scores_image_by_image():
    data = planted()
    one, other = data.visual_maps(data.branches([data.select(3), data.select(3, "pca")]))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_rotated_covariance_does_not(diagonal, rotated):
    inner = rotated.geometry[rotated.geometry["k"] < 8]
    assert (inner["angle_largest"] > 5).all()
    assert (inner["kernel"] < 0.98).all()
    assert (inner["retained_ratio"] < 0.98).all()
    off = rows(rotated.covariance, measure="off_diagonal_covariance").iloc[0]
    assert off["value"] > 0.3
    assert off["value"] > off["control_quantile_high"]
    # PCA undoes the rotation; the channels cannot.
    before, after = (rows(r.metrics, selector="pca", level="image") for r in (diagonal, rotated))
    np.testing.assert_allclose(before["value"], after["value"], rtol=1e-4)
    kept = [rows(r.geometry, k=3).iloc[0] for r in (diagonal, rotated)]
    assert kept[0]["pca_retained"] == pytest.approx(kept[1]["pca_retained"], rel=1e-5)


def test_all_dimensions_are_all_the_same(rotated):
    full = rows(rotated.metrics, k=8, level="image", metric="auroc")
    assert set(full["selector"]) == {
        *("variance", "pca", "random_rotation", "random", "bottom_variance", "all"),
        *("rotated", "variance_without_first"),
    }
    # No channel is left to put in the place of the first: a reason, not a number.
    absent = rows(full, selector="variance_without_first").iloc[0]
    assert np.isnan([absent["value"], absent["difference"]]).all()
    assert "k + 1 are needed" in absent["reason"]
    full = full[full["selector"] != "variance_without_first"]
    np.testing.assert_allclose(full["value"], full["value"].iloc[0], atol=1e-6)
    np.testing.assert_allclose(full["retained_variance"], 1)
    last = rows(rotated.geometry, k=8).iloc[0]
    assert last["angle_largest"] == pytest.approx(0, abs=1e-5)
    assert (last["kernel"], last["kernel_expected"]) == pytest.approx((1, 1))


def test_costs_grow_with_the_size(rotated):
    own = rows(rotated.metrics, selector="variance", level="image", metric="auroc")
    assert own["gallery_bytes"].tolist() == [4 * 64 * k for k in (1, 2, 3, 4, 8)]
    assert (rotated.metrics["seconds"].dropna() > 0).all()


def test_retained_variance_is_that_of_scikit_learn():
    tokens = np.random.default_rng(0).standard_normal((200, 6)) @ ortho_group.rvs(6, random_state=1)
    tokens *= [3, 2, 1, 1, 0.5, 0.1]
    statistics = ChannelStatistics(POINT, with_covariance=True).update(torch.from_numpy(tokens))
    expected = PCA().fit(tokens).explained_variance_ratio_.cumsum()
    for k in range(1, 7):
        found = retained_variance(select(statistics, k, "pca"), statistics.covariance)
        assert found == pytest.approx(expected[k - 1], rel=1e-10)
        channels = select(statistics, k)
        share = np.sort(tokens.var(axis=0))[::-1][:k].sum() / tokens.var(axis=0).sum()
        assert retained_variance(channels, statistics.covariance) == pytest.approx(share)
    assert retained_variance(select(statistics, 1), np.zeros((6, 6))) == 1


@given(st.floats(0.0, 90.0))
@settings(max_examples=25, deadline=None)
def test_principal_angles_of_a_known_plane(degrees):
    """Channels 0 and 1 against the plane of channel 0 and a direction tilted out of it."""
    tilt = np.radians(degrees)
    basis = np.zeros((4, 2))
    basis[0, 0], basis[1, 1], basis[2, 1] = 1, np.cos(tilt), np.sin(tilt)
    channels = NeuronSelection(POINT, np.array([0, 1]), np.ones(2), 4, "variance")
    subspace = SubspaceSelection(POINT, basis, np.ones(2), "pca")
    near = nearness(channels, subspace)
    assert near.largest == pytest.approx(degrees, abs=1e-9)
    assert near.mean == pytest.approx(degrees / 2, abs=1e-5)  # the other is 0 to rounding
    assert near.kernel == pytest.approx((1 + np.cos(tilt) ** 2) / 2, abs=1e-12)
    (quick,) = nearness_of_many([channels], subspace)
    assert (quick.largest, quick.kernel) == pytest.approx((near.largest, near.kernel), abs=1e-5)


def test_kernel_is_the_mean_squared_cosine():
    basis = ortho_group.rvs(9, random_state=0)[:, :4]
    subspace = SubspaceSelection(POINT, basis, np.ones(4), "pca")
    channels = NeuronSelection(POINT, np.array([1, 3, 5, 8]), np.ones(4), 9, "random")
    (quick,) = nearness_of_many([channels], subspace)
    assert quick.kernel == pytest.approx(projection_kernel(channels, subspace), rel=1e-10)


def test_random_subspaces_have_the_kernel_of_chance():
    """K / D on average, over rotations and over channel sets alike."""
    generator = np.random.default_rng(0)
    statistics = ChannelStatistics(POINT, with_covariance=True).update(
        torch.from_numpy(generator.standard_normal((100, 20)))
    )
    subspace = select(statistics, 5, "pca")
    assert isinstance(subspace, SubspaceSelection)
    sets = [select(statistics, 5, "random", seed=i) for i in range(400)]
    spaces = [select(statistics, 5, "random_rotation", seed=i) for i in range(400)]
    channels = [s for s in sets if isinstance(s, NeuronSelection)]
    of_sets = [n.kernel for n in nearness_of_many(channels, subspace)]
    of_spaces = [projection_kernel(s, subspace) for s in spaces]
    for found in (of_sets, of_spaces):
        error = np.std(found) / 20
        assert np.mean(found) == pytest.approx(0.25, abs=4 * error)


def test_measures_of_known_matrices():
    assert off_diagonal_share(np.array([[2.0, 1], [1, 2]])) == pytest.approx(2 / 10)
    assert participation_ratio(np.ones(7)) == pytest.approx(7)
    assert participation_ratio(np.array([5.0, 0, 0])) == pytest.approx(1)
    found = measures(np.array([[4.0, 2, 0], [2, 4, 0], [0, 0, 0]]))
    assert found["off_diagonal_correlation"] == pytest.approx(0.5 / 2.5)  # 2 channels vary
    assert found["participation_eigenvalues"] == pytest.approx(64 / (36 + 4))
    assert found["participation_diagonal"] == pytest.approx(2)
    assert np.isnan(measures(np.zeros((2, 2)))["off_diagonal_covariance"])


def test_permuted_tokens_leave_what_chance_leaves():
    """A permutation covariance has mean square s_i^2 s_j^2 / (n - 1): exactly known."""
    generator = np.random.default_rng(0)
    common = generator.standard_normal((60, 1))
    tokens = (common + 0.1 * generator.standard_normal((60, 10))).astype(np.float32)
    drawn = [permuted_covariance(tokens, generator) for _ in range(40)]
    variance = tokens.astype(float).var(axis=0)
    pair = np.outer(variance, variance)
    expected = (pair.sum() - np.square(variance).sum()) / 59
    found = [np.square(c - np.diag(np.diag(c))).sum() for c in drawn]
    assert np.mean(found) == pytest.approx(expected, rel=0.15)
    np.testing.assert_allclose(np.diag(drawn[0]), variance, rtol=1e-5)


def test_summary_of_a_rotated_world(rotated):
    said = rotated.summary()
    assert "3 top-variance neurons" in said
    assert "24 test images" in said
    verdicts = [finding.verdict for finding in rotated.findings()]
    assert said.count("equivalent to within 0.01") == verdicts.count("equivalent")
    assert "chance" in said


def test_summary_of_a_diagonal_world_says_equivalent(diagonal):
    said = diagonal.summary()
    assert said.count("equivalent to within 0.01.") == 2
    assert "0.0 % of the covariance's energy lies off its diagonal" in said


def test_summary_over_categories(diagonal, rotated):
    other = PCAResult(
        **{name: table.assign(category="other") for name, table in rotated.tables.items()},
        provenance={**rotated.provenance, "categories": {"other": {}}},
    )
    said = PCAResult.join([diagonal, other]).summary()
    assert "Mean over 2 categories" in said
    assert "equivalent to within 0.01 in 1" in said


def test_null_is_rarely_called_different():
    """Where variance picks no better channels than chance, differences hold zero."""
    called = 0
    for seed in range(30):
        generator = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 20)
        data = StudyData.of_arrays(
            {POINT: torch.from_numpy(generator.standard_normal((3, 9, 12))).float()},
            {POINT: torch.from_numpy(generator.standard_normal((40, 9, 12)) + 0).float()},
            labels,
            grid=(3, 3),
            options=LakeOptions(k=4, text_weight=0),
        )
        result = pca(
            data,
            sizes=[4],
            n_random_sets=4,
            selectors=("pca", "random"),
            metrics=[("image", "auroc")],
            bootstrap=Bootstrap(n_resamples=300, seed=seed),
            seed=10 * seed,
        )
        found = rows(result.metrics, k=4, selector="random").iloc[0]
        called += found["difference_low"] > 0 or found["difference_high"] < 0
    assert called <= 4  # 95 % intervals: more than 4 of 30 by chance in 1.6 % of all cases


def test_order_of_images_does_not_matter():
    data = planted(ROTATION)
    normal = data.normal.patches(POINT).flip(0)
    test = data.test.patches(POINT).flip(0)
    turned = StudyData.of_arrays(
        {POINT: normal},
        {POINT: test},
        data.truth.labels[::-1].copy(),
        data.truth.masks[::-1],
        grid=(4, 4),
        options=data.options,
    )
    first, second = (
        pca(d, sizes=[2], n_random_sets=2, bootstrap=FEW, metrics=[("image", "auroc")])
        for d in (data, turned)
    )
    np.testing.assert_allclose(first.metrics["value"], second.metrics["value"], atol=1e-6)
    np.testing.assert_allclose(first.geometry["kernel"], second.geometry["kernel"], atol=1e-6)


def test_without_masks_the_image_level_goes_on(world):
    result = pca(world(masks=False), sizes=[4], n_random_sets=2, bootstrap=FEW)
    assert set(result.metrics["level"]) == {"image"}
    assert any("no pixel-level metrics" in note for note in result.notes)


def test_sizes():
    data = planted()
    assert size_grid(data, None) == [1, 2, 3, 4, 8]
    assert size_grid(data, [5, 5]) == [3, 5, 8]
    for bad in (0, 9, -1):
        with pytest.raises(SelectionError, match="between 1 and 8 channels"):
            size_grid(data, [bad])


def test_bad_input(world):
    data = planted()
    with pytest.raises(ConfigError, match="n_random_sets is 1; it must be at least 2"):
        pca(data, n_random_sets=1)
    with pytest.raises(ConfigError, match=r"sizes is 2\.5; it must be a whole number"):
        pca(data, sizes=[2.5])
    with pytest.raises(ConfigError, match="no setting 'size'; nearest: sizes"):
        pca(data, size=[2])
    with pytest.deprecated_call(match="n_draws is called n_random_sets"):
        pca(data, n_draws=2, sizes=[3], metrics=[("image", "auroc")], bootstrap=FEW)
    with pytest.raises(SelectionError, match="varience"):
        pca(data, selectors=("varience",))
    with pytest.raises(ConfigError, match="no metric image dice"):
        pca(data, metrics=[("image", "dice")])
    with pytest.raises(MetricError, match="no metric is defined"):
        pca(world(n_anomalous=0))


def test_round_trip(rotated, tmp_path):
    read = PCAResult.from_parquet(rotated.to_parquet(tmp_path / "pca"))
    for name, table in rotated.tables.items():
        pd.testing.assert_frame_equal(read.tables[name], table)
    assert read.summary() == rotated.summary()
    assert read.provenance["settings"]["selectors"][:2] == ["variance", "variance_without_first"]
