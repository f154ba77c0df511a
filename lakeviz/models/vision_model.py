"""``VisionModel``: a loaded model with hooked tower, preprocessing, text encoder and identity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lakeviz.errors import ModelError
from lakeviz.models.calls import ModelCalls
from lakeviz.models.class_head import ClassHead
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.models.preprocess import Preprocess
from lakeviz.models.text import TextEncoder


@dataclass
class VisionModel(ModelCalls):
    """A loaded model: hooked tower, preprocessing, text encoder, geometry and identity.

    Attributes
    ----------
    name, pretrained
        As given to :func:`lakeviz.models.load_model`.
    module
        The library's own model: the whole open_clip model, or the timm tower.
    tower
        Its image tower with hook points.
    preprocess
        From an RGB image to the tower's input.
    text
        Text encoder, or None for a vision-only model.
    logit_scale, logit_bias
        The model's own factor (already exponentiated) and offset for cosine similarities; None
        where it has none.
    precision
        ``fp32``, ``bf16`` or ``fp16``.
    class_head
        Classifier of a timm model, kept beside the tower; None where its weights are not known.
    build_tower
        Builds the bare image tower with random weights from a seed; None where that is not known.
    """

    name: str
    pretrained: str | bool | None
    module: nn.Module = field(repr=False)
    tower: HookedTower = field(repr=False)
    preprocess: Preprocess
    text: TextEncoder | None = field(default=None, repr=False)
    logit_scale: float | None = None
    logit_bias: float | None = None
    precision: str = "fp32"
    build_tower: Callable[[int], nn.Module] | None = field(default=None, repr=False)
    class_head: ClassHead | None = field(default=None, repr=False)

    @property
    def architecture(self) -> str:
        """``open_clip_vit``, ``open_clip_timm``, ``timm_vit`` or ``open_clip_resnet``."""
        return self.tower.adapter.architecture

    @property
    def image_size(self) -> tuple[int, int]:
        """Input ``(height, width)`` in pixels."""
        return self.tower.adapter.image_size

    @property
    def patch_size(self) -> tuple[int, int]:
        """Patch ``(height, width)`` in pixels (of the last stage, for a ResNet)."""
        return self.tower.adapter.patch_size

    def grid(self, image_size: tuple[int, int] | None = None) -> tuple[int, int]:
        """Patch rows and columns, at the model's image size or another."""
        return self.tower.adapter.grid(image_size)

    @property
    def n_prefix_tokens(self) -> int:
        """Tokens before the first patch token: class token and registers."""
        return self.tower.adapter.n_prefix_tokens

    @property
    def n_blocks(self) -> int:
        """Number of transformer blocks (bottlenecks, for a ResNet)."""
        return len(self.tower.adapter.blocks)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.tower.adapter.d_model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tower.device

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the weights."""
        return self.tower.dtype

    @property
    def weights_hash(self) -> str:
        """SHA-256 of all weights, computed at each access (about a second per GB)."""
        return weights_hash(self.module)

    @torch.no_grad()
    def project_patches(
        self, resid: Float[Tensor, "batch patch d_model"]
    ) -> Float[Tensor, "batch patch joint"]:
        """Map patch tokens of the residual stream into the joint space, as pooled tokens are.

        Final norm, then projection. The result is not normalised.

        Raises
        ------
        ModelError
            If the tower pools by attention or its head is not linear; the message says which.
        """
        return self.tower.adapter.project_tokens(resid.to(self.device, self.dtype))

    def untrained(self, seed: int = 0) -> VisionModel:
        """Make the same image tower with random weights, as its library initialises it.

        What an untrained tower detects owes nothing to pre-training. It has the preprocessing of
        this model and no text encoder, as a random tower shares no space with text. This model is
        not changed.

        Parameters
        ----------
        seed
            Of the random weights.

        Raises
        ------
        ModelError
            If the tower cannot be built again, or some of its parameters have no initialiser; they
            are named.
        """
        if self.build_tower is None:
            raise ModelError(
                f"{self.name} was not made by load_model, so its tower cannot be built again with "
                "random weights"
            )
        built = self.build_tower(seed).eval().requires_grad_(False)
        _check_drawn(self.name, self.tower.tower, built)
        tower = HookedTower(built)
        tower.eval()
        tower.tiles = self.tower.tiles
        return replace(
            self,
            pretrained=f"untrained, seed {seed}",
            module=built,
            tower=tower,
            text=None,
            class_head=None,
            logit_scale=None,
            logit_bias=None,
        )

    def split_tokens(
        self, tokens: Float[Tensor, "batch token channel"]
    ) -> tuple[Float[Tensor, "batch prefix channel"], Float[Tensor, "batch patch channel"]]:
        """Prefix tokens (class token, registers) and patch tokens, in row-major grid order."""
        n = self.n_prefix_tokens
        return tokens[:, :n], tokens[:, n:]

    def describe(self) -> dict[str, Any]:
        """Identity of the model in plain types, for manifests; includes the weights' hash."""
        return {
            "name": self.name,
            "pretrained": self.pretrained,
            "architecture": self.architecture,
            "precision": self.precision,
            "image_size": list(self.image_size),
            "patch_size": list(self.patch_size),
            "n_blocks": self.n_blocks,
            "n_prefix_tokens": self.n_prefix_tokens,
            "d_model": self.d_model,
            "has_text": self.text is not None,
            "logit_scale": self.logit_scale,
            "logit_bias": self.logit_bias,
            "preprocess": self.preprocess.describe(),
            "weights_hash": self.weights_hash,
        }


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor in the state.

    Tensors are taken by name, so the order in which a model registers them does not matter, and one
    at a time, so memory stays at one tensor. About a second per GB.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}|{flat.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()


def _check_drawn(name: str, trained: nn.Module, tower: nn.Module) -> None:
    """Refuse a tower that is not the trained one with other values in every parameter."""
    was, now = dict(trained.named_parameters()), dict(tower.named_parameters())
    if {n: p.shape for n, p in was.items()} != {n: p.shape for n, p in now.items()}:
        raise ModelError(
            f"{name} cannot be re-initialised: its library builds another architecture"
        )
    bad = [own for own, parameter in now.items() if not _is_drawn(parameter, was[own])]
    if bad:
        raise ModelError(
            f"{name} cannot be re-initialised: {len(bad)} parameters have no initialiser or keep "
            f"their trained values ({', '.join(bad[:5])})"
        )


def _is_drawn(parameter: nn.Parameter, trained: nn.Parameter) -> bool:
    """Whether values are finite and, unless constant as in norms, not the trained ones."""
    if not torch.isfinite(parameter).all():
        return False
    same = torch.equal(parameter, trained.to(parameter.dtype))
    return not same or bool((parameter == parameter.flatten()[0]).all())
