"""Passes over the test tokens of one hook point; memory is bounded whatever the number of images.

The first pass keeps one number per image and channel. The second holds the activations of the
neurons under test, as many of them at a time as fit in a fixed budget.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.neurons.single_neuron_score import Deviation

_BATCH = 32  # images read at a time
HELD_VALUES = 2**25  # activations held at a time: 128 MiB in single precision


def token_batches(
    data: StudyData, point: str
) -> Iterator[tuple[slice, Float[Tensor, "image patch channel"]]]:
    """Yield the test patch tokens of one hook point, some images at a time."""
    for start in range(0, len(data.test), _BATCH):
        rows = slice(start, min(start + _BATCH, len(data.test)))
        yield rows, data.test.patches(point, rows)


def image_scores(
    data: StudyData, point: str, deviation: Deviation
) -> Float[np.ndarray, "channel image"]:
    """Image score of every channel's own deviation, by the detector's rule over patches."""
    rows, columns = data.grids[point]
    scores = np.empty((data.n_channels(point), len(data.test)), dtype=np.float32)
    for images, tokens in token_batches(data, point):
        n_images, _, channels = tokens.shape
        maps = deviation(tokens).permute(2, 0, 1).reshape(-1, rows, columns).numpy()
        scores[:, images] = data.options.image_score(maps).reshape(channels, n_images)
    return scores


def held_activations(
    data: StudyData, point: str, channels: Int[np.ndarray, " neuron"]
) -> Iterator[tuple[Int[np.ndarray, " some"], Float[Tensor, "some image patch"]]]:
    """Yield activations of the neurons under test, as many neurons as the budget allows at once.

    Returns
    -------
    iterator of (places, activations)
        ``places`` are positions in ``channels``.
    """
    n_patches = int(np.prod(data.grids[point]))
    at_once = max(1, HELD_VALUES // (n_patches * len(data.test)))
    for start in range(0, len(channels), at_once):
        places = np.arange(start, min(start + at_once, len(channels)))
        index = torch.from_numpy(np.ascontiguousarray(channels[places]))
        held = torch.empty((len(places), len(data.test), n_patches))
        for images, tokens in token_batches(data, point):
            held[:, images] = tokens.index_select(2, index).permute(2, 0, 1)
        yield places, held
