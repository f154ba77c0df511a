"""``load_model``: a model from open_clip, timm, a folder, the hub, or the package itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lakeviz.data.aspect import Geometry
from lakeviz.errors import ConfigError
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.models.load import catalog
from lakeviz.models.load.request import Request, check_divisible
from lakeviz.models.preprocess import Preprocess
from lakeviz.models.vision_model import VisionModel
from lakeviz.settings import check_choice, check_pixels

_PRECISIONS = ("fp32", "bf16", "fp16")


def load_model(
    name: str = "tiny",
    pretrained: str | bool | None = None,
    *,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
    image_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    quick_gelu: bool | None = None,
    aspect: str = "squash",
    preprocess: Preprocess | Mapping[str, Any] | str | None = None,
) -> VisionModel:
    """Load a model by name, frozen and in eval mode, ready to be read and edited.

    Parameters
    ----------
    name
        ``tiny`` (embedded in the package), an open_clip name, ``timm/<name>``,
        ``local-dir:<folder>`` (an open_clip folder) or ``hf-hub:<repository>``.
    pretrained
        For an open_clip name: a tag, a ``.pt`` or ``.safetensors`` file, or ``"random"``. For timm:
        True (download), a weights file, or ``"random"``. None for the names that carry weights.
        Random weights are only given when asked for by ``"random"``. The network is only used for a
        tag, for True, and for ``hf-hub:``.
    device
        Any PyTorch device.
    precision
        ``fp32``, ``bf16`` or ``fp16`` (in open_clip models normalisations stay in fp32).
    image_size
        Pixels, or ``(height, width)``; position embeddings are interpolated by the library. None
        keeps the model's own.
    seed
        Seed of random weights.
    cache_dir
        Where downloads are kept (default: the library's own place).
    quick_gelu
        Whether an open_clip architecture has QuickGELU; needed where no model name has the
        activation the weights were trained with, or the file's name says otherwise. In timm the
        activation is part of the name.
    preprocess
        How images are standardised, where that is not known or is to be another: the tag of
        published weights, a configuration file (JSON), or a mapping with ``mean``, ``std`` and
        ``interpolation``. By default it comes from the tag, from a configuration beside the file,
        from the published weights the file is by its name, or from all published weights of the
        model where they agree.
    aspect
        How images that are not square become inputs: ``squash``, ``letterbox``, ``crop`` or
        ``tile_RxC``; see :mod:`lakeviz.data.aspect`.

    Returns
    -------
    VisionModel

    Raises
    ------
    UnknownModelError
        Unknown name or tag; with the nearest ones.
    QuickGELUMismatchError
        The weights were trained with another activation (raised before any download).
    CheckpointError
        The file is missing, damaged, belongs to another architecture, or it is not known how its
        images were preprocessed.
    DownloadError
        The network refused.
    ConfigError
        A device, precision or image size that cannot be had.
    """
    check_choice("precision", precision, _PRECISIONS)
    Geometry(aspect)  # refuses another rule before anything is loaded
    request = Request(
        name=name,
        pretrained=pretrained,
        device=_device(device),
        precision=precision,
        size=_image_size(image_size),
        seed=seed,
        cache_dir=None if cache_dir is None else str(Path(cache_dir).expanduser()),
        quick_gelu=quick_gelu,
        preprocess=preprocess,
    )
    if name.startswith(catalog.TIMM_PREFIX):
        from lakeviz.models.load.timm import load_timm as load
    else:
        from lakeviz.models.load.open_clip import load_open_clip as load
    model = load(request)
    model.preprocess = replace(model.preprocess, aspect=aspect)
    model.tower.tiles = model.preprocess.geometry.tiles
    model.module.eval().requires_grad_(False)
    _check_image_size(model, request.size)
    _check_half_on_cpu(model.tower, precision)
    return model


def _image_size(value: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if value is None:
        return None
    size = (value, value) if isinstance(value, int) else tuple(value)
    if len(size) != 2 or any(not isinstance(n, int) or n < 1 for n in size):
        raise ConfigError(f"image_size must be pixels or (height, width), not {value!r}")
    check_pixels(size, "image size")
    return size


def _device(device: str | torch.device) -> torch.device:
    try:
        where = torch.device(device)
        torch.ones(1, device=where).item()  # there are devices without numbers, such as meta
    except (RuntimeError, AssertionError, ImportError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise ConfigError(f"device {str(device)!r} is not available: {reason}") from e
    return where


def _check_image_size(model: VisionModel, size: tuple[int, int] | None) -> None:
    """Whatever the library did with the size asked for, the tower now has to take it."""
    if size is None:
        return
    if model.image_size != size:
        native = "x".join(map(str, model.image_size))
        raise ConfigError(f"{model.name} cannot change its image size from {native}")
    check_divisible(model.patch_size, size, model.name)


def _check_half_on_cpu(tower: HookedTower, precision: str) -> None:
    """Some CPU builds lack half-precision kernels: find out now, not in the middle of a run."""
    if precision == "fp32" or tower.device.type != "cpu":
        return
    height, width = tower.adapter.image_size
    try:
        tower(torch.zeros(1, 3, height, width))
    except (RuntimeError, NotImplementedError) as e:
        raise ConfigError(
            f"this CPU cannot run the model in {precision} ({str(e).splitlines()[0]}); use fp32"
        ) from e
