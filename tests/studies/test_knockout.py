"""Knock-outs: planted neurons are found, a null is undecided, and the edges are defined."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom, rankdata, spearmanr
from stored import read_unsealed
from worlds import World

from lakeviz.errors import ConfigError, MetricError, SelectionError
from lakeviz.lake import VisualOptions
from lakeviz.lake.options import Normalisation
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import estimate
from lakeviz.studies.base.captured import StudyData, TextMaps
from lakeviz.studies.base.registry import load_study
from lakeviz.studies.knockout import Ablation, KnockoutResult, ScoreEngine, knockout
from lakeviz.studies.knockout.rows import rank_correlation
from lakeviz.studies.knockout.study import check_sizes
from lakeviz.tables import records

POINT = "blocks.0.hook_resid_post"
FEW = Bootstrap(n_resamples=200)
AUROC = (("image", "auroc"),)
MARGIN = (("image", "cohens_d"),)


def rows(table: pd.DataFrame, **equals) -> pd.DataFrame:
    for column, value in equals.items():
        table = table[table[column] == value]
    return table


# --- the score engine ---

OPTIONS = [
    VisualOptions(),
    VisualOptions(distance="euclidean"),
    VisualOptions(neighbours=3),
    VisualOptions(normalisation=Normalisation("zscore", "after")),
    VisualOptions(normalisation=Normalisation("layernorm", "before")),
    VisualOptions(normalisation=Normalisation("layernorm", "after")),
    VisualOptions(normalisation=Normalisation("l2", "after"), distance="euclidean"),
]


@pytest.mark.parametrize("visual", OPTIONS, ids=str)
def test_score_knockout_is_a_detector_without_the_neurons(world, visual):
    data = world({"visual": visual}, points=("a", "b"))
    engine = ScoreEngine(data)
    gone = {"a": (1, 4, 7), "b": (2,)}
    (knocked,) = engine.run([tuple(Ablation(p, n) for p, n in gone.items())])
    left = {
        p: replace(s, channels=(keep := np.setdiff1d(s.channels, gone[p])), scores=s.scores[keep])
        for p, s in engine.detector.selections.items()
    }
    (expected,) = data.visual_maps(data.branches([left]))
    np.testing.assert_allclose(knocked.maps["visual"], expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("visual", OPTIONS, ids=str)
@pytest.mark.parametrize("base", ["all", "selected"])
def test_nothing_is_the_identity(world, visual, base):
    data = world({"visual": visual, "k": 5})
    engine = ScoreEngine(data, base=base)
    selections = data.select(5) if base == "selected" else data.select(1, "all")
    (intact,) = data.visual_maps(data.branches([selections]))
    for knocked in engine.run([(), (Ablation(POINT, ()),)]):
        assert np.array_equal(knocked.maps["visual"], intact)


@pytest.mark.parametrize("visual", OPTIONS, ids=str)
def test_singles_are_single_conditions(world, visual):
    engine = ScoreEngine(world({"visual": visual}, points=("a", "b")))
    channels = [0, 3, 15]
    one_by_one = engine.run([(Ablation("b", (c,)),) for c in channels])
    for found, expected in zip(engine.singles("b", channels), one_by_one, strict=True):
        np.testing.assert_allclose(
            found.maps["visual"], expected.maps["visual"], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(("distance", "value"), [("cosine", 1.0), ("euclidean", 0.0)])
def test_without_any_neuron_nothing_is_known(world, distance, value):
    data = world({"visual": VisualOptions(distance=distance)})
    (knocked,) = ScoreEngine(data).run([(Ablation(POINT, tuple(range(16))),)])
    assert np.array_equal(knocked.maps["visual"], np.full((48, 4, 4), value))
    measured = knocked.measure(data.evaluator(bootstrap=FEW))["visual"]
    assert measured.values["image", "auroc"] == 0.5
    assert measured.values["image", "cohens_d"] == 0
    assert measured.values["pixel", "auroc"] == 0.5


def test_a_detector_of_one_neuron_can_lose_it(world):
    engine = ScoreEngine(world({"k": 1}), base="selected")
    (channel,) = engine.candidates(POINT)
    (knocked,) = engine.singles(POINT, [int(channel)])
    assert np.unique(knocked.maps["visual"]).tolist() == [0.0]


def test_text_is_fused_but_never_touched(world):
    data = world()
    text = TextMaps(np.random.default_rng(0).random((48, 4, 4)), np.zeros(48))
    data = replace(data, text=text, text_weight=0.3)
    engine = ScoreEngine(data)
    (knocked,) = engine.run([(Ablation(POINT, (0,)),)])
    expected = 0.7 * knocked.maps["visual"] + 0.3 * text.patch
    np.testing.assert_allclose(knocked.maps["lake"], expected)
    assert set(knocked.maps) == {"visual", "lake"}
    assert engine.impossible((Ablation(POINT, (0,)),), "visual") == ""
    assert "visual branch alone" in engine.impossible((), "text")


@pytest.mark.parametrize(
    ("ablation", "said"),
    [
        (Ablation("elsewhere", (0,)), "not at elsewhere"),
        (Ablation(POINT, (16,)), "neurons 0 to 15, not 16"),
        (Ablation(POINT, (0,), "forward"), "score knock-outs, not forward"),
    ],
)
def test_engine_refuses(world, ablation, said):
    with pytest.raises(ConfigError, match=said):
        ScoreEngine(world()).run([(ablation,)])


def test_engine_refuses_choices(world):
    with pytest.raises(ConfigError, match="base must be"):
        ScoreEngine(world(), base="some")
    with pytest.raises(ConfigError, match="no text branch"):
        ScoreEngine(world(), branches=["lake"])
    with pytest.raises(ConfigError, match="no branch 'embedding'; known: visual, lake"):
        ScoreEngine(world(), branches=["embedding"])
    with pytest.raises(ConfigError, match="does not read neuron"):
        ScoreEngine(world(), base="selected").run([(Ablation(POINT, (15,)),)])
    with pytest.raises(SelectionError, match="subspace"):
        ScoreEngine(world({"selector": "pca"}), base="selected").candidates(POINT)


# --- planted truth ---


def planted(world) -> StudyData:
    """Three neurons of high variance carry the defects, the others nothing."""
    scales = np.r_[3.0, 2.9, 2.8, np.linspace(1.0, 0.5, 13)]
    return world({"k": 3}, scales=scales, shift=2.5)


def test_the_neurons_that_carry_the_signal_are_found(world):
    pixel = (("pixel", "auroc"),)
    found = knockout(planted(world), sizes=[3], n_random_sets=3, metrics=pixel, bootstrap=FEW)
    table = found.neurons.set_index("channel")
    carriers = table.loc[[0, 1, 2]]
    assert set(carriers["group"]) == {"selected"}
    others = table.drop(index=[0, 1, 2])
    assert len(others) == 3
    assert carriers["importance"].min() > others["importance"].max()
    assert (carriers["change"] < 0).all()
    assert (carriers["change_high"] < 0).sum() >= 2
    assert (table["value"] + table["importance"]).round(9).nunique() == 1


def test_without_the_carriers_the_signal_is_gone(world):
    found = knockout(planted(world), sizes=[3], n_random_sets=8, single=False, bootstrap=FEW)
    contrast = rows(found.contrasts, metric="auroc", level="image")
    assert (contrast["difference_high"] < 0).all()
    assert rows(contrast, control="random")["n_below"].item() == 0
    one = rows(found.curves, selector="variance", metric="auroc", level="image").iloc[0]
    assert one["value"] < 0.7 < one["intact"]
    assert one["change"] == pytest.approx(one["value"] - one["intact"])
    assert one["low"] <= one["value"] <= one["high"]
    assert one["change_low"] <= one["change"] <= one["change_high"]
    assert found.neurons.empty


def test_only_the_carriers_are_enough(world):
    found = knockout(
        planted(world), sizes=[3, 16], mode="keep", n_random_sets=8, single=False, bootstrap=FEW
    )
    contrast = rows(found.contrasts, metric="auroc", level="image")
    assert (rows(contrast, size=3)["difference"] > 0).all()
    whole = rows(found.curves, size=16)
    assert (whole["change"] == 0).all()
    whole = rows(contrast, size=16)
    without_first = whole["control"] == "variance_without_first"
    assert (whole["reason"][~without_first] == "both knock out the same neurons").all()
    # There is no seventeenth neuron to put in: a row with the reason, and no number.
    (absent,) = whole[without_first].to_dict("records")
    assert "k + 1 are needed" in absent["reason"]
    assert np.isnan(absent["difference"])


def test_contrast_is_variance_minus_the_members(world):
    data = planted(world)
    found = knockout(data, sizes=[4], n_random_sets=3, single=False, metrics=AUROC, bootstrap=FEW)
    contrast = rows(found.contrasts, control="bottom_variance").iloc[0]
    curves = found.curves.set_index("selector")["value"]
    assert contrast["difference"] == curves["variance"] - curves["bottom_variance"]
    assert contrast["n_members"] == 1
    order = np.argsort(-data.statistics[POINT].variance)
    (top,) = ScoreEngine(data).run([(Ablation(POINT, tuple(order[:4].tolist())),)])
    expected = top.measure(data.evaluator(AUROC, FEW))["visual"].values["image", "auroc"]
    assert curves["variance"] == expected


# --- the null ---


def test_named_neurons_have_the_controls_of_a_selector(world):
    data = world()
    settings = dict(controls=("random", "bottom_variance"), n_random_sets=3, single=False)
    by_variance = knockout(data, sizes=(4,), bootstrap=FEW, **settings)
    named = {p: ScoreEngine(data).by_variance(p)[0][:4].tolist() for p in data.points}
    by_name = knockout(data, neurons=named, bootstrap=FEW, **settings)
    pd.testing.assert_frame_equal(by_name.contrasts, by_variance.contrasts)
    assert by_name.selector_of("score", "remove").startswith("neurons:")
    assert f"neurons {', '.join(map(str, named[data.points[0]]))}" in by_name.summary()


@pytest.mark.parametrize(
    ("neurons", "said"),
    [
        ({POINT: [1, 2], "b": [3]}, "one size"),
        ({"elsewhere": [1]}, "not at elsewhere"),
        ({POINT: [10**6]}, "not 1000000"),
    ],
)
def test_named_neurons_that_cannot_be_knocked_out(world, neurons, said):
    with pytest.raises((SelectionError, ConfigError), match=said):
        knockout(world(), neurons=neurons, single=False, bootstrap=FEW)


def test_only_the_named_hook_points_are_knocked_out(world):
    data = world(points=("a", "b"))
    own = dict(controls=("random",), n_random_sets=2, single=False, bootstrap=FEW)
    found = knockout(data, neurons={"b": [0, 1]}, **own)
    engine = ScoreEngine(data)
    (expected,) = engine.run([(Ablation("b", (0, 1)),)])
    value = expected.measure(data.evaluator(AUROC, FEW))["visual"].values["image", "auroc"]
    row = rows(found.contrasts, branch="visual", level="image", metric="auroc")
    assert row["value"].tolist() == [pytest.approx(float(value))]


def test_a_null_is_undecided_as_often_as_said(world):
    """No neuron tells defects, and none differs from another: few intervals leave out zero."""
    n, settings = 20, {"sizes": [4], "controls": ["random"], "n_random_sets": 5, "single": False}
    few = {"n_normal": 12, "n_anomalous": 12, "masks": False}
    found = []
    for seed in range(n):
        data = world({"k": 4}, shift=0.0, scales=np.ones(12), seed=seed, **few)
        # The bootstrap's own seed differs too, so that the runs are independent.
        bootstrap = Bootstrap(n_resamples=100, confidence=0.9, seed=seed)
        made = knockout(data, metrics=MARGIN, bootstrap=bootstrap, seed=seed, **settings)
        (gap,) = records(made.contrasts)
        (change,) = records(made.curves, selector="variance")
        found.append((estimate(gap, "difference").verdict, estimate(change, "change").verdict))
    for verdicts in zip(*found, strict=True):
        assert sum(one != "undecided" for one in verdicts) <= binom.ppf(0.995, n, 0.1)


# --- order, seeds, tables ---


def test_order_of_images_does_not_matter(world):
    data = world()
    normal = {POINT: data.normal.patches(POINT).flip(0)}
    shuffle = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))
    masks = [data.truth.masks[i] for i in shuffle]
    other = StudyData.of_arrays(
        normal,
        {POINT: data.test.patches(POINT)[shuffle]},
        data.truth.labels[shuffle.numpy()],
        masks,
        grid=(4, 4),
        options=data.options,
    )
    settings = {"sizes": [2], "n_random_sets": 2, "bootstrap": FEW}
    one, two = (knockout(d, **settings) for d in (data, other))
    for name in ("value", "change", "importance"):
        if name in one.neurons:
            np.testing.assert_allclose(one.neurons[name], two.neurons[name], atol=1e-5)
        if name in one.curves:
            np.testing.assert_allclose(one.curves[name], two.curves[name], atol=1e-5)


def test_equal_seeds_give_equal_tables(world):
    data = world()
    made = [
        knockout(data, sizes=[3], n_random_sets=3, metrics=MARGIN, bootstrap=FEW, seed=s)
        for s in (5, 5, 6)
    ]
    pd.testing.assert_frame_equal(made[0].curves, made[1].curves)
    assert not made[0].curves.equals(made[2].curves)


def test_controls_have_the_same_size_at_every_point(world):
    data = world({"k": 4}, points=("a", "b"))
    engine = ScoreEngine(data)
    order = {p: np.argsort(-data.statistics[p].variance) for p in ("a", "b")}
    for name in ("variance", "random", "bottom_variance", "next_variance"):
        condition = engine.condition(engine.sets(4, name, 7), "remove")
        assert [len(a.neurons) for a in condition] == [4, 4]
        top = {a.point: set(order[a.point][:4].tolist()) & set(a.neurons) for a in condition}
        if name != "random":
            assert {len(t) for t in top.values()} == {4 if name == "variance" else 0}
    kept = engine.condition(engine.sets(4, "variance", 0), "keep")
    assert [len(a.neurons) for a in kept] == [12, 12]


def test_base_selected_knocks_out_selected_neurons(world):
    found = knockout(
        world({"k": 6}),
        base="selected",
        sizes=[2, 6],
        n_random_sets=2,
        metrics=MARGIN,
        bootstrap=FEW,
    )
    assert set(found.neurons["group"]) == {"selected"}
    assert found.neurons["channel"].nunique() == 6
    gone = rows(found.curves, size=6)
    assert (gone["value"] == 0).all()
    assert any("0 other neurons" in note for note in found.notes)


def test_a_control_that_overlaps_says_so(world):
    found = knockout(
        world(),
        sizes=[12],
        controls=["next_variance"],
        n_random_sets=2,
        single=False,
        metrics=MARGIN,
        bootstrap=FEW,
    )
    assert found.contrasts["reason"].str.contains("8 of the 12 neurons").all()


def test_default_sizes_hold_the_detectors_k():
    assert check_sizes(None, 192, 20) == (1, 2, 6, 14, 20, 33, 80, 192)
    assert check_sizes(None, 192, 15) == (1, 2, 6, 15, 33, 80, 192)
    assert check_sizes(None, 3, 100) == (1, 2, 3)
    assert check_sizes(None, 1, 100) == (1,)
    assert check_sizes([5, 2, 5], 10, 3) == (2, 5)


def test_images_of_one_class_are_refused(world):
    with pytest.raises(MetricError, match="no metric is defined"):
        knockout(world(n_anomalous=0), single=False)


def test_without_masks_the_image_level_goes_on(world):
    found = knockout(world(masks=False), sizes=[2], n_random_sets=2, single=False, bootstrap=FEW)
    assert set(found.curves["level"]) == {"image"}
    assert "no pixel-level metrics, because there are no masks" in found.notes[0]
    assert "AUPRO" not in found.summary()


@pytest.mark.parametrize(
    ("error", "said", "settings"),
    [
        (SelectionError, "between 1 and 16, not 0", {"sizes": [0]}),
        (SelectionError, "between 1 and 16, not 17", {"sizes": [3, 17]}),
        (SelectionError, "no size", {"sizes": []}),
        (SelectionError, "all is no control", {"controls": ["all"]}),
        (SelectionError, "no selector 'randm'", {"controls": ["randm"]}),
        (ConfigError, "kinds is 'network'; it must be one of", {"kind": "network"}),
        (ConfigError, "controls is empty", {"controls": []}),
        (ConfigError, "choices of the forward kind", {"reference": "mean"}),
        (ConfigError, "choices of the forward kind", {"point": POINT}),
        (ConfigError, "come without one", {"kind": "forward"}),
    ],
)
def test_bad_settings(world, error, said, settings):
    with pytest.raises(error, match=said):
        knockout(world(), **settings)


# --- correlation ---


def test_rank_correlation_is_spearmans():
    generator = np.random.default_rng(0)
    variance, draws = generator.random(12), generator.random((12, 50))
    importance = variance + 0.3 * generator.random(12)
    rho, p_value, reason = rank_correlation(variance, importance, draws, Bootstrap(confidence=0.8))
    expected = spearmanr(variance, importance)
    assert (rho.value, p_value) == pytest.approx((expected.statistic, expected.pvalue))
    # Every draw takes images and neurons anew; ranks are those among all neurons.
    picks = np.random.default_rng([0, 12]).multinomial(12, np.full(12, 1 / 12), 50)
    rows = [np.repeat(np.arange(12), pick) for pick in picks]
    ranked = [(rankdata(variance)[r], rankdata(d)[r]) for r, d in zip(rows, draws.T)]
    by_draw = [np.corrcoef(x, y)[0, 1] for x, y in ranked]
    assert [rho.low, rho.high] == pytest.approx(np.quantile(by_draw, [0.1, 0.9]))
    assert reason == ""


def test_a_chance_correlation_is_not_made_certain_by_many_images():
    """No noise over images at all: what is left is the choice of the neurons."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        variance, importance = generator.random((2, 20))
        draws = np.repeat(importance[:, None], 400, axis=1)
        rho, *_ = rank_correlation(variance, importance, draws, Bootstrap())
        wrong += rho.verdict != "undecided"
    assert wrong <= binom.ppf(0.999, 200, 0.1)  # a percentile interval of 20 is a little narrow


