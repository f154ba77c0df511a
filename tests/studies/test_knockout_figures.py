"""Knock-out figures show the numbers of their tables."""

from __future__ import annotations

import pandas as pd
import pytest

from lakeviz.errors import ConfigError
from lakeviz.plots import caption_of
from lakeviz.studies.knockout.figures import (
    knockout_contrasts_figure,
    knockout_curves_figure,
    neuron_importance_figure,
)

COMMON = {"category": "c", "kind": "score", "mode": "remove", "branch": "visual"}


def curves() -> pd.DataFrame:
    rows = []
    for selector, sets in (("variance", 1), ("random", 20)):
        for size, drop in ((4, 0.2), (1, 0.1), (16, 0.4)):
            value = 0.9 - drop * (1 if selector == "variance" or size == 16 else 0.5)
            rows.append(
                COMMON
                | {
                    "selector": selector,
                    "size": size,
                    "level": "image",
                    "metric": "auroc",
                    "value": value,
                    "low": value - 0.05,
                    "high": value + 0.02,
                    "intact": 0.9,
                    "n_random_sets": sets,
                    "n_images": 30,
                    "reason": "",
                }
            )
    return pd.DataFrame(rows)


def contrasts(category: str = "c", shift: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame(
        COMMON
        | {
            "category": category,
            "control": ["bottom_variance", "random"],
            "size": 4,
            "level": "image",
            "metric": "auroc",
            "difference": [-0.2 + shift, -0.1 + shift],
            "difference_low": [-0.3, -0.15],
            "difference_high": [-0.1, 0.05],
            "n_images": 30,
            "reason": "",
        }
    )


def neurons() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "category": "c",
            "kind": "score",
            "branch": "visual",
            "point": ["p", "p", "p", "q"],
            "channel": [3, 5, 8, 1],
            "group": ["selected", "random", "random", "selected"],
            "variance": [4.0, 0.5, 0.0, 2.0],
            "level": "image",
            "metric": "cohens_d",
            "importance": [0.2, -0.1, 0.0, 0.3],
            "change_low": [-0.4, 0.0, 0.0, -0.5],
            "change_high": [-0.1, 0.2, 0.0, -0.2],
            "n_images": 30,
            "reason": "",
        }
    )


def test_curves_are_sorted_and_have_bars_and_bands():
    fig = knockout_curves_figure(curves())
    band, random, top, intact = fig.data
    assert random.name == "random"
    assert top.name == "top variance"
    assert list(top.x) == [1, 4]
    assert list(top.y) == pytest.approx([0.8, 0.7])
    assert top.error_y.array == pytest.approx([0.02, 0.02])
    assert top.error_y.arrayminus == pytest.approx([0.05, 0.05])
    assert list(random.y) == pytest.approx([0.85, 0.8])
    assert list(band.y) == pytest.approx([0.87, 0.82, 0.75, 0.8])
    assert intact.name == "intact"
    assert (list(intact.x), list(intact.y)) == ([1, 4], [0.9, 0.9])
    assert fig.layout.xaxis.type == "log"
    caption = fig.layout.meta["caption"]
    assert "30 test images" in caption
    assert "20 sets" in caption
    assert "all 16 neurons, where every selector is the same (image AUROC 0.5)" in caption


def test_a_selector_that_has_no_such_size_does_not_bring_it_back():
    """A control without a channel left to take is a row without a value."""
    table, last = curves(), curves().iloc[-1]
    missing = last.to_dict() | {"selector": "variance_without_first", "value": float("nan")}
    fig = knockout_curves_figure(pd.concat([table, pd.DataFrame([missing])], ignore_index=True))
    assert "Not drawn: all 16 neurons" in fig.layout.meta["caption"]


def test_all_sizes_are_drawn_where_orders_differ():
    table = curves()
    table.loc[(table["size"] == 16) & (table["selector"] == "random"), "value"] = 0.6
    assert list(knockout_curves_figure(table).data[-2].x) == [1, 4, 16]


