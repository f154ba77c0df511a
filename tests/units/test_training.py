"""A small autoencoder finds planted directions, says how well it does, and comes back from disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lakeviz.errors import ActivationError, ConfigError
from lakeviz.units import load_sae, reconstruction, save_sae, train_sae
from lakeviz.units.autoencoder import AutoencoderUnits

POINT = "blocks.1.hook_resid_post"
SETTINGS = {"latents": 12, "k": 2, "steps": 400, "learning_rate": 0.02, "batch_size": 256}


@pytest.fixture(scope="module")
def planted():
    """Tokens of two of eight orthogonal directions each, off centre."""
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.standard_normal((16, 16)))[0][:8]
    parts = np.zeros((2000, 8))
    for row in parts:
        row[random.choice(8, 2, replace=False)] = random.uniform(3, 6, 2)
    tokens = parts @ basis + 10
    return torch.from_numpy(tokens).float(), torch.from_numpy(basis).float()


@pytest.fixture(scope="module", params=["batchtopk", "topk"])
def trained(request, planted):
    return train_sae(planted[0], POINT, architecture=request.param, **SETTINGS)


def test_planted_directions_are_found(trained, planted):
    tokens, basis = planted
    found = (basis @ trained.w_dec.T).amax(1)
    assert found.min() > 0.8 and found.mean() > 0.87
    measured = reconstruction(trained, tokens)
    assert measured["explained_variance"] > 0.95
    assert measured["explained_by_channel"] > 0.95
    assert measured["l0"] == pytest.approx(2, abs=0.25)
    untrained = train_sae(tokens, POINT, **SETTINGS | {"steps": 0})
    assert reconstruction(untrained, tokens)["explained_variance"] < 0.8


def test_the_measures_follow_their_definition():
    half = torch.eye(4)[:2]  # an exact autoencoder of the first two channels
    units = AutoencoderUnits(POINT, half.T.contiguous(), torch.zeros(2), half, torch.zeros(4))
    x = torch.tensor([[1.0, 0, 3, 0], [3.0, 0, 1, 0], [2.0, 0, 2, 0]])
    found = reconstruction(units, x)
    lost, spread = 3**2 + 1**2 + 2**2, 2 + 2
    assert found["explained_variance"] == pytest.approx(1 - lost / spread)
    assert found["explained_by_channel"] == pytest.approx((1 + 1 - lost / 2) / 2)
    assert (found["l0"], found["dead"]) == (1.0, 0.5)


def test_training_is_seeded(planted):
    tokens = planted[0][:300]
    short = SETTINGS | {"steps": 5}
    hashes = [train_sae(tokens, POINT, seed=seed, **short).hash for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_dead_latents_are_trained_on_what_is_left(planted, monkeypatch):
    from lakeviz.units import training

    tokens, _ = planted
    settings = SETTINGS | {"latents": 60, "architecture": "topk", "steps": 300}
    dead = {}
    for after in (20, 10**9):
        monkeypatch.setattr(training, "_DEAD_AFTER", after)
        dead[after] = reconstruction(train_sae(tokens, POINT, **settings), tokens)["dead"]
    assert dead[20] < dead[10**9]


def test_it_comes_back_from_disk_as_it_went(trained, planted, tmp_path):
    tokens = planted[0][:50]
    units = AutoencoderUnits(
        **{n: getattr(trained, n) for n in trained.__dataclass_fields__}
        | {"made": {"model_name": "tiny", "weights_hash": "abc"}, "report": {"l0": 2.0}}
    )
    again = load_sae(save_sae(units, tmp_path / "sae"))
    assert again.hash == units.hash
    assert torch.equal(again.encode(tokens), units.encode(tokens))
    assert (again.made, again.report) == (units.made, units.report)
    said = json.loads((tmp_path / "sae/cfg.json").read_text())
    assert said["metadata"] == {"model_name": "tiny", "hook_name": POINT}
    assert said["architecture"] in ("topk", "jumprelu")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"k": 13}, "k must be 1 to the 12 latents, not 13"),
        ({"steps": -1}, r"steps \(-1\)"),
        ({"learning_rate": 0.0}, r"learning rate \(0.0\)"),
        ({"architecture": "gated"}, "architecture must be batchtopk or topk"),
    ],
)
def test_impossible_settings_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        train_sae(torch.zeros(5, 4), POINT, **SETTINGS | changes)


def test_impossible_tokens_are_refused():
    with pytest.raises(ConfigError, match="no token to train on"):
        train_sae(torch.zeros(0, 4), POINT, **SETTINGS)
    with pytest.raises(ActivationError, match=POINT):
        train_sae(torch.full((5, 4), torch.nan), POINT, **SETTINGS)
