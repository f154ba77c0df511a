"""LAKE on units that are not neurons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lakeviz import Lake, capture_activations
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, SelectionError, StoreError
from lakeviz.lake import LakeOptions, NeuronSelection
from lakeviz.models import load_model
from lakeviz.units import AutoencoderUnits, channels, rotated

POINT, OTHER = "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    write_benchmark(root, categories=("tile",), size=64, n_train=2, n_good=2, n_per_defect=1)
    return read_dataset("mvtec", root)


def sae(model, seed=0, **changes):
    random, n = torch.Generator().manual_seed(seed), model.d_model
    given = {
        "point": POINT,
        "w_enc": torch.randn(n, 24, generator=random),
        "b_enc": torch.randn(24, generator=random),
        "w_dec": torch.randn(24, n, generator=random),
        "b_dec": torch.zeros(n),
        "made": {"weights_hash": model.weights_hash, "model_name": model.name},
        "source": f"seed {seed}",
    }
    return AutoencoderUnits(**given | changes)


def test_neurons_as_units_score_as_neurons(model, tile):
    plain = Lake(model, k=5, layers=[POINT], text_weight=0).fit(tile.normal())
    units = Lake(model, k=5, units=channels(model, POINT), text_weight=0).fit(tile.normal())
    test = tile.evaluated()
    assert np.array_equal(plain.score(test).patch, units.score(test).patch)


def test_all_directions_of_a_rotation_score_as_all_neurons(model, tile):
    # Distances do not see a rotation, and selections do.
    test = tile.evaluated()
    settings = {"selector": "all", "text_weight": 0}
    plain = Lake(model, layers=[POINT], **settings).fit(tile.normal()).score(test)
    units = rotated(model, POINT, seed=1)
    turned = Lake(model, units=units, **settings).fit(tile.normal()).score(test)
    assert np.allclose(plain.patch, turned.patch, atol=1e-5)
    few = [Lake(model, units=u, k=3, text_weight=0).fit(tile.normal()) for u in (units, ())]
    assert not np.allclose(few[0].score(test).patch, few[1].score(test).patch, atol=1e-3)


def test_latents_are_selected_by_their_variance_with_controls(model, tile):
    units = sae(model)
    lake = Lake(model, units=units, k=4, text_weight=0)
    lake.fit(tile.normal(), controls=[("random", 0), ("all", 0), ("bottom_variance", 0)])
    tokens = capture_activations(model, tile.normal(), [POINT]).read(POINT)
    latents = units.encode(tokens).flatten(0, 1).double()
    expected = latents.var(0, correction=0).argsort(descending=True)[:4]
    selection = lake.visual.selections[POINT]
    assert isinstance(selection, NeuronSelection)
    assert selection.channels.tolist() == expected.tolist()
    assert selection.n_channels == 24
    chosen = lake.branches["all#0"].points[POINT].gallery.tokens
    assert torch.allclose(chosen, latents.float(), atol=1e-4)
    evaluation = lake.evaluate(tile)
    said = evaluation.provenance["units"][POINT]
    assert said == {"name": "SAE latents", "source": "seed 0", "hash": units.hash, "n_units": 24}
    assert len(evaluation.spectrum) == 24
    assert {"random", "all", "bottom_variance"} <= set(evaluation.controls["control"])
    assert "4 SAE latents each by variance" in repr(lake)


def test_the_text_branch_reads_tokens_not_latents(model, tile):
    last = f"blocks.{model.n_blocks - 1}.hook_resid_post"
    test = tile.evaluated()
    plain = Lake(model, layers=[last], k=3).fit(tile.normal(), "tile").score(test)
    units = sae(model, point=last)
    found = Lake(model, units=units, k=3).fit(tile.normal(), "tile").score(test)
    assert np.array_equal(plain.parts["text"], found.parts["text"])
    assert not np.array_equal(plain.parts["visual"], found.parts["visual"])


def test_several_hook_points(model, tile):
    lake = Lake(model, units=[sae(model), rotated(model, OTHER)], k=2, text_weight=0)
    lake.fit(tile.normal())
    assert lake.points == (POINT, OTHER)
    assert [s.n_channels for s in lake.visual.selections.values()] == [24, model.d_model]
    joint = Lake(model, units=lake.units.values(), k=30, selection_scope="joint", text_weight=0)
    assert joint.fit(tile.normal()).visual.points


def test_units_are_recorded_and_others_refused(model, tile, tmp_path):
    units = sae(model)
    lake = Lake(model, units=units, k=4, text_weight=0).fit(tile.normal())
    lake.save(tmp_path / "lake")
    again = Lake.load(tmp_path / "lake", model, units=units)
    test = tile.evaluated()
    assert np.array_equal(again.score(test).patch, lake.score(test).patch)
    for given in (None, sae(model, seed=1), replace(units, k=3, activation="topk")):
        with pytest.raises(StoreError, match=rf"SAE latents of seed 0 at {POINT} \(hash"):
            Lake.load(tmp_path / "lake", model, units=given)
    Lake(model, k=4, layers=[POINT], text_weight=0).fit(tile.normal()).save(tmp_path / "plain")
    with pytest.raises(StoreError, match="was fitted on neurons of channels"):
        Lake.load(tmp_path / "plain", model, units=units)


def test_units_that_do_not_fit_are_refused(model):
    with pytest.raises(ConfigError, match="read 7 channels, and"):
        ones = {"w_enc": torch.ones(7, 24), "w_dec": torch.ones(24, 7), "b_dec": torch.ones(7)}
        Lake(model, units=sae(model, **ones))
    with pytest.raises(ConfigError, match="other weights or another name"):
        Lake(model.untrained(0), units=sae(model))
    with pytest.raises(ConfigError, match=f"units are of {POINT}, and the layers are {OTHER}"):
        Lake(model, units=sae(model), layers=[OTHER])
    with pytest.raises(ConfigError, match="two sets of units are of the same hook point"):
        Lake(model, units=[sae(model), rotated(model, POINT)])
    with pytest.raises(SelectionError, match="25"):
        Lake(model, units=sae(model), k=25)
    assert isinstance(Lake(model, units=sae(model)).options, LakeOptions)
    assert Lake(model, units=sae(model)).options.k == 3
