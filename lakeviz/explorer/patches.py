"""One patch at one hook point: nearest normal patches and the neurons' shares, as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.explorer.fitted import Fitted
from lakeviz.explorer.views import Place, PointView
from lakeviz.lake.attribution import Memory, split


def point_view(
    fitted: Fitted,
    memory: Memory,
    token: Float[Tensor, " k"],
    place: Place,
    normal_share: Float[np.ndarray, " kept"],
) -> PointView:
    """Split the distance of one token (in all selected neurons) at a point.

    ``normal_share`` is the share of each kept neuron over the patches of normal test images.
    """
    with torch.inference_mode():
        parts = split(memory, token[None])
    point = memory.selection.point
    score = float(parts.score[0])
    scale = score if score > 0 else 1.0
    shares = pd.DataFrame(
        {
            "channel": memory.channels,
            "rank": memory.kept + 1,
            "query": parts.query[0],
            "nearest": parts.nearest[0],
            "contribution": parts.contribution[0],
            "share": parts.contribution[0] / scale,
            "normal_share": normal_share,
        }
    )
    if len(memory.kept) < memory.selection.k:
        shares["normal_share"] = np.nan
    pairs = zip(parts.neighbours[0], parts.distances[0], strict=True)
    return PointView(
        point=point,
        distance=memory.like.distance,
        score=score,
        place=place,
        neighbours=[(fitted.normal_place(point, n), float(d)) for n, d in pairs],
        shares=shares.sort_values("share", ascending=False, kind="stable", ignore_index=True),
        unattributed=float(parts.unattributed[0]) / scale,
    )
