"""Reading of checkpoint files without running code in them; errors say why one does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lakeviz.errors import CheckpointError, LakevizError
from lakeviz.models.load.request import first_line
from lakeviz.models.load.torchscript import is_torchscript, read_torchscript
from lakeviz.wording import some


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` or PyTorch file; no code in it is run.

    Unwraps ``state_dict``, ``model`` and ``module.`` prefixes, and reads TorchScript archives.
    """
    with _readable(path):
        if path.suffix.lower() == ".safetensors":
            state: Any = load_file(path)
        elif is_torchscript(path):
            state = read_torchscript(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    held = isinstance(state, Mapping) and all(isinstance(v, Tensor) for v in state.values())
    if not held or not state or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f"{path} holds no state of a model (a mapping from names to tensors)")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys that training scripts keep the weights under, beside the optimiser and the epoch."""
_PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except Exception as e:  # unpicklers and zip readers raise almost anything on a damaged file
        said = _ESCAPES.sub("", str(e))
        foreign = re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", said)
        if foreign:
            raise CheckpointError(
                f"{path} holds Python objects ({foreign[1]}), which are not loaded because that "
                "would run code: save the state_dict() of the model instead"
            ) from e
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(e).__name__}: "
            f"{' '.join(said.split())[:200]}); give a .safetensors file, or a .pt file with "
            "tensors only"
        ) from e


def load_open_clip_state(model: Any, path: Path) -> None:
    """Load a file into an open_clip model strictly, after open_clip's own conversions.

    ``open_clip.load_checkpoint`` does the same, but reads the file itself, as fewer kinds of files
    than :func:`read_state`. Only the arrays of big_vision (``.npz``) are left to it.
    """
    from open_clip import factory

    if path.suffix.lower() in (".npz", ".npy"):
        factory.load_checkpoint(model, str(path))
        return
    state = factory.convert_state_dict(model, read_state(path))
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = factory.convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(model, name, None)
        if name in state and own is not None and state[name].ndim != own.ndim:
            state[name] = state[name].reshape(own.shape)
    if "logit_bias" not in state and getattr(model, "logit_bias", None) is not None:
        state["logit_bias"] = torch.zeros_like(state["logit_scale"])
    position_ids = "text.transformer.embeddings.position_ids"  # of older versions of transformers
    if not hasattr(model, position_ids):
        state.pop(position_ids, None)
    factory.resize_pos_embed(state, model)
    factory.resize_text_pos_embed(state, model)
    model.load_state_dict(state)


@contextmanager
def fitting(model_name: str, path: Path, model: nn.Module) -> Iterator[None]:
    """Turn any failure to load ``path`` into one error that names model, file and first keys."""
    try:
        yield
    except LakevizError:
        raise
    except Exception as e:  # each library fails in its own way on foreign keys
        what = describe_mismatch(model.state_dict(), read_state(path)) or first_line(e)
        raise CheckpointError(
            f"the checkpoint {path} does not fit the model {model_name}: {what}"
        ) from e


def describe_mismatch(model: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """First few missing, unexpected and differently shaped tensors; empty if all fit."""
    missing = [key for key in model if key not in state]
    unexpected = [key for key in state if key not in model]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(model[key].shape)}"
        for key in model
        if key in state and state[key].shape != model[key].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "shape": shapes}
    return "; ".join(f"{label}: {some(keys, 4)}" for label, keys in kinds.items() if keys)