@pytest.mark.parametrize(
    ("variance", "importance", "said"),
    [
        ([1.0, 2.0], [1.0, 2.0], "2 neurons says nothing"),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], "3 neurons have the same importance"),
        ([1.0, 1.0, 1.0], [0.0, 0.1, 0.0], "have the same variance"),
    ],
)
def test_no_rank_correlation_has_a_reason(variance, importance, said):
    draws = np.zeros((len(variance), 5))
    rho, p_value, reason = rank_correlation(
        np.array(variance), np.array(importance), draws, Bootstrap()
    )
    assert np.isnan([rho.value, rho.low, p_value]).all()
    assert said in reason


# --- results ---


@pytest.fixture(scope="module")
def made() -> KnockoutResult:
    return knockout(World(shift=1.5).data(), sizes=[2, 8], n_random_sets=3, bootstrap=FEW)


@pytest.fixture
def result(made):
    return deepcopy(made)


def test_columns(result):
    assert list(result.contrasts) == [
        *("category", "kind", "mode", "branch", "size", "control", "level", "metric"),
        *("value", "low", "high", "control_mean", "control_min", "control_max", "n_members"),
        *("difference", "difference_low", "difference_high", "estimand"),
        *("difference_to_mean_low", "difference_to_mean_high", "p_value", "n_draws"),
        *("share_images", "share_draws", "share_sets", "n_images", "n_regions"),
        *("control_quantile_low", "control_quantile_high", "n_below", "reason"),
    ]
    assert list(result.curves) == [
        *("category", "kind", "mode", "branch", "selector", "size", "level", "metric"),
        *("value", "low", "high", "change", "change_low", "change_high", "intact"),
        *("n_random_sets", "n_draws", "share_images", "share_draws", "share_sets"),
        *("n_images", "n_regions", "reason"),
    ]
    shares = ["share_draws", "share_sets"]  # of what was not varied
    assert not result.curves.drop(columns=["reason", *shares]).isna().any().any()
    said = result.correlation[result.correlation["value"].isna()]["reason"]
    assert (said != "").all()


