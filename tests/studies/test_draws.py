"""Several draws of the normal images: means over them, and what cannot be made on one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from worlds import World

from lakeviz.errors import ConfigError
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate, mean_over_draws
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import as_draws, mean_of_tables, replicates, servable
from lakeviz.studies.contamination import contamination
from lakeviz.studies.dossier import dossier
from lakeviz.studies.hosts import compare_host
from lakeviz.studies.knockout import ScoreEngine, knockout
from lakeviz.studies.knockout.groups import DrawMeasurers, Measurer, _sets
from lakeviz.studies.knockout.result import Settings
from lakeviz.studies.neurons import neurons
from lakeviz.studies.pca import pca
from lakeviz.studies.readings import readings
from lakeviz.tables import records, where

POINT = "blocks.0.hook_resid_post"
FEW = Bootstrap(n_resamples=100)
AUROC = (("image", "auroc"),)
QUICK = {"metrics": AUROC, "bootstrap": FEW, "n_random_sets": 4}


@pytest.fixture(scope="module")
def draws() -> list[StudyData]:
    """Three draws of two normal images of a world whose variances are near one another."""
    data = World(n_fit=6, shift=1.2, scales=np.linspace(1.1, 1.0, 12)).data(k=3)
    return [data.view(images=images) for images in ((0, 1), (2, 3), (4, 5))]


def mean(parts: list, column: str) -> float:
    return float(np.mean([part[column] for part in parts]))


# --- the mean over draws is the mean of studies of one draw ---


def test_a_knockout_over_draws_is_the_mean_of_single_ones(draws):
    own = {"sizes": [3], "controls": ["random", "bottom_variance"], **QUICK}
    found = knockout(draws, **own)
    single = [knockout(data, **own) for data in draws]
    for table, columns, where_ in (
        ("contrasts", ("value", "control_mean", "difference"), {"control": "random"}),
        ("contrasts", ("value", "control_mean", "difference"), {"control": "bottom_variance"}),
        ("curves", ("value", "change", "intact"), {"selector": "variance"}),
    ):
        (row,) = records(getattr(found, table), **where_)
        parts = [records(getattr(one, table), **where_)[0] for one in single]
        assert row["n_draws"] == 3
        assert {part["n_draws"] for part in parts} == {1}
        for column in columns:
            assert row[column] == pytest.approx(mean(parts, column))
    random, bottom = (records(found.contrasts, control=c)[0] for c in own["controls"])
    assert random["estimand"] == "minus one more random set"
    assert bottom["estimand"] == "paired over images"
    assert random["share_images"] + random["share_draws"] + random["share_sets"] == pytest.approx(1)
    assert 0 < random["share_draws"] < 1
    assert np.isnan(bottom["share_sets"])
    assert all(np.isnan(one.contrasts["share_draws"]).all() for one in single)
    assert "48 test images and 3 draws of the normal images" in found.summary()
    caption = found.figures()[0].layout.meta["caption"]
    assert "over 3 draws of the normal images" in caption
    assert "minus one more random set" in caption


def test_single_neurons_over_draws(draws):
    found = knockout(draws, sizes=[3], **QUICK)
    for row in records(found.neurons):
        variance = [data.statistics[POINT].variance[row["channel"]] for data in draws]
        assert row["variance"] == pytest.approx(np.mean(variance))
        gone = [
            next(ScoreEngine(data).singles(POINT, [row["channel"]])).measure(
                data.evaluator(AUROC, FEW)
            )
            for data in draws
        ]
        values = [one["visual"].values["image", "auroc"] for one in gone]
        assert row["value"] == pytest.approx(np.mean(values))
        assert row["n_draws"] == 3
    tops = np.argsort(-np.mean([d.statistics[POINT].variance for d in draws], axis=0))[:3]
    assert list(where(found.neurons, group="selected")["channel"]) == tops.tolist()


def test_a_random_set_is_the_same_in_every_draw_and_a_selection_is_not(draws):
    evaluator = draws[0].evaluator(AUROC, FEW)
    measurer = DrawMeasurers([Measurer(ScoreEngine(data), evaluator) for data in draws])
    for name, same in (("random", True), ("variance", False)):
        sets = _sets(measurer, name, 3, Settings(n_random_sets=4))
        chosen = [[one[POINT].channels.tolist() for one in of_draw] for of_draw in sets]
        assert (chosen[0] == chosen[1] == chosen[2]) is same


def test_pca_and_hosts_over_draws(draws):
    found = pca(draws, sizes=[3], **QUICK)
    single = [pca(data, sizes=[3], **QUICK) for data in draws]
    for selector in ("variance", "pca", "random"):
        (row,) = records(found.metrics, selector=selector, k=3)
        parts = [records(one.metrics, selector=selector, k=3)[0] for one in single]
        for column in ("value", "difference", "retained_variance"):
            assert row[column] == pytest.approx(mean(parts, column), nan_ok=True)
        assert row["n_draws"] == 3
    (row,) = records(found.geometry, k=3)
    assert row["kernel"] == pytest.approx(
        mean([records(one.geometry, k=3)[0] for one in single], "kernel")
    )
    own = {**QUICK, "n_repeats": 1, "selections": ("variance", "random")}
    found = compare_host("patch_nn", draws, **own)
    single = [compare_host("patch_nn", data, **own) for data in draws]
    for table in ("metrics", "contrasts"):
        for number, row in enumerate(records(getattr(found, table))):
            parts = [records(getattr(one, table))[number] for one in single]
            assert row["value"] == pytest.approx(mean(parts, "value"))
            assert row["difference"] == pytest.approx(mean(parts, "difference"), nan_ok=True)
            assert row["n_draws"] == 3
    assert len(found.provenance["categories"]["category"]["draws"]) == 3


def test_one_draw_in_a_list_is_that_draw(draws):
    one, other = (knockout(d, sizes=[3], **QUICK) for d in (draws[0], draws[:1]))
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name])
    first = knockout(draws, sizes=[3], draws=1, **QUICK)
    pd.testing.assert_frame_equal(first.curves, one.curves)


# --- what is taken ---


def test_what_draws_must_share(draws):
    assert as_draws(draws[0]) == (draws[0],)
    with pytest.raises(ConfigError, match="at least one draw"):
        as_draws([])
    with pytest.raises(ConfigError, match="draw 2 has another category"):
        as_draws([draws[0], replace(draws[1], category="nut")])
    with pytest.raises(ConfigError, match="draw 2 has other options"):
        as_draws([draws[0], draws[1].view(options=replace(draws[1].options, k=2))])
    with pytest.raises(ConfigError, match="contamination measures one draw"):
        contamination(draws)


def test_replicates_leave_out_what_a_draw_lacks():
    one, other = (Measurement({("image", "auroc"): v}, {("image", "auroc"): [v]}) for v in (0, 1))
    found = replicates([{"a": [one], "b": [one, other]}, {"b": [other, other]}])
    assert list(found) == ["b"]
    assert found["b"].values(("image", "auroc")).tolist() == [[0, 1], [1, 1]]


def test_mean_of_tables_keeps_words_and_counts():
    tables = [pd.DataFrame({"point": ["a"], "n": [4], "x": [x]}) for x in (1.0, 2.0, 6.0)]
    assert mean_of_tables(tables).to_dict("records") == [
        {"point": "a", "n": 4, "x": 3.0, "n_draws": 3}
    ]


# --- controls ---


def test_a_control_that_cannot_be_made_is_a_row_with_a_reason(draws):
    names = ["random", "rotated", "rescaled_random", "untrained", "other_category", "decile_5"]
    found = knockout(draws, sizes=[3], controls=names, single=False, **QUICK)
    reasons = dict(zip(found.contrasts["control"], found.contrasts["reason"], strict=True))
    assert reasons["random"] == ""
    assert "no neurons that could be knocked out" in reasons["rotated"]
    assert "which a knock-out does not do" in reasons["rescaled_random"]
    assert "shares no neurons" in reasons["untrained"]
    assert "no other category" in reasons["other_category"]
    assert "fewer than half of k = 3" in reasons["decile_5"]
    absent = found.contrasts[found.contrasts["control"] != "random"]
    assert absent["difference"].isna().all()
    assert len(found.notes) == 5
    said = [f for f in found.findings() if f.verdict == "not measured"]
    assert len(said) == 5
    assert all(f.reason in f.sentence() for f in said)
    found.figures()
    alone = knockout(draws, sizes=[3], controls=["rotated"], single=False, **QUICK)
    assert "was not measured" in alone.summary()
    assert alone.figures()


def test_other_categories_choose_by_their_own_variance(draws):
    """A category whose variances are in the reverse order chooses the lowest-variance neurons."""
    world = World(n_fit=6, shift=1.2, scales=np.linspace(3.0, 1.0, 12)).data(k=3)
    order = np.argsort(world.statistics[POINT].variance)
    reverse = np.empty(12, dtype=int)
    reverse[order[::-1]] = order
    tokens = {POINT: world.normal.patches(POINT)[..., reverse]}
    turned = StudyData.of_arrays(
        tokens,
        {POINT: world.test.patches(POINT)},
        world.truth.labels,
        grid=(4, 4),
        options=world.options,
        category="turned",
    )
    data = replace(world, others=(turned,))
    found = knockout(
        data, sizes=[3], controls=["other_category", "bottom_variance"], single=False, **QUICK
    )
    other, bottom = records(found.contrasts)
    assert other["control_mean"] == bottom["control_mean"]
    assert other["n_members"] == 1
    assert other["estimand"] == "paired over images"


def test_deciles_show_a_dose_response():
    """Only the tenth of highest variance carries defects: without it alone detection is lost."""
    data = World(scales=np.linspace(2.0, 1.0, 40), signal=range(4), shift=2.5).data(k=4)
    found = knockout(data, sizes=[4], controls=["deciles"], single=False, **QUICK)
    value = found.contrasts.set_index("control")["control_mean"]
    assert list(value.index) == [f"decile_{n}" for n in range(1, 11)]
    assert value["decile_10"] < value.drop("decile_10").min() - 0.1


def test_servable_asks_every_draw(draws):
    constant = draws[1].normal.patches(POINT).clone()
    constant[..., 2:] = 1.0
    poor = StudyData.of_arrays(
        {POINT: constant},
        {POINT: draws[1].test.patches(POINT)},
        draws[1].truth.labels,
        grid=(4, 4),
        options=draws[1].options,
    )
    able, missing = servable([draws[0], poor], ["random", "rescaled_random"], 3)
    assert able == ["random"]
    assert "only 2 channels vary" in missing["rescaled_random"]


def test_readings_over_draws(draws):
    own = {**QUICK, "n_exchanged": 2, "comparisons": ("euclidean",)}
    found = readings(draws, **own)
    single = [readings(data, **own) for data in draws]
    measured = where(found.readings, reason="")
    assert len(measured) > 1
    for row in records(measured):
        parts = [records(one.readings, reading=row["reading"])[0] for one in single]
        for column in ("value", "control_mean", "difference", "share"):
            assert row[column] == pytest.approx(mean(parts, column))
        assert row["n_draws"] == 3
    for number, row in enumerate(records(found.channels)):
        parts = [records(one.channels)[number] for one in single]
        for column in ("value_without", "change", "variance_share"):
            assert row[column] == pytest.approx(mean(parts, column))
        same = [(p["point"], p["channel"]) == (row["point"], row["channel"]) for p in parts]
        assert row["n_draws_with_it"] == sum(same)
    assert found.overview()["p_value"].between(1 / 5, 1).all()


@pytest.mark.parametrize("study", [neurons, dossier])
def test_groups_of_neurons_over_draws(study, draws):
    own = {"bootstrap": FEW} | ({"labels": False, "crops": False} if study is dossier else {})
    found = study(draws, **own)
    single = [study(data, **own) for data in draws]
    for number, row in enumerate(records(found.groups)):
        parts = [records(one.groups)[number] for one in single]
        if row["measure"].startswith("labelled"):
            continue
        for column in ("value", "control_mean", "difference"):
            assert row[column] == pytest.approx(mean(parts, column), nan_ok=True)
        assert row["n_draws"] == 3
        if np.isnan(row["difference_low"]):
            continue
        # 4.303 is Student's quantile of three draws.
        gaps = [part["difference"] for part in parts]
        reach = 4.3027 * np.std(gaps, ddof=1) / 3**0.5
        low, high = (row[f"difference_{end}"] for end in ("low", "high"))
        assert low <= row["difference"] - reach + 1e-9
        assert high >= row["difference"] + reach - 1e-9
        assert 0 <= row["share_draws"] <= 1
    first = single[0]
    listed = "neurons" if study is neurons else "activations"
    pd.testing.assert_frame_equal(getattr(found, listed), getattr(first, listed))


def test_the_images_of_all_draws_are_the_same_ones():
    parts = [Estimate(0.4, 0.3, 0.6), Estimate(0.6, 0.5, 0.8)]
    same = mean_over_draws([parts[0], parts[0]], 0.95)
    assert (same.value, same.low, same.high) == pytest.approx((0.4, 0.3, 0.6))
    # Half the difference of two draws is the standard error; 12.706 is Student's quantile.
    apart = mean_over_draws(parts, 0.95)
    assert apart.value == pytest.approx(0.5)
    assert apart.low == pytest.approx(0.5 - np.hypot(0.1, 12.7062 * 0.1))
    assert apart.high == pytest.approx(0.5 + np.hypot(0.2, 12.7062 * 0.1))
    assert mean_over_draws(parts[:1], 0.95) is parts[0]
    assert np.isnan(mean_over_draws([*parts, Estimate(np.nan)], 0.95).value)
