"""Decompose all images of a category, some at a time, and keep what the tables need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.activations import Loading
from lakeviz.data import Dataset
from lakeviz.data.loading import ImageBatches
from lakeviz.errors import DataError
from lakeviz.progress import step
from lakeviz.studies.decompose.decomposer import Decomposer
from lakeviz.studies.decompose.terms import LEVELS, Decomposition

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

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
) -> list[Tensor] | ImageBatches:
    """Preprocessed images, some at a time."""
    loading = loading or Loading()
    if isinstance(images, Tensor):
        return list(images.split(batch_size))
    return ImageBatches(
        images,
        model.preprocess,
        min(batch_size, loading.batch_size),
        workers=loading.workers,
        progress="decompose" if loading.progress else False,
    )


def embeddings(
    model: VisionModel, images: Images, loading: Loading | None
) -> Float[Tensor, "image out"]:
    """Image embeddings, as the model gives them."""
    loading = loading or Loading()
    found = []
    with torch.inference_mode():
        for batch in image_batches(model, images, loading.batch_size, loading):
            pixels = batch if isinstance(batch, Tensor) else batch.images
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
    for batch in image_batches(model, images, size, loading):
        pixels = batch if isinstance(batch, Tensor) else batch.images
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
