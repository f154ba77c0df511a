"""Load open_clip models: by name with a tag or file, from a folder, from the hub, or ``tiny``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lakeviz.errors import CheckpointError, ConfigError, DownloadError, UnknownModelError
from lakeviz.models import catalog
from lakeviz.models.checkpoints import checkpoint_path, fitting, is_torchscript, read_state
from lakeviz.models.hooked import HookedTower
from lakeviz.models.loading import check_divisible, no_weights_asked, own_generator
from lakeviz.models.preprocess import preprocess_of_open_clip
from lakeviz.models.text import TextEncoder
from lakeviz.models.vision_model import VisionModel

Size = tuple[int, int] | None


def load_open_clip(
    name: str,
    pretrained: str | bool | None,
    device: torch.device,
    precision: str,
    size: Size,
    seed: int,
    cache_dir: str | None,
    *,
    quick_gelu: bool | None = None,
) -> VisionModel:
    """Load an open_clip model; the parameters are those of :func:`.loading.load_model`."""
    import open_clip

    source = _source(name, pretrained, cache_dir, quick_gelu)
    _check_image_size(name, source["config"], size)
    options: dict[str, Any] = {
        "precision": precision,
        "device": device,
        "cache_dir": cache_dir,
        "pretrained_text": False,
        "force_image_size": size,
    }
    if quick_gelu is not None:
        options["quick_gelu"] = quick_gelu

    def bare() -> Any:
        return open_clip.create_model(source["create"], load_weights=False, **options)

    weights: Path | None = source["weights"]
    with _offline(not source["online"]), own_generator(seed), _quiet(), _hub_parts(name):
        if weights is None:
            model = bare()
        else:
            with fitting(name, weights, bare):
                model = _create_with_file(source, weights, options, bare)
            _resize_same_count(model, source["config"], size)
    return _vision_model(name, pretrained, model, source, precision, cache_dir)


def _source(
    name: str, pretrained: str | bool | None, cache_dir: str | None, quick_gelu: bool | None
) -> dict[str, Any]:
    """What to create, from which configuration and weights, and whether the network is allowed."""
    if name == "tiny":
        if not (catalog.TINY_DIR / "open_clip_config.json").is_file():
            raise CheckpointError(f"the embedded model is missing from {catalog.TINY_DIR}")
        return _folder(catalog.TINY_DIR, name, pretrained)
    if name.startswith(catalog.LOCAL_PREFIX):
        return _folder(Path(name.removeprefix(catalog.LOCAL_PREFIX)), name, pretrained)
    if name.startswith(catalog.HUB_PREFIX):
        return _hub(name, pretrained, cache_dir)
    return _named(name, pretrained, cache_dir, quick_gelu)


def _folder(folder: Path, name: str, pretrained: str | bool | None) -> dict[str, Any]:
    import json

    from open_clip.factory import _find_checkpoint_in_dir

    folder = folder.expanduser()
    _refuse_pretrained(name, pretrained)
    if not folder.is_dir():
        raise UnknownModelError(f"{name}: there is no folder {folder}")
    config_file = folder / "open_clip_config.json"
    try:
        config = json.loads(config_file.read_text())["model_cfg"]
    except (OSError, ValueError, KeyError) as e:
        raise CheckpointError(
            f"{config_file} is missing or holds no model_cfg: {folder} is no open_clip folder"
        ) from e
    found = _find_checkpoint_in_dir(folder)
    if found is None:
        raise CheckpointError(f"{folder} holds no weights (open_clip_model.safetensors)")
    create = f"{catalog.LOCAL_PREFIX}{folder}"
    return {"create": create, "config": config, "weights": Path(found), "online": False}


def _hub(name: str, pretrained: str | bool | None, cache_dir: str | None) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download
    from open_clip.pretrained import download_pretrained_from_hf

    _refuse_pretrained(name, pretrained)
    repository = name.removeprefix(catalog.HUB_PREFIX)
    with _download(f"the model {name}"):
        config = hf_hub_download(repository, "open_clip_config.json", cache_dir=cache_dir)
        download_pretrained_from_hf(repository, cache_dir=cache_dir)
    # Both files now lie in one snapshot folder, which is an open_clip folder like any other.
    return _folder(Path(config).parent, name, None) | {"tokenizer": name, "online": True}


def _named(
    name: str, pretrained: str | bool | None, cache_dir: str | None, quick_gelu: bool | None
) -> dict[str, Any]:
    import open_clip

    config = catalog.open_clip_config(name)
    source: dict[str, Any] = {
        "create": name,
        "config": config,
        "weights": None,
        "online": False,
    }
    if pretrained == "random":
        return source
    if not isinstance(pretrained, str):
        tags = ", ".join(catalog.pretrained_tags(name)) or "none"
        raise no_weights_asked(name, f"a tag ({tags}), a .pt or .safetensors file")
    quick = config.get("quick_gelu", False) if quick_gelu is None else quick_gelu
    path = checkpoint_path(pretrained)
    if path is not None:
        trained = True if is_torchscript(path) else catalog.quick_gelu_of_file(name, path)
        catalog.check_quick_gelu(name, quick, pretrained, trained)
        return source | {"weights": path}
    tag = catalog.tag_config(name, pretrained)
    catalog.check_quick_gelu(name, quick, pretrained, bool(tag.get("quick_gelu", False)))
    with _download(f"the weights {pretrained!r} of {name}"):
        downloaded = Path(open_clip.download_pretrained(tag, cache_dir=cache_dir))
    return source | {"weights": downloaded, "online": True, "tag": tag}


def _refuse_pretrained(name: str, pretrained: str | bool | None) -> None:
    if pretrained is not None:
        raise ConfigError(f"{name} carries its own weights: leave out pretrained={pretrained!r}")


@contextmanager
def _download(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as e:  # the hub, urllib and the file system each have their own errors
        raise DownloadError(
            f"{what} could not be had ({(str(e).splitlines() or [type(e).__name__])[0][:200]}); "
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


def _create_with_file(
    source: dict[str, Any], weights: Path, options: dict[str, Any], bare: Callable[[], Any]
) -> Any:
    import open_clip
    from open_clip.model import resize_pos_embed
    from open_clip.transform import merge_preprocess_dict

    if is_torchscript(weights):
        model, state = bare(), read_state(weights)
        resize_pos_embed(state, model)
        model.load_state_dict(state)
        return model
    if source["create"].startswith(catalog.LOCAL_PREFIX):
        return open_clip.create_model(source["create"], **options)
    overlay = merge_preprocess_dict({}, source.get("tag", {}))
    return open_clip.create_model(
        source["create"], pretrained=str(weights), force_preprocess_cfg=overlay, **options
    )


def _check_image_size(name: str, config: dict[str, Any], size: Size) -> None:
    vision = config["vision_cfg"]
    if size is None or "timm_model_name" in vision:
        return
    native = _pair(vision.get("image_size", 224))
    if isinstance(vision["layers"], list | tuple):
        if size != native:
            raise ConfigError(
                f"{name} is a ResNet whose attention pool has a fixed grid: image_size must be "
                f"{native[0]}"
            )
        return
    check_divisible(_pair(vision.get("patch_size", 16)), size, name)


def _resize_same_count(model: Any, config: dict[str, Any], size: Size) -> None:
    """Interpolate position embeddings where open_clip does not notice that the grid changed.

    open_clip compares numbers of positions, so 16x16 patches loaded into an 8x32 grid would keep
    the order of the square grid.
    """
    vision = config["vision_cfg"]
    if size is None or "timm_model_name" in vision or not hasattr(model.visual, "grid_size"):
        return
    native, patch = _pair(vision.get("image_size", 224)), _pair(vision.get("patch_size", 16))
    old, new = (native[0] // patch[0], native[1] // patch[1]), tuple(model.visual.grid_size)
    if old == new or old[0] * old[1] != new[0] * new[1]:
        return
    from timm.layers.pos_embed import resample_abs_pos_embed

    embedding = model.visual.positional_embedding
    resized = resample_abs_pos_embed(embedding.data[None], list(new), list(old))
    embedding.data.copy_(resized[0])


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _vision_model(
    name: str,
    pretrained: str | bool | None,
    model: Any,
    source: dict[str, Any],
    precision: str,
    cache_dir: str | None,
) -> VisionModel:
    tower = HookedTower(model.visual)
    tower.eval()
    scale, bias = getattr(model, "logit_scale", None), getattr(model, "logit_bias", None)
    preprocess = preprocess_of_open_clip(model.visual.preprocess_cfg, tower.adapter.image_size)
    return VisionModel(
        name=name,
        pretrained=pretrained,
        module=model,
        tower=tower,
        preprocess=preprocess,
        text=TextEncoder(model, _tokenizer_maker(source, cache_dir)),
        logit_scale=None if scale is None else float(scale.detach().float().exp()),
        logit_bias=None if bias is None else float(bias.detach().float()),
        precision=precision,
    )


def _tokenizer_maker(source: dict[str, Any], cache_dir: str | None) -> Callable[[], Any]:
    """How to build the tokenizer; without the network unless the weights came over it."""

    def make() -> Any:
        import open_clip

        name = source.get("tokenizer", source["create"])
        with _offline(not source["online"]), _download(f"the tokenizer of {name}"):
            return open_clip.get_tokenizer(name, cache_dir=cache_dir)

    return make


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
