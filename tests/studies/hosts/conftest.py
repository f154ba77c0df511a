"""Planted patch features, a small host made by hand, and tiny captured studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from lakeviz.data import Dataset, read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.lake import LakeOptions, VisualOptions
from lakeviz.models import VisionModel
from lakeviz.studies.base.capture import capture_study
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.hosts.detectors import HostScores

POINTS = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


class Energy:
    """A host of three methods: squared distance of a patch from the mean normal patch."""

    def fit(self, features, grid):
        self.mean = features.mean((0, 1))

    def score(self, features):
        return HostScores((features - self.mean).square().sum(-1).numpy())

    def describe(self):
        return {"name": "energy"}


def planted(
    signal: Sequence[int] = (0, 1, 2),
    shift: float = 1.5,
    n_channels: int = 24,
    n_fit: int = 4,
    n_each: int = 24,
    points: Sequence[str] = POINTS[:1],
    seed: int = 0,
    masks: bool = True,
    category: str = "planted",
) -> StudyData:
    """Gaussian tokens on a 4 x 4 grid; the first three channels have the highest variance.

    In defective images a square of patches has the channels of ``signal`` scaled up.
    """
    generator = np.random.default_rng(seed)
    scales = np.r_[np.linspace(1.8, 1.7, 3), np.linspace(1.0, 0.8, n_channels - 3)]
    labels = np.repeat([0, 1], n_each)
    truth = np.zeros((2 * n_each, 4, 4), dtype=bool)
    for image in np.flatnonzero(labels):
        row, column = generator.integers(3, size=2)
        truth[image, row : row + 2, column : column + 2] = True
    normal, test = {}, {}
    for point in points:
        tokens = 5 + generator.standard_normal((n_fit + 2 * n_each, 16, n_channels)) * scales
        normal[point] = torch.from_numpy(tokens[:n_fit]).float()
        shifted = tokens[n_fit:]
        push = np.zeros(n_channels)
        push[list(signal)] = shift * scales[list(signal)]
        shifted = shifted + truth.reshape(2 * n_each, 16, 1) * push
        test[point] = torch.from_numpy(shifted).float()
    options = LakeOptions(
        k=3, text_weight=0, map_size=(4, 4), visual=VisualOptions(distance="euclidean")
    )
    return StudyData.of_arrays(
        normal,
        test,
        labels,
        list(truth) if masks else None,
        grid=(4, 4),
        options=options,
        category=category,
    )


@pytest.fixture(name="planted")
def _planted() -> Callable[..., StudyData]:
    return planted


@pytest.fixture
def energy() -> Energy:
    return Energy()


@pytest.fixture(scope="session")
def tile(tmp_path_factory) -> Dataset:
    """Eleven test images, of which three are normal, and four normal images to fit on."""
    root = tmp_path_factory.mktemp("tiles")
    write_benchmark(root, categories=("tile",), size=32, n_train=4, n_good=3, n_per_defect=1)
    return read_dataset("mvtec", root).category("tile")


@pytest.fixture
def captured(tile) -> Callable[..., StudyData]:
    """Capture study data of the tiles: ``captured(model, [1, 2], k=8, ...)``."""

    def capture(model: VisionModel, points: Sequence[Any], **options: Any) -> StudyData:
        settings = LakeOptions(**{"k": 8, "map_size": (24, 24), **options})
        return capture_study(model, tile.few_shot(3, 1), tile, options=settings, points=points)

    return capture
