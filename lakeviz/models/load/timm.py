"""Load timm vision transformers (ViT, DINOv2, DINOv3, SigLIP, EVA): vision only, without a head."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lakeviz.errors import (
    CheckpointError,
    ConfigError,
    DownloadError,
    ModelError,
    UnknownModelError,
    nearest,
)
from lakeviz.models.class_head import ClassHead
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.models.load.catalog import (
    TIMM_PREFIX,
    check_quick_gelu,
    published_as,
    published_timm,
    quick_twin,
)
from lakeviz.models.load.checkpoints import describe_mismatch, fitting, read_state
from lakeviz.models.load.files import checkpoint_path
from lakeviz.models.load.recipes import Recipe, asked_recipe, file_recipe
from lakeviz.models.load.request import (
    Request,
    check_divisible,
    first_line,
    no_weights_asked,
    own_generator,
)
from lakeviz.models.preprocess import preprocess_of
from lakeviz.models.towers.timm_vit import missing_parts
from lakeviz.models.vision_model import VisionModel

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_timm(request: Request) -> VisionModel:
    """Load a timm model as asked for."""
    from timm.data.config import resolve_model_data_config

    name, pretrained = request.name, request.pretrained
    known = name.removeprefix(TIMM_PREFIX)
    _check_name(known)
    path = _weights_file(name, pretrained)
    recipe = _recipe(request, known, path)
    try:
        if pretrained is True:
            model, head = _downloaded(known, request)
        else:
            model, head = _create(known, request.seed), None
    except Exception as e:  # the hub and each architecture raise their own
        raise _creation_error(name, pretrained, e) from e
    missing = missing_parts(model)
    if missing:
        raise ModelError(
            f"{name} is a {type(model).__name__}, not a vision transformer with one stream of "
            f"tokens (it has no {', '.join(missing)}); lakeviz hooks timm vision transformers"
        )
    if path is not None:
        with fitting(name, path, model):
            head = _load_file(model, path, name)
    model = _placed(model, request)
    tower = HookedTower(model)
    tower.eval()
    config = resolve_model_data_config(model)
    return VisionModel(
        name=name,
        pretrained=pretrained,
        module=model,
        tower=tower,
        preprocess=preprocess_of(recipe or config, tower.adapter.image_size),
        precision=request.precision,
        build_tower=partial(_random_tower, known, request),
        class_head=head,
    )


def _create(known: str, seed: int) -> Any:
    """Build the tower with random weights."""
    import timm

    with own_generator(seed):
        return timm.create_model(known, num_classes=0)


def _downloaded(known: str, request: Request) -> tuple[Any, ClassHead | None]:
    """The published model without its classifier, and that, where it has one."""
    import timm

    with own_generator(request.seed):
        model: Any = timm.create_model(known, pretrained=True, cache_dir=request.cache_dir)
    head = ClassHead.of_state(model.state_dict(), model.pretrained_cfg.get("classifier"))
    model.reset_classifier(0)
    return model, head


def _placed(model: Any, request: Request) -> Any:
    _set_size(model, request.size, request.name)
    return model.to(device=request.device, dtype=_DTYPES[request.precision])


def _random_tower(known: str, request: Request, seed: int) -> Any:
    return _placed(_create(known, seed), request)


def _recipe(request: Request, known: str, path: Path | None) -> Recipe | None:
    """What the weights were trained with, after the check of their activation; None: timm's own."""
    from timm.models import get_pretrained_cfg

    architecture, _, tag = known.partition(".")
    entries, usual = published_timm(architecture), get_pretrained_cfg(architecture)
    default = "" if usual is None else usual.tag or ""  # of a name without a tag
    quick, twin = "_quickgelu_" in architecture, quick_twin(architecture)
    twin = architecture.replace("_quickgelu_", "_") if quick else twin
    if request.quick_gelu not in (None, quick):
        way_out = "" if twin == architecture else f": use {TIMM_PREFIX}{twin}"
        raise ConfigError(
            f"timm has the activation in the name, so {request.name} cannot be had with "
            f"quick_gelu={request.quick_gelu}{way_out}"
        )
    named = entries.get(tag or default) if tag or path is None else None
    found = named if path is None else published_as(architecture, path, entries) or named
    if request.pretrained != "random" and request.quick_gelu is None and found is not None:
        weights = str(request.pretrained) if path else f"{architecture}.{found['tag']}"
        better = f"{TIMM_PREFIX}{twin}" + (f".{tag}" if tag else "")
        check_quick_gelu(request.name, quick, weights, found["quick_gelu"], better)
    if request.preprocess is not None:
        return asked_recipe(request.preprocess, request.name, entries)
    return None if path is None else file_recipe(request.name, path, entries, named or found)


def _weights_file(name: str, pretrained: str | bool | None) -> Path | None:
    """The file ``pretrained`` names; None for a download or random weights."""
    if pretrained is None or pretrained is False:
        raise no_weights_asked(name, "True (download) or a weights file")
    if pretrained is True or pretrained == "random":
        return None
    path = checkpoint_path(pretrained)
    if path is None:
        raise UnknownModelError(
            f"{pretrained!r} is no file; a timm tag is part of the name "
            f"({name.split('.')[0]}.<tag> with pretrained=True)"
        )
    return path


def _check_name(known: str) -> None:
    import timm

    architecture, _, tag = known.partition(".")
    if not timm.is_model(architecture):
        raise UnknownModelError(
            f"timm has no model {architecture!r}{nearest(architecture, timm.list_models())}"
        )
    tags = [n.partition(".")[2] for n in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UnknownModelError(
            f"timm's {architecture} has no weights {tag!r}{nearest(tag, tags)}; "
            f"there are: {', '.join(tags) or 'none'}"
        )


def _creation_error(name: str, pretrained: str | bool | None, error: Exception) -> ModelError:
    reason = first_line(error)
    if pretrained is True:
        return DownloadError(
            f"the weights of {name} could not be downloaded ({reason}); check the network, or give "
            "a weights file as pretrained"
        )
    return ModelError(f"timm could not build {name}: {reason}")


def _load_file(model: Any, path: Path, name: str) -> ClassHead | None:
    """Load strictly, after the conversions timm itself applies to published checkpoints.

    Returns the classifier of the file, where it has one.
    """
    state = read_state(path)
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        state = convert(state, model)
    # The classifier is kept apart: the features before it are what is read.
    head = ClassHead.of_state(state, model.pretrained_cfg.get("classifier"))
    own = model.state_dict()
    heads = ("head.", "head_dist.")
    state = {k: v for k, v in state.items() if k in own or not k.startswith(heads)}
    mismatch = describe_mismatch(own, state)
    if mismatch:
        raise CheckpointError(f"the checkpoint {path} does not fit the model {name}: {mismatch}")
    model.load_state_dict(state)
    return head


def _set_size(model: Any, size: tuple[int, int] | None, name: str) -> None:
    if size is None or size == tuple(model.patch_embed.img_size):
        return
    check_divisible(tuple(model.patch_embed.patch_size), size, name)
    if not hasattr(model, "set_input_size"):
        native = "x".join(map(str, model.patch_embed.img_size))
        raise ConfigError(f"{name} cannot change its image size from {native}")
    model.set_input_size(img_size=size)
