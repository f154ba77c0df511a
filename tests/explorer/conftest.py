"""A planted world with image files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lakeviz.data import Dataset
from lakeviz.lake import LakeOptions, VisualOptions
from lakeviz.studies.base.captured import StudyData

POINT = "blocks.0.hook_resid_post"
GRID = (6, 8)
SIGNAL = (0, 1, 2)
_PIXELS = 12  # of a patch


def planted(
    root: Path | None = None,
    *,
    category: str = "plate",
    points: tuple[str, ...] = (POINT,),
    n_channels: int = 16,
    n_fit: int = 3,
    n_each: int = 8,
    masks: bool = True,
    seed: int = 0,
    **options: Any,
) -> StudyData:
    """Gaussian tokens; in defective images a square of patches is moved in the SIGNAL channels.

    With a ``root``, images are written that look like it: grey grain, the square bright.
    """
    generator = np.random.default_rng(seed)
    rows, columns = GRID
    scales = np.linspace(2.0, 0.5, n_channels)
    labels = np.r_[np.zeros(n_each, int), np.ones(n_each, int)]
    small = np.zeros((2 * n_each, rows, columns), dtype=bool)
    for image in np.flatnonzero(labels):
        row, column = generator.integers(rows - 1), generator.integers(columns - 1)
        small[image, row : row + 2, column : column + 2] = True
    normal, test = {}, {}
    for point in points:
        draw = generator.standard_normal((n_fit + 2 * n_each, rows * columns, n_channels))
        tokens = 5.0 + draw * scales
        normal[point] = torch.from_numpy(tokens[:n_fit]).float()
        push = np.zeros(n_channels)
        push[list(SIGNAL)] = 5 * scales[list(SIGNAL)]
        moved = tokens[n_fit:] + small.reshape(2 * n_each, -1, 1) * push
        test[point] = torch.from_numpy(moved).float()
    size = (rows * _PIXELS, columns * _PIXELS)
    at_size = list(small.repeat(_PIXELS, axis=1).repeat(_PIXELS, axis=2))
    given = {"k": 8, "text_weight": 0, "map_size": size} | options
    given.setdefault("visual", VisualOptions(distance="euclidean"))
    data = StudyData.of_arrays(
        normal,
        test,
        labels,
        at_size if masks else None,
        grid=GRID,
        options=LakeOptions(**given),
        category=category,
    )
    return data if root is None else _with_files(data, root, at_size, n_fit, generator)


def _with_files(
    data: StudyData, root: Path, masks: list[np.ndarray], n_fit: int, generator: np.random.Generator
) -> StudyData:
    root.mkdir(parents=True, exist_ok=True)
    height, width = masks[0].shape

    def write(name: str, mask: np.ndarray) -> Path:
        grain = 110 + 25 * generator.standard_normal((height // 4, width // 4))
        pixels = np.clip(grain.repeat(4, 0).repeat(4, 1) + 80 * mask, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / name)
        return root / name

    normal = tuple(write(f"train_{i}.png", np.zeros((height, width))) for i in range(n_fit))
    rows = [
        {
            "path": str(write(f"test_{i}.png", mask)),
            "label": int(label),
            "defect_type": "dent" if label else "good",
            "mask_path": None,
            "category": data.category,
            "split": "test",
            "sample_id": f"test_{i}.png",
        }
        for i, (mask, label) in enumerate(zip(masks, data.truth.labels, strict=True))
    ]
    dataset = Dataset("folder", root, pd.DataFrame(rows))
    return replace(data, dataset=dataset, normal_paths=normal, sizes=[(height, width)] * len(rows))


@pytest.fixture
def world() -> Callable[..., StudyData]:
    """Make study data of a planted world."""
    return planted


# --- the browser; nothing but this machine can be reached from it ---
