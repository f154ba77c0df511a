"""Single neurons: numbers known from elsewhere, and patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from neuron_rows import FEW, POINT, activations, deviations, row_of
from scipy.stats import mannwhitneyu, spearmanr, ttest_ind
from sklearn.metrics import roc_auc_score

from lakeviz.lake import LakeOptions
from lakeviz.lake.ground_truth import Truth
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.neurons import neurons
from lakeviz.studies.neurons.measures import (
    NeuronMeasures,
    PatchSample,
    image_aurocs,
    image_weights,
    rank_correlation,
)
from lakeviz.studies.neurons.patch_labels import PatchTruth, cell_coverage
from lakeviz.studies.neurons.tested_neurons import Deviation, image_scores

# --- numbers known from elsewhere ---


def test_measures_equal_scikit_learn_scipy_and_formulas(world):
    data = world(shift=1.0)
    result = neurons(data, k=4, bootstrap=FEW)
    truth = PatchTruth.of(data.truth, data.grids[POINT])
    labels = data.truth.labels
    for channel in result.neurons["channel"]:
        row, x, own = row_of(result, channel), activations(data, channel), deviations(data, channel)
        assert row["image_auroc"] == pytest.approx(roc_auc_score(labels, own.max(axis=1)))
        normal, defect = x[labels == 0].ravel(), x[truth.defect]
        pooled = np.sqrt(
            ((len(normal) - 1) * normal.var(ddof=1) + (len(defect) - 1) * defect.var(ddof=1))
            / (len(normal) + len(defect) - 2)
        )
        assert row["cohens_d"] == pytest.approx((defect.mean() - normal.mean()) / pooled, rel=1e-4)
        u = mannwhitneyu(defect, normal).statistic
        assert row["rank_biserial"] == pytest.approx(2 * u / (defect.size * normal.size) - 1)
        of_class = np.r_[np.zeros(normal.size), np.ones(defect.size)]
        scores = np.r_[own[labels == 0].ravel(), own[truth.defect]]
        assert row["patch_auroc"] == pytest.approx(roc_auc_score(of_class, scores), abs=1e-6)
        pairs = [
            np.mean([np.mean([(a > b) + (a == b) / 2]) for a, b in zip(one[at], other[at])])
            for one, at in zip(own[labels == 1], truth.defect[labels == 1])
            for other in own[labels == 0]
        ]
        assert row["matched_auroc"] == pytest.approx(np.mean(pairs), abs=1e-6)
        # Cells and pixels are the same here, so the pixel AUROC is that of all patches.
        pixels = roc_auc_score(np.stack(data.truth.masks).ravel(), own.ravel())
        assert row["pixel_auroc"] == pytest.approx(pixels, abs=1e-6)


def test_matched_difference_and_its_p_value_by_hand(world):
    data = world(shift=1.0, n_normal=9, n_anomalous=7)
    result = neurons(data, k=3, bootstrap=FEW)
    defect = np.stack(data.truth.masks).reshape(16, -1)
    for channel in result.neurons["channel"]:
        row, x = row_of(result, channel), activations(data, channel).astype(float)
        shares = defect[9:] / defect[9:].sum(axis=1, keepdims=True)
        anomalous, normal = (shares * x[9:]).sum(axis=1), x[:9] @ shares.mean(axis=0)
        found = row["p_value"], row["matched_d"] / row["cohens_d"]
        gap = x[9:][defect[9:]].mean() - x[:9].mean()
        wanted = ttest_ind(anomalous, normal, equal_var=False).pvalue
        assert found == pytest.approx((wanted, (anomalous.mean() - normal.mean()) / gap), rel=1e-3)


def test_matched_difference_does_not_take_a_place_for_a_defect(world):
    """Patches in the middle differ from the border, and defects lie in the middle."""
    normal, test = (
        {POINT: torch.randn(n, 16, 6, generator=torch.Generator().manual_seed(n))} for n in (6, 40)
    )
    middle = torch.zeros(16)
    middle[[5, 6, 9, 10]] = 6.0
    for tokens in (*normal.values(), *test.values()):
        tokens += middle[None, :, None]
    labels = np.repeat([0, 1], 20)
    mask = (middle > 0).reshape(4, 4).numpy()
    masks = [mask * bool(label) for label in labels]
    options = LakeOptions(k=3, text_weight=0, map_size=(4, 4))
    data = StudyData.of_arrays(normal, test, labels, masks, grid=(4, 4), options=options)
    table = neurons(data, bootstrap=FEW).neurons
    assert (table["cohens_d"] > 1.5).all()
    assert (table["matched_d"].abs() < 0.5).all()
    assert (table["q_value"] > 0.05).all()


def test_draws_are_those_of_a_loop_over_resampled_images(world):
    """Every draw equals the measure of the images it drew, patches and all."""
    data = world(shift=0.7, n_normal=6, n_anomalous=5)
    truth = PatchTruth.of(data.truth, data.grids[POINT])
    sample = PatchSample.of(truth, Bootstrap(n_resamples=12))
    x = activations(data, 1).astype(float)
    cohens, matched, _ = sample.effects(x)
    ranked, same_place = sample.auroc(x), sample.matched_auroc(x)
    for draw, weights in enumerate(sample.weights.astype(int)):
        drawn = np.repeat(np.arange(11), weights)
        again = StudyTruth(data.truth.labels[drawn], truth.defect[drawn])
        one = PatchSample(np.arange(11), again.labels == 0, again.defect, np.ones((1, 11)))
        own_cohens, own_matched, _ = one.effects(x[drawn])
        assert cohens.resampled[draw] == pytest.approx(own_cohens.value)
        assert matched.resampled[draw] == pytest.approx(own_matched.value)
        assert ranked.resampled[draw] == pytest.approx(one.auroc(x[drawn]).value, abs=1e-6)
        assert same_place.resampled[draw] == pytest.approx(one.matched_auroc(x[drawn]).value)


class StudyTruth:
    """Labels and defect patches of resampled images."""

    def __init__(self, labels: np.ndarray, defect: np.ndarray):
        self.labels, self.defect = labels, defect


def test_rank_draws_on_a_grid_are_near_the_exact_ones(world):
    """More distinct values than thresholds: only pairs within a cell are not told apart."""
    data = world(shift=1.0, n_normal=60, n_anomalous=100)
    truth = PatchTruth.of(data.truth, data.grids[POINT])
    assert truth.n_defect > 256
    sample = PatchSample.of(truth, Bootstrap(n_resamples=5))
    x = activations(data, 0)
    normal = truth.labels == 0
    for draw, weights in zip(sample.auroc(x).resampled, sample.weights, strict=True):
        per_patch = np.repeat(weights[:, None], 16, axis=1)
        keep = truth.defect | normal[:, None]
        of_class = truth.defect[keep]
        wanted = roc_auc_score(of_class, x[keep], sample_weight=per_patch[keep])
        assert draw == pytest.approx(wanted, abs=1e-3)


def test_weights_are_those_of_the_bootstrap():
    anomalous = np.array([False, True, True, False, False])
    weights = image_weights(anomalous, FEW)
    assert weights.shape == (120, 5)
    assert (weights[:, anomalous].sum(axis=1) == 2).all()
    scores = np.random.default_rng(0).random((1, 5))
    found = image_aurocs(scores, anomalous.astype(int), FEW).resampled[0]
    expected = [
        roc_auc_score(np.repeat(anomalous, w), np.repeat(scores[0], w)) for w in weights.astype(int)
    ]
    assert found == pytest.approx(expected)


def test_rank_correlation_is_spearmans():
    generator = np.random.default_rng(3)
    variance, auroc = generator.random(40), generator.random(40)
    measures = NeuronMeasures(auroc, np.tile(auroc[:, None], (1, 200)))
    made = rank_correlation(variance, measures, Bootstrap(n_resamples=200))
    assert made.value == pytest.approx(spearmanr(variance, auroc).statistic)
    assert made.low < made.value < made.high
    assert rank_correlation(np.ones(40), measures, Bootstrap(n_resamples=200)) is None


@pytest.mark.parametrize("kind", ["zscore", "nearest"])
def test_deviation_by_brute_force(world, kind):
    data = world(seed=5)
    own = Deviation.fit(data, POINT, kind)
    normal = data.normal.patches(POINT).flatten(0, 1).double()
    test = data.test.patches(POINT)
    if kind == "zscore":
        expected = (test - normal.mean(0)).abs() / normal.std(0, correction=0)
    else:
        expected = (test[:, :, None] - normal[None, None]).abs().amin(dim=2)
    torch.testing.assert_close(own(test), expected.float(), rtol=1e-4, atol=1e-5)
    some = torch.tensor([3, 1])
    torch.testing.assert_close(own(test[..., some], some), own(test)[..., some])
    torch.testing.assert_close(
        own(data.normal.patches(POINT)) * (kind == "nearest"),
        0 * own(normal.float()).reshape(4, 16, 16),
    )


def test_image_scores_of_all_channels_are_those_of_one(world):
    data = world(n_normal=50, n_anomalous=20)
    scores = image_scores(data, POINT, Deviation.fit(data, POINT, "zscore"))
    expected = [deviations(data, channel).max(axis=1) for channel in range(16)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    result = neurons(data, k=4, bootstrap=FEW)
    all_channels = result.channels.set_index("channel")["image_auroc"]
    one_by_one = result.neurons.set_index("channel")["image_auroc"]
    assert all_channels[one_by_one.index].to_numpy() == pytest.approx(one_by_one.to_numpy())


# --- patches ---


def test_coverage_counts_parts_of_pixels():
    mask = np.zeros((5, 5), dtype=bool)
    mask[:, 2] = True  # the middle column is half in either cell
    assert cell_coverage(mask, (1, 2)) == pytest.approx(np.array([[0.2, 0.2]]))
    assert cell_coverage(np.eye(4, dtype=bool), (2, 2)) == pytest.approx(np.eye(2) / 2)


def test_patch_labels_keep_small_defects_and_leave_borders_out():
    large, small, empty = (np.zeros((8, 8), dtype=bool) for _ in range(3))
    large[:4, :5] = True  # first column of cells full, second a quarter, in the upper half
    small[7, 7] = True
    truth = Truth.of_masks(np.array([0, 1, 1, 1]), [empty, large, small, empty])
    found = PatchTruth.of(truth, (2, 2), share=0.3)
    assert found.names().tolist() == [
        ["normal"] * 4,
        ["defect", "partial", "clear", "clear"],
        ["clear", "clear", "clear", "defect"],
        ["clear"] * 4,
    ]
    assert (found.n_defect, found.n_partial) == (2, 1)
    assert found.defect_images.tolist() == [1, 2]
    assert PatchTruth.of(truth, (2, 2)).n_defect == 3


def test_histograms_share_bins_and_integrate_to_one(world):
    result = neurons(world(), k=4, bootstrap=FEW)
    for _, own in result.histograms.groupby(["channel", "label"]):
        width = own["bin_high"] - own["bin_low"]
        assert (own["density"] * width).sum() == pytest.approx(1)
    counts = result.histograms.groupby(["channel", "label"])["count"].sum().unstack()
    assert (counts["normal"] == 24 * 16).all()
    assert (counts["defect"] == 24 * 4).all()


def test_driving_patches_are_the_largest_deviations(world):
    data = world()
    result = neurons(data, k=4, n_top=5, bootstrap=FEW)
    own = deviations(data, 0)
    top = result.patches[result.patches["channel"] == 0]
    np.testing.assert_allclose(top["deviation"], np.sort(own.ravel())[::-1][:5], rtol=1e-5)
    place = own[top["image"], 4 * top["row"] + top["column"]]
    np.testing.assert_allclose(top["deviation"], place, rtol=1e-5)
    assert (top["label"] == "defect").all()
    assert top["sample_id"].tolist() == [f"test {i}" for i in top["image"]]
    assert top["crop"].isna().all()
