"""Sparse autoencoders as other libraries store them; no code in a file is run.

Read are the folders of SAELens (``cfg.json`` with ``sae_weights.safetensors``) and of ViT-Prisma
(``config.json`` with ``weights.pt``), the files of saev (a line of JSON, then tensors), and state
dictionaries of overcomplete, whose settings stand in a ``cfg.json`` beside them or are given.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lakeviz.errors import CheckpointError, nearest
from lakeviz.files import one_line, read_json
from lakeviz.models.load.checkpoints import read_state
from lakeviz.settings import check_choice
from lakeviz.units.autoencoder import AutoencoderUnits

CONFIGS = ("cfg.json", "config.json")
WEIGHTS = ("sae_weights.safetensors", "*.safetensors", "*.pt", "*.pth")

Config = dict[str, Any]
State = dict[str, Tensor]

_OURS = {
    "point",
    "architecture",
    "k",
    "threshold",
    "subtract",
    "normalisation",
    "signed",
    "out_point",
    "model_name",
    "weights_hash",
    "report",
}
_ACTIVATIONS = {
    "standard": "relu",
    "relu": "relu",
    "topk": "topk",
    "batchtopk": "threshold",
    "jumprelu": "threshold",
    "transcoder": "relu",
    "jumprelu_transcoder": "threshold",
}
_TRAINING = {"threshold", "topk_threshold", "log_threshold", "activation.threshold"}


def load_sae(path: str | Path, **given: Any) -> AutoencoderUnits:
    """Read a sparse autoencoder or transcoder.

    Parameters
    ----------
    path : path
        A folder with settings and weights, or the file of the weights.
    **given
        In place of what the files say, or where they say nothing: ``point``, ``architecture``
        (relu, topk, batchtopk, jumprelu), ``k``, ``threshold``, ``subtract`` (whether ``b_dec`` is
        subtracted first), ``normalisation``, ``signed``, ``out_point``, ``model_name``,
        ``weights_hash``; as for :class:`AutoencoderUnits`.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged, holds Python objects, or is of a kind that is not known.
    """
    path = Path(path)
    unknown = sorted(set(given) - _OURS)
    if unknown:
        hint = nearest(unknown[0], _OURS)
        raise CheckpointError(f"load_sae takes no {unknown[0]!r}{hint}; it takes {sorted(_OURS)}")
    weights, config, state = _read(path)
    try:
        return _made(path, weights, config, state, given)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its settings are damaged ({one_line(error)})") from error


def _made(
    path: Path, weights: Path, config: Config, state: State, given: Mapping[str, Any]
) -> AutoencoderUnits:
    """Units of what was read."""
    if "dictionary._weights" in state:
        config, state = _of_overcomplete(config, state, path)
    elif {"schema", "cfg"} <= set(config) or "d_vit" in config:
        config = _of_saev(config, state)
    else:
        config = _of_saelens(config, state, path)
    made = {**config, **given}
    _check_state(state, path)
    if not made.get("point"):
        raise CheckpointError(f"{path} does not say its hook point; give point='blocks.L...'")
    if not isinstance(made["point"], str):
        raise TypeError(f"the hook point is {made['point']!r}")
    architecture = str(made.get("architecture", "standard")).lower().replace("_relu", "relu")
    check_choice(f"{path}: the architecture", architecture, _ACTIVATIONS, CheckpointError)
    return AutoencoderUnits(
        point=made["point"],
        w_enc=state["W_enc"],
        b_enc=state["b_enc"],
        w_dec=state["W_dec"],
        b_dec=state["b_dec"],
        activation=_ACTIVATIONS[architecture],
        k=made.get("k"),
        threshold=_threshold(made.get("threshold"), state),
        signed=made.get("signed", False),
        subtract=made.get("subtract", True),
        normalisation=made.get("normalisation", "none"),
        out_point=made.get("out_point"),
        source=weights.name
        if weights.parent == Path()
        else f"{weights.parent.name}/{weights.name}",
        made={n: made[n] for n in ("model_name", "weights_hash") if made.get(n) is not None},
        report=made.get("report") or {},
    )


def _read(path: Path) -> tuple[Path, Config, State]:
    """Weights file, settings and tensors."""
    folder = path if path.is_dir() else path.parent
    weights = path
    if path.is_dir():
        found = [file for pattern in WEIGHTS for file in sorted(path.glob(pattern))]
        if not found:
            raise CheckpointError(f"{path} holds no weights ({', '.join(WEIGHTS)})")
        weights = found[0]
    elif not path.is_file():
        raise CheckpointError(f"there is no SAE at {path}")
    with weights.open("rb") as file:
        is_saev = file.read(1) == b"{"
    if is_saev:
        config, state = _read_saev(weights)
    else:
        beside = [folder / name for name in CONFIGS if (folder / name).is_file()]
        config = read_json(beside[0]) if beside else {}
        state = read_state(weights)
    return weights, config, {name: tensor.float() for name, tensor in state.items()}


def _read_saev(path: Path) -> tuple[Config, State]:
    """Read a line of JSON, and the tensors that follow."""
    try:
        with path.open("rb") as file:
            config = json.loads(file.readline())
            state = torch.load(io.BytesIO(file.read()), map_location="cpu", weights_only=True)
        return config, dict(state)
    except Exception as error:  # unpicklers raise almost anything on a damaged file
        raise CheckpointError(
            f"{path} cannot be read as an SAE of saev ({type(error).__name__}: {error})"
        ) from error


def _of_saelens(config: Mapping[str, Any], state: State, path: Path) -> Config:
    """Settings of SAELens in all its versions, and of ViT-Prisma, which has those of an old one."""
    said = {**config.get("metadata", {}), **config.get("meta", {}), **config}
    if said.get("hook_head_index") is not None or said.get("hook_point_head_index") is not None:
        raise CheckpointError(f"{path} is an SAE of a single head, which is not supported")
    if said.get("finetuning_scaling_factor"):
        raise CheckpointError(f"{path} has a finetuning_scaling_factor; fold it into the weights")
    architecture = said.get("architecture", "standard")
    activation = said.get("activation_fn_str", said.get("activation_fn", "relu"))
    if architecture == "standard":
        architecture = activation
    normalisation = said.get("normalize_activations") or "none"
    if normalisation is True:  # of early versions
        normalisation = "expected_average_only_in"
    if said.get("rescale_acts_by_decoder_norm"):  # as if the rows of the decoder had length 1
        norm = state["W_dec"].norm(dim=-1)
        state["W_enc"], state["b_enc"] = state["W_enc"] * norm, state["b_enc"] * norm
        state["W_dec"] = state["W_dec"] / norm[:, None]
    kwargs = said.get("activation_fn_kwargs") or {}
    own = said.get("lakeviz", {})
    made = {
        "point": said.get("hook_name") or _point_of_prisma(said),
        "architecture": architecture,
        "k": said.get("k", kwargs.get("k")),
        "subtract": said.get("apply_b_dec_to_input", True),
        "normalisation": normalisation,
        "model_name": said.get("model_name"),
        "out_point": said.get("hook_name_out") or None,
        **own,
    }
    if architecture in ("jumprelu", "jumprelu_transcoder"):
        made["k"] = None  # of training alone
    return made


def _point_of_prisma(said: Mapping[str, Any]) -> str | None:
    """Hook point of ViT-Prisma: named, or the layer and the kind of it."""
    layer = said.get("hook_point_layer")
    if said.get("hook_point"):
        return said["hook_point"].replace("{layer}", str(layer))
    layer = layer[0] if isinstance(layer, list) and len(layer) == 1 else layer
    if isinstance(layer, int) and said.get("layer_subtype"):
        return f"blocks.{layer}.{said['layer_subtype']}"
    return None


def _of_saev(config: Mapping[str, Any], state: State) -> Config:
    """Settings of saev: its later versions do not subtract ``b_dec``."""
    schema, own = config.get("schema", 0), config.get("cfg", config)
    activation = own.get("activation") or {"cls": config.get("cls", "Relu"), "params": own}
    kind, params = activation["cls"], activation.get("params", {})
    # Before schema 5 the batch version keeps the largest of each token; then it learns a threshold.
    by_token = kind == "BatchTopK" and "activation.threshold" not in state
    architecture = {"Relu": "relu", "TopK": "topk", "BatchTopK": "batchtopk"}.get(kind, kind)
    return {
        "architecture": "topk" if by_token else architecture,
        "k": params.get("top_k"),
        "signed": True,
        "subtract": schema == 0,
    }


def _of_overcomplete(config: Mapping[str, Any], state: State, path: Path) -> tuple[Config, State]:
    """Tensors and settings of overcomplete: a linear encoder, a dictionary of unit rows."""
    kept = {"dictionary._weights", "dictionary.multiplier", "thresholds"}
    rows = state["dictionary._weights"]
    dictionary = rows / (rows.norm(dim=1, keepdim=True) + 1e-8)
    if "dictionary.multiplier" in state:
        dictionary = dictionary * state["dictionary.multiplier"].exp()
    encoder = {n: t for n, t in state.items() if n.startswith("encoder.")}
    found = {name.rpartition(".")[2]: tensor for name, tensor in encoder.items()}
    linear = ("encoder.final_block.0.", "encoder.")
    if set(encoder) - {head + end for head in linear for end in ("weight", "bias")}:
        raise CheckpointError(f"{path} has another encoder than a linear one ({sorted(encoder)})")
    if set(state) - kept - set(encoder):
        raise CheckpointError(f"{path} holds {sorted(set(state) - kept - set(encoder))[0]}")
    made: State = {
        "W_enc": found.get("weight", dictionary).T.contiguous(),  # tied where there is no weight
        "b_enc": found.get("bias", dictionary.new_zeros(len(dictionary))),
        "W_dec": dictionary,
        "b_dec": dictionary.new_zeros(dictionary.shape[1]),
    }
    settings = {"architecture": "relu", **config, "subtract": False}
    settings["k"] = config.get("k", config.get("top_k"))
    settings["point"] = config.get("point", config.get("hook_name"))
    if "thresholds" in state:
        made["log_threshold"] = state["thresholds"]
        settings["architecture"] = "jumprelu"
    return settings, made


def _check_state(state: State, path: Path) -> None:
    """Refuse weights that are missing, or of an architecture that is not known."""
    missing = [n for n in ("W_enc", "b_enc", "W_dec", "b_dec") if n not in state]
    more = sorted(set(state) - {"W_enc", "b_enc", "W_dec", "b_dec"} - _TRAINING)
    if missing or more:
        said = f"lacks {missing[0]}" if missing else f"holds {more[0]}"
        raise CheckpointError(f"{path} {said}: an SAE of a kind that is not known")


def _threshold(given: Any, state: State) -> Tensor | None:
    """Threshold of each latent: given, or from the weights."""
    found = given
    if found is None and "log_threshold" in state:
        found = state["log_threshold"].exp()
    for name in sorted(_TRAINING - {"log_threshold"}):
        if found is None:
            found = state.get(name)
    if found is None:
        return None
    return torch.as_tensor(found).float().expand(state["b_enc"].shape).contiguous()
