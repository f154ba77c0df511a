"""Which patches are defects: the share of each patch's cell that the mask covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from lakeviz.data.aspect import SQUASH, Geometry
from lakeviz.errors import ConfigError
from lakeviz.lake.ground_truth import Truth

DEFAULT_COVERAGE = 0.25


@dataclass(frozen=True)
class PatchTruth:
    """Labels of the patches of the test images at one grid.

    Patches of normal images are normal. In an anomalous image a patch is a defect where the mask
    covers at least ``share`` of its cell; where no patch reaches that and the mask is not empty,
    the patch of largest coverage is. All other patches of anomalous images are neither: the mask
    may be rough at its border, and a defect may show beyond it. ``reason`` says why no patch is
    known to be a defect; ``coverage`` is all zero then.
    """

    labels: np.ndarray
    coverage: Float[np.ndarray, "image patch"]
    defect: Bool[np.ndarray, "image patch"]
    share: float
    reason: str = ""

    @classmethod
    def of(
        cls,
        truth: Truth,
        grid: tuple[int, int],
        share: float = DEFAULT_COVERAGE,
        geometry: Geometry = SQUASH,
        sizes: Sequence[tuple[int, int]] = (),
    ) -> PatchTruth:
        """Read the masks at a grid of patches, which cover by ``geometry`` images of ``sizes``."""
        if not 0 < share <= 1:
            raise ConfigError(f"the covered share of a patch must be in (0, 1], not {share}")
        labels = np.asarray(truth.labels)
        coverage = np.zeros((len(labels), grid[0] * grid[1]))
        if truth.reason:
            return cls(labels, coverage, coverage > 0, share, truth.reason)
        for image in np.flatnonzero(labels):
            mask = truth.masks[image]
            if sizes:
                mask = geometry.to_input(mask, sizes[int(image)])
            coverage[image] = cell_coverage(mask, grid).ravel()
        defect = coverage >= share
        small = np.flatnonzero((coverage.max(axis=1) > 0) & ~defect.any(axis=1))
        defect[small, coverage[small].argmax(axis=1)] = True
        reason = "" if defect.any() else "every mask of an anomalous image is empty"
        return cls(labels, coverage, defect, share, reason)

    @property
    def obstacle(self) -> str:
        """Why defect patches cannot be compared with normal ones; empty where they can."""
        return self.reason or ("" if (self.labels == 0).any() else "no test image is normal")

    @property
    def normal_images(self) -> np.ndarray:
        """Indices of the normal images."""
        return np.flatnonzero(self.labels == 0)

    @property
    def defect_images(self) -> np.ndarray:
        """Indices of the images that have a defect patch."""
        return np.flatnonzero(self.defect.any(axis=1))

    @property
    def n_defect(self) -> int:
        """Number of defect patches."""
        return int(self.defect.sum())

    @property
    def n_partial(self) -> int:
        """Number of patches that the mask touches and that are left out."""
        return int(((self.coverage > 0) & ~self.defect).sum())

    def names(self) -> np.ndarray:
        """Label of each patch in words [image, patch].

        ``"normal"``: of a normal image. ``"defect"``. ``"partial"``: touched by the mask and left
        out. ``"clear"``: untouched, of an anomalous image. ``"anomalous image"``: without masks.
        """
        named = np.full(self.coverage.shape, "normal", dtype=object)
        named[self.labels != 0] = "anomalous image" if self.reason else "clear"
        named[(self.coverage > 0) & ~self.defect] = "partial"
        named[self.defect] = "defect"
        return named


def cell_coverage(
    mask: Bool[np.ndarray, "height width"], grid: tuple[int, int]
) -> Float[np.ndarray, "row column"]:
    """Share of each cell of a grid that a mask covers.

    Cells need not be whole pixels: a pixel on a border counts for the part inside.
    """
    down, right = (_shares(n, size) for n, size in zip(grid, mask.shape, strict=True))
    return down @ np.asarray(mask, dtype=np.float64) @ right.T


def _shares(n_cells: int, n_pixels: int) -> Float[np.ndarray, "cell pixel"]:
    """Share of each cell that each pixel fills, along one direction."""
    edges = np.linspace(0, n_pixels, n_cells + 1)
    pixels = np.arange(n_pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    low = np.maximum(edges[:-1, None], pixels)
    return np.maximum(high - low, 0) * (n_cells / n_pixels)
