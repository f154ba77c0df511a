"""Single neurons: planted truth, the null, and what is absent is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neuron_rows import FEW, POINT, row_of
from scipy.stats import binom

from lakeviz.errors import ConfigError, MetricError, SelectionError
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.neurons import neurons
from lakeviz.studies.neurons.measures import PatchSample
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.neurons.tested_neurons import choose

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
        ({"deviation": "mean"}, ConfigError, "zscore or nearest"),
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
