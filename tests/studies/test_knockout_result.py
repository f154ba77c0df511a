"""Knock-outs: the result, its words and its file."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy

import pandas as pd
import pytest
from knockout_rows import FEW
from stored import read_unsealed
from worlds import World

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import estimate
from lakeviz.studies.base.registry import load_study
from lakeviz.studies.knockout import KnockoutResult, knockout
from lakeviz.tables import records

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
    with pytest.raises(ConfigError, match="of score, remove with other settings"):
        KnockoutResult.join([result, changed])
    at_once = knockout(data, modes=["remove", "keep"], **settings)
    for name, table in both.tables.items():
        pd.testing.assert_frame_equal(at_once.tables[name], table)


@pytest.mark.parametrize(("k", "size"), [(5, 8), (3, 2)])
def test_the_declared_size_is_the_nearest(result, k, size):
    result.provenance["settings"]["score, remove"]["k"] = k
    assert result.size_of("score", "remove") == size
