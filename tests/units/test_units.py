"""Units: encoded, replaced and ablated as their definition says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import ActivationError, CheckpointError, ConfigError, SelectionError
from lakeviz.units import (
    AutoencoderUnits,
    HeadUnits,
    LinearUnits,
    channels,
    directions,
    heads,
    principal_components,
    rotated,
)

POINT = "blocks.1.hook_resid_post"
Z = "blocks.1.attn.hook_z"


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def autoencoder(**changes) -> AutoencoderUnits:
    given = {
        "point": POINT,
        "w_enc": tokens(32, 40, seed=1),
        "b_enc": tokens(40, seed=2),
        "w_dec": tokens(40, 32, seed=3),
        "b_dec": tokens(32, seed=4),
    }
    return AutoencoderUnits(**given | changes)


def test_neurons_are_the_channels(tiny_model):
    units, x = channels(tiny_model(), POINT), tokens(2, 5, 32)
    assert units.n_units == units.n_channels == 32
    assert torch.equal(units.encode(x), x)
    changed = units.replace(x, [3, 7], torch.tensor([1.0, 2.0]))
    assert (changed[..., 3] == 1).all() and (changed[..., 7] == 2).all()
    left = [c for c in range(32) if c not in (3, 7)]
    assert torch.equal(changed[..., left], x[..., left])
    assert (units.ablate(x, [3])[..., 3] == 0).all() and (x[..., 3] != 0).all()


def test_a_rotation_keeps_lengths_and_is_seeded(tiny_model):
    model, x = tiny_model(), tokens(2, 5, 32)
    units = rotated(model, POINT, seed=3)
    assert torch.allclose(units.encode(x).norm(dim=-1), x.norm(dim=-1), atol=1e-5)
    assert torch.allclose(units.reconstruct(x), x, atol=1e-5)
    assert units.hash == rotated(model, POINT, seed=3).hash != rotated(model, POINT, seed=4).hash
    assert units.hash != rotated(model, "blocks.2.hook_resid_post", seed=3).hash


def test_principal_components_are_uncorrelated_and_sorted():
    x = tokens(500, 6) @ torch.diag(torch.tensor([1.0, 5.0, 2.0, 1.0, 9.0, 1.0]))
    units = principal_components(ChannelStatistics(POINT, with_covariance=True).update(x), 3)
    found = np.cov(units.encode(x).numpy().T)
    assert units.n_units == 3
    assert np.allclose(found, np.diag(np.diag(found)), atol=1e-3 * found.max())
    assert (np.diff(np.diag(found)) < 0).all()
    assert np.diag(found)[0] == pytest.approx(81, rel=0.2)


def test_directions_are_set_exactly_and_nothing_else_moves():
    skew = torch.tensor([[3.0, 0, 0, 0], [1.0, 1, 0, 0], [0, 0, 2.0, 0]])
    units, x = directions(POINT, skew, "by hand"), tokens(6, 4)
    changed = units.replace(x, [0, 1], torch.tensor([5.0, -1.0]))
    expected = torch.tensor([5.0, -1.0]).expand(6, 2)
    assert torch.allclose(units.encode(changed)[:, :2], expected, atol=1e-5)
    assert torch.allclose(changed[:, 2:], x[:, 2:], atol=1e-6)
    assert units.ablate(x, [1])[:, :2].sum(-1).abs().max() < 1e-5
    with pytest.raises(ConfigError, match="by hand: direction 1 has no length"):
        directions(POINT, torch.tensor([[1.0, 0], [0, 0]]), "by hand")
    with pytest.raises(ConfigError, match="by hand: directions are"):
        directions(POINT, torch.zeros(3), "by hand")


def test_a_head_is_a_group_of_channels(tiny_model):
    model = tiny_model()
    units, x = heads(model, Z), tokens(2, 5, 32)
    assert isinstance(units, HeadUnits) and units.n_units == 4
    assert torch.allclose(units.encode(x)[..., 1], x[..., 8:16].norm(dim=-1))
    gone = units.ablate(x, [1])
    assert (gone[..., 8:16] == 0).all()
    assert torch.equal(gone[..., :8], x[..., :8]) and torch.equal(gone[..., 16:], x[..., 16:])
    assert torch.allclose(units.encode(units.replace(x, [2], 3.0))[..., 2], torch.tensor(3.0))
    with pytest.raises(ConfigError, match="does not make a token"):
        units.decode(units.encode(x))
    with pytest.raises(ConfigError, match="has no heads"):
        heads(model, POINT)


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
def test_the_error_of_an_autoencoder_is_kept(normalisation):
    units, x = autoencoder(normalisation=normalisation), tokens(7, 32, seed=9)
    error = x - units.reconstruct(x)
    before = units.encode(x)
    changed = units.replace(x, [4], 2.5)
    assert torch.allclose(units.replace(x, [4, 6], before[:, [4, 6]]), x)
    apart = changed - x
    # Along the decoder of that latent alone, whatever else the autoencoder gets wrong.
    along = units.w_dec[4] / units.w_dec[4].norm()
    assert torch.allclose(apart, (apart @ along)[:, None] * along, atol=1e-4)
    scale = {"none": torch.ones(7), "layer_norm": x.std(-1)}.get(
        normalisation, x.norm(dim=-1) / 32**0.5
    )
    expected = (2.5 - before[:, 4]) * scale * units.w_dec[4].norm()
    assert torch.allclose(apart @ along, expected, atol=1e-3)
    assert error.abs().max() > 0.1


def test_all_latents_of_an_autoencoder_ablated_leave_bias_and_error():
    units, x = autoencoder(), tokens(7, 32, seed=9)
    left = units.ablate(x, range(40))
    assert torch.allclose(left, units.b_dec + x - units.reconstruct(x), atol=1e-3)


def test_a_transcoder_writes_elsewhere():
    units = autoencoder(
        w_dec=tokens(40, 12), b_dec=tokens(12), out_point="blocks.1.hook_mlp_out", subtract=True
    )
    x = tokens(3, 32)
    expected = (x @ units.w_enc + units.b_enc).relu() @ units.w_dec + units.b_dec
    assert torch.allclose(units.reconstruct(x), expected, atol=1e-4)
    assert units.name == "transcoder latents"
    with pytest.raises(ConfigError, match=r"writes blocks\.1\.hook_mlp_out"):
        units.ablate(x, [0])
    with pytest.raises(CheckpointError, match="out_point="):
        autoencoder(w_dec=tokens(40, 12), b_dec=tokens(12))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"b_enc": torch.zeros(39)}, r"b_enc is \[39\], not \[40\]"),
        ({"activation": "topk"}, "k must be 1 to 40, not None"),
        ({"activation": "topk", "k": 41}, "k must be 1 to 40, not 41"),
        ({"activation": "threshold"}, "no threshold"),
        ({"activation": "swish"}, "activation must be relu, topk or threshold, not 'swish'"),
        ({"normalisation": "expected_average_only_in"}, "fold it into the weights"),
    ],
)
def test_a_wrong_autoencoder_is_refused(changes, said):
    with pytest.raises(CheckpointError, match=said):
        autoencoder(**changes)


def test_latents_of_removed_means_are_not_decoded_alone():
    with pytest.raises(ConfigError, match=r"use reconstruct\(tokens\)"):
        autoencoder(normalisation="layer_norm").decode(torch.zeros(40))


def test_units_of_another_model_or_width_are_refused(tiny_model):
    model = tiny_model()
    with pytest.raises(ConfigError, match=r"read 4 channels, and .* has 32"):
        directions(POINT, torch.eye(4), "by hand").check(model)
    autoencoder().check(model)
    autoencoder(made={"weights_hash": model.weights_hash, "model_name": "other"}).check(model)
    autoencoder(made={"model_name": "org/Tiny_Clip"}).check(model)
    for made in ({"weights_hash": "0" * 64, "model_name": "other"}, {"model_name": "other"}):
        with pytest.raises(ConfigError, match="made for other, and this model is tiny-clip"):
            autoencoder(made=made).check(model)


def test_tokens_and_units_out_of_range_are_refused():
    units = LinearUnits(POINT, torch.eye(4), "directions", "by hand")
    with pytest.raises(ActivationError, match=r"read 4 channels .* tokens have 5"):
        units.encode(torch.zeros(2, 5))
    with pytest.raises(SelectionError, match="has directions 0 to 3, not 4"):
        units.ablate(torch.zeros(2, 4), [1, 4])
