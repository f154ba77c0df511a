"""What a heat map says when a patch is pointed at: its nearest normal patch, and its neurons."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.plots.template import plain
from lakeviz.tables import numbers

_COLUMNS = ("row", "column", "nearest_image", "nearest_row", "nearest_column", "distance")


def patch_texts(patches: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Lines for each patch of a map, one block per hook point.

    Parameters
    ----------
    patches : DataFrame
        One row per patch, or per patch and ``point``: row, column, nearest_image, nearest_row,
        nearest_column, distance, neurons (text).
    shape : (rows, columns)
        Of the map.

    Returns
    -------
    object array [row, column] of str
        Escaped for plotly; empty where the table says nothing of a patch.

    Raises
    ------
    ConfigError
        A column is missing, or a patch lies beyond the map.
    """
    missing = [c for c in (*_COLUMNS, "neurons") if c not in patches]
    if missing:
        raise ConfigError(f"the table of patches lacks the column {missing[0]!r}")
    at = numbers(patches, "row").astype(int), numbers(patches, "column").astype(int)
    beyond = (at[0] < 0) | (at[0] >= shape[0]) | (at[1] < 0) | (at[1] >= shape[1])
    if beyond.any():
        first = int(np.flatnonzero(beyond)[0])
        raise ConfigError(
            f"the table tells of patch ({at[0][first]}, {at[1][first]}); the map has "
            f"{shape[0]} x {shape[1]}, counted from 0"
        )
    made = np.full(shape, "", dtype=object)
    points = patches["point"] if "point" in patches else [""] * len(patches)
    columns = (patches[c] for c in (*_COLUMNS[2:], "neurons"))
    for row, column, point, image, near_row, near_column, distance, neurons in zip(
        *at, points, *columns, strict=True
    ):
        head = f"<br><b>{plain(point)}</b>" if point else ""
        made[row, column] += (
            f"{head}<br>nearest normal patch: {plain(image)}<br>"
            f"    row {int(near_row)}, column {int(near_column)}, distance {distance:.4g}<br>"
            f"neurons (share): {plain(neurons)}"
        )
    return made
