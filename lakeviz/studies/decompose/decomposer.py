"""``Decomposer``: from images to their decompositions, in batches that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.activations import Loading
from lakeviz.data import Dataset
from lakeviz.data.loading import ImageBatches
from lakeviz.errors import ConfigError, DataError, HookError
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.progress import step
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
from lakeviz.studies.decompose.terms import LEVELS, Decomposition

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


Images = Dataset | Sequence[str | Path] | Float[Tensor, "image 3 height width"]


@dataclass(frozen=True)
class Gathered:
    """Contributions to the unit embedding of some images, along one direction and random ones.

    ``names`` and ``terms`` are by level. ``neurons`` are of all blocks, one after the other, and
    ``neuron_names`` block and number of each; along random directions they are means over the
    normal and over the anomalous images. ``output`` is the embedding along the direction, ``maps``
    are by source patch.
    """

    names: dict[str, list[str]]
    terms: dict[str, Float[np.ndarray, "image component"]]
    random: dict[str, Float[np.ndarray, "image component draw"]]
    neurons: Float[np.ndarray, "image neuron"]
    neurons_random: Float[np.ndarray, "label neuron draw"]
    neuron_names: Int[np.ndarray, "neuron 2"]
    output: Float[np.ndarray, " image"]
    output_random: Float[np.ndarray, "image draw"]
    maps: Float[np.ndarray, "image row column"]
    maps_random: Float[np.ndarray, "image draw row column"]


def image_batches(
    model: VisionModel, images: Images, batch_size: int, loading: Loading | None
) -> Iterator[Float[Tensor, "image 3 height width"]]:
    """Preprocessed images, some at a time."""
    loading = loading or Loading()
    if isinstance(images, Tensor):
        yield from images.split(batch_size)
        return
    size, bar = min(batch_size, loading.batch_size), "decompose" if loading.progress else False
    for batch in ImageBatches(
        images, model.preprocess, size, workers=loading.workers, progress=bar
    ):
        yield batch.images


def embeddings(
    model: VisionModel, images: Images, loading: Loading | None
) -> Float[Tensor, "image out"]:
    """Image embeddings, as the model gives them."""
    loading = loading or Loading()
    found = []
    with torch.inference_mode():
        for pixels in image_batches(model, images, loading.batch_size, loading):
            found.append(model.encode_image(pixels).float().cpu())
    return torch.cat(found)


def gather(
    decomposer: Decomposer,
    model: VisionModel,
    images: Images,
    labels: Int[np.ndarray, " image"],
    directions: Float[Tensor, "direction out"],
    *,
    grid: tuple[int, int],
    loading: Loading | None = None,
) -> Gathered:
    """Decompose images along a direction (the first) and random ones (the others)."""
    if len(images) == 0:
        raise DataError("there are no images to decompose")
    labels = np.asarray(labels) != 0
    parts: list[dict[str, np.ndarray]] = []
    sums: np.ndarray | None = None
    names: dict[str, list[str]] = {}
    widths: list[int] = []
    done = 0
    size = max(1, decomposer.batch_size)
    for pixels in image_batches(model, images, size, loading):
        for rows, made in decomposer.batches(pixels, directions, sources=True):
            made = made.unit()
            names = {level: list(made.level(level)) for level in LEVELS}
            widths = [n.shape[1] for n in made.neurons]
            parts.append(_kept(made, decomposer.tower.adapter.n_prefix_tokens))
            own = labels[done + rows.start : done + rows.stop]
            sums = _add_up(sums, made, own)
        done += len(pixels)
        step(len(pixels), "images")
    assert sums is not None
    joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    shape = joined["maps"].shape
    maps = joined["maps"].reshape(*shape[:2], *grid)
    counts = np.maximum([np.sum(~labels), np.sum(labels)], 1).reshape(2, 1, 1)
    return Gathered(
        names=names,
        terms={level: joined[level][..., 0] for level in LEVELS},
        random={level: joined[level][..., 1:] for level in LEVELS},
        neurons=joined["neurons"],
        neurons_random=sums / counts,
        neuron_names=np.array([(b, n) for b, width in enumerate(widths) for n in range(width)]),
        output=joined["output"][:, 0],
        output_random=joined["output"][:, 1:],
        maps=maps[:, 0],
        maps_random=maps[:, 1:],
    )


def _kept(made: Decomposition, n_prefix: int) -> dict[str, np.ndarray]:
    found = {
        level: torch.stack(list(made.level(level).values()), dim=1).double() for level in LEVELS
    }
    found["neurons"] = torch.cat([n[..., 0] for n in made.neurons], dim=1).float()
    found["output"] = made.output.double()
    found["maps"] = made.by_source[:, n_prefix:].transpose(1, 2).float()
    return {name: tensor.cpu().numpy() for name, tensor in found.items()}


def _add_up(sums: np.ndarray | None, made: Decomposition, labels: np.ndarray) -> np.ndarray:
    """Sums of the neurons along random directions, by label: all images would be too many."""
    neurons = torch.cat([n[..., 1:] for n in made.neurons], dim=1).double().cpu().numpy()
    added = np.stack([neurons[~labels].sum(0), neurons[labels].sum(0)])
    return added if sums is None else sums + added
