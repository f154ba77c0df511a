"""Writers of small images and masks with known pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def put_image() -> Callable[..., Path]:
    """Write an RGB image of one colour; width 6, height 4 unless told."""

    def put(path: Path, colour: int = 128, size: tuple[int, int] = (6, 4)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (colour, colour, colour)).save(path)
        return path

    return put


@pytest.fixture
def put_mask() -> Callable[..., Path]:
    """Write a grey mask that is ``value`` at the pixels (row, column) and 0 elsewhere."""

    def put(
        path: Path,
        pixels: list[tuple[int, int]],
        size: tuple[int, int] = (6, 4),
        value: int = 255,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((size[1], size[0]), np.uint8)
        for row, column in pixels:
            mask[row, column] = value
        Image.fromarray(mask).save(path)
        return path

    return put


@pytest.fixture
def mvtec_category(put_image, put_mask) -> Callable[[Path], Path]:
    """Write one MVTec-like category: 5 training, 2 good, 2 scratched and 1 bent test images."""

    def put(folder: Path) -> Path:
        for i in range(5):
            put_image(folder / f"train/good/{i:03d}.png", colour=10 * i)
        for i in range(2):
            put_image(folder / f"test/good/{i:03d}.png", colour=100 + i)
            put_image(folder / f"test/scratch/{i:03d}.png", colour=120 + i)
            put_mask(folder / f"ground_truth/scratch/{i:03d}_mask.png", [(i, 0), (i, 1)])
        put_image(folder / "test/bent/000.png", colour=140)
        put_mask(folder / "ground_truth/bent/000_mask.png", [(3, 5)])
        return folder

    return put
