"""Arguments of ``load_model``, and the checks that all kinds of models share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from lakeviz.errors import ConfigError, ModelError
from lakeviz.models.preprocess import Preprocess


@dataclass(frozen=True)
class Request:
    """The arguments of :func:`.load_model.load_model`, checked and in one form."""

    name: str
    pretrained: str | bool | None
    device: torch.device
    precision: str
    size: tuple[int, int] | None
    seed: int
    cache_dir: str | None
    quick_gelu: bool | None
    preprocess: Preprocess | Mapping[str, Any] | str | None


def check_divisible(patch_size: tuple[int, int], size: tuple[int, int], name: str) -> None:
    """Refuse an image size that is not a whole number of patches."""
    for pixels, patch, axis in zip(size, patch_size, ("height", "width")):
        if pixels % patch:
            near = max(patch, round(pixels / patch) * patch)
            raise ConfigError(
                f"image {axis} {pixels} is no multiple of the patch size {patch} of {name}; "
                f"nearest: {near}"
            )


def no_weights_asked(name: str, choices: str) -> ModelError:
    """Error for ``pretrained=None`` where the name alone carries no weights."""
    return ModelError(
        f"which weights for {name}? Give pretrained: {choices}, or 'random' if random weights are "
        "really wanted"
    )


def first_line(error: Exception) -> str:
    """What a library said, cut to one line for a message of our own."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def own_generator(seed: int) -> Iterator[None]:
    """Draw random weights (on the CPU) from ``seed`` and leave the global generator as it was."""
    state = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(state)
