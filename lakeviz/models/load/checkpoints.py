"""Reading of checkpoint files without running code in them; errors say why one does not fit."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lakeviz.errors import CheckpointError, LakevizError

_SUFFIXES = {".pt", ".pth", ".bin", ".safetensors", ".ckpt"}


def checkpoint_path(value: str) -> Path | None:
    """The file a ``pretrained`` value names, or None if it looks like a tag.

    Raises
    ------
    CheckpointError
        If it looks like a path and no file is there.
    """
    path = Path(value).expanduser()
    if path.is_file():
        return path
    if path.suffix in _SUFFIXES or "/" in value or path.is_dir():
        raise CheckpointError(f"no checkpoint file at {path}")
    return None


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, the form OpenAI published CLIP in."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` or PyTorch file; no code in it is run.

    Unwraps ``state_dict`` and ``module.`` prefixes, and reads TorchScript archives.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds something other than tensors.
    """
    if is_torchscript(path):
        with _readable(path):
            state = dict(torch.jit.load(path, map_location="cpu").state_dict())
        return {k: v for k, v in state.items() if k not in _NOT_WEIGHTS}
    import open_clip.factory

    state: Any
    with _readable(path):
        state = open_clip.factory.load_state_dict(str(path))
    if not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path} holds no state of a model (a mapping from names to tensors)")
    return state


_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as e:  # unpicklers and zip readers raise almost anything on a damaged file
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(e).__name__}: {str(e)[:200]}); give a "
            ".safetensors file, or a .pt file with tensors only"
        ) from e


@contextmanager
def fitting(model_name: str, path: Path, bare: Callable[[], nn.Module]) -> Iterator[None]:
    """Turn any failure to load ``path`` into one error that names model, file and first keys.

    Parameters
    ----------
    model_name, path
        For the message.
    bare
        Builds the model without weights, to compare keys; only called after a failure.

    Raises
    ------
    CheckpointError
        Instead of whatever the library raised.
    """
    try:
        yield
    except LakevizError:
        raise
    except Exception as e:  # each library fails in its own way on foreign keys
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        what = describe_mismatch(bare().state_dict(), read_state(path)) or reason
        raise CheckpointError(
            f"the checkpoint {path} does not fit the model {model_name}: {what}"
        ) from e


def describe_mismatch(model: Mapping[str, Tensor], state: Mapping[str, Tensor], n: int = 4) -> str:
    """First few missing, unexpected and differently shaped tensors; empty if all fit."""
    missing = [key for key in model if key not in state]
    unexpected = [key for key in state if key not in model]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(model[key].shape)}"
        for key in model
        if key in state and state[key].shape != model[key].shape
    ]
    parts = []
    for label, keys in (("missing", missing), ("unexpected", unexpected), ("shape", shapes)):
        if keys:
            more = f" and {len(keys) - n} more" if len(keys) > n else ""
            parts.append(f"{label}: {', '.join(keys[:n])}{more}")
    return "; ".join(parts)
