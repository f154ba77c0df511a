"""Curves over the number of units: minimality, chosen bounds, the floor; and a null."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom

from lakeviz.activations import stream_statistics
from lakeviz.errors import ConfigError, DataError
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.pair_shares import share_difference
from lakeviz.studies import patching
from lakeviz.studies.patching.attribution import attribution_rows
from lakeviz.studies.patching.concentration import _shown
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.setup import unit_sets
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import (
    COMPLETENESS,
    DEFECT,
    DENOISING,
    DIRECTIONS,
    FAITHFULNESS,
    MINIMALITY,
)

POINT = "blocks.0.hook_resid_post"
SMALL = dict(
    n_pairs=4,
    n_random_sets=2,
    bootstrap=Bootstrap(n_resamples=20),
    attribution=False,
    heatmap=False,
    doses=(),
)


class World:
    """Sets of units whose effect is a function of which of them are left."""

    def __init__(self, k, left) -> None:
        self.k, self.left, self.full = k, left, {DEFECT: np.ones((1, 3))}

    def moved(self, order, direction, edit=None, key=""):
        without = key[1] if isinstance(key, tuple) else None
        kept = [unit for unit in range(self.k) if unit != without]
        return {DEFECT: np.full((1, 1, 3), 1 - self.left(kept))}


def test_minimality_by_hand() -> None:
    parts = [0.5, 0.2, 0.1]
    additive, redundant = (
        (lambda kept: sum(parts[u] for u in kept)),
        (lambda kept: float(len(kept) > 0)),
    )
    for k, left, expected in (
        (1, additive, 0.5),
        (3, additive, 0.8 / 3),
        (1, redundant, 1),
        (3, redundant, 0),
    ):
        world: Any = World(k, left)
        assert _shown(world, "own", MINIMALITY) == pytest.approx(expected)
        assert _shown(world, "own", FAITHFULNESS) == pytest.approx(left(range(k)))


def test_units_chosen_one_by_one_are_the_planted_ones(plant) -> None:
    data, _ = plant()
    found = patching(data, twins="inpainted", greedy=2, untrained=False, **SMALL)
    own = found.curves.set_index(["units", "measure", "size"]).sort_index()["share"]
    for units in ("greedy", "oracle"):
        for measure in (FAITHFULNESS, COMPLETENESS):
            assert own[units, measure, 2] == pytest.approx(1, abs=1e-3)
        assert own["variance", FAITHFULNESS, 1] == pytest.approx(0, abs=1e-3)
    sets = unit_sets([data], Settings(twins="inpainted", n_pairs=4, greedy=2))
    assert set(sets.of_size(2).one_by_one(range(4)).channels) == {3, 7}
    none = patching(data, twins="inpainted", greedy=0, untrained=False, **SMALL)
    assert set(none.curves["units"]) == {"variance", "random", "twin_difference"}


def test_the_oracle_is_chosen_on_the_pairs_themselves_and_greedy_on_others(interchange) -> None:
    made = interchange(n_pairs=6)
    statistics = stream_statistics(made.model, made.pairs.twins, [POINT], preprocessed=True)[POINT]
    sets = UnitSets(made, POINT, [statistics], Settings(n_pairs=6, greedy=3), 3)
    whole = sets.one_by_one(range(6))
    tokens = made.exchanged(POINT, DENOISING, "all tokens", whole)
    moved = made.intact[0][DEFECT] - made.run(POINT, tokens)[DEFECT]
    np.testing.assert_allclose(sets.moved("oracle", DENOISING)[DEFECT][:, 0], moved, atol=1e-6)
    halves = [0, 2, 4], [1, 3, 5]
    greedy = sets.moved("greedy", DENOISING)[DEFECT][0, 0]
    for own, other in (halves, halves[::-1]):
        tokens = made.exchanged(POINT, DENOISING, "all tokens", sets.one_by_one(other))
        moved = made.intact[0][DEFECT] - made.run(POINT, tokens)[DEFECT]
        np.testing.assert_allclose(greedy[own], moved[0][own], atol=1e-6)
    first = sets.of_size(1)
    for channel in first.one_by_one(range(6)).channels[:1].tolist():
        best = sets._gain([channel], range(6))
        others = sets.of_size(32).largest_difference(range(6)).channels[:16].tolist()
        assert best == max(sets._gain([one], range(6)) for one in others)


def test_the_floor_is_an_untrained_tower(captured, tiny_model) -> None:
    data = captured(tiny_model("timm"), [1])
    found = patching(data, **SMALL)
    floor = found.curves.query("basis == 'untrained tower'")
    said = [note for note in found.notes if "untrained tower" in note]
    assert len(floor) or said
    if len(floor):
        assert set(floor["units"]) == {"variance", "random", "twin_difference"}
    built = replace(data.model, build_tower=None)
    found = patching(replace(data, model=built), **SMALL)
    assert set(found.curves["basis"]) == {"neurons"}
    assert any("no untrained tower" in note for note in found.notes)


def test_a_tower_of_stages_is_measured_where_its_tokens_are_the_patches(captured, tiny_model):
    data = captured(tiny_model("resnet"), ["layer2.0.hook_resid_post"], text_weight=0)
    found = patching(
        data,
        **{**SMALL, "attribution": True, "heatmap": True, "n_pairs": 3},
        n_checked=3,
        integrated_steps=1,
        greedy=0,
    )
    everything = found.effects.query("units == 'all' and readout == 'defect patches'")
    np.testing.assert_allclose(everything["share"], 1, rtol=1e-3)
    wider = found.heatmap.query("point == 'layer1.0.hook_resid_post'")
    assert wider["reason"].str.contains("256 tokens, other ones than the 64 patches").all()
    assert set(found.attribution["point"]) == {"layer2.0.hook_resid_post"}


# --- a null ---


def test_a_tower_that_does_not_see_the_defect_gives_no_share(plant) -> None:
    found = patching(plant(weight=0)[0], twins="inpainted", **SMALL)
    assert found.effects["share"].isna().all()
    assert found.effects["reason"].str.contains("do not differ").all()
    assert found.curves["share"].isna().all()
    assert found.areas["area"].isna().all()


def test_random_units_are_found_as_rarely_as_stated(interchange) -> None:
    """Every random set in turn is in question, on a tower that was never trained."""
    made = interchange("timm", n_pairs=5)
    statistics = stream_statistics(made.model, made.pairs.twins, [POINT], preprocessed=True)[POINT]
    n = 60
    sets = UnitSets(made, POINT, [statistics], Settings(n_pairs=5, n_random_sets=n), 6)
    for direction in DIRECTIONS:
        members = sets.moved("random", direction)[DEFECT]
        found = [
            share_difference(
                members[:, i], np.delete(members, i, axis=1), made.full[DEFECT], one_more=True
            )
            for i in range(n)
        ]
        most = binom.ppf(0.999, n, 0.05)
        assert sum(gap.low > 0 or gap.high < 0 for gap, _ in found) <= most
        assert sum(p <= 0.05 for _, p in found) <= most


# --- bad input ---


def test_a_pair_has_one_size(interchange) -> None:
    pairs = interchange().pairs
    with pytest.raises(DataError, match=r"\(32, 32\) and their twins \(32, 16\)"):
        replace(pairs, twins=pairs.twins[..., :16])


def test_attribution_refuses_half_precision(interchange, monkeypatch) -> None:
    made = interchange()
    monkeypatch.setattr(type(made.tower), "dtype", torch.bfloat16)
    with pytest.raises(ConfigError, match="gradients in fp32"):
        attribution_rows(made, POINT, Settings())
