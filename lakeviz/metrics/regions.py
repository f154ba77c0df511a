"""Connected defect regions of a mask."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int
from scipy import ndimage


def region_labels(
    defect: Bool[np.ndarray, "height width"], connectivity: int = 8
) -> tuple[Int[np.ndarray, " defect_pixel"], int]:
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
    # Only the bounding box is labelled: defects are small and labelling costs per pixel.
    rows = np.flatnonzero(defect.any(axis=1))
    strip = defect[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(strip.any(axis=0))
    box = strip[:, columns[0] : columns[-1] + 1]
    structure = ndimage.generate_binary_structure(2, 2 if connectivity == 8 else 1)
    labels, n_regions = ndimage.label(box, structure)  # pyright: ignore[reportGeneralTypeIssues]
    return labels[box] - 1, int(n_regions)
