"""What ``lakeviz run`` prints: intervals, numbers of categories, reasons of dashes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lakeviz.cli.run_tables import (
    controls_table,
    metrics_table,
    missing_metrics,
    what_brackets_hold,
)
from lakeviz.cli.tables import show

NO_MASKS = "the data set has no masks"


def a_run(values, groups=None) -> Any:
    """A run whose categories have an image AUROC, and an AUPRO where it is not None."""
    rows = []
    for category, (auroc, aupro) in values.items():
        own = {"category": category, "branch": "lake"}
        for level, metric, value in (("image", "auroc", auroc), ("pixel", "aupro", aupro)):
            value, reason = (np.nan, NO_MASKS) if value is None else (value, "")
            interval = {"value": value, "low": value - 0.1, "high": value + 0.1, "reason": reason}
            rows.append(own | {"level": level, "metric": metric} | interval)
        rows.append(rows[-1] | {"branch": "visual"})
    table = pd.DataFrame(rows)
    return SimpleNamespace(
        table=lambda name: table, finished=dict.fromkeys(values), groups=groups or {}
    )


def test_tables_have_minus_signs(capsys):
    show(pd.DataFrame({"minus": ["all"], "difference": ["-0.200 [-0.300, +0.100]"]}))
    assert capsys.readouterr().out.splitlines()[1] == "all    −0.200 [−0.300, +0.100]"


def test_values_have_intervals_and_means_the_number_of_categories():
    run = a_run(
        {"a": (0.5, 0.2), "b": (0.7, 0.4), "c": (0.9, None)}, {"few": ["a", "c"], "one": ["b"]}
    )
    shown = metrics_table(run)
    assert shown.loc["a", "image AUROC"] == "0.500 [0.400, 0.600]"
    assert shown.loc["c", "AUPRO"] == "–"
    # Student's interval of 0.5, 0.7, 0.9: 0.7 +- 4.303 x 0.2 / sqrt(3), at most 1.
    assert shown.loc["mean", "image AUROC"] == "0.700 [0.203, 1.000] (3)"
    assert shown.loc["mean", "AUPRO"].startswith("0.300 [")
    assert shown.loc["mean", "AUPRO"].endswith(" (2)")
    assert shown.loc["mean of few", "AUPRO"] == "0.200 [0.100, 0.300] (1)"
    assert shown.loc["mean of one", "AUPRO"] == "0.400 [0.300, 0.500]"


def test_a_single_category_has_no_mean():
    assert list(metrics_table(a_run({"a": (0.5, 0.2)})).index) == ["a"]


@pytest.mark.parametrize(
    ("columns", "clips", "said"),
    [
        ({"confidence": np.nan}, 0, ""),
        ({"confidence": 0.95}, 0, "in brackets: 95 % interval over images"),
        ({"confidence": 0.9, "n_draws": 1, "share_draws": 0.0}, 3, "90 % interval over clips"),
        (
            {"confidence": 0.95, "n_draws": 5, "share_draws": 0.2},
            0,
            "over images and draws of the normal images; values are means over the 5 draws",
        ),
    ],
)
def test_what_the_brackets_hold_is_said(columns, clips, said):
    tables = {"metrics": pd.DataFrame([columns]), "clips": pd.DataFrame(index=range(clips))}
    tables["clips"]["clip"] = "a"
    printed = what_brackets_hold(SimpleNamespace(table=tables.get))
    assert printed.endswith(said) if said else printed == ""


def test_every_dash_has_its_reason():
    run = a_run({"a": (0.5, None), "b": (0.7, 0.4), "c": (0.9, None)})
    assert missing_metrics(run) == [f"no AUPRO of a, c: {NO_MASKS}"]
    assert missing_metrics(a_run({"a": (0.5, 0.2)})) == []


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ([0.1], ("+0.100 [+0.050, +0.150]", 1)),
        ([0.19, 0.21], ("+0.200 [+0.073, +0.327]", 2)),  # 12.706 x 0.01
        ([0.1, 0.3], ("+0.200 [-1.000, +1.000]", 2)),  # 12.706 x 0.1, as far as AUROC can differ
    ],
)
def test_controls_have_the_interval_of_their_difference(gaps, said):
    rows = [
        {"level": "image", "metric": "auroc", "control": "all", "difference": gap}
        | {"difference_low": gap - 0.05, "difference_high": gap + 0.05}
        for gap in gaps
    ]
    (row,) = controls_table(pd.DataFrame(rows)).to_dict("records")
    assert (row["minus"], row["difference"], row["categories"]) == ("all", *said)
