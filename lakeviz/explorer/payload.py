"""Views and pictures as the JSON that the browser draws; text is sent as text, never as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.explorer.pictures import Pictures
from lakeviz.explorer.state import Explorer
from lakeviz.explorer.views import (
    ExchangedView,
    KnockedView,
    NeuronView,
    PatchView,
    Place,
    PointView,
)
from lakeviz.plots.colours import COLOUR_SCALE, HEAT, TICKS

Payload = dict[str, Any]
N_CROPS = 6


def listing(explorer: Explorer, category: str) -> Payload:
    """A category's images, neurons and settings."""
    fitted = explorer.fitted(category)
    options, colours = fitted.data.options, fitted.colours
    images = explorer.images(category)
    names = {"sample_id": "name", "defect_type": "kind"}
    # Over photographs low scores are transparent, as in the maps.
    pictured = fitted.data.dataset is not None
    gradient = [colour for _, colour in HEAT] if pictured else list(COLOUR_SCALE)
    return {
        "categories": explorer.categories,
        "category": category,
        "images": records(images.drop(columns="category").rename(columns=names)),
        "neurons": {
            p: {"channels": m.selection.channels.tolist(), "n_channels": m.selection.n_channels}
            for p, m in fitted.galleries.items()
        },
        "selector": options.selector,
        "n_fit": len(fitted.data.normal),
        "distance": options.visual.distance,
        "n_neighbours": options.visual.neighbours,
        "image_score": options.image_score.describe(),
        "text_weight": fitted.data.text_weight,
        "decimals": colours.decimals,
        "gradient": gradient,
        "ticks": [{"place": t, "label": s} for t, s in zip(TICKS, colours.labels())],
        "rule": colours.rule,
    }


def picture(explorer: Explorer, pictures: Pictures, index: int, category: str) -> Payload:
    """A test image with all neurons on."""
    view = explorer.image(index, category)
    width, height = pictures.size(index)
    outline, no_mask = pictures.outline(index)
    rows, columns = view.map.shape
    return {
        "index": index,
        "width": width,
        "height": height,
        "rows": rows,
        "columns": columns,
        "photo": pictures.photo(index),
        "heat": pictures.heat(index, view.map),
        "scores": _rounded(view.map),
        "score": view.score,
        "outline": outline,
        "problem": pictures.problem("test", index),
        "no_mask": no_mask,
    }


def knocked(view: KnockedView, pictures: Pictures) -> Payload:
    """An image with neurons off."""
    return {
        "dropped": {p: list(c) for p, c in view.dropped.items()},
        "n": sum(len(c) for c in view.dropped.values()),
        "heat": pictures.heat(view.index, view.map),
        "scores": _rounded(view.map),
        "score": view.score,
        "intact": view.intact,
        "control_heat": pictures.heat(view.index, view.control_maps[0]),
        "control_map": _rounded(view.control_maps[0]),
        "control_mean": float(view.control_scores.mean()),
        "control_min": float(view.control_scores.min()),
        "control_max": float(view.control_scores.max()),
        "n_random_sets": len(view.control_scores),
    }


def exchanged(view: ExchangedView, pictures: Pictures) -> Payload:
    """An image with neurons from its twin."""
    return knocked(view, pictures) | {"twin": view.twin, "twin_score": view.twin_score}


def patch(view: PatchView, pictures: Pictures) -> Payload:
    """A patch, its neighbours and its neurons."""
    return {
        "index": view.place.image,
        "row": view.place.row,
        "column": view.place.column,
        "score": view.score,
        "visual": view.visual,
        "text": view.text,
        "n_off": sum(len(c) for c in view.dropped.values()),
        "points": [_point(point, pictures) for point in view.points],
    }


def _point(view: PointView, pictures: Pictures) -> Payload:
    shares = view.shares
    return {
        "point": view.point,
        "score": view.score,
        "crop": pictures.crop(view.place),
        "neighbours": [
            {**_place(place), "distance": distance, "crop": pictures.crop(place)}
            for place, distance in view.neighbours[:3]
        ],
        "n_neighbours": len(view.neighbours),
        "channel": shares["channel"].tolist(),
        "rank": shares["rank"].tolist(),
        "share": _rounded(shares["share"].to_numpy()),
        "normal_share": _rounded(shares["normal_share"].to_numpy()),
        "query": _rounded(shares["query"].to_numpy()),
        "nearest": _rounded(shares["nearest"].to_numpy()),
        "unattributed": view.unattributed,
    }


def neuron(view: NeuronView, pictures: Mapping[str, Pictures]) -> Payload:
    """A neuron across the categories."""
    return {
        "point": view.point,
        "channel": view.channel,
        "threshold": view.threshold,
        "notes": view.notes,
        "categories": [
            row
            | {
                "dossier": view.dossier.get(row["category"], []),
                "examples": [
                    {**_place(place), "value": value, "z": z}
                    | {"crop": pictures[row["category"]].crop(place)}
                    for place, value, z in view.examples[row["category"]]
                ],
            }
            for row in records(view.categories)
        ],
    }


def _place(place: Place) -> Payload:
    return {
        "image": place.image,
        "name": place.sample_id,
        "row": place.row,
        "column": place.column,
        "rows": place.grid[0],
        "columns": place.grid[1],
    }


def records(frame: pd.DataFrame) -> list[Payload]:
    """Rows of a table as JSON; what is missing is None."""
    made = []
    for row in frame.to_dict("records"):
        plain = {str(k): v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
        made.append({k: None if isinstance(v, float) and v != v else v for k, v in plain.items()})
    return made


def _rounded(values: np.ndarray) -> list[float | None]:
    """Five significant digits, row by row; NaN is None."""
    return [None if v != v else float(f"{v:.5g}") for v in np.asarray(values, float).ravel()]
