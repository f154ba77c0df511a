"""Load open_clip models: by name with a tag or file, from a folder, from the hub, or ``tiny``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lakeviz.errors import (
    CheckpointError,
    ConfigError,
    DownloadError,
    ModelError,
    UnknownModelError,
)
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.models.load import catalog
from lakeviz.models.load.checkpoints import fitting, is_torchscript, load_open_clip_state
from lakeviz.models.load.files import CONFIG, checkpoint_path, folder_weights, read_folder_config
from lakeviz.models.load.recipes import Recipe, asked_recipe, file_recipe, read_recipe
from lakeviz.models.load.request import (
    Request,
    check_divisible,
    first_line,
    no_weights_asked,
    own_generator,
)
from lakeviz.models.preprocess import preprocess_of
from lakeviz.models.text import TextEncoder
from lakeviz.models.towers.base import pair
from lakeviz.models.vision_model import VisionModel


@dataclass(frozen=True)
class Source:
    """Where an open_clip model comes from."""

    create: str  # the name open_clip builds it by
    config: dict[str, Any]  # of its architecture
    weights: Path | None  # its checkpoint, on this machine; None for random weights
    online: bool  # whether the network was asked for
    tokenizer: str  # the name open_clip builds the tokenizer by
    recipe: Recipe | None = None  # what its weights were trained with; None for open_clip's own


def load_open_clip(request: Request) -> VisionModel:
    """Load an open_clip model as asked for."""
    source = _source(request)
    _check_image_size(request, source)
    with _library(source, request.name), own_generator(request.seed):
        if source.weights is None:
            model = _bare(source, request, request.size)
        else:
            # A timm tower is filled at its own size and resizes its position embeddings itself.
            late = request.size is not None and "timm_model_name" in source.config["vision_cfg"]
            model = _bare(source, request, None if late else request.size)
            with fitting(request.name, source.weights, model):
                load_open_clip_state(model, source.weights)
            if late:
                model.visual.set_input_size(request.size)
            _resize_same_count(model, request, source)
    return _vision_model(model, request, source)


def _bare(source: Source, request: Request, size: tuple[int, int] | None) -> Any:
    """Build the model without weights."""
    import open_clip

    options: dict[str, Any] = {
        "precision": request.precision,
        "device": request.device,
        "cache_dir": request.cache_dir,
        "pretrained_text": False,
        "load_weights": False,
        "force_image_size": size,
    }
    if request.quick_gelu is not None:
        options["quick_gelu"] = request.quick_gelu
    try:
        return open_clip.create_model(source.create, **options)
    except OSError:
        raise  # parts that are defined on the hub
    except Exception as e:  # every architecture fails in its own way on settings of a folder
        raise ModelError(f"open_clip cannot build {request.name}: {first_line(e)}") from e


def _random_tower(source: Source, request: Request, seed: int) -> Any:
    with _library(source, request.name), own_generator(seed):
        return _bare(source, request, request.size).visual


def _tokenizer(source: Source, request: Request) -> Any:
    """Build a model's tokenizer; without the network, unless the weights came over it."""
    import open_clip

    hub = "hf_tokenizer_name" in source.config["text_cfg"]
    never: dict[str, Any] = {"trust_remote_code": False} if hub else {}
    with _library(source, request.name), _download(f"the tokenizer of {request.name}"):
        return open_clip.get_tokenizer(source.tokenizer, cache_dir=request.cache_dir, **never)


def _source(request: Request) -> Source:
    name = request.name
    if name == "tiny":
        if not (catalog.TINY_DIR / CONFIG).is_file():
            raise CheckpointError(f"the embedded model is missing from {catalog.TINY_DIR}")
        return _folder(request, catalog.TINY_DIR)
    if name.startswith(catalog.LOCAL_PREFIX):
        return _folder(request, Path(name.removeprefix(catalog.LOCAL_PREFIX)).expanduser())
    if name.startswith(catalog.HUB_PREFIX):
        return _hub(request)
    return _named(request)


def _folder(request: Request, folder: Path) -> Source:
    _refuse_pretrained(request)
    if not folder.is_dir():
        raise UnknownModelError(f"{request.name}: there is no folder {folder}")
    config = read_folder_config(folder)
    with _quiet():
        weights = folder_weights(folder)
    create = f"{catalog.LOCAL_PREFIX}{folder}"
    recipe = None if request.preprocess is not None else read_recipe(folder / CONFIG)
    if recipe is None and request.preprocess is None:
        raise CheckpointError(
            f"{folder / CONFIG} does not say how images are preprocessed (mean and std in "
            "preprocess_cfg): add it, or give preprocess="
        )
    return Source(create, config["model_cfg"], weights, False, create, recipe)


def _hub(request: Request) -> Source:
    from huggingface_hub import hf_hub_download
    from open_clip.pretrained import download_pretrained_from_hf

    _refuse_pretrained(request)
    repository = request.name.removeprefix(catalog.HUB_PREFIX)
    with _download(f"the model {request.name}"):
        config = hf_hub_download(repository, CONFIG, cache_dir=request.cache_dir)
        download_pretrained_from_hf(repository, cache_dir=request.cache_dir)
    # Both files now lie in one snapshot folder, which is an open_clip folder like any other.
    source = _folder(request, Path(config).parent)
    return replace(source, online=True, tokenizer=request.name)


