"""What a host sees of a study's tokens: all channels, or those of a selection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import HostError
from lakeviz.lake import Selection
from lakeviz.lake.score_maps import to_grid
from lakeviz.studies.base.captured import StudyData

Selections = Mapping[str, Selection]
Tokens = Mapping[str, Float[Tensor, "image patch channel"]]


def grid_of(data: StudyData) -> tuple[int, int]:
    """Rows and columns of the finest patch grid among the points."""
    return max(data.grids[p] for p in data.points)


def features_of(
    data: StudyData, tokens: Tokens, selections: Selections | None
) -> Float[Tensor, "image patch channel"]:
    """Patch features of some images: the channels of all points side by side, as they are.

    Parameters
    ----------
    data : StudyData
        For its points and grids. A coarser grid is brought to the finest by bilinear interpolation,
        as LAKE's maps are.
    tokens : mapping of hook point to Tensor [image, patch, channel]
    selections : mapping of hook point to Selection, optional
        Restrict each point to its selected channels, or to coordinates in a subspace.

    Raises
    ------
    HostError
        If the selections are not of the points of the study.
    """
    if selections is not None and set(selections) != set(data.points):
        raise HostError(
            f"{data.category}: the selection is of {', '.join(selections)}, and the features are "
            f"of {', '.join(data.points)}"
        )
    grid = grid_of(data)
    parts = []
    for point in data.points:
        own = tokens[point].float()
        if selections is not None:
            own = selections[point].project(own)
        parts.append(_on_grid(own, data.grids[point], grid))
    return torch.cat(parts, dim=-1)


def normal_features(
    data: StudyData, selections: Selections | None, images: Sequence[int] | None = None
) -> Float[Tensor, "image patch channel"]:
    """Features of some of the normal images, all by default."""
    tokens = {p: data.normal.patches(p, images) for p in data.points}
    return features_of(data, tokens, selections)


def test_batches(
    data: StudyData, selections: Selections | None
) -> Iterator[Float[Tensor, "image patch channel"]]:
    """Yield the features of the test images, some images at a time."""
    for _, tokens in data.batches():
        yield features_of(data, tokens, selections)


def _on_grid(
    tokens: Float[Tensor, "image patch channel"], own: tuple[int, int], grid: tuple[int, int]
) -> Float[Tensor, "image patch channel"]:
    if own == grid:
        return tokens
    n_images, _, n_channels = tokens.shape
    maps = tokens.mT.reshape(n_images * n_channels, *own)
    return to_grid(maps, grid).reshape(n_images, n_channels, -1).mT
