"""Which channel makes an effect: worlds in which one planted channel makes it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from worlds import World

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.metrics import Bootstrap
from lakeviz.plots.spectrum import channel_effect_figure, outlier_figure
from lakeviz.studies import contamination, knockout, pca
from lakeviz.studies.base.exchange import exchange_rows

AUROC = [("image", "auroc")]
SMALL = Bootstrap(n_resamples=100)


def world(signal: int = 0) -> World:
    """Twenty channels; defects move one alone, the one of highest variance by default."""
    scales = [8.0, *np.linspace(2, 0.5, 19)]
    return World(scales=scales, signal=(signal,), shift=8, n_normal=40, n_anomalous=40)


@pytest.fixture(scope="module")
def effects() -> pd.DataFrame:
    data = world().data(k=4)
    return pd.DataFrame(
        exchange_rows(data, data.evaluator(AUROC, SMALL), control="bottom_variance")
    )


def test_only_the_planted_channel_changes_the_effect(effects):
    difference = effects.set_index("left_out")["difference"]
    top = world().data(k=4).select(4)[world().points[0]].channels.tolist()
    assert sorted(difference.index) == [-1, *sorted(top)]
    assert difference[-1] > 0.3
    assert difference[0] < 0.2
    others = difference.drop([-1, 0])
    assert (others - difference[-1]).abs().max() < 0.1


def test_the_first_channel_out_is_the_selector(effects):
    data = world().data(k=4)
    evaluator = data.evaluator(AUROC, SMALL)
    (maps,) = data.visual_maps(data.branches([data.select(4, "variance_without_first")]))
    found = effects.set_index("left_out")["value"]
    assert evaluator.measure(maps).values["image", "auroc"] == found[0]


def test_a_channel_must_be_in_the_selection():
    data = world().data(k=4)
    with pytest.raises(SelectionError, match="channel 19 is not in the selection"):
        exchange_rows(data, data.evaluator(AUROC, SMALL), channels=[19])


def test_figure_names_the_channel_first(effects):
    fig = channel_effect_figure(effects, quantity="image AUROC", control="lowest variance", most=2)
    assert fig.layout.yaxis.ticktext[:2] == ("all channels", "without 0")
    assert len(fig.layout.yaxis.ticktext) == 3
    with pytest.raises(ConfigError, match="got 0"):
        channel_effect_figure(effects[effects["left_out"] != -1], quantity="", control="")


def test_figure_of_shares():
    spectrum = pd.DataFrame(
        {"point": "blocks.8.hook_resid_post", "channel": [0, 41], "variance": [1.0, 19.0]}
    ).assign(selected=True)
    said = [trace.name for trace in outlier_figure(spectrum).data]
    assert "blocks.8: channel 41 has 95 % of the variance" in said


def test_studies_have_a_row_without_the_first_channel():
    data = world().data(k=4)
    found = pca(data, metrics=tuple(AUROC), sizes=(4,), n_random_sets=2, bootstrap=SMALL)
    value = found.metrics.query("k == 4").set_index("selector")["value"]
    assert value["variance"] > 0.9
    assert value["variance_without_first"] < 0.75
    assert set(found.metrics.query("k == 20")["selector"]) >= {"variance", "all"}
    assert any("K = 20: category: no top-variance neurons without" in n for n in found.notes)
    assert any("One channel, 0, holds" in note for note in found.notes)
    (report,) = found.provenance["categories"]["category"]["outliers"]
    assert (report["channel"], report["massive_share"]) == (0, pytest.approx(0, abs=0.02))

    knocked = knockout(
        data, metrics=tuple(AUROC), sizes=(4, 20), n_random_sets=2, single=False, bootstrap=SMALL
    )
    rows = knocked.contrasts.query("control == 'variance_without_first'")
    made = rows[rows["difference"].notna()]
    assert set(made["size"]) == {4}
    assert (made["difference"] < -0.2).all()  # only the first channel's loss shows
    absent = rows[rows["difference"].isna()]
    assert set(absent["size"]) == {20}
    assert absent["reason"].str.contains("a channel of the top").all()

    dirty = contamination(
        world().data(k=20),
        metrics=tuple(AUROC),
        shots=4,
        fractions=(0.25,),
        n_repeats=2,
        bootstrap=SMALL,
    )
    assert "variance_without_first" not in set(dirty.metrics["selector"])
    assert any("no top-variance neurons without the first" in note for note in dirty.notes)
