"""Small image files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def image_files(tmp_path: Path) -> Callable[[int], list[Path]]:
    """Write some noise images, 20 wide and 12 high, and return their paths."""

    def write(count: int) -> list[Path]:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        paths = []
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 256, (12, 20, 3), dtype=np.uint8)
            paths.append(folder / f"{i:03d}.png")
            Image.fromarray(pixels).save(paths[-1])
        return paths

    return write
