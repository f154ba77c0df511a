"""``Decomposer``: from images to their decompositions, in batches that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError, HookError
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.studies.decompose.gradients import (
    LinearBlock,
    contributions,
    linear_blocks,
    pooled_contributions,
)
from lakeviz.studies.decompose.linearised_forward import (
    FrozenPass,
    frozen_pass,
    require_decomposable,
)
from lakeviz.studies.decompose.terms import Decomposition

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

# Terms and gradients of a batch may take so many bytes.
_BUDGET = 3 * 2**28
# Rounding of single precision over some hundred terms stays far below.
_TOLERANCE = 1e-3


class Decomposer:
    """Decomposes the outputs of one model.

    The formula is that of Gandelsman, Efros and Steinhardt, "Interpreting CLIP's Image
    Representation via Text-Based Decomposition", ICLR 2024, carried through to single neurons and
    all kinds of pooling: with the deviation of every normalisation on the way and the attention
    patterns frozen, the output is the sum of what the embedding, the heads (source token by source
    token), the neurons and the biases add to it.

    Parameters
    ----------
    model : VisionModel
    dtype : torch.dtype
        Precision to work in; another than the model's makes a copy of its tower.

    Raises
    ------
    HookError
        If the tower is no sum of heads and neurons (ResNets, networks of stages).
    """

    def __init__(self, model: VisionModel, dtype: torch.dtype = torch.float32) -> None:
        require_decomposable(model.tower, model.name)
        if dtype not in (torch.float32, torch.float64):
            raise ConfigError(f"decompose in torch.float32 or torch.float64, not {dtype}")
        self.name = model.name
        self.tower = model.tower
        if any(p.dtype != dtype for p in self.tower.tower.parameters()):
            self.tower = HookedTower(deepcopy(model.tower.tower).to(dtype)).eval()
        self.dtype = dtype

    @property
    def batch_size(self) -> int:
        """Images at a time that a gigabyte holds."""
        names = [n for n in self.tower.points if n.endswith(("hook_z", "hook_v", "hook_post"))]
        names += [n for n in self.tower.points if n.endswith(("hook_pattern", "hook_resid_post"))]
        # Each leaf has a gradient, and as much again is held on the way there.
        return max(1, _BUDGET // (4 * self.tower.capture_bytes(names, 1)))

    def decompose(
        self,
        images: Float[Tensor, "image 3 height width"],
        directions: Float[Tensor, "direction out"] | None = None,
        *,
        sources: bool = False,
        patch: int | None = None,
    ) -> Decomposition:
        """Decompose the output of preprocessed images, in one forward pass.

        A direction costs one backward pass through the frozen map; no vector in the output's space
        is ever made.

        Parameters
        ----------
        images
            As many as fit in memory at once; see :attr:`batch_size` and :meth:`batches`.
        directions
            In the space of the output. Without them, its unit vectors, so that contributions are
            vectors: costly in wide spaces.
        sources
            Also split every head by source token.
        patch
            Number of a patch, whose projected token is decomposed instead of the image embedding.

        Raises
        ------
        HookError
            If the pooling or the head is not linear in the tokens, so that no sum is exact.
        ConfigError
            If a direction has another width than the output, or there is no such patch.
        ModelError
            If patch tokens cannot be projected in this tower.
        """
        images = images.to(self.tower.device, self.dtype)
        made = None
        if self._linear_blocks is not None:
            with frozen_pass(self.tower, images, head_alone=True) as passed:
                output = passed.output if patch is None else self._patch(passed, patch)
                along = self._directions(directions, output)
                made = pooled_contributions(passed, output, along, self._linear_blocks, sources)
        if made is None:
            with frozen_pass(self.tower, images) as passed:
                output = passed.output if patch is None else self._patch(passed, patch)
                along = self._directions(directions, output)
                made = contributions(passed, output, along, sources)
        error = float(((made.total - made.output).abs() / made.norm[:, None]).max())
        longest = 1.0 if directions is None else max(1e-30, float(directions.norm(dim=1).max()))
        if not error <= _TOLERANCE * longest:
            raise HookError(
                f"{self.name}: the terms do not sum to the output (off by {error:.2g} of its "
                "length), for its pooling or head is not linear in the tokens; use a model that "
                "projects the class token, a mean, or an attention pool linearly"
            )
        return made

    def batches(
        self, images: Float[Tensor, "image 3 height width"], *args: object, **kwargs: object
    ) -> Iterator[tuple[slice, Decomposition]]:
        """Decompose many images, some at a time; arguments as :meth:`decompose`."""
        for start in range(0, len(images), self.batch_size):
            rows = slice(start, min(start + self.batch_size, len(images)))
            yield rows, self.decompose(images[rows], *args, **kwargs)  # type: ignore[arg-type]

    @cached_property
    def _linear_blocks(self) -> list[LinearBlock] | None:
        return linear_blocks(self.tower)

    def _patch(self, passed: FrozenPass, patch: int) -> Tensor:
        n_prefix = self.tower.adapter.n_prefix_tokens
        n_patches = passed.residual.shape[1] - n_prefix
        if not 0 <= patch < n_patches:
            raise ConfigError(f"{self.name} has patches 0 to {n_patches - 1}, not {patch}")
        return self.tower.adapter.project_tokens(passed.residual)[:, n_prefix + patch]

    def _directions(self, given: Tensor | None, output: Tensor) -> Tensor:
        width = output.shape[-1]
        if given is None:
            return torch.eye(width, dtype=self.dtype, device=output.device)
        if given.ndim != 2 or given.shape[1] != width:
            raise ConfigError(
                f"directions of {self.name} are [direction, {width}], not {list(given.shape)}"
            )
        return given.to(output.device, self.dtype)