def test_tables_of_the_first_protocol_are_read(result, tmp_path):
    """Written with the names of then, they come back with those of today."""
    result.to_parquet(tmp_path)
    old = {new: name.split(".")[-1] for name, new in KnockoutResult.renamed.items()}
    # There were no draws of the normal images then: n_draws were random sets.
    tables = {name: table.drop(columns="n_draws") for name, table in result.tables.items()}
    for name, table in tables.items():
        table.rename(columns=old).to_parquet(tmp_path / f"{name}.parquet")
    described = read_unsealed(tmp_path / "study.json")
    settings = described["provenance"]["settings"]["score, remove"]
    settings["n_draws"] = settings.pop("n_random_sets")
    described["protocol"] = "lakeviz-study/1"
    (tmp_path / "study.json").write_text(json.dumps(described))
    again = load_study(tmp_path)
    assert isinstance(again, KnockoutResult)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
    assert again.summary() == result.summary()
    assert again.settings == result.settings


def headline_gap(result, category="category"):
    (row,) = records(
        result.contrasts,
        **{"category": category, "size": 8, "control": "random", "level": "image"},
        metric="auroc",
    )
    return row


def test_findings_are_those_of_the_declared_size(result):
    against_intact, against_random, *_ = result.findings()
    row = headline_gap(result)
    (curve,) = records(result.curves, size=8, selector="variance", level="image", metric="auroc")
    assert against_random.difference == estimate(row, "difference")
    assert against_intact.difference == estimate(curve, "change")
    assert against_random.value.value == pytest.approx(against_intact.value.value)
    said = result.summary()
    assert "the network is untouched" in said
    assert "without the 8 top-variance neurons" in said
    assert f"minus 3 sets of 8 random neurons {against_random.difference.text(signed=True)}" in said
    assert "95 % over 48 test images" in said
    shown = result.headline()
    assert shown["difference"][1] == against_random.difference.text(signed=True)
    assert list(shown["control"][:4]) == [
        "the intact detector on all channels",
        "3 sets of 8 random neurons",
        "3 sets of 8 neurons next in variance",
        "8 lowest-variance neurons",
    ]


