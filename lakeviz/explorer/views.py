"""What the explorer shows, as plain data: arrays and tables, no widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float

Dropped = Mapping[str, tuple[int, ...]]
"""Neurons that are off: channels per hook point."""


@dataclass(frozen=True)
class Place:
    """A patch: its image, and where on the patch grid.

    Attributes
    ----------
    source : str
        ``"normal"`` (an image the detector was fitted on) or ``"test"``.
    image : int
        Position among these images.
    sample_id : str
    row, column : int
    grid : (rows, columns)
    """

    source: str
    image: int
    sample_id: str
    row: int
    column: int
    grid: tuple[int, int]


@dataclass(frozen=True)
class ImageView:
    """One test image under the detector with all its neurons.

    Attributes
    ----------
    category, sample_id : str
    index : int
    label : int
        0 normal, 1 anomalous.
    score : float
        Image score of the fused map.
    map : float array [row, column]
        Fused patch scores.
    parts : dict of float arrays [row, column]
        ``"visual"`` and, with a text branch, ``"text"``.
    """

    category: str
    index: int
    sample_id: str
    label: int
    score: float
    map: Float[np.ndarray, "row column"]
    parts: Mapping[str, Float[np.ndarray, "row column"]]


@dataclass(frozen=True)
class PointView:
    """One hook point of one patch: its distance, the normal patches it is from, and the neurons.

    Attributes
    ----------
    point : str
    distance : str
        ``"cosine"`` or ``"euclidean"``.
    score : float
        Mean distance to the nearest normal patches.
    place : Place
        The patch; on a coarser grid than the map's, the one that covers it.
    neighbours : list of (Place, float)
        The nearest normal patches and their distances, nearest first.
    shares : DataFrame
        One row per neuron that is on, largest share first: channel, rank (in the selection), query
        and nearest (the values compared, at unit length for cosine), contribution (in units of the
        score), share (of the score; they sum to 1 less ``unattributed``), and normal_share, the
        share the neuron has of all scores of normal test images' patches (with all neurons on; NaN
        where there is no normal test image).
    unattributed : float
        Share of the score that no neuron carries.
    """

    point: str
    distance: str
    score: float
    place: Place
    neighbours: list[tuple[Place, float]]
    shares: pd.DataFrame
    unattributed: float


@dataclass(frozen=True)
class PatchView:
    """One patch of a test image.

    Attributes
    ----------
    place : Place
    score : float
        Fused: ``(1 - w) visual + w text``.
    visual : float
        Mean of the points' scores. Where a point's grid is coarser than the map's, maps interpolate
        between its patches, and ``score`` holds what they do.
    text : float, optional
    text_weight : float
    points : list of PointView
    dropped : Dropped
        Neurons that were off.
    """

    place: Place
    score: float
    visual: float
    text: float | None
    text_weight: float
    points: list[PointView]
    dropped: Dropped


@dataclass(frozen=True)
class NeuronView:
    """One neuron: how it is selected, and where it fires in each category.

    Attributes
    ----------
    point : str
    channel : int
    threshold : float
        Standard deviations from the normal mean from which on a patch counts as fired.
    categories : DataFrame
        One row per category: selected, rank (of the selection; 0 where not selected), mean and
        deviation of the normal tokens; for the patches of normal and of anomalous test images, the
        share that fired (``fired_normal``, ``fired_anomalous``) and the mean share over all
        channels of the point (``all_normal``, ``all_anomalous``), and how many images
        (``n_normal``, ``n_anomalous``) and patches an image has (``n_patches``). A share without
        images is NaN.
    examples : dict of category to list of (Place, value, z)
        Test patches farthest from the normal mean of the category, one an image, farthest first.
    notes : list of str
        Categories that lack the point.
    """

    point: str
    channel: int
    threshold: float
    categories: pd.DataFrame
    examples: Mapping[str, list[tuple[Place, float, float]]]
    notes: list[str]
    dossier: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class KnockedView:
    """One test image with some neurons off, and with as many random ones off.

    Attributes
    ----------
    category : str
    index : int
    dropped : Dropped
    intact : float
        Image score with all neurons.
    score : float
        Image score without the chosen ones.
    map : float array [row, column]
        Fused patch scores without them.
    control_scores : float array [draw]
        Image scores without random sets of as many of the selected neurons.
    control_maps : float array [draw, row, column]
    controls : list of Dropped
        These sets.
    """

    category: str
    index: int
    dropped: Dropped
    intact: float
    score: float
    map: Float[np.ndarray, "row column"]
    control_scores: Float[np.ndarray, " draw"]
    control_maps: Float[np.ndarray, "draw row column"]
    controls: list[Dropped]


@dataclass(frozen=True)
class ExchangedView(KnockedView):
    """One test image whose neurons take the values of its twin without the defect.

    ``dropped`` are the neurons that were exchanged; scores and maps are after the exchange of
    these, and of as many random selected neurons.

    Attributes
    ----------
    twin : str
        ``"rendered"``, or ``"inpainted"``: approximate, the masked region filled from a normal
        image.
    twin_score : float
        Image score of the twin itself: what all of the difference gone comes to.
    """

    twin: str
    twin_score: float
