"""Studies of units that are not neurons."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lakeviz.errors import ConfigError
from lakeviz.lake import LakeOptions
from lakeviz.studies import decompose, knockout, neurons, overlap, patching, pca, readings
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.unit_data import on_units, reconstructed
from lakeviz.studies.overlap.capture import capture_items
from lakeviz.units import AutoencoderUnits, channels, rotated

POINT = "blocks.2.hook_resid_post"
FEW = {"n_resamples": 10}


@pytest.fixture(scope="module")
def units():
    random = torch.Generator().manual_seed(0)
    shapes = {"w_enc": (32, 20), "b_enc": (20,), "w_dec": (20, 32), "b_dec": (32,)}
    weights = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    return AutoencoderUnits(point=POINT, source="a/b.safetensors", **weights)


@pytest.fixture
def made(tiny_model, tile, units):
    options = LakeOptions(k=4, map_size=(24, 24))
    draw = tile.few_shot(3, seed=1)
    return capture_study(tiny_model("clip"), draw, tile, options=options, units=units)


def test_tokens_are_unit_activations(tiny_model, tile, made, units, captured):
    plain = captured(tiny_model("clip"), [POINT], k=4)
    assert made.points == (POINT,)
    for own, raw in ((made.normal, plain.normal), (made.test, plain.test)):
        assert torch.equal(own.patches(POINT), units.encode(raw.patches(POINT)))
        assert own.sample_ids == raw.sample_ids
        assert torch.equal(own.some([1]).patches(POINT), own.patches(POINT, [1]))
    assert made.n_channels(POINT) == 20
    assert made.text is not None and plain.text is not None
    assert np.array_equal(made.text.patch, plain.text.patch)
    assert made.provenance["units"][POINT]["hash"] == units.hash
    assert made.identity != plain.identity
    assert torch.equal(on_units(plain, units).test.patches(POINT), made.test.patches(POINT))
    assert (
        len({d.identity for d in (plain, made, on_units(plain, rotated(plain.model, POINT)))}) == 3
    )


def test_reconstructed_tokens_keep_their_width(tiny_model, units, captured):
    plain = captured(tiny_model("clip"), [POINT], k=4)
    found = reconstructed(plain, units)
    expected = units.reconstruct(plain.test.patches(POINT))
    assert torch.equal(found.test.patches(POINT), expected)
    assert found.identity != plain.identity
    same = reconstructed(plain, channels(tiny_model("clip"), POINT))
    branches = [one.branches([one.select(4)]) for one in (plain, same)]
    maps = [one.visual_maps(b)[0] for one, b in zip((plain, same), branches)]
    assert np.array_equal(*maps)


@pytest.mark.parametrize(
    ("study", "settings"),
    [
        (knockout, {"kind": "score", "sizes": (2,), "n_random_sets": 2}),
        (pca, {"sizes": (2,), "n_random_sets": 2}),
        (neurons, {}),
        (readings, {}),
    ],
)
def test_studies_of_neurons_take_units(made, study, settings):
    result = study(made, **settings)
    assert result.provenance["units"][POINT]["source"] == "a/b.safetensors"
    assert result.summary()


def test_overlap_takes_units(tiny_model, tile, units):
    model = tiny_model("clip")
    shared = {"shots": (2,), "seeds": (0, 1)}
    items = capture_items(model, tile, 3, units=units, **shared)
    assert [item.pool.n_channels for item in items] == [20, 20]
    found = overlap(items, 3, across="seed", n_random_sets=5, n_resamples=5)
    assert set(found.pairs["n_channels"]) == {20}
    plain = capture_items(model, tile, 3, points=[POINT], **shared)
    turned = capture_items(model, tile, 3, units=rotated(model, POINT), **shared)
    assert len({item.weights_hash for item in (*items, *plain, *turned)}) == 3


def test_studies_that_change_the_network_refuse_units(made):
    said = r"do not have: they hold SAE latents of a/b\.safetensors; make them without units="
    for study, settings in (
        (knockout, {"kind": "forward"}),
        (knockout, {"kind": "weights"}),
        (patching, {}),
        (decompose, {}),
    ):
        with pytest.raises(ConfigError, match=said):
            study(made, **settings)


def test_units_of_other_points_are_refused(tiny_model, tile, units, captured):
    model = tiny_model("clip")
    with pytest.raises(ConfigError, match=f"units are of {POINT}, and the layers are"):
        capture_study(model, tile.few_shot(3, seed=1), tile, points=[1], units=units)
    with pytest.raises(ConfigError, match=f"{POINT} was not captured"):
        on_units(captured(model, [1], k=4), units)
