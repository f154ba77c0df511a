"""Planted worlds: activations in which it is known which neurons carry the defect signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lakeviz.lake import LakeOptions, VisualOptions
from lakeviz.studies.base.captured import StudyData

POINT = "blocks.0.hook_resid_post"


@dataclass
class World:
    """Gaussian patch tokens; in defective images a square of patches is shifted.

    ``scales`` are the standard deviations of the channels, ``signal`` the channels that defects
    move, by ``shift`` standard deviations. With ``shift=0`` nothing tells defects: the null.
    """

    scales: Sequence[float] = tuple(np.linspace(2.0, 0.5, 16))
    signal: Sequence[int] = (0, 1, 2)
    shift: float = 4.0
    mean: float = 5.0
    grid: tuple[int, int] = (4, 4)
    n_fit: int = 4
    n_normal: int = 24
    n_anomalous: int = 24
    points: Sequence[str] = (POINT,)
    masks: bool = True
    seed: int = 0

    def arrays(self):
        """Return normal tokens, test tokens, labels and masks."""
        generator = np.random.default_rng(self.seed)
        scales = np.asarray(self.scales, dtype=float)
        rows, columns = self.grid
        n_test = self.n_normal + self.n_anomalous
        labels = np.r_[np.zeros(self.n_normal, int), np.ones(self.n_anomalous, int)]
        masks = np.zeros((n_test, rows, columns), dtype=bool)
        for image in np.flatnonzero(labels):
            row, column = generator.integers(rows - 1), generator.integers(columns - 1)
            masks[image, row : row + 2, column : column + 2] = True
        normal, test = {}, {}
        for point in self.points:
            draw = generator.standard_normal((self.n_fit + n_test, rows * columns, len(scales)))
            tokens = self.mean + draw * scales
            normal[point] = torch.from_numpy(tokens[: self.n_fit]).float()
            shifted = tokens[self.n_fit :]
            push = np.zeros(len(scales))
            push[list(self.signal)] = self.shift * scales[list(self.signal)]
            shifted += masks.reshape(n_test, -1, 1) * push
            test[point] = torch.from_numpy(shifted).float()
        return normal, test, labels, list(masks) if self.masks else None

    def data(self, **options) -> StudyData:
        """Study data of this world; Euclidean distance, so that channels add up."""
        normal, test, labels, masks = self.arrays()
        given = {"k": min(8, len(self.scales)), "text_weight": 0, "map_size": self.grid}
        given |= {"visual": VisualOptions(distance="euclidean")} | options
        return StudyData.of_arrays(
            normal, test, labels, masks, grid=self.grid, options=LakeOptions(**given)
        )
