"""Files that the arguments of ``load_model`` name: looked for before any library is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lakeviz.errors import CheckpointError, ConfigError, UnknownModelError
from lakeviz.models.load.catalog import LOCAL_PREFIX
from lakeviz.models.load.folder import CONFIG

_SUFFIXES = {".pt", ".pth", ".bin", ".safetensors", ".ckpt"}


def checkpoint_path(value: str, tags: Sequence[str] = ()) -> Path | None:
    """The file a ``pretrained`` value names, or None if it is one of ``tags`` or looks like one."""
    path = Path(value).expanduser()
    if path.is_file():
        return path
    if value in tags:
        return None
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder: give a weights file in it, or, if it is an open_clip folder "
            f"(with {CONFIG}), the model {LOCAL_PREFIX}{path} without pretrained"
        )
    if path.suffix.lower() in _SUFFIXES or "/" in value:
        raise CheckpointError(f"no checkpoint file at {path}")
    return None


def require_files(name: str, pretrained: Any = None, preprocess: Any = None) -> None:
    """Refuse a model whose files are not there; needs no torch, so that it costs nothing."""
    if name.startswith(LOCAL_PREFIX):
        folder = Path(name.removeprefix(LOCAL_PREFIX)).expanduser()
        if not folder.is_dir():
            raise UnknownModelError(f"{name}: there is no folder {folder}")
    if isinstance(pretrained, str) and not Path(pretrained).expanduser().is_dir():
        checkpoint_path(pretrained)
    if isinstance(preprocess, str):
        path = Path(preprocess).expanduser()
        if not path.is_file() and (path.suffix == ".json" or "/" in preprocess):
            raise ConfigError(f"no file with preprocessing at {path}")
