"""Labels and masks of images, at the size of their pixel maps, or the reason why there are none.

Regions of AUPRO are labelled on the masks at image size, before anything is resized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int

from lakeviz.metrics.regions import RegionMask
from lakeviz.metrics.results import DEPTH_METRICS, PIXEL_METRICS

if TYPE_CHECKING:
    from lakeviz.data import Dataset

# Pixel maps up to this size are held in memory at once, which their bootstrap intervals need.
_MAPS_IN_MEMORY = 2**30

Mask = Bool[np.ndarray, "height width"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Truth:
    """Labels and masks of images, in the order of their maps.

    Attributes
    ----------
    labels : int array [image]
        0 normal, 1 anomalous.
    regions : list of RegionMask
        Masks at the size of the pixel maps, with the regions of the masks at their own size; empty
        where there is a ``reason``.
    reason : str
        Why nothing can be measured at the pixel level; empty where it can.
    metrics : tuple of str
        Pixel metrics that are measured.
    """

    labels: Int[np.ndarray, " image"]
    regions: list[RegionMask] = field(default_factory=list, repr=False)
    reason: str = ""
    metrics: tuple[str, ...] = PIXEL_METRICS

    @classmethod
    def of_dataset(cls, dataset: Dataset, sizes: Sequence[Size], map_size: Size | None) -> Truth:
        """Read the masks of a data set, whose images have ``sizes``.

        Raises
        ------
        MaskError
            A mask is unreadable or of another size than its image.
        """
        if not dataset.labels.any():
            return cls(dataset.labels, reason="there is no anomalous image")
        if not dataset.has_masks:
            return cls(dataset.labels, reason="the data set has no masks")
        masks = [region_mask_at(dataset, i, size, map_size) for i, size in enumerate(sizes)]
        truth = cls.of_masks(dataset.labels, masks)
        return replace(truth, metrics=DEPTH_METRICS) if dataset.depths else truth

    @classmethod
    def of_masks(
        cls, labels: np.ndarray, masks: Sequence[RegionMask | Mask] | None, connectivity: int = 8
    ) -> Truth:
        """Take labels and masks that are at hand, at the size of the pixel maps."""
        labels = np.asarray(labels, dtype=np.int64)
        if masks is None:
            return cls(labels, reason="there are no masks")
        regions = [
            m if isinstance(m, RegionMask) else RegionMask.of_mask(m, None, connectivity)
            for m in masks
        ]
        if not any(mask.n_regions for mask in regions):
            return cls(labels, reason="every mask is empty")
        return cls(labels, regions)

    def where(self, keep: np.ndarray) -> Truth:
        """Truth of some of the images."""
        rows = np.flatnonzero(np.asarray(keep, dtype=bool))
        if self.reason:
            return Truth(self.labels[rows], reason=self.reason)
        found = Truth.of_masks(self.labels[rows], [self.regions[i] for i in rows])
        return replace(found, metrics=self.metrics)

    def counting(self, counted: Sequence[Mask]) -> Truth:
        """The same with ``counted`` saying which normal pixels of each image count."""
        regions = [r.counting(mask) for r, mask in zip(self.regions, counted, strict=True)]
        return replace(self, regions=regions)

    @cached_property
    def masks(self) -> list[Mask]:
        """Defect pixels of each image, at the size of the pixel maps."""
        return [mask.defect for mask in self.regions]

    @property
    def n_regions(self) -> int:
        """Number of regions that AUPRO averages over; 0 where there is a ``reason``."""
        return sum(mask.n_regions for mask in self.regions)

    @property
    def megabytes(self) -> float:
        """Size of the pixel maps of all images in single precision."""
        return 4 * sum(mask.size for mask in self.masks) / 2**20

    @property
    def fits_in_memory(self) -> bool:
        """Whether the maps may be held at once, as their bootstrap intervals need."""
        return self.megabytes * 2**20 <= _MAPS_IN_MEMORY


def region_mask_at(dataset: Dataset, index: int, size: Size, map_size: Size | None) -> RegionMask:
    """Mask of an image of ``size``, at ``map_size``, with its regions.

    Raises
    ------
    MaskError
        It is missing or unreadable, or of another size than the image.
    """
    return RegionMask.of_mask(dataset.mask(index, size), map_size)