def _named(request: Request) -> Source:
    import open_clip

    name, pretrained = request.name, request.pretrained
    config = catalog.open_clip_config(name)
    source = Source(name, config, None, online=False, tokenizer=name)
    if pretrained == "random":
        return source
    if not isinstance(pretrained, str):
        tags = ", ".join(catalog.pretrained_tags(name)) or "none"
        raise no_weights_asked(name, f"a tag ({tags}), a .pt or .safetensors file")
    published = catalog.published(name)
    asked, quick = request.preprocess, config.get("quick_gelu", False)
    twin = catalog.other_activation(name)
    path = checkpoint_path(pretrained, tuple(published))
    if path is not None:
        found = catalog.published_as(name, path, published)
        if request.quick_gelu is None:  # the user's own word stands
            trained = is_torchscript(path) or catalog.sounds_like_openai(path) or None
            trained = trained if found is None else found["quick_gelu"]
            catalog.check_quick_gelu(name, quick, pretrained, trained, twin)
        recipe = None if asked is not None else file_recipe(name, path, published, found)
        return replace(source, weights=path, recipe=recipe)
    tag = catalog.tag_config(name, pretrained)
    quick = quick if request.quick_gelu is None else request.quick_gelu
    catalog.check_quick_gelu(name, quick, pretrained, bool(tag.get("quick_gelu", False)), twin)
    with _download(f"the weights {pretrained!r} of {name}"):
        downloaded = Path(open_clip.download_pretrained(tag, cache_dir=request.cache_dir))
    return replace(source, weights=downloaded, online=True, recipe=tag)


def _refuse_pretrained(request: Request) -> None:
    if request.pretrained is not None:
        raise ConfigError(
            f"{request.name} carries its own weights: leave out pretrained={request.pretrained!r}"
        )


@contextmanager
def _download(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as e:  # the hub, urllib and the file system each have their own errors
        raise DownloadError(
            f"{what} could not be had ({first_line(e)}); "
            "check the network, or fetch the files elsewhere and give a path as pretrained "
            "or a local-dir:<folder> as the model"
        ) from e


@contextmanager
def _hub_parts(name: str) -> Iterator[None]:
    """Some text towers are defined on the Hugging Face hub: say so when they cannot be had."""
    try:
        yield
    except OSError as e:
        if "huggingface.co" not in str(e):
            raise
        raise DownloadError(
            f"the text tower of {name} is defined on the Hugging Face hub, which was not asked for "
            "or cannot be reached; use a model with its own text tower, or a local-dir:<folder>"
        ) from e


def _check_image_size(request: Request, source: Source) -> None:
    """Refuse early what can be seen from the configuration; the rest is checked when loaded."""
    vision, size = source.config["vision_cfg"], request.size
    if size is None or "timm_model_name" in vision:
        return
    native = pair(vision.get("image_size", 224))
    if not isinstance(vision["layers"], list | tuple):
        check_divisible(pair(vision.get("patch_size", 16)), size, request.name)
    elif size != native:
        raise ConfigError(
            f"{request.name} is a ResNet whose attention pool has a fixed grid: image_size must "
            f"be {native[0]}"
        )


def _resize_same_count(model: Any, request: Request, source: Source) -> None:
    """Interpolate position embeddings where open_clip does not notice that the grid changed.

    open_clip compares numbers of positions, so 16x16 patches loaded into an 8x32 grid would keep
    the order of the square grid.
    """
    vision = source.config["vision_cfg"]
    if request.size is None or not hasattr(model.visual, "grid_size"):
        return
    native, patch = pair(vision.get("image_size", 224)), pair(vision.get("patch_size", 16))
    old, new = (native[0] // patch[0], native[1] // patch[1]), tuple(model.visual.grid_size)
    if old == new or old[0] * old[1] != new[0] * new[1]:
        return
    from timm.layers.pos_embed import resample_abs_pos_embed

    embedding = model.visual.positional_embedding
    resized = resample_abs_pos_embed(embedding.data[None], list(new), list(old))
    embedding.data.copy_(resized[0])


def _vision_model(model: Any, request: Request, source: Source) -> VisionModel:
    tower = HookedTower(model.visual)
    tower.eval()
    recipe = source.recipe or model.visual.preprocess_cfg
    if request.preprocess is not None:
        published = {} if source.create != request.name else catalog.published(request.name)
        recipe = asked_recipe(request.preprocess, request.name, published)
    scale, bias = getattr(model, "logit_scale", None), getattr(model, "logit_bias", None)
    return VisionModel(
        name=request.name,
        pretrained=request.pretrained,
        module=model,
        tower=tower,
        preprocess=preprocess_of(recipe, tower.adapter.image_size),
        text=TextEncoder(model, partial(_tokenizer, source, request)),
        logit_scale=None if scale is None else float(scale.detach().float().exp()),
        logit_bias=None if bias is None else float(bias.detach().float()),
        precision=request.precision,
        build_tower=partial(_random_tower, source, request),
    )


@contextmanager
def _library(source: Source, name: str) -> Iterator[None]:
    """Call open_clip: without the network if it was not asked for, and without its log messages."""
    with _offline(not source.online), _quiet(), _hub_parts(name):
        yield


@contextmanager
def _offline(off: bool) -> Iterator[None]:
    """Keep the hub client from the network, for loads that did not ask for it."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or off
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop open_clip's messages to the root logger: what matters is raised as an error here."""

    def keep(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root, null = logging.getLogger(), logging.NullHandler()
    root.addFilter(keep)
    # Without any handler, logging through the root logger would install one for the whole program.
    root.addHandler(null)
    try:
        yield
    finally:
        root.removeHandler(null)
        root.removeFilter(keep)
