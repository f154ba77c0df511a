"""Which neurons are tested, selected and random ones, and how far each is from normal."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.errors import SelectionError
from lakeviz.lake import NeuronSelection
from lakeviz.lake.gallery import standardiser
from lakeviz.settings import check_choice
from lakeviz.studies.base.captured import StudyData


@dataclass(frozen=True)
class Choice:
    """Neurons under test at one hook point: selected ones, in their order, and random ones.

    ``variance`` is of all channels, over the normal patch tokens.
    """

    point: str
    selected: Int[np.ndarray, " k"]
    random: Int[np.ndarray, " n"]
    variance: Float[np.ndarray, " channel"]

    @property
    def tested(self) -> Int[np.ndarray, " neuron"]:
        """Selected neurons, then random ones."""
        return np.concatenate([self.selected, self.random])

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each tested neuron and the columns of a table that name it."""
        for number, channel in enumerate(self.tested.tolist()):
            group = "selected" if number < len(self.selected) else "random"
            yield number, {"point": self.point, "channel": channel, "group": group}

    def frame(self, channels: Int[np.ndarray, " some"]) -> pd.DataFrame:
        """Point, channel, group, variance and its rank (1 = highest)."""
        rank = np.empty(len(self.variance), dtype=np.int64)
        rank[np.argsort(-self.variance, kind="stable")] = np.arange(1, len(rank) + 1)
        group = np.full(len(self.variance), "other", dtype=object)
        group[self.random], group[self.selected] = "random", "selected"
        return pd.DataFrame(
            {
                "point": self.point,
                "channel": channels,
                "group": group[channels],
                "variance": self.variance[channels],
                "variance_rank": rank[channels],
            }
        )


def choose(
    data: StudyData, k: int, selector: str, n_random: int | None, seed: int
) -> dict[str, Choice]:
    """Choose neurons at every hook point; as many random as selected ones by default."""
    if n_random is not None and n_random < 1:
        raise SelectionError(
            f"n_random must be at least 1, not {n_random}: selected neurons are shown beside "
            "random ones"
        )
    chosen = {}
    for point, selection in data.select(k, selector, seed).items():
        if not isinstance(selection, NeuronSelection):
            raise SelectionError(
                f"selector {selector!r} gives a subspace, which has no single neurons; choose one "
                "that gives channels, such as variance"
            )
        rest = np.setdiff1d(np.arange(selection.n_channels), selection.channels)
        # The point takes part, or one seed would draw the same channels at every layer.
        generator = np.random.default_rng([seed, 1, zlib.crc32(point.encode())])
        wanted = selection.k if n_random is None else n_random
        random = generator.permutation(rest)[:wanted]
        variance = data.statistics[point].variance
        chosen[point] = Choice(point, np.asarray(selection.channels), random, variance)
    return chosen


DEVIATIONS = ("zscore", "nearest")


@dataclass(frozen=True)
class Deviation:
    """Deviation of every channel of one hook point from the normal tokens it was fitted on.

    ``"zscore"`` is ``|x - mean| / sd`` with mean and population standard deviation of the normal
    patch tokens; a channel that is constant on them has none, and its deviation is ``|x - mean|``
    in units of the activation. ``"nearest"`` is ``|x - v|`` for the nearest normal value ``v``: the
    structural score of a gallery of this one channel, in units of the activation.
    """

    kind: str
    mean: Float[Tensor, " channel"]
    scale: Float[Tensor, " channel"]
    constant: Tensor
    sorted_values: Float[Tensor, "channel token"] | None = None

    @classmethod
    def fit(cls, data: StudyData, point: str, kind: str) -> Deviation:
        """Fit on the normal images of a study."""
        check_choice("deviation", kind, DEVIATIONS)
        mean, scale = standardiser(data.statistics[point])
        constant = torch.from_numpy(data.statistics[point].variance <= 0)
        if kind == "zscore":
            return cls(kind, mean, scale, constant)
        tokens = data.normal.patches(point).flatten(0, 1)
        ordered = tokens.T.contiguous().sort(dim=1).values
        return cls(kind, mean, scale, constant, ordered)

    def __call__(
        self, tokens: Float[Tensor, "*token channel"], channels: Tensor | None = None
    ) -> Float[Tensor, "*token channel"]:
        """Deviation of tokens, of all channels or of those the tokens have been cut to."""
        keep = slice(None) if channels is None else channels
        if self.sorted_values is None:
            return (tokens - self.mean[keep]).abs() / self.scale[keep]
        values = self.sorted_values[keep]
        flat = tokens.reshape(-1, tokens.shape[-1]).T.contiguous()
        above = torch.searchsorted(values, flat).clamp(max=values.shape[1] - 1)
        below = (above - 1).clamp(min=0)
        gaps = [(flat - values.gather(1, index)).abs() for index in (above, below)]
        return torch.minimum(*gaps).T.reshape(tokens.shape)


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
    """Yield places in ``channels`` and their activations, as many as the budget allows at once."""
    n_patches = int(np.prod(data.grids[point]))
    at_once = max(1, HELD_VALUES // (n_patches * len(data.test)))
    for start in range(0, len(channels), at_once):
        places = np.arange(start, min(start + at_once, len(channels)))
        index = torch.from_numpy(np.ascontiguousarray(channels[places]))
        held = torch.empty((len(places), len(data.test), n_patches))
        for images, tokens in token_batches(data, point):
            held[:, images] = tokens.index_select(2, index).permute(2, 0, 1)
        yield places, held
