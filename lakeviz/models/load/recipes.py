"""The preprocessing that weights in a file were trained with: known, or asked for, never guessed.

A *recipe* is mean, standard deviation and interpolation. It is what the user says, or stands in a
configuration beside the file, or belongs to the published weights the file is by its name, or is
what all published weights of the model agree on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torchvision.transforms import InterpolationMode

from lakeviz.errors import CheckpointError, ConfigError, nearest
from lakeviz.models.load.files import CONFIG, read_settings
from lakeviz.models.preprocess import Preprocess

Recipe = dict[str, Any]
_BESIDE = (CONFIG, "preprocessor_config.json", "preprocess_config.json", "config.json")
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
"""Numbers of Pillow's filters, as the configurations of transformers have them."""


def read_recipe(file: Path) -> Recipe | None:
    """Preprocessing in a configuration of open_clip, timm or transformers; None if it has none."""
    settings = read_settings(file)
    for part in ("preprocess_cfg", "pretrained_cfg"):
        if isinstance(settings.get(part), Mapping):
            settings = settings[part]
    mean = settings.get("mean", settings.get("image_mean"))
    std = settings.get("std", settings.get("image_std"))
    if mean is None or std is None:
        return None
    resample = settings.get("resample")
    named = _RESAMPLE.get(resample) if isinstance(resample, int) else None
    interpolation = settings.get("interpolation") or named or "bicubic"
    recipe = {"mean": mean, "std": std, "interpolation": interpolation}
    return _checked(recipe, str(file), CheckpointError)


def asked_recipe(
    asked: Preprocess | Mapping[str, Any] | str, name: str, published: Mapping[str, Any]
) -> Recipe:
    """Turn what the user gave as ``preprocess`` into a recipe."""
    if isinstance(asked, Preprocess):
        return asdict(asked)
    if isinstance(asked, Mapping):
        return _checked({"interpolation": "bicubic", **asked}, "preprocess", ConfigError)
    if asked in published:
        return _recipe(published[asked])
    path = Path(asked).expanduser()
    if path.is_file():
        recipe = read_recipe(path)
        if recipe is None:
            raise ConfigError(f"{path} holds no mean and std to preprocess with")
        return recipe
    raise ConfigError(
        f"preprocess={asked!r} is neither a file nor published weights of {name}"
        f"{nearest(asked, published)}; there are: {', '.join(published) or 'none'}"
    )


def file_recipe(
    name: str, path: Path, published: Mapping[str, Any], found: Mapping[str, Any] | None
) -> Recipe | None:
    """Recipe of weights in a file; None where nothing was published, so the library's own stands.

    ``published`` are the library's entries of all weights of the model, by tag; ``found`` is the
    one of them that the file is by its name.
    """
    for beside in _BESIDE:
        if (path.parent / beside).is_file():
            recipe = read_recipe(path.parent / beside)
            if recipe is not None:
                return recipe
    if found is not None:
        return _recipe(found)
    kinds: dict[str, list[str]] = {}
    for tag, entry in published.items():
        kinds.setdefault(str(_recipe(entry)), []).append(tag)
    if len(kinds) > 1:
        examples = ", ".join(tags[0] for tags in kinds.values())
        raise CheckpointError(
            f"the preprocessing that {path} was trained with is not known: published weights of "
            f"{name} differ in it ({examples}); say which with preprocess=TAG (--preprocess), "
            "or give a configuration file"
        )
    return _recipe(next(iter(published.values()))) if published else None


def _recipe(entry: Mapping[str, Any]) -> Recipe:
    return {
        "mean": tuple(entry["mean"]),
        "std": tuple(entry["std"]),
        "interpolation": entry["interpolation"],
    }


def _checked(recipe: Recipe, where: str, error: type[Exception]) -> Recipe:
    unknown = recipe.keys() - {"mean", "std", "interpolation"}
    for key in ("mean", "std"):
        given = recipe.get(key)
        value: list[Any] = list(given) if isinstance(given, list | tuple) else [given] * 3
        good = all(isinstance(v, int | float) and math.isfinite(v) for v in value)
        if not good or len(value) != 3 or (key == "std" and min(value) <= 0):
            raise error(f"{where}: {key} must be three numbers, not {given!r}")
        recipe = {**recipe, key: tuple(map(float, value))}
    known = {mode.value for mode in InterpolationMode} | {"random"}
    if unknown or recipe["interpolation"] not in known:
        raise error(
            f"{where}: preprocessing is mean, std and interpolation ({', '.join(sorted(known))}), "
            f"not {', '.join(sorted(unknown)) or repr(recipe['interpolation'])}"
        )
    return recipe
