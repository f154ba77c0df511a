"""Marginal means: worked by hand, balanced, independent of order, and honest where nothing is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, ttest_1samp

from lakeviz.studies import SweepResult
from lakeviz.studies.sweep.marginals import marginal_means, unit_means

AXES = ("category", "seed", "k", "layer")


def table(values: dict[tuple, float]) -> pd.DataFrame:
    rows = [dict(zip(AXES, key)) | {"value": value} for key, value in values.items()]
    return pd.DataFrame(rows).assign(level="image", metric="auroc")


def means(cells: pd.DataFrame, axis: str) -> pd.DataFrame:
    return marginal_means(cells, [axis], AXES, 0.95).set_index("at")


def test_means_and_differences_worked_by_hand():
    cells = table(
        {
            ("a", 0, 5, "1"): 0.1,
            ("a", 0, 5, "2"): 0.3,
            ("a", 0, 9, "1"): 0.5,
            ("a", 0, 9, "2"): 0.9,
            ("b", 0, 5, "1"): 0.2,
            ("b", 0, 5, "2"): 0.4,
            ("b", 0, 9, "1"): 0.2,
            ("b", 0, 9, "2"): 0.6,
        }
    )
    found = means(cells, "k")
    assert list(found.index) == ["5", "9"]
    assert found.loc["5", "value"] == pytest.approx((0.2 + 0.3) / 2)
    assert found.loc["9", "value"] == pytest.approx((0.7 + 0.4) / 2)
    assert found.loc["9", "difference"] == pytest.approx((0.5 + 0.1) / 2)
    # Two units: Student's interval of their paired differences, 0.5 and 0.1.
    expected = ttest_1samp([0.5, 0.1], 0).confidence_interval(0.95)
    assert found.loc["9", "difference_low"] == pytest.approx(expected.low)
    assert found.loc["9", "difference_high"] == pytest.approx(expected.high)
    assert list(found["n_cells"]) == [4, 4]
    assert list(found["n_units"]) == [2, 2]
    assert set(found["category"]) == {"all"}
    by_category = means(cells, "category")
    assert by_category.loc["b", "difference"] == pytest.approx(0.35 - 0.45)
    assert by_category["low"].isna().all()  # one seed: a single unit


def test_settings_with_a_missing_cell_are_left_out_for_all_values():
    # At layer 2, k = 9 failed: were k = 5 averaged over both layers, it would look better than it
    # is beside k = 9.
    cells = table(
        {("a", s, 5, layer): 0.5 if layer == "1" else 0.9 for s in (0, 1) for layer in ("1", "2")}
        | {("a", s, 9, "1"): 0.6 for s in (0, 1)}
        | {("a", s, 9, "2"): np.nan for s in (0, 1)}
    )
    found = means(cells, "k")
    assert list(found["value"]) == pytest.approx([0.5, 0.6])
    assert list(found["n_left_out"]) == [2, 2]
    assert list(found["n_cells"]) == [2, 2]
    # A value that was hardly measured does not take the others' cells away.
    more = pd.concat([cells, table({("a", 0, 500, "1"): 0.1})], ignore_index=True)
    again = means(more, "k")
    assert list(again["value"][:2]) == pytest.approx([0.5, 0.6])
    assert np.isnan(again.loc["500", "value"])
    assert again.loc["500", "reason"] == "measured at 1 of 4 settings"


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(1, 18)))
def test_the_order_of_the_cells_does_not_matter(order):
    generator = np.random.default_rng(0)
    keys = [(c, s, k, "1") for k in (5, 9) for c in "abc" for s in (0, 1, 2)]
    cells = table({key: generator.random() for key in keys})
    shuffled = cells.iloc[[0, *order]]  # the first one says which value is the reference
    one, other = means(cells, "k"), means(shuffled, "k")
    pd.testing.assert_frame_equal(one, other)


def test_an_axis_that_does_nothing_is_called_different_as_rarely_as_the_level_says():
    generator = np.random.default_rng(1)
    n, units, wrong = 200, 40, 0
    for _ in range(n):
        unit = generator.normal(size=units)  # the units differ, the values of the axis do not
        cells = table(
            {
                ("a", seed, k, "1"): unit[seed] + generator.normal()
                for seed in range(units)
                for k in (5, 9)
            }
        )
        row = means(cells, "k").loc["9"]
        wrong += bool(row["difference_low"] > 0 or row["difference_high"] < 0)
    assert binom.ppf(0.001, n, 0.05) <= wrong <= binom.ppf(0.999, n, 0.065)


def test_findings_are_of_the_controls_in_units_and_of_the_ends_of_each_axis():
    shown = {"level": "image", "metric": "auroc"}
    contrasts = pd.DataFrame(
        [
            {"category": c, "seed": 0, "control": "random", "difference": d, **shown}
            | {"difference_low": d - 0.1, "difference_high": d + 0.1}
            for c, d in (("a", 0.3), ("a", 0.05), ("b", -0.2), ("b", np.nan))
        ]
    )
    assert list(unit_means(contrasts[:3], "difference")) == pytest.approx([0.175, -0.2])
    cells = table({(c, 0, k, "1"): v for c, k, v in (("a", 5, 0.5), ("a", 9, 0.6), ("b", 5, 0.7))})
    cells = pd.concat([cells, table({("b", 0, 9, "1"): 1.0})], ignore_index=True).assign(error="")
    settings_of = {"grid": {"k": [5, 9]}, "n_cells": 4, "metrics": [["image", "auroc"]]}
    result = SweepResult(
        cells=cells,
        marginals=marginal_means(cells, ["k"], AXES, 0.95),
        contrasts=contrasts,
        provenance={
            "settings": settings_of | {"reference": "variance"},
            "categories": {"all": {}},
        },
    )
    control, axis = result.findings()
    assert control.difference.value == pytest.approx((0.175 - 0.2) / 2)
    assert (control.n, control.verdict) == (2, "undecided")
    assert "Mean over 3 settings (over images, 1 of them above zero and 1 below)" in control.where
    expected = ttest_1samp([0.1, 0.3], 0).confidence_interval(0.95)
    assert (axis.difference.value, axis.difference.low) == pytest.approx((0.2, expected.low))
    assert (axis.subject, axis.control, axis.value.value) == ("k 9", "k 5", pytest.approx(0.8))
    assert axis.where == "Mean over all other axes, from 0.600 (k 5) to 0.800 (k 9)"
