"""``compare_host``: planted worlds, a null, the arithmetic of adding, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lakeviz
from lakeviz.errors import ConfigError, HostError, MetricError, SelectionError, StoreError
from lakeviz.metrics import Bootstrap
from lakeviz.plots import caption_of
from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.hosts import HostResult, compare_host
from lakeviz.studies.hosts.conditions import add
from lakeviz.studies.hosts.detectors import HostScores, NearestNeighboursHost
from lakeviz.studies.hosts.figures import host_costs_figure, host_gains_figure
from lakeviz.studies.hosts.scoring import HostMaps, Scale, features_of, folds, host_scale
from lakeviz.tables import records

FEW = Bootstrap(n_resamples=200)
QUICK = {"bootstrap": FEW, "n_repeats": 1, "n_random_sets": 3}


def row(table, **equals):
    (found,) = records(table, **equals)
    return found


def test_restricting_is_the_host_on_those_channels(planted, energy):
    data = planted(points=("blocks.0.hook_resid_post", "blocks.1.hook_resid_post"))
    result = compare_host(energy, data, modes=["restrict"], **QUICK)
    chosen = data.select(3)
    parts = [
        (
            data.normal.patches(p)[..., s.channels.copy()],
            data.test.patches(p)[..., s.channels.copy()],
        )
        for p, s in chosen.items()
    ]
    normal, test = (torch.cat([part[i] for part in parts], -1).numpy() for i in (0, 1))
    maps = ((test - normal.mean((0, 1))) ** 2).sum(-1).reshape(-1, 4, 4)
    wanted = data.evaluator(bootstrap=FEW).measure(maps).values
    for level, metric in (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro")):
        found = row(
            result.metrics, mode="restrict", selector="variance", level=level, metric=metric
        )
        assert found["value"] == pytest.approx(wanted[level, metric], abs=1e-6)
        alone = row(result.metrics, mode="alone", level=level, metric=metric)["value"]
        assert found["difference"] == pytest.approx(found["value"] - alone)
        assert found["difference_low"] <= found["difference"] <= found["difference_high"]


def test_a_planted_signal_in_the_top_neurons_is_a_gain(planted, energy):
    # Every third random set holds a channel of the signal, so few sets cannot tell: with three the
    # prediction interval is [-0.4, 1.3], with twenty it leaves out zero.
    few = compare_host(energy, planted(), modes=["restrict"], **QUICK)
    gap = row(few.contrasts, control="random", level="pixel", metric="aupro")
    assert gap["difference_low"] < 0 < gap["difference"]
    assert gap["p_value"] == 1 / 4
    assert gap["share_sets"] > 0.9
    result = compare_host(energy, planted(), **{**QUICK, "n_random_sets": 20})
    gain = row(result.metrics, mode="restrict", selector="variance", level="pixel", metric="aupro")
    assert gain["difference_low"] > 0
    gap = row(result.contrasts, mode="restrict", control="random", level="pixel", metric="aupro")
    assert gap["p_value"] == 1 / 21
    assert gap["estimand"] == "minus one more random set"
    assert 0 < gap["difference_low"] < gap["difference_to_mean_low"]
    for control in ("random", "bottom_variance", "next_variance"):
        found = row(
            result.contrasts, mode="restrict", control=control, level="pixel", metric="aupro"
        )
        assert found["difference_low"] > 0
        assert found["n_below"] == found["n_random_sets"]
    aupro = [f for f in result.findings() if f.metric == ("pixel", "aupro")]
    restricted = [f for f in aupro if "restricted" in f.subject]
    assert [(f.control, f.verdict) for f in restricted] == [
        ("the host alone", "higher"),
        ("the host with random neurons", "higher"),
    ]


def test_a_signal_elsewhere_makes_the_host_better_without(planted, energy):
    result = compare_host(energy, planted(signal=range(10, 20)), modes=["restrict"], **QUICK)
    loss = row(result.metrics, mode="restrict", selector="variance", level="pixel", metric="aupro")
    assert loss["difference_high"] < 0
    first = next(f for f in result.findings() if f.metric == ("pixel", "aupro"))
    assert first.verdict == "lower"


def test_without_any_signal_little_is_called_different(planted, energy):
    called = []
    for seed in range(12):
        result = compare_host(
            energy,
            planted(shift=0, seed=seed),
            modes=["restrict"],
            selections=("variance", "random"),
            metrics=[("image", "auroc")],
            bootstrap=FEW,
            n_repeats=1,
            n_random_sets=6,
            seed=seed,
        )
        (gap,) = records(result.contrasts)
        called.append(not gap["difference_low"] <= 0 <= gap["difference_high"])
    assert sum(called) <= 2  # expected at 5 %: 0.6 of 12; P(more than 2) = 0.02


def test_adding_lake_to_itself_changes_nothing(planted):
    # Nearest neighbours in all channels are LAKE's own score: both have the same units and maps.
    result = compare_host(
        NearestNeighboursHost(),
        planted(),
        modes=["add"],
        selections=["all"],
        bootstrap=FEW,
        n_repeats=1,
    )
    host, lake = records(result.scales)
    assert (host["score"], lake["score"]) == ("patch_nn", "lake")
    assert host["mean"] == pytest.approx(lake["mean"], rel=1e-5)
    assert host["deviation"] == pytest.approx(lake["deviation"], rel=1e-4)
    for found in records(result.metrics, mode="add"):
        assert found["difference"] == pytest.approx(0, abs=2e-3)


def test_scales_are_of_images_not_fitted_on(planted, energy):
    data = planted(n_fit=6)
    assert [out for _, out in folds(6)] == [[0, 4], [1, 5], [2], [3]]
    assert folds(2) == [([1], [0]), ([0], [1])]
    tokens = data.normal.patches(data.points[0]).numpy()
    scores = []
    for kept, out in folds(6):
        scores.append(((tokens[out] - tokens[kept].mean((0, 1))) ** 2).sum(-1).ravel())
    found = host_scale(energy, data)
    flat = np.concatenate(scores)
    assert (found.mean, found.n_patches) == (pytest.approx(flat.mean(), rel=1e-5), 96)
    assert found.deviation == pytest.approx(flat.std(ddof=1), rel=1e-4)


def test_adding_by_hand():
    host = HostMaps(np.array([[[1.0, 2.0]]]), np.array([10.0]))
    lake = HostMaps(np.array([[[3.0, 5.0]]]))
    both = add(host, lake, 0.25, lambda maps: maps.max((1, 2)))
    assert both.maps.tolist() == [[[1.5, 2.75]]]
    assert both.images is not None
    assert both.images.tolist() == [0.75 * 10 + 0.25 * 5]
    assert add(HostMaps(host.maps), lake, 0.25, lambda maps: maps).images is None
    assert Scale(2.0, 4.0, 3)(np.array([6.0, 2.0])).tolist() == [1.0, 0.0]


def test_own_image_scores_are_measured_as_they_are(planted, energy):
    data = planted(shift=0)

    class Knows(type(energy)):
        """Its image scores are the truth, its maps are noise."""

        def score(self, features):
            self.seen = getattr(self, "seen", 0)
            rows = slice(self.seen, self.seen + len(features))
            self.seen += len(features)
            return HostScores(super().score(features).patch, data.truth.labels[rows].astype(float))

    result = compare_host(Knows(), data, modes=["restrict"], **QUICK)
    alone = row(result.metrics, mode="alone", level="image", metric="auroc")
    assert alone["value"] == 1
    assert row(result.metrics, mode="alone", level="pixel", metric="auroc")["value"] < 0.7


def test_features_of_grids_of_two_sizes_come_to_the_finest(planted):
    from dataclasses import replace

    data = planted(points=("a", "b"))
    data = replace(data, grids={"a": (4, 4), "b": (2, 2)})
    tokens = {"a": torch.zeros(1, 16, 2), "b": torch.arange(4.0).reshape(1, 4, 1)}
    found = features_of(data, tokens, None)
    assert found.shape == (1, 16, 3)
    wanted = torch.nn.functional.interpolate(
        torch.arange(4.0).reshape(1, 1, 2, 2), size=(4, 4), mode="bilinear"
    )
    assert torch.equal(found[0, :, 2], wanted.flatten())


# --- the result ---


def test_hosts_and_categories_join_and_come_back(planted, energy, tmp_path):
    quick = {**QUICK, "selections": ("variance", "random")}
    parts = [
        compare_host(host, planted(category=name, seed=seed), **quick)
        for seed, name in enumerate(("<b>bolt</b>", "nut"))
        for host in (energy, "patch_nn")
    ]
    joined = HostResult.join(parts)
    assert list(joined.hosts) == ["energy", "patch_nn"]
    assert "energy alone: image AUROC" in joined.summary()
    assert "Mean over 2 categories" in joined.summary()
    assert "by category: " in joined.summary()
    with pytest.raises(ConfigError, match="energy was run twice on <b>bolt</b>"):
        HostResult.join([parts[0], parts[0]])
    with pytest.raises(ConfigError, match="results of energy with other settings"):
        HostResult.join([parts[0], compare_host(energy, planted(category="c"), k=2, **quick)])
    folder = joined.to_parquet(tmp_path / "hosts")
    again = HostResult.from_parquet(folder)
    assert again.summary() == joined.summary()
    assert isinstance(lakeviz.load_study(folder), HostResult)
    with pytest.raises(StoreError, match="holds a study 'hosts', not 'score'"):
        from lakeviz.studies.score_maps import ScoredMaps

        ScoredMaps.from_parquet(folder)
    figures = joined.figures()
    assert [caption_of(f)[0] for f in figures] == [
        *("Plugged into energy", "Plugged into patch_nn"),
        *("Costs: energy", "Costs: patch_nn"),
    ]
    assert "<b>bolt" not in figures[0].to_json()
    assert list(joined.headline()["host"].unique()) == ["energy", "patch_nn"]
    assert isinstance(joined, StudyResult)


def test_figures_show_the_differences_of_the_table(planted, energy):
    result = compare_host(energy, planted(), **QUICK)
    fig = host_gains_figure(result.metrics, host="energy")
    drawn = [float(x) for trace in fig.data for x in trace.x]
    table = result.metrics[result.metrics["mode"] != "alone"]
    assert sorted(drawn) == pytest.approx(sorted(table["difference"]))
    title, caption = caption_of(fig)
    assert title == "Plugged into energy"
    assert "48 test images" in caption
    assert "Random sets: 1 to 3" in caption
    costs = host_costs_figure(result.costs, host="energy")
    kept = [float(trace.x[0]) for trace in costs.data if trace.xaxis == "x"]
    assert kept[0] == pytest.approx(24 * 4 / 2**20)  # the mean of 24 channels
    with pytest.raises(ConfigError, match="no cost was taken of the host 'other'"):
        host_costs_figure(result.costs, host="other")
    with pytest.raises(ConfigError, match="plugged into the host 'other'"):
        host_gains_figure(result.metrics, host="other")


def test_costs_of_added_scores_are_sums(planted, energy):
    costs = compare_host(energy, planted(), **QUICK).costs
    alone, lake = row(costs, mode="alone"), row(costs, mode="lake")
    both = row(costs, mode="add", selector="variance")
    for column in ("bytes", "seconds_per_image"):
        assert both[column] == pytest.approx(alone[column] + lake[column])
    assert row(costs, mode="restrict", selector="pca")["bytes"] == 3 * 4


# --- what is refused ---


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"modes": ["replace"]},
            ConfigError,
            "modes must be restrict or add, not 'replace'",
        ),
        ({"modes": []}, ConfigError, "modes are restrict and add"),
        (
            {"n_random_sets": 1},
            ConfigError,
            "n_random_sets is 1; a random control needs",
        ),
        ({"weight": 1}, ConfigError, "weight is 1; it must lie between"),
        ({"n_repeats": 0}, ConfigError, "n_repeats is 0; it must be at least 1"),
        ({"selections": []}, ConfigError, "name the selection in question"),
        ({"selections": ["varianz"]}, SelectionError, "no selector 'varianz'"),
        ({"k": 25}, SelectionError, "k must be between 1 and 24, not 25"),
    ],
)
def test_settings_out_of_range(given, error, message, planted, energy):
    with pytest.raises(error, match=message):
        compare_host(energy, planted(), **{**QUICK, **given})


def test_worlds_that_allow_no_comparison(planted, energy, tile):
    with pytest.raises(ConfigError, match="at least two normal images"):
        compare_host(energy, planted(n_fit=1), **QUICK)
    alone = compare_host(energy, planted(n_fit=1), modes=["restrict"], **QUICK)
    assert set(alone.metrics["mode"]) == {"alone", "restrict"}
    without = compare_host(energy, planted(masks=False), modes=["restrict"], **QUICK)
    assert set(without.metrics["level"]) == {"image"}
    assert any("no pixel-level metrics" in note for note in without.notes)
    data = planted(n_each=4, masks=False).view()
    normal_only = data.truth.where(data.truth.labels == 0)
    from dataclasses import replace

    with pytest.raises(MetricError, match="no metric is defined"):
        tokens = data.test.some(range(4))
        compare_host(energy, replace(data, test=tokens, truth=normal_only), **QUICK)
    with pytest.raises(ConfigError, match="a data set needs a model"):
        compare_host(energy, tile)


def test_hosts_that_misbehave(planted, energy):
    class Short(type(energy)):
        def score(self, features):
            return HostScores(super().score(features).patch[:, :7])

    class Nan(type(energy)):
        def score(self, features):
            return HostScores(super().score(features).patch * np.nan)

    class Flat(type(energy)):
        def score(self, features):
            return HostScores(super().score(features).patch * 0)

    with pytest.raises(HostError, match=r"shape \(48, 7\).*do not fill the patch grid"):
        compare_host(Short(), planted(), **QUICK)
    with pytest.raises(HostError, match="energy gave scores that are NaN"):
        compare_host(Nan(), planted(), **QUICK)
    with pytest.raises(HostError, match="has no unit in which another could be added"):
        compare_host(Flat(), planted(), **QUICK)
