"""Tables of one test image: its patches with their nearest normal patches and neurons' shares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError
from lakeviz.explorer.fitted import Fitted
from lakeviz.explorer.views import Place, PointView
from lakeviz.lake.attribution import NeuronGallery, Parts, split
from lakeviz.lake.gallery import standardiser
from lakeviz.studies.base.captured import StudyData


def patch_facts(data: StudyData, index: int, *, n_neurons: int = 3) -> pd.DataFrame:
    """Say of every patch of a test image which normal patch it is nearest to, and by which neurons.

    A neuron's share is its squared difference to the nearest normal patch over the sum of those of
    all selected neurons, of the tokens as they are compared (normalised; at unit length for the
    cosine distance). That splits either distance without a remainder, so shares sum to 1; where
    several neighbours are averaged, so are the neurons' parts.

    Parameters
    ----------
    data : StudyData
    index : int
        Test image.
    n_neurons : int
        Neurons named, largest share first; their order is that of the selection where shares tie.

    Returns
    -------
    DataFrame
        One row per patch of the map and hook point: category, sample_id, point, row, column, score
        (fused, of the patch), nearest_image, nearest_row, nearest_column, distance (to
        that patch), neurons (text: channels with their shares). Where a point's grid
        is coarser than the map's, patches are told of the one that covers them.

    Raises
    ------
    DataError
        If there is no such image.
    SelectionError
        If the selector gives a subspace, which has no neurons.
    ConfigError
        If no neuron is to be named.
    """
    if n_neurons < 1:
        raise ConfigError(f"n_neurons must be at least 1, not {n_neurons}")
    fitted = Fitted(data)
    fitted.check_image(index)
    chosen = fitted.chosen(index)
    scores = fitted.image_map(index, fitted.galleries, chosen)
    row, column = (axis.ravel() for axis in np.indices(scores.shape))
    frames = []
    for point, gallery in fitted.galleries.items():
        with torch.inference_mode():
            parts = split(gallery, chosen[point][0])
        own = data.grids[point]
        at = row * own[0] // scores.shape[0] * own[1] + column * own[1] // scores.shape[1]
        places = [fitted.normal_place(point, number) for number in parts.neighbours[at, 0]]
        frame = {
            "category": data.category,
            "sample_id": data.test.sample_ids[index],
            "point": point,
            "row": row,
            "column": column,
            "score": scores.ravel(),
            "nearest_image": [place.sample_id for place in places],
            "nearest_row": [place.row for place in places],
            "nearest_column": [place.column for place in places],
            "distance": parts.distances[at, 0],
            "neurons": _named(gallery, parts, n_neurons)[at],
        }
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True)


def patch_activations(data: StudyData, index: int) -> pd.DataFrame:
    """Activation of every selected neuron in every patch of a test image.

    Parameters
    ----------
    data : StudyData
    index : int
        Test image.

    Returns
    -------
    DataFrame
        One row per selected neuron and patch of the point's grid: category, sample_id, point, rank,
        channel, row, column, value (the activation) and z (its distance to the mean of the normal
        patches, in their standard deviations).

    Raises
    ------
    DataError, SelectionError
        As :func:`patch_facts`.
    """
    fitted = Fitted(data)
    fitted.check_image(index)
    frames = []
    for point, gallery in fitted.galleries.items():
        channels = gallery.selection.channels
        mean, deviation = standardiser(data.statistics[point])
        tokens = data.test.patches(point, [index])[0].cpu().float()
        z = ((tokens - mean) / deviation)[:, channels].T.numpy()
        rank, patch = (axis.ravel() for axis in np.indices(z.shape))
        frame = {
            "category": data.category,
            "sample_id": data.test.sample_ids[index],
            "point": point,
            "rank": rank + 1,
            "channel": channels[rank],
            "row": patch // data.grids[point][1],
            "column": patch % data.grids[point][1],
            "value": tokens[:, channels].T.numpy().ravel(),
            "z": z.ravel(),
        }
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True)


def point_view(
    fitted: Fitted,
    gallery: NeuronGallery,
    token: Float[Tensor, " k"],
    place: Place,
    normal_share: Float[np.ndarray, " kept"],
) -> PointView:
    """Split the distance of one token (in all selected neurons) at a point.

    ``normal_share`` is the share of each kept neuron over the patches of normal test images.
    """
    with torch.inference_mode():
        parts = split(gallery, token[None])
    point = gallery.selection.point
    score = float(parts.score[0])
    scale = score if score > 0 else 1.0
    shares = pd.DataFrame(
        {
            "channel": gallery.channels,
            "rank": gallery.kept + 1,
            "query": parts.query[0],
            "nearest": parts.nearest[0],
            "contribution": parts.contribution[0],
            "share": parts.contribution[0] / scale,
            "normal_share": normal_share,
        }
    )
    if len(gallery.kept) < gallery.selection.k:
        shares["normal_share"] = np.nan
    pairs = zip(parts.neighbours[0], parts.distances[0], strict=True)
    return PointView(
        point=point,
        distance=gallery.like.distance,
        score=score,
        place=place,
        neighbours=[(fitted.normal_place(point, n), float(d)) for n, d in pairs],
        shares=shares.sort_values("share", ascending=False, kind="stable", ignore_index=True),
        unattributed=float(parts.unattributed[0]) / scale,
    )


def _named(gallery: NeuronGallery, parts: Parts, n_neurons: int) -> np.ndarray:
    """Channels of the largest shares of each query, as text."""
    scale = np.where(parts.score > 0, parts.score, 1.0)[:, None]
    share = parts.contribution / scale
    largest = np.argsort(-share, axis=1, kind="stable")[:, :n_neurons]
    said = [
        ", ".join(f"{gallery.channels[c]} ({100 * own[c]:.0f} %)" for c in order if own[c] > 0)
        for own, order in zip(share, largest, strict=True)
    ]
    return np.array([text or "none: no distance" for text in said], dtype=object)
