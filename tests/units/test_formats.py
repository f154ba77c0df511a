"""Autoencoders of other libraries, against a forward pass written by hand in numpy."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lakeviz.errors import CheckpointError
from lakeviz.units import load_sae

POINT = "blocks.1.hook_resid_post"
N, M, K = 6, 10, 3


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"W_enc": (N, M), "b_enc": (M,), "W_dec": (M, N), "b_dec": (N,)}
    return {n: random.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


def x() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((20, N)).astype(np.float32)


# --- the forward pass, as the papers have it ---


def relu(before: np.ndarray) -> np.ndarray:
    return np.maximum(before, 0)


def topk(before: np.ndarray, k: int = K) -> np.ndarray:
    least = np.sort(before, axis=1)[:, -k][:, None]
    return np.where(before >= least, before, 0)


def jump(before: np.ndarray, threshold: Any) -> np.ndarray:
    return np.where(before > threshold, before, 0)


def before(w: dict[str, np.ndarray], tokens: np.ndarray, subtract: bool = True) -> np.ndarray:
    return (tokens - w["b_dec"] * subtract) @ w["W_enc"] + w["b_enc"]


def same(units: Any, latents: np.ndarray, reconstruction: np.ndarray, tokens: Any = None) -> None:
    tokens = torch.tensor(x() if tokens is None else tokens)
    assert 0 < (latents != 0).sum() < latents.size
    assert np.allclose(units.encode(tokens).numpy(), latents, atol=1e-4)
    assert np.allclose(units.reconstruct(tokens).numpy(), reconstruction, atol=1e-4)


# --- folders as they lie on a disk ---


def saelens(folder: Path, w: dict[str, np.ndarray], **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(w, str(folder / "sae_weights.safetensors"))
    meta = {"hook_name": POINT, "model_name": "tiny-clip"}
    said = {"d_in": N, "d_sae": M, "metadata": meta, **config}
    (folder / "cfg.json").write_text(json.dumps(said))
    return folder


def saev(path: Path, header: dict[str, Any], state: dict[str, np.ndarray]) -> Path:
    with path.open("wb") as file:
        file.write((json.dumps(header) + "\n").encode())
        torch.save({n: torch.tensor(a) for n, a in state.items()}, file)
    return path


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize(
    ("config", "latents"),
    [
        ({"architecture": "standard"}, relu),
        ({"architecture": "topk", "k": K}, lambda b: relu(topk(b))),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}, lambda b: relu(topk(b))),
    ],
)
def test_saelens(tmp_path, config, latents, subtract):
    w = weights()
    w["b_enc"] -= 2  # so that some of the k largest are negative
    units = load_sae(saelens(tmp_path / "a", w, apply_b_dec_to_input=subtract, **config))
    found = latents(before(w, x(), subtract))
    same(units, found, found @ w["W_dec"] + w["b_dec"])
    assert (units.point, units.n_channels, units.n_units) == (POINT, N, M)
    assert units.made == {"model_name": "tiny-clip"}
    assert units.source == "a/sae_weights.safetensors"


def test_saelens_thresholds(tmp_path):
    w, threshold = weights(), np.linspace(0, 2, M, dtype=np.float32)
    found = jump(before(w, x()), threshold)
    config = {"architecture": "jumprelu", "k": 99}
    same(
        load_sae(saelens(tmp_path / "jump", {**w, "threshold": threshold}, **config)),
        found,
        found @ w["W_dec"] + w["b_dec"],
    )
    # A checkpoint of BatchTopK in training holds one threshold for all latents.
    state = {**w, "topk_threshold": np.array(0.7)}
    found = jump(before(w, x()), np.float32(0.7))
    units = load_sae(saelens(tmp_path / "batch", state, architecture="batchtopk", k=2.5))
    same(units, found, found @ w["W_dec"] + w["b_dec"])
    assert units.activation == "threshold"
    assert units.threshold is not None and units.threshold.shape == (M,)
    with pytest.raises(CheckpointError, match="has no threshold; give threshold="):
        load_sae(saelens(tmp_path / "none", w, architecture="batchtopk", k=2.5))


def test_saelens_normalises_tokens(tmp_path):
    w, tokens = weights(), 3 * x() + 1
    mean, deviation = tokens.mean(1, keepdims=True), tokens.std(1, ddof=1, keepdims=True)
    found = relu(before(w, (tokens - mean) / (deviation + 1e-5)))
    units = load_sae(saelens(tmp_path / "ln", w, normalize_activations="layer_norm"))
    same(units, found, (found @ w["W_dec"] + w["b_dec"]) * deviation + mean, tokens)
    scale = np.sqrt(N) / np.linalg.norm(tokens, axis=1, keepdims=True)
    found = relu(before(w, tokens * scale))
    units = load_sae(saelens(tmp_path / "c", w, normalize_activations="constant_norm_rescale"))
    same(units, found, (found @ w["W_dec"] + w["b_dec"]) / scale, tokens)
    for unknown in ("expected_average_only_in", True, "batch_norm"):
        with pytest.raises(CheckpointError, match="fold it into the weights"):
            load_sae(saelens(tmp_path / "u", w, normalize_activations=unknown))


def test_saelens_ranks_by_the_length_of_the_decoder_where_it_says_so(tmp_path):
    w = weights()
    w["W_dec"] *= np.linspace(0.1, 4, M, dtype=np.float32)[:, None]
    length = np.linalg.norm(w["W_dec"], axis=1)
    config = {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True}
    found = relu(topk(before(w, x()) * length))
    reconstruction = (found / length) @ w["W_dec"] + w["b_dec"]
    same(load_sae(saelens(tmp_path / "r", w, **config)), found, reconstruction)


def test_vit_prisma(tmp_path):
    w = weights()
    torch.save({n: torch.tensor(a) for n, a in w.items()}, tmp_path / "weights.pt")
    config = {
        "architecture": "standard",
        "activation_fn_str": "relu",
        "activation_fn_kwargs": {},
        "hook_point_layer": 9,
        "layer_subtype": "hook_mlp_out",
        "model_name": "open-clip:laion/CLIP-ViT-B-32",
        "normalize_activations": None,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    units = load_sae(tmp_path)
    found = relu(before(w, x()))
    same(units, found, found @ w["W_dec"] + w["b_dec"])
    assert units.point == "blocks.9.hook_mlp_out"


@pytest.mark.parametrize(
    ("header", "more", "latents", "subtract"),
    [
        ({"d_vit": N, "exp_factor": 2}, {}, relu, True),
        ({"schema": 1, "cls": "TopK", "cfg": {"top_k": K}}, {}, topk, False),
        ({"schema": 2, "cfg": {"activation": ("Relu", {})}}, {}, relu, False),
        ({"schema": 2, "cfg": {"activation": ("TopK", {"top_k": K})}}, {}, topk, False),
        ({"schema": 2, "cfg": {"activation": ("BatchTopK", {"top_k": K})}}, {}, topk, False),
        (
            {"schema": 5, "cfg": {"activation": ("BatchTopK", {"top_k": 2, "momentum": 0.1})}},
            {"activation.threshold": np.float32(0.4)},
            lambda b: jump(b, np.float32(0.4)),
            False,
        ),
    ],
)
def test_saev(tmp_path, header, more, latents, subtract):
    w = weights()
    w["b_enc"] -= 2
    if isinstance(own := header.get("cfg", {}).get("activation"), tuple):
        header["cfg"]["activation"] = {"cls": own[0], "params": own[1]}
    path = saev(tmp_path / "sae.pt", header, {**w, **more})
    found = latents(before(w, x(), subtract))
    same(load_sae(path, point=POINT), found, found @ w["W_dec"] + w["b_dec"])
    with pytest.raises(CheckpointError, match="does not say its hook point; give point="):
        load_sae(path)


@pytest.mark.parametrize("kind", ["relu", "topk", "batchtopk", "jumprelu", "tied"])
def test_overcomplete(tmp_path, kind):
    w = weights()
    length = np.linalg.norm(w["W_dec"], axis=1, keepdims=True)
    rows = w["W_dec"] / length * np.exp(np.float32(0.3))
    state = {"dictionary._weights": w["W_dec"], "dictionary.multiplier": np.float32(0.3)}
    head = "encoder.final_block.0."
    if kind != "tied":
        state |= {head + "weight": w["W_enc"].T.copy(), head + "bias": w["b_enc"]}
    logs = np.linspace(-3, 0.5, M, dtype=np.float32)
    if kind == "jumprelu":
        state["thresholds"] = logs
    config = {"point": POINT, "architecture": "relu" if kind == "tied" else kind}
    config |= {"topk": {"k": K}, "batchtopk": {"threshold": 0.6}}.get(kind, {})
    save_file({n: np.asarray(a) for n, a in state.items()}, str(tmp_path / "sae.safetensors"))
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    pre = x() @ (rows.T if kind == "tied" else w["W_enc"]) + w["b_enc"] * (kind != "tied")
    found = {
        "relu": relu(pre),
        "tied": relu(pre),
        "topk": topk(relu(pre)),
        "batchtopk": jump(pre, np.float32(0.6)),
        "jumprelu": jump(pre, np.exp(logs)),
    }[kind]
    same(load_sae(tmp_path / "sae.safetensors"), found, found @ rows)
    same(load_sae(tmp_path), found, found @ rows)


def test_what_is_given_replaces_what_the_files_say(tmp_path):
    w = weights()
    folder = saelens(tmp_path / "a", w, architecture="standard")
    units = load_sae(folder, point="blocks.0.hook_mlp_out", architecture="topk", k=2)
    assert (units.point, units.k) == ("blocks.0.hook_mlp_out", 2)
    assert load_sae(folder, model_name=None).made == {}
    assert units.hash != load_sae(folder, architecture="topk", k=3).hash
    with pytest.raises(CheckpointError, match="takes no 'pont'; nearest: point"):
        load_sae(folder, pont=POINT)


class Code:
    def __reduce__(self):
        return (exec, ("raise SystemExit('this code ran')",))


def test_no_code_is_run(tmp_path):
    plain, torched, late = (tmp_path / n for n in ("a.pt", "b.pt", "c.pt"))
    plain.write_bytes(pickle.dumps(Code()))
    torch.save({"W_enc": Code()}, torched)
    with late.open("wb") as file:
        file.write(b'{"schema": 2, "cfg": {}}\n')
        torch.save({"W_enc": Code()}, file)
    for path in (plain, torched, late):
        with pytest.raises(CheckpointError, match=path.name):
            load_sae(path, point=POINT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "gated"}, r"architecture must be standard, .*, not 'gated'"),
        ({"hook_head_index": 3}, "a single head"),
        ({"finetuning_scaling_factor": True}, "fold it into the weights"),
        ({"architecture": "topk"}, "k must be 1 to 10, not None; give k="),
    ],
)
def test_what_is_not_supported_is_named(tmp_path, change, said):
    with pytest.raises(CheckpointError, match=said):
        load_sae(saelens(tmp_path / "a", weights(), **change))


def test_damaged_and_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no SAE at .*nowhere"):
        load_sae(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_sae(tmp_path)
    w = weights()
    del w["b_enc"]
    with pytest.raises(CheckpointError, match="lacks b_enc"):
        load_sae(saelens(tmp_path / "a", w))
    with pytest.raises(CheckpointError, match="holds b_gate"):
        load_sae(saelens(tmp_path / "b", {**weights(), "b_gate": weights()["b_enc"]}))
    for damage in ({"hook_name": 3}, {"activation_fn_kwargs": "k"}, {"metadata": [1]}, {"k": "x"}):
        with pytest.raises(CheckpointError, match="d: its settings are damaged"):
            load_sae(saelens(tmp_path / "d", weights(), **{"architecture": "topk"} | damage))
    (tmp_path / "c.pt").write_bytes(b'{"schema": 5, "cfg": {}}\nnothing')
    with pytest.raises(CheckpointError, match=r"c\.pt cannot be read as an SAE of saev"):
        load_sae(tmp_path / "c.pt", point=POINT)
