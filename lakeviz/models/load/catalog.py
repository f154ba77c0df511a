"""Known models and their weights, and checks that weights and architecture agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lakeviz.errors import QuickGELUMismatchError, UnknownModelError, nearest

TINY_DIR = Path(__file__).parents[1] / "embedded"
TIMM_PREFIX, LOCAL_PREFIX, HUB_PREFIX = "timm/", "local-dir:", "hf-hub:"


def open_clip_config(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of a model name (``ViT-B/32`` and ``ViT-B-32`` are one).

    Raises
    ------
    UnknownModelError
        With the nearest names, if there is no such model.
    """
    import open_clip

    config = open_clip.get_model_config(name.replace("/", "-"))
    if config is None:
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


def check_quick_gelu(name: str, quick: bool, weights: str, weights_quick: bool | None) -> None:
    """Refuse weights trained with another activation than the architecture has.

    Parameters
    ----------
    name
        Model name.
    quick
        Whether the architecture uses QuickGELU.
    weights
        Tag or file, for the message.
    weights_quick
        Whether the weights were trained with QuickGELU; None if unknown.

    Raises
    ------
    QuickGELUMismatchError
        Naming the model to use instead. open_clip itself only warns, and every feature is off.
    """
    if weights_quick is None or weights_quick == quick:
        return
    trained, built = ("QuickGELU", "GELU") if weights_quick else ("GELU", "QuickGELU")
    right = f"{name}-quickgelu" if weights_quick else name.removesuffix("-quickgelu")
    import open_clip

    if right != name and right.replace("/", "-") in open_clip.list_models():
        way_out = f"use model {right!r}"
    else:
        way_out = f"pass quick_gelu={weights_quick}"
    raise QuickGELUMismatchError(
        f"the weights {weights!r} were trained with {trained}, but {name!r} is built with {built}: "
        f"{way_out}"
    )


def quick_gelu_of_file(name: str, path: Path) -> bool | None:
    """Whether a local checkpoint was trained with QuickGELU, judged by its name.

    A file kept under its published name, or in a folder named after its hub repository, is matched
    with open_clip's list of tags; anything with ``openai`` as a word in its name is OpenAI's.
    """
    base = name.replace("/", "-").removesuffix("-quickgelu")
    where = "/".join(path.resolve().parts[-6:]).replace("models--", "").replace("--", "/")
    for model in (base, f"{base}-quickgelu"):
        for tag in pretrained_tags(model):
            config = tag_config(model, tag)
            published = Path(config.get("url") or "").name
            repository = (config.get("hf_hub") or "").strip("/")
            if path.name == published or (repository and f"{repository}/" in where):
                return bool(config.get("quick_gelu", False))
    words = where.replace("-", ".").replace("_", ".").replace("/", ".").lower().split(".")
    return True if "openai" in words else None


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
