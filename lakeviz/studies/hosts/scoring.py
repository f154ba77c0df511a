"""What a host sees of captured tokens, and its scores on test and unseen normal images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError, HostError
from lakeviz.lake import Selection
from lakeviz.lake.score_maps import join_layers, to_grid
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.hosts.detectors.protocol import (
    Host,
    HostScores,
    ImageDetector,
    PatchFeatureDetector,
    name_of,
)

MOST_FOLDS = 4
Selections = Mapping[str, Selection]
Tokens = Mapping[str, Float[Tensor, "image patch channel"]]


@dataclass(frozen=True)
class HostMaps:
    """Scores of images on the patch grid, and of whole images where the host has its own rule."""

    maps: Float[np.ndarray, "image row column"]
    images: Float[np.ndarray, " image"] | None = None

    def scaled(self, scale: Scale) -> HostMaps:
        """Bring maps and image scores to standard units of normal patches."""
        images = None if self.images is None else scale(self.images)
        return HostMaps(scale(self.maps), images)


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of the patch scores of unseen normal images."""

    mean: float
    deviation: float
    n_patches: int

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Standardise scores."""
        return (scores - self.mean) / self.deviation

    @classmethod
    def of(cls, scores: Sequence[np.ndarray], what: str) -> Scale:
        """Take mean and deviation of scores, which have no unit where they do not vary."""
        flat = np.concatenate([s.ravel() for s in scores]).astype(np.float64)
        deviation = float(flat.std(ddof=1))
        if not deviation > 0:
            raise HostError(
                f"{what} scores all {flat.size} patches of unseen normal images {flat[0]:.4g}, so "
                "its score has no unit in which another could be added"
            )
        return cls(float(flat.mean()), deviation, flat.size)


def fit_host(
    host: Host, data: StudyData, selections: Selections | None, images: Sequence[int] | None = None
) -> None:
    """Fit a host on some of the normal images (all: None), restricted or not."""
    if isinstance(host, PatchFeatureDetector):
        host.fit(normal_features(data, selections, images), grid_of(data))
        return
    if selections is not None:
        raise HostError(
            f"{name_of(host)} reads whole images, not patch features, so it cannot be restricted "
            "to channels; a score can be added to its own (mode add)"
        )
    host.prepare(data, list(range(len(data.normal))) if images is None else list(images))


def host_maps(
    host: Host, data: StudyData, selections: Selections | None, normal: Sequence[int] | None = None
) -> HostMaps:
    """Score the test images, or some of the normal ones, with a fitted host."""
    if isinstance(host, ImageDetector):
        images = range(len(data.test)) if normal is None else normal
        parts = [host.score_images(data, images, normal=normal is not None)]
    elif normal is None:
        parts = [host.score(features_of(data, own, selections)) for _, own in data.batches()]
    else:
        parts = [host.score(normal_features(data, selections, normal))]
    return _laid_out(parts, host, data)


def folds(n_images: int) -> list[tuple[list[int], list[int]]]:
    """Split normal images into those to fit on and those held out, up to four times."""
    if n_images < 2:
        raise ConfigError(
            "adding two scores needs at least two normal images: their units are taken from "
            "normal images that were not fitted on"
        )
    n = min(MOST_FOLDS, n_images)
    held = [list(range(start, n_images, n)) for start in range(n)]
    return [([i for i in range(n_images) if i not in out], out) for out in held]


def host_scale(host: Host, data: StudyData) -> Scale:
    """Scale of a host's patch scores. The host is left fitted on a part of the images."""
    found = []
    for kept, held in folds(len(data.normal)):
        fit_host(host, data, None, kept)
        found.append(host_maps(host, data, None, held).maps)
    return Scale.of(found, name_of(host))


def lake_scales(
    data: StudyData, select: Callable[[StudyData], Sequence[Selections]]
) -> list[Scale]:
    """Scale of LAKE's structural score in each set that ``select`` takes of data.

    The selection is made again from the images that are fitted on: those held out are unseen in
    every way.
    """
    found: list[list[np.ndarray]] = []  # by fold and set
    for kept, held in folds(len(data.normal)):
        part = data.view(images=kept)
        tokens = {p: data.normal.patches(p, held) for p in data.points}
        branches = part.branches(select(part))
        with torch.inference_mode():
            scores = [branch.score(tokens) for branch in branches]
        found.append([join_layers(one, data.grids)[0].cpu().numpy() for one in scores])
    return [Scale.of(own, "LAKE's structural score") for own in zip(*found, strict=True)]


def _laid_out(parts: Sequence[HostScores], host: Host, data: StudyData) -> HostMaps:
    name, grid = name_of(host), grid_of(data)
    patch = np.concatenate([np.asarray(p.patch, dtype=np.float64) for p in parts])
    if patch.ndim != 2 or patch.shape[1] != grid[0] * grid[1]:
        raise HostError(
            f"{name} gave scores of shape {patch.shape}, which do not fill the patch grid of "
            f"{data.category}, {grid[0]} x {grid[1]}"
        )
    images = None
    if parts[0].image is not None:
        images = np.concatenate([np.asarray(p.image, dtype=np.float64) for p in parts])
    if not np.isfinite(patch).all() or (images is not None and not np.isfinite(images).all()):
        raise HostError(f"{name} gave scores that are NaN or infinite on {data.category}")
    return HostMaps(patch.reshape(len(patch), *grid), images)


# --- features ---


def grid_of(data: StudyData) -> tuple[int, int]:
    """Rows and columns of the finest patch grid among the points."""
    return max(data.grids[p] for p in data.points)


def features_of(
    data: StudyData, tokens: Tokens, selections: Selections | None
) -> Float[Tensor, "image patch channel"]:
    """Patch features of some images: the channels of all points side by side, as they are.

    A coarser grid is brought to the finest by bilinear interpolation, as LAKE's maps are.
    ``selections`` restrict each point to its selected channels, or to coordinates in a subspace.
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


def _on_grid(
    tokens: Float[Tensor, "image patch channel"], own: tuple[int, int], grid: tuple[int, int]
) -> Float[Tensor, "image patch channel"]:
    if own == grid:
        return tokens
    n_images, _, n_channels = tokens.shape
    maps = tokens.mT.reshape(n_images * n_channels, *own)
    return to_grid(maps, grid).reshape(n_images, n_channels, -1).mT
