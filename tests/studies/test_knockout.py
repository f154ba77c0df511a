"""Knock-outs: the score engine, planted truth, and the null."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from knockout_rows import AUROC, FEW, MARGIN, POINT, rows
from scipy.stats import binom

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake import VisualOptions
from lakeviz.lake.options import Normalisation
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import estimate
from lakeviz.studies.base.captured import StudyData, TextMaps
from lakeviz.studies.knockout import Ablation, ScoreEngine, knockout
from lakeviz.tables import records

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
