"""Single-neuron detectors: numbers from elsewhere, planted truth, the null, and bad input."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binom, mannwhitneyu, spearmanr, ttest_ind
from sklearn.metrics import roc_auc_score

from lakeviz import load_model, read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, MetricError, SelectionError
from lakeviz.lake import LakeOptions
from lakeviz.lake.ground_truth import Truth
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.registry import load_study
from lakeviz.studies.neurons import neurons
from lakeviz.studies.neurons.measures import NeuronMeasures, image_aurocs, rank_correlation
from lakeviz.studies.neurons.patch_labels import PatchTruth, cell_coverage
from lakeviz.studies.neurons.patch_statistics import PatchSample, image_weights
from lakeviz.studies.neurons.pictures import crop_patch
from lakeviz.studies.neurons.result import NeuronsResult
from lakeviz.studies.neurons.scan import image_scores
from lakeviz.studies.neurons.single_neuron_score import Deviation
from lakeviz.studies.neurons.tested_neurons import choose

POINT = "blocks.0.hook_resid_post"
FEW = Bootstrap(n_resamples=120)


def activations(data: StudyData, channel: int) -> np.ndarray:
    return data.test.patches(POINT)[:, :, channel].numpy()


def deviations(data: StudyData, channel: int) -> np.ndarray:
    normal = data.normal.patches(POINT)[:, :, channel].double().numpy()
    return np.abs(activations(data, channel) - normal.mean()) / normal.std()


def row_of(result: NeuronsResult, channel: int) -> pd.Series:
    return result.neurons.set_index("channel").loc[channel]


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


# --- planted truth and the null ---


@pytest.mark.parametrize("signal", [(0, 1, 2), (13, 15)])
def test_exactly_the_planted_neurons_are_found(world, signal):
    result = neurons(world(signal=signal, seed=1), k=8, bootstrap=FEW)
    table = result.neurons
    assert set(table["channel"]) == set(range(16))
    planted = table["channel"].isin(signal)
    for found in (
        table["q_value"] < 0.05,
        table["deviation_q_value"] < 0.05,
        table["image_auroc_low"] > 0.55,
        table["pixel_auroc_low"] > 0.55,
        table["direction"] == "raised",
        table["cohens_d"] > 1,
    ):
        assert set(table["channel"][found]) == set(table["channel"][planted])
    gap = result.groups.set_index("measure").loc["image_auroc", "difference"]
    assert gap > 0.1 if signal == (0, 1, 2) else gap < -0.1


def test_all_selected_planted_beside_none_is_clear(world):
    result = neurons(world(signal=range(8)), k=8, bootstrap=FEW)
    groups = result.groups.set_index("measure")
    assert groups.loc["image_auroc", "difference_low"] > 0.3
    assert groups.loc["share_q_value_below_0.05", ["value", "control_mean"]].tolist() == [1, 0]
    assert "lies above 0.5 for 8 of 8 selected" in result.summary()
    assert next(iter(result.findings())).verdict == "higher"


@pytest.mark.slow
def test_the_null_is_called_an_effect_as_rarely_as_stated(world):
    """Percentile intervals of few images are a little too short, which the bounds allow for."""
    n, found = 20, []
    for seed in range(n):
        data = world(
            shift=0.0, seed=seed, scales=np.linspace(2, 0.5, 8), n_normal=30, n_anomalous=30
        )
        result = neurons(
            data, k=4, metrics=[("image", "auroc")], bootstrap=Bootstrap(n_resamples=300, seed=seed)
        )
        table, groups = result.neurons, result.groups.set_index("measure")
        found.append(
            {
                "image": np.mean(
                    (table["image_auroc_low"] > 0.5) | (table["image_auroc_high"] < 0.5)
                ),
                "patch": np.mean(
                    (table["patch_auroc_low"] > 0.5) | (table["patch_auroc_high"] < 0.5)
                ),
                "cohen": np.mean((table["cohens_d_low"] > 0) | (table["cohens_d_high"] < 0)),
                "matched": np.mean(table["direction"] != "undecided"),
                "p": np.mean(table["p_value"] < 0.05),
                "deviation p": np.mean(table["deviation_p_value"] < 0.05),
                "false discovery": (table["q_value"] < 0.05).any(),
                "deviation false discovery": (table["deviation_q_value"] < 0.05).any(),
                "groups": _clear(groups.loc["image_auroc"]),
                "trend": result.trend["low"][0] > 0 or result.trend["high"][0] < 0,
            }
        )
    rates = pd.DataFrame(found).astype(float).mean()
    per_neuron = binom.ppf(0.999, 8 * n, 0.065) / (8 * n)
    per_world = binom.ppf(0.999, n, 0.05) / n
    for name in ("image", "patch", "cohen", "matched", "p", "deviation p"):
        assert 0 < rates[name] <= per_neuron, name
    for name in ("false discovery", "deviation false discovery", "groups", "trend"):
        assert rates[name] <= per_world, name


def _clear(row: pd.Series) -> bool:
    return bool(row["difference_low"] > 0 or row["difference_high"] < 0)


def test_groups_differ_by_the_choice_of_neurons_too(world):
    """One planted neuron among the selected: images say "better", neurons say "it depends"."""
    result = neurons(world(signal=(0,), shift=6.0), k=8, bootstrap=FEW)
    row = result.groups.set_index("measure").loc["image_auroc"]
    assert row["difference"] > 0.03
    assert row["difference_low"] < 0.02
    assert next(iter(result.findings())).verdict == "undecided"


def test_images_may_come_in_any_order(world):
    order = np.random.default_rng(0).permutation(48)
    data = world(shift=1.0)
    turned = StudyData.of_arrays(
        {POINT: data.normal.patches(POINT).flip(0)},
        {POINT: data.test.patches(POINT)[order]},
        data.truth.labels[order],
        [data.truth.masks[i] for i in order],
        grid=(4, 4),
        options=data.options,
    )
    one, other = (neurons(d, k=4, bootstrap=FEW).neurons for d in (data, turned))
    same = ["channel", "image_auroc", "pixel_auroc", "patch_auroc", "cohens_d", "matched_d"]
    same += ["rank_biserial", "p_value", "q_value", "deviation_d", "reach", "reach_normal"]
    pd.testing.assert_frame_equal(one[same], other[same], rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(-50, 50), st.floats(0.1, 20), st.integers(0, 99))
def test_effect_sizes_have_no_unit(offset, scale, seed):
    generator = np.random.default_rng(seed)
    labels, defect = np.r_[0, 0, 0, 1, 1], np.zeros((5, 4), dtype=bool)
    defect[3, :2] = defect[4, 3] = True
    truth = PatchTruth(labels, defect.astype(float), defect, 0.25)
    sample = PatchSample.of(truth, Bootstrap(n_resamples=4))
    x = generator.standard_normal((5, 4))
    for one, other in zip(sample.effects(x), sample.effects(offset + scale * x), strict=True):
        if isinstance(one, float):
            assert other == pytest.approx(one, rel=1e-5)
        else:
            assert other.value == pytest.approx(one.value, rel=1e-5, abs=1e-6)
    assert sample.auroc(-x).value == pytest.approx(1 - sample.auroc(x).value)


# --- what is absent is said ---


def test_without_masks_the_image_level_goes_on(world):
    result = neurons(world(masks=False), k=4, bootstrap=FEW)
    table = result.neurons
    assert table["image_auroc"].notna().all()
    assert (
        table[["pixel_auroc", "patch_auroc", "cohens_d", "p_value", "q_value"]]
        .isna()
        .all(axis=None)
    )
    assert table["reason"].str.contains("no pixel columns: there are no masks").all()
    assert table["reason"].str.contains("effect sizes: there are no masks").all()
    assert (table["direction"] == "not measured").all()
    assert set(result.histograms["label"]) == {"normal", "anomalous image"}
    assert set(result.patches["label"]) <= {"normal", "anomalous image"}
    assert any("no patch columns" in note for note in result.notes)
    assert "image AUROC" in result.summary()


def test_a_single_image_has_no_p_value(world):
    result = neurons(world(n_anomalous=1), k=4, bootstrap=FEW)
    assert result.neurons["p_value"].isna().all()
    assert result.neurons["cohens_d"].notna().all()
    assert result.neurons["reason"].str.contains("no p-value").all()


def test_a_constant_channel_is_defined(world):
    scales = np.r_[np.linspace(2, 1, 7), 0.0]
    result = neurons(world(scales=scales, signal=(0,)), k=4, bootstrap=FEW)
    row = row_of(result, 7)
    assert row["constant"]
    assert (row["image_auroc"], row["patch_auroc"]) == (0.5, 0.5)
    assert (row["cohens_d"], row["p_value"]) == (0, 1)
    assert any("constant on the normal tokens" in note for note in result.notes)


def test_no_random_neurons_left(world):
    result = neurons(world(), k=16, bootstrap=FEW)
    assert set(result.neurons["group"]) == {"selected"}
    row = result.groups.set_index("measure").loc["image_auroc"]
    assert np.isnan(row["difference"])
    assert "every channel is selected" in row["reason"]
    assert next(iter(result.findings())).verdict == "not measured"
    assert len(choose(world(), 14, "variance", None, 0)[POINT].random) == 2


def test_random_neurons_are_seeded_and_never_selected(world):
    data = world(points=(POINT, "b"))
    drawn = []
    for seed in (0, 0, 1):
        chosen = choose(data, 4, "variance", 5, seed)
        for own in chosen.values():
            assert (len(own.selected), len(set(own.random.tolist()))) == (4, 5)
            assert not set(own.random) & set(own.selected)
        drawn.append({point: own.random.tolist() for point, own in chosen.items()})
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][POINT] != drawn[0]["b"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"k": 0}, SelectionError, "between 1 and 16"),
        ({"k": 17}, SelectionError, "between 1 and 16"),
        ({"n_random": 0}, SelectionError, "n_random must be at least 1"),
        ({"selector": "pca"}, SelectionError, "no single neurons"),
        ({"deviation": "mean"}, ConfigError, "zscore, nearest"),
        ({"n_top": 0}, ConfigError, "n_top"),
        ({"coverage": 0.0}, ConfigError, "covered share"),
        ({"metrics": [("image", "pro")]}, ConfigError, "no metric image pro"),
    ],
)
def test_bad_input(world, given, error, message):
    with pytest.raises(error, match=message):
        neurons(world(), **({"k": 4, "bootstrap": FEW} | given))


def test_nothing_to_measure(world):
    with pytest.raises(MetricError, match="all 24 images are normal"):
        neurons(world(n_anomalous=0), k=4, bootstrap=FEW)


# --- results ---


def test_report_of_one_category(world):
    points = (POINT, "blocks.1.hook_resid_post")
    result = neurons(world(points=points, signal=range(4)), k=4, bootstrap=FEW)
    table = result.headline()
    assert table.loc[0, "measure"] == "mean image AUROC of single neurons"
    assert table.loc[0, "reading"] == "higher"
    assert len(table) <= 12
    assert len(result.figures()) == 5  # no pictures without files
    bare = neurons(world(masks=False), k=16, bootstrap=FEW)
    assert set(bare.headline()["reading"]) == {"not measured"}
    assert len(bare.figures()) == 4


def test_round_trip_join_and_means(world, tmp_path):
    points = (POINT, "blocks.1.hook_resid_post")
    result = neurons(world(points=points), k=4, bootstrap=FEW)
    again = load_study(result.to_parquet(tmp_path))
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name], check_dtype=False)
    assert again.summary() == result.summary()
    image = result.groups[result.groups["measure"] == "image_auroc"].set_index("point")
    mean = image.loc["mean of points"]
    assert mean["difference"] == pytest.approx(image.loc[list(points), "difference"].mean())
    assert (mean["n_selected"], mean["n_random"]) == (8, 8)
    other = neurons(world(points=points, seed=1), k=4, bootstrap=FEW)
    for table in other.tables.values():
        table["category"] = "other"
    other.provenance["categories"] = {"other": {}}
    joined = NeuronsResult.join([result, other])
    assert "Mean over 2 categories" in joined.summary()
    assert "95 % over 2 categories" in joined.summary()
    assert len(joined.figures()) == 5
    assert "<table" in joined._repr_html_()


def test_several_metrics_become_columns(world):
    metrics = [("image", "average_precision"), ("pixel", "aupro")]
    result = neurons(world(), k=4, metrics=metrics, bootstrap=FEW)
    assert {"image_average_precision_low", "pixel_aupro_high"} <= set(result.neurons)
    assert "mean image average precision" in result.summary()


# --- pictures ---


def test_a_crop_has_its_patch_in_the_middle():
    pixels = np.zeros((60, 80, 3), dtype=np.uint8)
    pixels[10:20, 20:40] = (255, 0, 0)  # cell (1, 1) of a 6 x 4 grid
    crop = np.asarray(crop_patch(Image.fromarray(pixels), 1, 1, (6, 4), longest=60))
    assert crop.shape == (30, 60, 3)
    assert (crop[12:18, 24:36] == (255, 0, 0)).all()
    assert (crop[:8, :16] == 0).all()
    corner = np.asarray(crop_patch(Image.fromarray(pixels), 0, 0, (6, 4), longest=60))
    assert (corner[2, 2] == (0x86, 0x8E, 0x99)).all()
    assert (corner[15, 30] == 0).all()


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    root = tmp_path_factory.mktemp("benchmark")
    write_benchmark(root, categories=("wood",), size=64, n_train=2, n_good=3, n_per_defect=1)
    wood = read_dataset("mvtec", root).category("wood")
    return capture_study(load_model("tiny"), wood.few_shot(2, 0), wood, options=LakeOptions(k=6))


def test_pictures_of_driving_patches(captured):
    result = neurons(captured, n_top=2, bootstrap=FEW, metrics=[("image", "auroc")])
    pictured = result.patches[result.patches["crop"].notna()]
    assert pictured.groupby("point")["channel"].nunique().eq(5).all()
    selected = result.neurons[result.neurons["group"] == "selected"]
    kept = set(zip(pictured["point"], pictured["channel"], strict=True))
    shown = [own in kept for own in zip(selected["point"], selected["channel"], strict=True)]
    for _, own in selected.assign(shown=shown).groupby("point"):
        assert own["image_auroc"][own["shown"]].min() >= own["image_auroc"][~own["shown"]].max()
    sizes = {Image.open(io.BytesIO(picture)).size for picture in pictured["crop"]}
    assert max(max(size) for size in sizes) <= 48
    bare = neurons(captured, n_top=2, bootstrap=FEW, metrics=[("image", "auroc")], crops=False)
    assert bare.patches["crop"].isna().all()
