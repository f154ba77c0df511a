"""The table of claims: what it holds, how it is put together, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from worlds import POINT, World

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate, mean_over_categories
from lakeviz.metrics.image_intervals import measure_images
from lakeviz.studies.base.registry import load_study
from lakeviz.studies.claims import CLAIMS, Case, ClaimSettings, ClaimsResult, judge_claims
from lakeviz.studies.claims.claim import CAUSES
from lakeviz.studies.claims.effects import over
from lakeviz.studies.claims.figures import claims_by_point_figure, claims_figure
from lakeviz.studies.claims.plan import Plan
from lakeviz.studies.claims.result import IMAGE_AUROC
from lakeviz.studies.claims.rules import VERDICTS
from lakeviz.studies.claims.study import N_PARTS, n_parts

QUICK = ClaimSettings(n_random_sets=3, n_fits=2, n_resamples=50)
NEXT = "blocks.1.hook_resid_post"
EVIL = "<img src=x onerror=alert(1)>"


def case(category: str = "plate", seed: int = 0, settings: ClaimSettings = QUICK, **world) -> Case:
    made = World(seed=seed, **{"n_fit": 8, "shift": 1.5, **world}).data(k=4)
    data = replace(made, category=category)
    return Case(data, settings, data)


@pytest.fixture(scope="module")
def several() -> ClaimsResult:
    return judge_claims([case(name, seed) for seed, name in enumerate(("a", "b", EVIL))])


def test_all_are_judged_once():
    assert [claim.number for claim in CLAIMS] == list(range(1, 16))
    assert sum(len(claim.parts) for claim in CLAIMS[:12]) == N_PARTS == 16
    assert sum(len(claim.parts) for claim in CLAIMS) == N_PARTS + n_parts(CAUSES) == 21
    result = judge_claims([case()])
    assert result.verdicts["claim"].tolist() == list(range(1, 16))
    assert len(result.parts) == 21
    of_paper = result.parts["claim"] <= 12
    levels = np.where(of_paper, 1 - 0.05 / 16, 1 - 0.05 / 5)
    assert result.parts["corrected_confidence"].to_numpy() == pytest.approx(levels)


def test_nothing_is_missing_without_a_reason(several):
    for row in several.parts.to_dict("records"):
        assert np.isfinite(row["value"]) != bool(row["reason"]), row
    for row in several.verdicts.to_dict("records"):
        assert row["finding"] or row["reason"]
    measured = several.parts["verdict"] != "not measured"
    assert measured.equals(np.isfinite(several.parts["power"]))
    assert (several.parts["power_for"] != "").all()
    assert several.parts["power"].dropna().between(0, 1).all()
    text = several.verdicts.set_index("name").loc["text_helps"]
    assert text["verdict"] == "not measured"
    assert "no text branch" in text["reason"]


def test_corrected_intervals_hold_the_uncorrected_ones(several):
    for result in (several, judge_claims([case()])):
        found = result.parts.dropna(subset=["low"])
        assert (found["corrected_low"] <= found["low"]).all()
        assert (found["corrected_high"] >= found["high"]).all()


def test_intervals_are_over_categories_where_there_are_several(several):
    row = several.parts.set_index("name").loc["max_beats_mean"]
    own = several.effects[several.effects["name"] == "max_beats_mean"]
    parts = [Estimate(v, low, high) for v, low, high in own[["value", "low", "high"]].to_numpy()]
    expected = mean_over_categories(parts, 0.95)
    assert row["interval_over"] == "categories"
    assert (row["value"], row["low"]) == pytest.approx((expected.value, expected.low))
    assert several.parts.set_index("name").loc["overlaps", "n_categories"] == 3


def test_the_order_of_the_categories_does_not_matter(several):
    turned = judge_claims([case(name, seed) for seed, name in ((2, EVIL), (0, "a"), (1, "b"))])
    one, other = (r.parts.set_index(["claim", "part"]) for r in (several, turned))
    for column in ("value", "low", "high"):
        assert one[column].to_numpy() == pytest.approx(other[column].to_numpy(), nan_ok=True)


def test_ceiling_is_no_verdict():
    perfect = judge_claims([case(shift=40.0, signal=range(16))]).verdicts.set_index("name")
    for name in ("beats_random", "sparse_suffices", "max_beats_mean", "needs_little_memory"):
        assert perfect.loc[name, "verdict"] == "not measured"
        assert "ceiling" in perfect.loc[name, "reason"] or "room" in perfect.loc[name, "reason"]


def test_one_misordered_pair_in_one_draw_is_still_the_ceiling():
    labels = np.repeat([0, 1], (6, 17))
    bootstrap = Bootstrap(n_resamples=20)
    right = labels + np.linspace(0, 0.1, 23)
    wrong = right.copy()
    wrong[5], wrong[6] = wrong[6], wrong[5]
    perfect, one_off = (measure_images(s, labels, ("auroc",), bootstrap) for s in (right, wrong))
    assert one_off.values[IMAGE_AUROC] == pytest.approx(1 - 1 / 102)
    sets = [perfect, one_off, perfect]
    assert "ceiling" in over(perfect, sets, IMAGE_AUROC, 0.01).reason
    assert "ceiling" in over(one_off, sets, IMAGE_AUROC, 0.001).reason
    clear = measure_images(np.where(labels, 0.01, right), labels, ("auroc",), bootstrap)
    assert over(clear, sets, IMAGE_AUROC, 0.01).reason == ""


def test_selecting_every_channel_is_no_selection():
    everything = World(n_fit=8).data(k=16)
    verdicts = judge_claims([Case(everything, QUICK, everything)]).verdicts.set_index("name")
    for name in ("beats_random", "sparse_suffices", "equals_pca", "needs_little_memory"):
        assert verdicts.loc[name, "verdict"] == "not measured"
        assert "all 16 channels are selected" in verdicts.loc[name, "reason"]


def test_pixel_metrics_judge_too_but_for_pooling():
    settings = replace(QUICK, metric=("pixel", "aupro"))
    parts = judge_claims([case(settings=settings)]).parts.set_index(["name", "part"])
    assert parts.loc[("beats_random", "minus_random"), "unit"] == "pixel aupro"
    assert parts.loc[("max_beats_mean", "minus_mean"), "unit"] == "image auroc"


def test_summary_counts_verdicts(several):
    said = several.summary()
    counts = several.verdicts["verdict"].value_counts()
    for verdict in VERDICTS:
        assert f"{counts.get(verdict, 0)} {verdict}" in said
    assert "3 categories, judged by image AUROC with rules fixed beforehand" in said
    assert f"At {POINT}, of 15 claims" in said
    assert "(claims 13 and up among themselves)" in said


def test_hook_points_join_and_come_back(several, tmp_path):
    deep = judge_claims([case(n, s, points=(NEXT,)) for s, n in enumerate(("a", "b", EVIL))])
    joined = ClaimsResult.join([several, deep])
    assert joined.points == [POINT, NEXT]
    assert "not corrected for each other" in joined.summary()
    again = load_study(joined.to_parquet(tmp_path))
    assert again.verdicts.equals(joined.verdicts)
    assert again.provenance["settings"]["rules"]["1 minus_random"].startswith("supported: interval")
    table = joined.headline()
    assert list(table.columns) == ["claim", "blocks.0", "blocks.1"]
    assert table["claim"].iloc[0] == "1. beats random"
    assert len(joined.figures()) == 3


def test_a_view_at_one_point_is_that_point_alone():
    both = case(points=(POINT, NEXT))
    one = judge_claims([both.at(NEXT)])
    assert one.points == [NEXT]
    alone = case(points=(POINT, NEXT)).data.view(points=[NEXT])
    other = judge_claims([Case(alone, QUICK, alone)])
    assert one.parts.equals(other.parts)


# --- draws ---


def test_effects_are_means_over_draws():
    whole = World(n_fit=8, shift=1.5).data(k=4)
    first, second = (whole.view(images=range(i, i + 4)) for i in (0, 4))
    both = judge_claims([Case(first, QUICK, None, [second])]).parts.set_index(["claim", "part"])
    alone = [
        judge_claims([Case(d, QUICK)]).parts.set_index(["claim", "part"]) for d in (first, second)
    ]
    for key in [(1, "minus_random"), (2, "minus_all"), (6, "minus_mean"), (10, "minus_coreset")]:
        expected = np.mean([one.loc[key, "value"] for one in alone])
        assert both.loc[key, "value"] == pytest.approx(expected)
        assert both.loc[key, "n_draws"] == 2


# --- plans ---

CONTENT = {"k": 20, "points": ["blocks.5"], "claims": {"seed": 0, "metric": ["image", "auroc"]}}


def test_a_plan_comes_back_and_says_what_differs(tmp_path):
    plan = Plan(CONTENT)
    again = Plan.read(plan.write(tmp_path / "plan.json"))
    assert again.sha256 == plan.sha256 == Plan(dict(reversed(CONTENT.items()))).sha256
    assert plan.compare(again)["differs"] == []
    other = Plan({**CONTENT, "k": 24, "claims": {"seed": 1, "metric": ["image", "auroc"]}})
    assert plan.differences(other) == [
        "k: planned 20, now 24",
        "claims.seed: planned 0, now 1",
    ]
    assert plan.differences(Plan({**CONTENT, "new": 1})) == ["new: planned nothing, now 1"]


def test_a_plan_that_was_changed_or_is_none_is_refused(tmp_path):
    path = Plan(CONTENT).write(tmp_path / "plan.json")
    with pytest.raises(ConfigError, match="not overwritten"):
        Plan(CONTENT).write(path)
    path.write_text(path.read_text().replace("20", "24"))
    with pytest.raises(ConfigError, match="was changed after it was written"):
        Plan.read(path)
    path.write_text("{}")
    with pytest.raises(ConfigError, match="is no plan of claims"):
        Plan.read(path)


def test_the_summary_says_as_planned_or_what_differs(several):
    plan = Plan(CONTENT)
    one = replace(several, provenance={**several.provenance, "plan": plan.compare(plan)})
    assert f"As planned (plan {plan.sha256[:12]})." in one.summary()
    other = plan.compare(Plan({**CONTENT, "k": 24}))
    one = replace(several, provenance={**several.provenance, "plan": other})
    assert "Not as planned" in one.summary()
    assert "k: planned 20, now 24." in one.summary()
    assert "planned" not in several.summary()


# --- figures ---


def test_figure_holds_every_effect_and_its_rule(several):
    fig = claims_figure(several.parts, several.effects)
    dots, marks = [[t for t in fig.data if (t.legendgroup is None) == of] for of in (True, False)]
    drawn = sorted(x for t in marks for x in t.x if np.isfinite(x))
    assert drawn == sorted(several.parts["value"].dropna())
    assert sum(len(t.x) for t in dots) == several.effects["value"].notna().sum()
    axes = fig.layout.yaxis, fig.layout.yaxis2
    assert [len(axis.ticktext) for axis in axes] == [14, 7]
    shaded = [shape for shape in fig.layout.shapes if shape.type == "rect"]
    assert len(shaded) == 21
    (shared,) = [s for s in shaded if s.yref == "y2" and s.y0 > 5]  # the last row
    assert (shared.x0, shared.x1) == (0.0, 0.05)
    legend = {t.name for t in fig.data if t.showlegend}
    counts = several.parts["verdict"].value_counts()
    assert {f"{verdict} ({n})" for verdict, n in counts.items()} == legend
    assert not any("<img" in name for t in dots for name in t.text)


def test_figure_by_point_marks_each_claim_once(several):
    fig = claims_by_point_figure(several.verdicts)
    assert sum(len(t.x) for t in fig.data) == 15
    letters = {t.text[0] for t in fig.data if t.text}
    assert letters <= {"S", "C", "?", "–"}
    with pytest.raises(ConfigError, match="no verdict"):
        claims_by_point_figure(several.verdicts.iloc[:0])


# --- bad input ---


def test_no_category_twice_or_of_other_settings():
    with pytest.raises(ConfigError, match="at least one category"):
        judge_claims([])
    with pytest.raises(ConfigError, match="plate was given twice"):
        judge_claims([case(), case()])
    with pytest.raises(ConfigError, match="b has other settings than a"):
        judge_claims([case("a"), case("b", settings=replace(QUICK, n_fits=3))])
    with pytest.raises(ConfigError, match="other hook points"):
        judge_claims([case("a"), case("b", points=(NEXT,))])


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match="n_random_sets is 1; it must be at least 2"):
        ClaimSettings(n_random_sets=1)
    with pytest.raises(ConfigError, match="n_fits is 0; it must be at least 2"):
        ClaimSettings(n_fits=0)
    with pytest.raises(ConfigError, match=r"confidence is 1\.0; it must lie between 0 and 1"):
        ClaimSettings(confidence=1.0)
    with pytest.raises(ConfigError, match="got image:cohens_d"):
        ClaimSettings(metric=("image", "cohens_d"))


def test_one_class_only_is_refused():
    with pytest.raises(MetricError, match="no metric is defined"):
        judge_claims([case(n_anomalous=0)])


def test_an_unknown_host_is_named():
    from lakeviz.errors import HostError

    with pytest.raises(HostError, match="no host 'patchcor'"):
        judge_claims([case(settings=replace(QUICK, host="patchcor"))])
