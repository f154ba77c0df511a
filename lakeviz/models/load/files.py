"""Files that a model is loaded from: checkpoints, and open_clip folders with their settings.

The settings of a folder are checked before any library acts on them. Names in them decide what is
imported and from where: a tokenizer may be a Python file of the folder, a text tower another
folder. Only plain values of the settings open_clip has are let through, and only classes that the
libraries have themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lakeviz.errors import CheckpointError, ConfigError, StoreError, UnknownModelError
from lakeviz.files import read_json
from lakeviz.models.load.catalog import LOCAL_PREFIX

CONFIG = "open_clip_config.json"
_TOKENIZER_SETTINGS = {"clean", "strip_sep_token", "language", "use_fast", "legacy"}
_MODEL_SETTINGS = {
    "embed_dim",
    "vision_cfg",
    "text_cfg",
    "multimodal_cfg",
    "custom_text",
    "quick_gelu",
    "init_logit_scale",
    "init_logit_bias",
    "nonscalar_logit_scale",
}
_CODE = {"auto_map", "trust_remote_code", "custom_pipelines"}
"""Settings of the Hugging Face libraries that name Python files to import."""
_TOKENIZER_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
    "processor_config.json",
    "preprocessor_config.json",
)
_WEIGHTS = (".safetensors", ".bin", ".pth")
_LARGEST = 1_000_000
_DEEPEST = 1_000


def read_folder_config(folder: Path) -> dict[str, Any]:
    """Read ``open_clip_config.json`` of a folder, and check it and the tokenizer's settings."""
    file = folder / CONFIG
    config = read_settings(file)
    if not isinstance(config.get("model_cfg"), dict):
        raise CheckpointError(
            f"{file} is missing or holds no model_cfg: {folder} is no open_clip folder"
        )
    _check_model(file, config["model_cfg"])
    for name in _TOKENIZER_FILES:
        if (folder / name).exists():
            _check_tokenizer(folder / name, read_settings(folder / name))
    return config


def read_settings(file: Path) -> dict[str, Any]:
    """Read a JSON file that belongs to a model."""
    try:
        return read_json(file)
    except StoreError as e:
        raise CheckpointError(f"{file} is missing or cannot be read: {e}") from e


def folder_weights(folder: Path) -> Path:
    """The checkpoint of a folder: the one under open_clip's names, or the only one."""
    from open_clip.factory import _find_checkpoint_in_dir

    found = _find_checkpoint_in_dir(folder)
    if found is None:
        raise CheckpointError(f"{folder} holds no weights (open_clip_model.safetensors)")
    chosen = Path(found)
    others = [p.name for p in sorted(folder.iterdir()) if p.suffix in _WEIGHTS]
    if len(others) > 1 and not chosen.stem.endswith(("model", "pytorch_model")):
        raise CheckpointError(
            f"{folder} holds several weights ({', '.join(others[:5])}): name the one to load "
            "open_clip_model.safetensors"
        )
    return chosen


def _check_model(file: Path, config: Mapping[str, Any]) -> None:
    import timm
    from open_clip.coca_model import MultimodalCfg
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    parts = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg, "multimodal_cfg": MultimodalCfg}
    _check_known(file, "model_cfg", config, _MODEL_SETTINGS)
    for name, part in parts.items():
        held = config.get(name, None if name == "multimodal_cfg" else 0)
        if held is None:
            continue
        if not isinstance(held, dict):
            raise CheckpointError(f"{file}: {name} is missing or is no mapping")
        _check_known(file, name, held, {field.name for field in fields(part)})
    _check_values(file, config)
    text, vision = config["text_cfg"], config["vision_cfg"]
    _check_known(file, "tokenizer_kwargs", text.get("tokenizer_kwargs") or {}, _TOKENIZER_SETTINGS)
    tower = text.get("hf_model_name")
    if tower and (not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", tower) or Path(tower).exists()):
        raise CheckpointError(f"{file}: hf_model_name {tower!r} is no name on the hub")
    trunk = vision.get("timm_model_name")
    if trunk and not timm.is_model(trunk.partition(".")[0]):
        raise CheckpointError(f"{file}: timm_model_name {trunk!r} is no model of timm")


def _check_known(file: Path, where: str, held: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(held.keys() - known)
    if unknown:
        raise CheckpointError(
            f"{file}: {where} holds {unknown[0]!r}, which is not among the settings that are "
            f"taken from a folder ({', '.join(sorted(known))}); remove it"
        )


def _check_values(file: Path, config: Mapping[str, Any]) -> None:
    for name, value in _walk(config):
        limit = _DEEPEST if name == "layers" else _LARGEST
        if isinstance(value, int | float) and not abs(value) <= limit:
            raise CheckpointError(f"{file}: {name} is {value}, more than {limit:,}")


def _check_tokenizer(file: Path, settings: Mapping[str, Any]) -> None:
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    for name, value in _walk(settings):
        if name in _CODE:
            raise CheckpointError(
                f"{file}: {name} asks for Python code of the folder, which is never run; remove "
                "it, or use another model"
            )
        if name == "tokenizer_class" and value is not None:
            known = isinstance(value, str) and tokenizer_class_from_name(value)
            if not known:
                raise CheckpointError(f"{file}: transformers has no tokenizer class {value!r}")


def _walk(settings: Any) -> Iterator[tuple[str, Any]]:
    """All settings at any depth, with the name each stands under."""
    waiting = [("", settings)]
    while waiting:
        name, value = waiting.pop()
        yield name, value
        if isinstance(value, dict):
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((name, item) for item in value)


# --- files that the arguments of load_model name: looked for before any library is loaded ---

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
