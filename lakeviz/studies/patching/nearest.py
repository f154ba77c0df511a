"""Twins whose defect patches are normal patches: those that the gallery finds nearest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from lakeviz.data import load_image
from lakeviz.errors import ConfigError
from lakeviz.models.preprocess import Preprocess

SHARE = 0.05
"""Of the patches of an image without a mask, those of the highest score stand for its defect."""


@dataclass
class NearestPatches:
    """Cuts the pixels of nearest normal patches into an image.

    Parameters
    ----------
    paths : sequence of Path
        Normal images.
    normal : Tensor [image, patch, channel]
        Their tokens at one hook point.
    tokens : callable
        From the number of a test image to its tokens [patch, channel] there.
    grid : (rows, columns)
    preprocess : Preprocess
    notes : tuple of str
    """

    paths: Sequence[Path]
    normal: Float[Tensor, "image patch channel"]
    tokens: Callable[[int], Float[Tensor, "patch channel"]]
    grid: tuple[int, int]
    preprocess: Preprocess
    notes: tuple[str, ...] = ()

    @cached_property
    def _pictures(self) -> Float[Tensor, "image 3 height width"]:
        return torch.stack([self.preprocess(load_image(path)) for path in self.paths])

    def twin(
        self, number: int, image: Float[Tensor, "3 height width"], is_defect: Bool[Tensor, " patch"]
    ) -> Float[Tensor, "3 height width"]:
        """Image whose defect patches show the normal patches of the largest cosine similarity."""
        height, width = self._cell(image)
        known = F.normalize(self.normal.float().flatten(0, 1), dim=-1)
        seen = F.normalize(self.tokens(number).float(), dim=-1)
        made, columns = image.clone(), self.grid[1]
        for patch in is_defect.nonzero().flatten().tolist():
            found = int((known @ seen[patch]).argmax())
            source, other = divmod(found, self.grid[0] * columns)
            (y, x), (v, u) = divmod(patch, columns), divmod(other, columns)
            cut = self._pictures[
                source, :, v * height : (v + 1) * height, u * width : (u + 1) * width
            ]
            made[:, y * height : (y + 1) * height, x * width : (x + 1) * width] = cut
        return made

    def _cell(self, image: Tensor) -> tuple[int, int]:
        sides = list(zip(image.shape[-2:], self.grid, strict=True))
        if any(side % n for side, n in sides):
            raise ConfigError(
                f"twins of nearest patches need patches that divide the picture, and {self.grid} "
                f"of {tuple(image.shape[-2:])} pixels do not; use inpainted twins"
            )
        (height, width) = (side // n for side, n in sides)
        return height, width
