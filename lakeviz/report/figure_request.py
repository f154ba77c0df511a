"""What is asked of a figure of a result on disk, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a figure.

    Attributes
    ----------
    categories : tuple of str
        All where empty.
    level : str, optional
        ``"image"`` or ``"pixel"``.
    metric : str, optional
        Of controls.
    image : str, optional
        Sample of a heat map, its parts or activations.
    point : str, optional
        Hook point of a matrix or of activations; the first by default.
    number : int, optional
        Which figure of a study, from 1.
    title : str, optional
        Or a part of its title.
    narrow : bool
        Whether it is for a column.
    hover : bool
        Whether it can be pointed at.
    per_group : int
        Images of each group of a gallery; by default 6, or 3 of a narrow one.
    """

    categories: tuple[str, ...] = ()
    level: str | None = None
    metric: str | None = None
    image: str | None = None
    point: str | None = None
    number: int | None = None
    title: str | None = None
    narrow: bool = True
    hover: bool = False
    per_group: int | None = None


Drawn = tuple[go.Figure, pd.DataFrame | None]
"""A figure, and the table it was made from if there is one."""


@dataclass(frozen=True)
class Made:
    """A figure, the table it was made from (if one) and what made that."""

    figure: go.Figure
    data: pd.DataFrame | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
