"""Overlap figures show the numbers of their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import ConfigError
from lakeviz.studies.overlap.figures import overlap_ceiling_figure, overlap_matrix_figure
from lakeviz.studies.overlap.set_figures import neuron_sets_figure, shared_neurons_figure

PAIRS = pd.DataFrame(
    {
        "a": ["a", "a", "<b>"],
        "b": ["<b>", "c", "c"],
        "point": "p",
        "k": 10,
        "n_channels": 40,
        "n_shared": [8, 2, 3],
        "jaccard": [8 / 12, 2 / 18, 3 / 17],
        "above_chance": [0.7, -0.1, 0.1],
        "expected_jaccard": 0.15,
        "permutation_jaccard": [0.4, 0.1, np.nan],
        "ceiling": [0.9, 0.8, np.nan],
        "ceiling_kind": ["redraw", "bootstrap_pair", ""],
    }
)
CLUSTERS = pd.DataFrame(
    {"step": [0, 1], "left": [0, 3], "right": [1, 2], "distance": [1 / 3, 0.86], "n_leaves": [2, 3]}
)
LEAVES = pd.DataFrame({"position": [0, 1, 2], "leaf": [2, 0, 1], "name": ["c", "a", "<b>"]})


def test_matrix_is_symmetric_in_the_order_of_the_tree():
    fig = overlap_matrix_figure(PAIRS, CLUSTERS, LEAVES)
    cells, tree = fig.data
    z = np.array(cells.z, dtype=float)
    expected = [[np.nan, -0.1, 0.1], [-0.1, np.nan, 0.7], [0.1, 0.7, np.nan]]
    np.testing.assert_array_equal(z, expected)
    assert list(cells.text[1]) == ["2", "", "8"]
    assert cells.zmin == -cells.zmax
    assert list(fig.layout.yaxis2.ticktext) == ["c", "a", "&lt;b&gt;"]
    # The first merge joins leaves 0 and 1, at places 1 and 2; the second that pair and place 0.
    assert list(tree.x) == [1, 1, 2, 2, None, 1.5, 1.5, 0, 0, None]
    assert list(tree.y) == pytest.approx([0, 1 / 3, 1 / 3, 0, None, 1 / 3, 0.86, 0.86, 0, None])
    assert "3 categories, 10 neurons each of 40" in fig.layout.meta["caption"]


def test_matrix_without_a_tree_averages_repeated_pairs():
    twice = pd.concat([PAIRS, PAIRS.assign(n_shared=PAIRS["n_shared"] + 1, above_chance=0.5)])
    (cells,) = overlap_matrix_figure(twice).data
    assert list(cells.text[0]) == ["", "8.5", "2.5"]
    assert np.array(cells.z, dtype=float)[0, 1] == pytest.approx(0.6)


def test_numbers_are_left_out_of_large_matrices():
    names = [f"c{i:02d}" for i in range(26)]
    pairs = pd.DataFrame(
        [PAIRS.iloc[0].to_dict() | {"a": a, "b": b} for a in names for b in names if a < b]
    )
    fig = overlap_matrix_figure(pairs)
    assert fig.data[0].texttemplate is None
    assert "Numbers" not in fig.layout.meta["caption"]


def test_pairs_beside_their_ceiling():
    fig = overlap_ceiling_figure(PAIRS)
    dots, explained = fig.data
    assert list(dots.x) == [0.9, 0.8]
    assert list(dots.y) == pytest.approx([8 / 12, 2 / 18])
    assert dots.text[0] == "a and &lt;b&gt;<br>Jaccard 0.667, ceiling 0.900"
    assert list(explained.y) == pytest.approx([0.25])
    assert "2 pairs" in fig.layout.meta["caption"]
    diagonal, chance = fig.layout.shapes
    assert (diagonal.x1, diagonal.x0) == (diagonal.y1, diagonal.y0)
    assert chance.y0 == 0.15
    with pytest.raises(ConfigError, match="cannot be resampled"):
        overlap_ceiling_figure(PAIRS.iloc[2:])


def shared_table(matched: float = 2.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "m": [1, 2, 3],
            "n_items": 3,
            "k": 10,
            "n_neurons": [15, 8, 2],
            "expected": [23.0, 6.0, 0.6],
            "random_quantile_low": [20.0, 4.0, 0.0],
            "random_quantile_high": [26.0, 9.0, 2.0],
            "matched_mean": matched,
            "matched_quantile_low": 1.0,
            "matched_quantile_high": 3.0,
        }
    )


def test_shared_neurons_with_their_bands():
    bars, line, matched = shared_neurons_figure(shared_table()).data
    assert list(bars.y) == [15, 8, 2]
    assert list(line.y + line.error_y.array) == [26, 9, 2]
    assert list(line.y - line.error_y.arrayminus) == pytest.approx([20, 4, 0])
    assert line.mode == "markers"  # there is nothing between two counts
    assert list(line.y) == [23, 6, 0.6]
    assert list(matched.y) == [2, 2, 2]
    assert len(shared_neurons_figure(shared_table(np.nan)).data) == 2
    with pytest.raises(ConfigError, match="choose the rows of one"):
        shared_neurons_figure(pd.concat([shared_table()] * 2))
    with pytest.raises(ConfigError, match="no shared neurons"):
        shared_neurons_figure(shared_table().iloc[:0])


def selections(**sets) -> pd.DataFrame:
    rows = [{"name": n, "channel": c} for n, channels in sets.items() for c in channels]
    return pd.DataFrame(rows)


def test_intersections_of_few_sets_are_exact():
    fig = neuron_sets_figure(selections(a=[1, 2, 3, 4], b=[3, 4, 5, 1], c=[6, 7, 8, 1]))
    bars, lines, off, on = fig.data
    # c alone: 6, 7, 8; a and b: 3, 4; all: 1; a: 2; b: 5. The larger first, then by more sets.
    assert list(bars.y) == [3, 2, 1, 1, 1]
    assert list(bars.customdata) == ["c", "a and b", "a and b and c", "a", "b"]
    assert sorted(zip(on.x, on.y)) == [
        (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (4, 1),
    ]  # fmt: skip
    assert len(off.x) + len(on.x) == 15
    assert list(lines.x)[:2] == [0, 0]
    assert "8 different neurons in all." in fig.layout.meta["caption"]


def test_many_sets_show_the_most_shared_neurons():
    fig = neuron_sets_figure(selections(**{f"s{i}": [7, i + 10] for i in range(10)}), limit=3)
    bars = fig.data[0]
    assert list(bars.y) == [10, 1, 1]
    assert list(bars.customdata) == ["7", "10", "11"]
    assert "11 different neurons in all; 3 of them shown" in fig.layout.meta["caption"]


@pytest.mark.parametrize("draw", [overlap_matrix_figure, neuron_sets_figure])
def test_empty_tables_are_refused(draw):
    with pytest.raises(ConfigError):
        draw(pd.DataFrame())
