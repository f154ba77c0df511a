"""Findings: one verdict from value, difference, smallest effect and the metric's best value."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from lakeviz.studies.base.findings import VERDICTS, finding, findings

NAN = float("nan")


def row(value, difference, low, high, **more):
    return {
        "category": "wood",
        "n_images": 24,
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        **more,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row(0.8, 0.001, -0.009, 0.01), "equivalent"),
        (row(0.8, 0.004, 0.001, 0.008), "equivalent"),  # excludes zero, and yet too small
        (row(0.8, 0.05, 0.02, 0.08), "higher"),
        (row(0.8, -0.05, -0.08, -0.02), "lower"),
        (row(0.8, 0.005, -0.005, 0.015), "undecided"),
        (row(1.0, 0.0, 0.0, 0.0), "ceiling"),
        (row(0.8, -0.2, -0.3, -0.1), "lower"),
        (row(0.8, 0.1, NAN, NAN), "no interval"),
        (row(0.8, NAN, NAN, NAN), "not measured"),
    ],
)
def test_verdicts(given, expected):
    found = finding([given], ("image", "auroc"), "neurons", smallest_effect=0.01)
    assert found.verdict == expected
    assert VERDICTS[expected].format(smallest=0.01) in found.sentence()


def test_the_value_of_a_control_alone():
    """A row of the control: its value is the control's, and the subject's is that plus the gap."""
    found = finding([row(0.8, 0.2, 0.1, 0.3)], ("image", "auroc"), "n", control_value="value")
    assert found.value.value == pytest.approx(1.0)
    assert math.isnan(found.value.low)


def test_mean_over_categories_has_students_interval():
    """Differences 0.15 and 0.25: mean 0.2, sd 0.0707, t(0.975, 1) = 12.706, so +- 0.6353."""
    table = pd.DataFrame(
        [
            row(0.8, 0.15, 0.05, 0.2, level="image", metric="auroc"),
            row(0.8, 0.25, -0.1, 0.4, level="image", metric="auroc") | {"category": "bottle"},
        ]
    )
    (found,) = findings(table, "neurons", control="random neurons")
    gap = found.difference
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.2, -0.4353, 0.8353), abs=1e-4)
    assert (found.n, found.over, found.verdict) == (2, "categories", "undecided")
    assert dict(found.by_category) == {"higher": 1, "undecided": 1}
    assert "Mean over 2 categories" in found.sentence()


def test_a_mean_stays_between_its_bounds():
    """Differences 0.1 and 0.3: +- 1.2706 around 0.2, of AUROC or of correlations."""
    table = pd.DataFrame(
        [row(0.8, gap, 0, 0.4, level="image", metric="auroc") for gap in (0.1, 0.3)]
    ).assign(category=["cable", "bottle"])
    (found,) = findings(table, "neurons", control="random neurons")
    assert (found.difference.low, found.difference.high) == (-1.0, 1.0)
    rows = [row(NAN, 0.1, 0.05, 0.2), row(NAN, 0.3, -0.1, 0.4) | {"category": "bottle"}]
    gap = finding(rows, "correlation", "channels", value=None, bounds=(-1, 1)).difference
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.2, -1, 1))


def test_what_was_not_measured_says_why():
    given = row(0.8, NAN, NAN, NAN, reason="no masks")
    said = finding([given], ("pixel", "aupro"), "neurons").sentence()
    assert said == "wood: AUPRO of neurons was not measured (no masks)."