def other_category(result: KnockoutResult, name: str, shift: float) -> KnockoutResult:
    tables = {n: t.assign(category=name) for n, t in result.tables.items()}
    moved = ["difference", "difference_low", "difference_high"]
    tables["contrasts"][moved] += shift
    return KnockoutResult(**tables, provenance=result.provenance | {"categories": {name: {}}})


def test_categories_are_averaged(result):
    made = KnockoutResult.join(
        [result, other_category(result, "b", -10), other_category(result, "c", 10)]
    )
    assert made.categories == ["category", "b", "c"]
    _, mean, *_ = made.findings()
    own = estimate(headline_gap(result), "difference")
    assert mean.where == "Mean over 3 categories"
    assert mean.difference.value == pytest.approx(own.value)
    assert mean.by_category == Counter(["lower", "higher", own.verdict])


def test_kinds_and_modes_join(result, world):
    data, settings = world(shift=1.5), {"sizes": [2, 8], "n_random_sets": 3, "bootstrap": FEW}
    kept = knockout(data, mode="keep", single=False, **settings)
    both = KnockoutResult.join([result, kept])
    assert both.runs == [("score", "remove"), ("score", "keep")]
    assert set(both.settings) == {"score, remove", "score, keep"}
    assert "with only the 8 top-variance neurons" in both.summary()
    with pytest.raises(ConfigError, match="run twice on category"):
        KnockoutResult.join([result, result])
    changed = other_category(result, "b", 0)
    own = result.settings["score, remove"]
    changed.provenance["settings"] = {"score, remove": own | {"seed": 1}}
    with pytest.raises(ConfigError, match="other settings of score, remove"):
        KnockoutResult.join([result, changed])
    at_once = knockout(data, modes=["remove", "keep"], **settings)
    for name, table in both.tables.items():
        pd.testing.assert_frame_equal(at_once.tables[name], table)


@pytest.mark.parametrize(("k", "size"), [(5, 8), (3, 2)])
def test_the_declared_size_is_the_nearest(result, k, size):
    result.provenance["settings"]["score, remove"]["k"] = k
    assert result.size_of("score", "remove") == size