def test_what_is_impossible_is_said():
    table = curves().assign(reason="edits cannot reach the image embedding")
    assert (
        "cannot reach the image embedding" in knockout_curves_figure(table).layout.meta["caption"]
    )


def test_contrasts_of_one_category():
    fig = knockout_contrasts_figure(contrasts())
    (marks,) = fig.data
    assert list(fig.layout.yaxis.ticktext) == ["random neurons", "lowest-variance neurons"]
    assert list(marks.x) == [-0.1, -0.2]
    assert marks.error_x.array == pytest.approx([0.15, 0.1])
    assert marks.error_x.arrayminus == pytest.approx([0.05, 0.1])
    assert "4 neurons knocked out" in fig.layout.meta["caption"]


def test_contrasts_of_categories_and_their_mean():
    fig = knockout_contrasts_figure(pd.concat([contrasts("a"), contrasts("<b>", 0.1)]))
    dots, _, means = fig.data
    assert list(dots.x) == pytest.approx([-0.1, 0.0])
    assert dots.text[1].startswith("&lt;b&gt;")
    assert list(means.x) == pytest.approx([-0.05, -0.15])
    # Student's interval over two categories: 0.05 * 12.706, the 97.5 % quantile of t with 1 df.
    assert list(means.error_x.array) == pytest.approx([0.6353, 0.6353], rel=1e-3)
    assert "30 test images, 2 categories" in fig.layout.meta["caption"]


def test_marks_of_one_size_do_not_hide_one_another():
    table = curves()
    fig = knockout_curves_figure(table[table["size"] == 4])
    marks = {trace.name: trace for trace in fig.data if trace.mode == "lines+markers"}
    places = sorted(float(trace.x[0]) for trace in marks.values())
    assert len(places) == 2
    assert places[1] / places[0] == pytest.approx(1.05)
    for trace in marks.values():
        assert trace.error_y.array[0] == pytest.approx(0.02)
    (intact,) = [trace for trace in fig.data if trace.mode == "lines"]
    assert intact.x[0] < places[0] < places[1] < intact.x[1]
    assert "Bands" not in caption_of(fig)[1]


@pytest.mark.parametrize("intervals", [False, True])
def test_single_neurons(intervals):
    fig = neuron_importance_figure(neurons(), intervals=intervals)
    selected, random, other, _ = fig.data
    assert (list(selected.x), list(selected.y)) == ([4.0], [0.2])
    assert selected.text[0].startswith("channel 3<br>variance 4<br>importance +0.2000")
    assert list(random.x) == [0.5]  # the neuron that never varies has no place
    assert other.text[0].startswith("channel 1<br>")
    if intervals:
        assert selected.error_y.array == pytest.approx([0.2])
        assert selected.error_y.arrayminus == pytest.approx([0.1])
    else:
        assert selected.error_y.array is None
    assert random.marker.symbol != selected.marker.symbol
    assert fig.layout.meta["title"].startswith("Single neurons of c by Cohen's d, score")


def test_single_neurons_over_draws_say_so():
    caption = neuron_importance_figure(neurons().assign(n_draws=5)).layout.meta["caption"]
    assert caption.startswith("30 test images, over 5 draws of the normal images; each neuron")


def test_refusals():
    with pytest.raises(ConfigError, match="one category, not 2: a, b"):
        knockout_curves_figure(pd.concat([curves().assign(category=c) for c in "ab"]))
    with pytest.raises(ConfigError, match="one size"):
        knockout_contrasts_figure(pd.concat([contrasts(), contrasts().assign(size=9)]))
    with pytest.raises(ConfigError, match="no knock-out was measured by AUPRO"):
        knockout_curves_figure(curves(), shown=[("pixel", "aupro")])
    with pytest.raises(ConfigError, match="no single neuron was measured by AUPRO"):
        neuron_importance_figure(neurons(), level="pixel", metric="aupro")
    with pytest.raises(ConfigError, match="no row to draw"):
        knockout_contrasts_figure(contrasts().iloc[:0])
