"""Known models and their weights, and checks that weights and architecture agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lakeviz.errors import QuickGELUMismatchError, UnknownModelError, nearest

TINY_DIR = Path(__file__).parents[1] / "embedded"
TIMM_PREFIX, LOCAL_PREFIX, HUB_PREFIX = "timm/", "local-dir:", "hf-hub:"


def open_clip_config(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of a model name (``ViT-B/32`` and ``ViT-B-32`` are one)."""
    import open_clip

    config = open_clip.get_model_config(name.replace("/", "-"))
    if config is None:
        import timm

        if timm.is_model(name):
            raise UnknownModelError(
                f"unknown model {name!r}: it is one of timm, and timm/{name} here"
            )
        known = [*open_clip.list_models(), "tiny"]
        raise UnknownModelError(
            f"unknown model {name!r}{nearest(name, known)}. Known: open_clip names, tiny, "
            "timm/<name>, local-dir:<folder>; `lakeviz models` lists them"
        )
    return config


def pretrained_tags(name: str) -> list[str]:
    """Pretrained tags open_clip knows for a model name."""
    import open_clip

    return open_clip.list_pretrained_tags_by_model(name.replace("/", "-"))


def tag_config(name: str, tag: str) -> dict[str, Any]:
    """Return open_clip's entry for a pretrained tag, raising ``UnknownModelError`` if none."""
    import open_clip

    config = open_clip.get_pretrained_cfg(name.replace("/", "-"), tag)
    if not config:
        tags = pretrained_tags(name)
        raise UnknownModelError(
            f"{name} has no pretrained tag {tag!r} and there is no file of that name"
            f"{nearest(tag, tags)}; tags of {name}: {', '.join(tags) or 'none'}"
        )
    return config


def published(name: str) -> dict[str, dict[str, Any]]:
    """All published weights of an open_clip model, of both activations, by tag.

    Each entry has ``mean``, ``std``, ``interpolation``, ``url``, ``repository``, ``quick_gelu``.
    """
    base = name.replace("/", "-").removesuffix("-quickgelu")
    entries: dict[str, dict[str, Any]] = {}
    for model in (base, f"{base}-quickgelu"):
        for tag in pretrained_tags(model):
            found = tag_config(model, tag)
            entries[tag] = {
                **found,
                "repository": found.get("hf_hub"),
                "quick_gelu": bool(found.get("quick_gelu", False)),
            }
    return entries


def published_timm(architecture: str) -> dict[str, dict[str, Any]]:
    """The same of a timm architecture and its twin with the other activation."""
    import timm
    from timm.models import get_pretrained_cfg

    entries: dict[str, dict[str, Any]] = {}
    for twin in (architecture.replace("_quickgelu_", "_"), quick_twin(architecture)):
        for full in timm.list_pretrained(f"{twin}.*") if timm.is_model(twin) else ():
            config = get_pretrained_cfg(full)
            found = {} if config is None else config.to_dict()
            # timm keeps QuickGELU weights under the GELU name too, with this note.
            noted = any("natively QuickGELU" in note for note in found.get("notes") or ())
            entries[found["tag"]] = {
                **found,
                "repository": found.get("hf_hub_id"),
                "quick_gelu": noted or "_quickgelu_" in twin,
            }
    return entries


def quick_twin(architecture: str) -> str:
    """Name of a timm CLIP tower with QuickGELU; of others a name that timm does not have."""
    return architecture.replace("_quickgelu_", "_").replace("_clip_", "_clip_quickgelu_")


def published_as(
    name: str, path: Path, entries: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The published weights that a file is, judged by its name or the folder it was fetched to.

    A file counts under its published name, named after tag or repository, or in a folder named
    after its repository (as the hub's cache does).
    """
    parts = {*path.absolute().parts[-7:-1], *path.resolve().parts[-7:-1]}
    folders = {part.rpartition("--")[2].lower() for part in parts}
    base = name.replace("/", "-").removesuffix("-quickgelu").replace("_quickgelu_", "_")
    models = (base, f"{base}-quickgelu", quick_twin(base))
    for tag, entry in entries.items():
        repository = (entry.get("repository") or "").strip("/").rpartition("/")[2].lower()
        named = {f"{model}{between}{tag}".lower() for model in models for between in "-._"}
        names = {repository, tag.lower(), *named} - {""}
        file = Path(entry.get("url") or "").name
        if path.name == file or path.stem.lower() in names or repository in folders - {""}:
            return entry
    return None


def check_quick_gelu(
    name: str, quick: bool, weights: str, trained: bool | None, twin: str | None
) -> None:
    """Refuse weights trained with another activation than the architecture has.

    ``quick`` and ``trained`` say whether the architecture has, and the weights were trained with,
    QuickGELU (None if unknown); ``twin`` is the name of the model with the other activation.
    """
    if trained is None or trained == quick:
        return
    was, built = ("QuickGELU", "GELU") if trained else ("GELU", "QuickGELU")
    way_out = f"use model {twin!r}" if twin else f"pass quick_gelu={trained}"
    raise QuickGELUMismatchError(
        f"the weights {weights!r} were trained with {was}, but {name!r} is built with {built}: "
        f"{way_out} (or quick_gelu={quick} if these weights are others)"
    )


def other_activation(name: str) -> str | None:
    """The name open_clip has for a model with the other activation."""
    import open_clip

    plain = name.removesuffix("-quickgelu")
    twin = f"{name}-quickgelu" if plain == name else plain
    return twin if twin.replace("/", "-") in open_clip.list_models() else None


def sounds_like_openai(path: Path) -> bool:
    """Whether ``openai`` is a word in the name of a file or of its folders."""
    return "openai" in re.split(r"[-._/ ]", "/".join(path.resolve().parts[-6:]).lower())


def models_table() -> pd.DataFrame:
    """All loadable models: name, source, image size, whether text is there, pretrained tags, note.

    timm has far more vision transformers than can be listed: any of them loads as ``timm/<name>``.
    """
    import open_clip

    rows = []
    for name in open_clip.list_models():
        config = open_clip_config(name)
        tags = pretrained_tags(name)
        rows.append(
            {
                "name": name,
                "source": "open_clip",
                "image_size": config["vision_cfg"].get("image_size", 224),
                "text": True,
                "n_tags": len(tags),
                "tags": ", ".join(tags),
                "note": "",
            }
        )
    tiny = "embedded in the package; needs no download"
    timm = "any timm vision transformer; pretrained: True, a weights file, or 'random'"
    folder = "an open_clip folder: open_clip_config.json, weights, tokenizer"
    extra = [
        {"name": "tiny", "source": "lakeviz", "text": True, "n_tags": 0, "note": tiny},
        {"name": "timm/<name>", "source": "timm", "text": False, "n_tags": 0, "note": timm},
        {"name": "local-dir:<folder>", "source": "folder", "text": True, "note": folder},
    ]
    return pd.DataFrame([extra[0], *rows, *extra[1:]]).fillna({"tags": "", "n_tags": 0})
