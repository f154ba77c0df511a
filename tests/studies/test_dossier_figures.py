"""The figure of one neuron's dossier shows the numbers of its tables and their controls."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from worlds import POINT, World

from lakeviz.errors import ConfigError
from lakeviz.metrics import Bootstrap
from lakeviz.plots import caption_of
from lakeviz.studies.dossier import DossierResult, dossier, neuron_figure
from lakeviz.studies.dossier.figures import neuron_dossier_figure

EVIL = "<img src=x onerror=alert(1)>"
SHARES = ["share_normal", "share_anomalous"]


@pytest.fixture(scope="module")
def result() -> DossierResult:
    return dossier(World(shift=3.0).data(k=3), bootstrap=Bootstrap(n_resamples=40), n_random=5)


@pytest.fixture(scope="module")
def tables(result) -> dict[str, pd.DataFrame]:
    found = result.of("category", POINT, 0)
    return {name: table.assign(category=EVIL) for name, table in found.items()}


def marks(fig, n: int):
    """Traces of a panel's own marks: those with intervals, in the order they were drawn."""
    return [t for t in fig.data if t.type == "scatter" and t.error_x.array is not None][n]


def test_shares_and_knockouts_are_those_of_the_tables(tables):
    fig = neuron_dossier_figure(tables)
    shares = tables["shares"].set_index("measure").loc[SHARES]
    drawn = marks(fig, 0)
    even = 100 / 16
    np.testing.assert_allclose(drawn.x, [*(100 * shares["value"]), even])
    high, low = (np.asarray(ends) for ends in (drawn.error_x.array, drawn.error_x.arrayminus))
    # An even share is no estimate and has no interval.
    np.testing.assert_allclose((drawn.x + high)[:2], 100 * shares["high"])
    np.testing.assert_allclose((drawn.x - low)[:2], 100 * shares["low"])
    assert np.isnan([high[2], low[2]]).all()
    known = tables["effects"].dropna(subset=["change"])
    np.testing.assert_allclose(marks(fig, 1).x, known["change"])


def test_the_random_neurons_lie_behind_every_mark(tables):
    fig = neuron_dossier_figure(tables)
    bars = [list(t.x) for t in fig.data if t.mode == "lines" and t.line.width == 11]
    shares = 100 * tables["shares"].set_index("measure").loc[SHARES, ["control_min", "control_max"]]
    np.testing.assert_allclose(bars[:2], shares.to_numpy())
    known = tables["effects"].dropna(subset=["change"])
    np.testing.assert_allclose(bars[2:], known[["control_min", "control_max"]].to_numpy())


def test_the_caption_says_n_and_control_and_names_are_text(tables):
    fig = neuron_dossier_figure(tables, confidence=0.9)
    title, caption = caption_of(fig)
    assert EVIL in title
    assert "<img" not in fig.layout.title.text
    assert "&lt;img" in fig.layout.title.text
    assert "lowest to highest of 5 random neurons" in caption
    assert "48 test images" in caption
    assert "90 % intervals" in caption
    assert "Rank 1 of 16 by variance, selected" in caption
    # No words were looked for, and the panel says so.
    assert "margin of the word (spreads): not measured" in fig.to_json()


def test_random_neurons_are_counted_where_activations_were_not_compared(tables):
    """Without masks no effect size is measured, and its rows have no random neuron."""
    none = {"activations": tables["activations"].assign(n_random=0)}
    caption = caption_of(neuron_dossier_figure({**tables, **none}))[1]
    assert "lowest to highest of 5 random neurons" in caption


def test_a_hostile_word_is_text(tables):
    row = {"source": "patches", "word": EVIL, "margin": 2.0, "value": 1.0}
    row |= {"control_quantile_low": -1.0, "control_mean": 0.0, "control_quantile_high": 1.5}
    fig = neuron_dossier_figure({**tables, "labels": pd.DataFrame([row])})
    ticks = [text for axis in fig.select_yaxes() for text in axis.ticktext or ()]
    assert any(text.startswith("&lt;img") for text in ticks)
    assert not any("<img" in text for text in ticks)
    opened = [t for t in fig.data if t.marker.symbol == "circle-open"]
    assert [list(t.x) for t in opened] == [[1.0]]
    assert "grey: 95 % of shuffled labels" in caption_of(fig)[1]


def test_pictures_are_shown_with_their_labels(result):
    buffer = io.BytesIO()
    Image.new("RGB", (24, 24), "grey").save(buffer, "PNG")
    patches = result.patches
    kept = (patches["place"] <= 4).to_numpy()  # four of the highest, and four over the range
    crops = pd.Series([buffer.getvalue() if one else None for one in kept], dtype=object)
    fig = neuron_figure(replace(result, patches=patches.assign(crop=crops)), "category", POINT, 0)
    assert len(fig.layout.images) == 8
    assert {"lowest", "median"} <= {note.text for note in fig.layout.annotations}
    assert "outlined" in caption_of(fig)[1]
    assert not neuron_figure(result, "category", POINT, 0).layout.images


def test_tables_of_several_neurons_are_refused(result):
    with pytest.raises(ConfigError, match="of one neuron, and the tables hold 8"):
        neuron_dossier_figure(result.tables)
