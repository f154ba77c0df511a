"""Figures of the ``contamination`` study show the numbers of their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import ConfigError
from lakeviz.studies.contamination.figures import (
    contamination_changes_figure,
    contamination_figure,
    selection_stability_figure,
)


def metrics(category: str = "c", shift: float = 0.0) -> pd.DataFrame:
    rows = []
    for selector in ("variance", "random", "mad"):
        for what in ("both", "swapped"):
            for n in (0, 1, 4):
                for level, metric in (("image", "auroc"), ("pixel", "aupro")):
                    change = np.nan if n == 0 else -0.05 * n + shift
                    value = 0.9 - 0.05 * n + shift
                    rows.append(
                        {
                            "category": category,
                            "selector": selector,
                            "what": what,
                            "fraction": n / 8,
                            "n_contaminated": n,
                            "n_fit": 8,
                            "level": level,
                            "metric": metric,
                            "value": value,
                            "low": value - 0.1,
                            "high": value + 0.05,
                            "change": change,
                            "change_low": change - 0.02,
                            "change_high": change + 0.01,
                            "n_repeats": 10,
                            "n_images": 30,
                        }
                    )
    return pd.DataFrame(rows)


def stability(category: str = "c") -> pd.DataFrame:
    rows = [
        {
            "category": category,
            "selector": selector,
            "what": what,
            "point": point,
            "fraction": n / 8,
            "measure": "jaccard",
            "value": 1 - 0.1 * n,
            "low": 0.9 - 0.1 * n,
            "high": 1.05 - 0.1 * n,
            "expected": 0.06,
            "n_repeats": 10,
        }
        for selector in ("variance", "mad")
        for what in ("both", "swapped")
        for point in ("a", "b")
        for n in (1, 4)
    ]
    return pd.DataFrame(rows)


def lines(fig, name: str):
    return [t for t in fig.data if t.name == name and "markers" in (t.mode or "")]


def test_values_by_share():
    fig = contamination_figure(metrics())
    image, pixel = lines(fig, "top variance")
    assert list(image.x) == [0, 12.5, 50]
    assert list(image.y) == pytest.approx([0.9, 0.85, 0.7])
    assert [image.showlegend, pixel.showlegend] == [True, False]
    assert {t.name for t in fig.data if t.fill == "toself"} == {"top variance", "random"}
    assert "8 images fitted on, 10 repeats, 30 test images" in fig.layout.meta["caption"]
    assert list(fig.layout.xaxis.ticktext) == ["0", "12.5", "50"]
    only = contamination_figure(metrics(), shown=[("pixel", "aupro")])
    assert only.layout.annotations[0].text == "AUPRO"
    assert len(lines(only, "MAD")) == 1


def test_changes_beside_their_control():
    fig = contamination_changes_figure(metrics(), level="image", metric="auroc")
    dirty = lines(fig, "both contaminated")
    swapped = lines(fig, "swapped (control)")
    assert len(dirty) == len(swapped) == 3  # one panel per selector
    assert list(dirty[0].y) == pytest.approx([-0.05, -0.2])
    assert dirty[0].error_y.array == pytest.approx([0.01, 0.01])
    assert dirty[0].error_y.arrayminus == pytest.approx([0.02, 0.02])
    assert list(dirty[0].x) != list(swapped[0].x)  # bars do not cover each other
    assert dirty[0].marker.symbol != swapped[0].marker.symbol


def test_several_categories():
    table = pd.concat([metrics("a"), metrics("b", 0.1)])
    fig = contamination_changes_figure(table, level="image", metric="auroc")
    dirty = lines(fig, "both contaminated")[0]
    assert list(dirty.y) == pytest.approx([0, -0.15])
    assert dirty.error_y.array == pytest.approx([0.05, 0.05])
    assert "lowest to highest category" in fig.layout.meta["caption"]
    assert not [t for t in contamination_figure(table).data if t.fill == "toself"]


def test_stability_beside_swaps_and_chance():
    fig = selection_stability_figure(stability())
    own, other = lines(fig, "top variance")[0], lines(fig, "top variance, swapped")[0]
    assert list(own.y) == pytest.approx([0.9, 0.6])
    assert own.error_y.array == pytest.approx([0.05, 0.05])
    assert other.marker.symbol == own.marker.symbol + "-open"
    chance = [t for t in fig.data if t.name == "chance"]
    assert [list(t.y) for t in chance] == [[0.06, 0.06]] * 2
    assert {a.text for a in fig.layout.annotations} == {"a", "b"}


def test_missing_rows_are_refused():
    with pytest.raises(ConfigError, match="pixel AUROC"):
        contamination_changes_figure(metrics(), level="pixel", metric="auroc")
    with pytest.raises(ConfigError, match="no such metric"):
        contamination_figure(metrics(), shown=[("pixel", "auroc")])
    with pytest.raises(ConfigError, match="stability"):
        selection_stability_figure(stability(), measure="kernel")
