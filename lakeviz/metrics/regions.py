"""Regions of a mask, labelled at its own size and laid on the pixels of a map of another size.

Labelling after resizing breaks thin defects into pieces, each of which would weigh as much as a
whole region, and makes the number of regions depend on the size of the map.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image

from lakeviz.errors import MetricError
from lakeviz.metrics.arrays import ArrayLike, plane, to_binary, to_numpy

Mask = Bool[np.ndarray, "height width"]
Size = tuple[int, int]


@dataclass(frozen=True)
class RegionMask:
    """A mask at the size of its map, and the regions that were labelled before it was resized.

    Make one with :meth:`of_mask` or :meth:`of_labels`. Wherever the metrics take masks, a sequence
    may hold these too.

    Attributes
    ----------
    defect
        Defect pixels of pixel AUROC, AP, F1 and AUPIMO: the mask by nearest neighbour. Where that
        would lose every defect pixel of an image, the pixel that holds most of the defect stays.
    pixels
        Row-major positions, ascending, of all pixels that are a defect or hold part of a region.
    share
        How much of its regions each of these pixels holds: a region's shares add up to 1, so that
        all of them add up to ``n_regions``.
    n_regions
        Number of regions; it does not depend on the size.
    connectivity
        By which the regions were labelled; None where they came labelled.
    counted
        Which pixels count as normal where they are no defect, such as those of the foreground;
        None for all. Defect pixels always count.
    """

    defect: Mask = field(repr=False)
    pixels: Int[np.ndarray, " pixel"] = field(repr=False)
    share: Float[np.ndarray, " pixel"] = field(repr=False)
    n_regions: int
    connectivity: int | None = None
    counted: Mask | None = field(default=None, repr=False)

    @classmethod
    def of_mask(
        cls, mask: ArrayLike, size: Size | None = None, connectivity: int = 8
    ) -> RegionMask:
        """Label the connected regions of a binary mask, then bring them to ``size``.

        Parameters
        ----------
        mask
            0 normal, one other value defect.
        size
            Height and width of the map; the mask's own by default.
        connectivity
            8 or 4, as in :class:`~lakeviz.metrics.Conventions`.

        Raises
        ------
        MetricError
            The mask is not binary, or not one plane of pixels.
        """
        defect = plane(to_binary(mask, "the mask"))
        _check_plane(defect)
        labels = np.zeros(defect.shape, dtype=np.int32)
        n_regions = 0
        if defect.any():
            numbers, n_regions = region_labels(defect, connectivity)
            labels[defect] = numbers + 1
        return cls._laid(labels, n_regions, size or defect.shape, connectivity)

    @classmethod
    def of_labels(cls, labels: ArrayLike, size: Size | None = None) -> RegionMask:
        """Take regions that are labelled: 0 normal, every other integer a region of its own.

        Parameters
        ----------
        labels
            Integers; those of one region need not touch, and numbers may be left out.
        size
            Height and width of the map; that of the labels by default.

        Raises
        ------
        MetricError
            The labels are not integers from 0 on, or not one plane of pixels.
        """
        given = plane(to_numpy(labels))
        _check_plane(given)
        if given.dtype.kind not in "iu" or given.min() < 0:
            raise MetricError(
                f"region labels have dtype {given.dtype} and start at {given.min()}; they must be "
                "integers from 0 (normal) on"
            )
        names, numbers = np.unique(given, return_inverse=True)
        numbers = numbers.reshape(given.shape) + int(names[0] != 0)
        n_regions = int(np.count_nonzero(names))
        return cls._laid(numbers, n_regions, size or given.shape, None)

    @classmethod
    def _laid(
        cls, labels: np.ndarray, n_regions: int, size: Size, connectivity: int | None
    ) -> RegionMask:
        """Lay regions 1 to ``n_regions`` on a grid.

        A pixel of the mask belongs to the pixel of the map in which its centre lies; along a
        direction in which the map is finer, a pixel of the map belongs to the one of the mask in
        which its centre lies. So nothing of a region is ever lost.
        """
        height, width = size
        if not n_regions:
            nothing = np.zeros((height, width), dtype=bool)
            return cls(nothing, np.zeros(0, np.int64), np.zeros(0), 0, connectivity)
        defect = resize_mask(labels != 0, (height, width))
        (down, rows), (right, columns) = (
            _pairs(n, to) for n, to in zip(labels.shape, (height, width), strict=True)
        )
        own = labels if labels.shape == (height, width) else labels[np.ix_(rows, columns)]
        y, x = np.nonzero(own)
        region = own[y, x] - 1
        place = down[y] * width + right[x]
        part = (1.0 / np.maximum(np.bincount(region, minlength=n_regions), 1))[region]
        share = np.bincount(place, weights=part, minlength=height * width)
        if not defect.any():
            defect.flat[share.argmax()] = True
        held = defect.ravel() | (share > 0)
        pixels = np.flatnonzero(held)
        return cls(defect, pixels, share[pixels], n_regions, connectivity)

    @property
    def shape(self) -> Size:
        """Height and width."""
        return self.defect.shape[0], self.defect.shape[1]

    def counting(self, counted: Mask) -> RegionMask:
        """The same regions, with ``counted`` saying which normal pixels count.

        Raises
        ------
        MetricError
            It has another shape, or no normal pixel is left.
        """
        if counted.shape != self.defect.shape:
            raise MetricError(f"{counted.shape} pixels may count of a mask of {self.defect.shape}")
        if not (counted & ~self.defect).any():
            raise MetricError("no normal pixel would count")
        return replace(self, counted=counted)

    def require(self, connectivity: int, number: int) -> None:
        """Refuse regions of another connectivity than a metric is to be computed by.

        Raises
        ------
        MetricError
            Names the image by its number.
        """
        if self.connectivity not in (None, connectivity):
            raise MetricError(
                f"the regions of mask {number} are {self.connectivity}-connected and the "
                f"conventions say {connectivity}; label the mask with connectivity={connectivity}"
            )


def region_labels(defect: Mask, connectivity: int = 8) -> tuple[Int[np.ndarray, " defect"], int]:
    """Number the connected regions of a mask.

    Parameters
    ----------
    defect
        Mask with at least one defect pixel.
    connectivity
        8: pixels touching at a corner are connected. 4: they must share an edge.

    Returns
    -------
    tuple
        Region number, from 0, of each defect pixel in row-major order; number of regions.
    """
    from scipy import ndimage  # slow to load, and not needed to read results

    # Only the bounding box is labelled: defects are small and labelling costs per pixel.
    rows = np.flatnonzero(defect.any(axis=1))
    strip = defect[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(strip.any(axis=0))
    box = strip[:, columns[0] : columns[-1] + 1]
    structure = ndimage.generate_binary_structure(2, 2 if connectivity == 8 else 1)
    labels, n_regions = ndimage.label(box, structure)  # pyright: ignore[reportGeneralTypeIssues]
    return labels[box] - 1, int(n_regions)


def resize_mask(mask: Mask, size: Size) -> Mask:
    """Bring a mask to a size by nearest neighbour; thin defects break up, and may vanish."""
    if mask.shape == tuple(size):
        return mask
    height, width = size
    resized = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    return np.array(resized, dtype=bool)


def _pairs(n: int, to: int) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Which of ``to`` cells and of ``n`` pixels lie together, along one direction."""
    if to <= n:
        pixels = np.arange(n)
        return (2 * pixels + 1) * to // (2 * n), pixels
    cells = np.arange(to)
    return cells, (2 * cells + 1) * n // (2 * to)


def _check_plane(array: np.ndarray) -> None:
    if array.ndim != 2 or not array.size:
        raise MetricError(f"a mask has shape {array.shape}; need height x width pixels")
