"""Neuron matrices show the ranks and activations of their tables, in the order that they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lakeviz.errors import ConfigError
from lakeviz.plots import caption_of, neuron_category_figure, neuron_patch_figure

VARIANCE = {"a": [9, 8, 1, 2], "<b>": [1, 2, 9, 8], "c": [9, 7, 2, 1], "d": [2, 1, 7, 9]}


def spectrum(k: int = 2) -> pd.DataFrame:
    frames = []
    for name, variance in VARIANCE.items():
        chosen = np.argsort(variance)[-k:]
        table = {"category": name, "point": "p", "channel": range(4), "variance": variance}
        frames.append(pd.DataFrame({**table, "selected": np.isin(range(4), chosen)}))
    return pd.concat(frames, ignore_index=True)


def test_ranks_and_dots_are_those_of_the_table_in_clustered_order():
    fig = neuron_category_figure(spectrum())
    cells, dots = fig.data
    names = list(fig.layout.yaxis.ticktext)
    # a and c select channels 0 and 1, b and d 2 and 3: neighbours in the order of the clustering.
    assert {frozenset(names[:2]), frozenset(names[2:])} == {
        frozenset({"a", "c"}),
        frozenset({"&lt;b&gt;", "d"}),
    }
    channels = [int(c) for c in fig.layout.xaxis.ticktext]
    assert {frozenset(channels[:2]), frozenset(channels[2:])} == {
        frozenset((0, 1)),
        frozenset((2, 3)),
    }
    for row, name in enumerate(names):
        variance = np.array(VARIANCE[name.replace("&lt;", "<").replace("&gt;", ">")])
        rank = 1 + (variance[None] > variance[:, None]).sum(1)
        assert 10 ** np.asarray(cells.z[row]) == pytest.approx(rank[channels])
        at = {channels[x] for x, y in zip(dots.x, dots.y) if y == row}
        assert at == set(np.flatnonzero(rank <= 2).tolist())
    assert "4 categories, 4 neurons" in caption_of(fig)[1]
    assert "Dots: selected; 0 by all" in caption_of(fig)[1]


def test_only_neurons_that_someone_selects_have_a_column():
    table = spectrum(1)
    fig = neuron_category_figure(table[table["category"].isin(["a", "c"])])
    assert list(fig.layout.xaxis.ticktext) == ["0"]


def test_a_point_without_neurons_is_refused():
    with pytest.raises(ConfigError, match="at 'q'"):
        neuron_category_figure(spectrum(), point="q")
    with pytest.raises(ConfigError, match="no category selects"):
        neuron_category_figure(spectrum().assign(selected=False))


def activations() -> pd.DataFrame:
    rank, row, column = (axis.ravel() for axis in np.indices((3, 2, 4)))
    table = {"point": "p", "rank": rank + 1, "channel": 10 * rank, "row": row, "column": column}
    return pd.DataFrame({**table, "z": 100.0 * rank + 10 * row + column})


def test_patches_stand_in_reading_order_and_neurons_by_rank():
    defect = np.zeros((2, 4), dtype=bool)
    defect[1, 2] = True
    shuffled = activations().sample(frac=1, random_state=0)
    fig = neuron_patch_figure(shuffled, defect=defect, limit=2)
    cells, marks = fig.data
    assert np.array_equal(
        cells.z, [[0, 1, 2, 3, 10, 11, 12, 13], [100, 101, 102, 103, 110, 111, 112, 113]]
    )
    assert cells.customdata[1, 6].tolist() == [10, 1, 2]
    assert list(marks.x) == [6]
    assert list(fig.layout.xaxis.tickvals) == [0, 4]
    caption = caption_of(fig)[1]
    assert "3 selected neurons at p, the 2 of highest variance shown" in caption
    assert "the 1 patch that the mask touches" in caption


def test_activations_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="no activation at 'q'"):
        neuron_patch_figure(activations(), point="q")
    with pytest.raises(ConfigError, match="the mask is on"):
        neuron_patch_figure(activations(), defect=np.zeros((3, 3), dtype=bool))
