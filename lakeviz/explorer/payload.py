"""Views and pictures as the JSON that the browser draws; text is sent as text, never as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from PIL import Image, ImageDraw

from lakeviz.data import load_image
from lakeviz.errors import LakevizError
from lakeviz.explorer.fitted import Fitted
from lakeviz.explorer.state import Explorer
from lakeviz.explorer.views import (
    ExchangedView,
    KnockedView,
    NeuronView,
    PatchView,
    Place,
    PointView,
)
from lakeviz.lake.score_maps import upsample
from lakeviz.plots import heat_layer
from lakeviz.plots.colours import COLOUR_SCALE, HEAT, TICKS, heat_picture
from lakeviz.plots.heatmap import data_uri, fit_within
from lakeviz.plots.outlines import svg_path
from lakeviz.tables import numbers
from lakeviz.wording import minus

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
        **{name: shares[name].tolist() for name in ("channel", "rank")},
        **{n: _rounded(numbers(shares, n)) for n in ("share", "normal_share", "query", "nearest")},
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
                "dossier": [minus(said) for said in view.dossier.get(row["category"], [])],
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


_LONGEST, _LONGEST_HEAT, _CROP = 640, 224, 96
_HELD = 64  # decoded photographs kept


class Pictures:
    """Pictures of one category; what cannot be read is an empty string with a reason."""

    def __init__(self, fitted: Fitted):
        self.fitted = fitted
        data = fitted.data
        self._paths: dict[str, list[Path]] = {
            "test": list(data.dataset.paths) if data.dataset is not None else [],
            "normal": list(data.normal_paths),
        }
        self._photo = lru_cache(maxsize=_HELD)(self._read)

    def _read(self, source: str, index: int) -> Image.Image:
        return fit_within(load_image(self._paths[source][index]), _LONGEST)

    def problem(self, source: str, index: int) -> str:
        """Why a photograph is not shown; empty where it can be."""
        if index >= len(self._paths[source]):
            return "these tokens came without image files"
        try:
            self._photo(source, index)
        except LakevizError as error:
            return str(error)
        return ""

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in which a test image is shown."""
        if not self.problem("test", index):
            return self._photo("test", index).size
        height, width = self.fitted.data.sizes[index]
        scale = _LONGEST / max(height, width)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def photo(self, index: int) -> str:
        """A test image in its colours; empty where there is none."""
        if self.problem("test", index):
            return ""
        return data_uri(self._photo("test", index), quality=88)

    def heat(self, index: int, patch_map: Float[np.ndarray, "row column"]) -> str:
        """A map in the colours of the category; over a photograph low scores let it through."""
        options = self.fitted.data.options
        size = options.map_size or self.fitted.data.sizes[index]
        data = self.fitted.data
        pixels = upsample(patch_map, size, options.smoothing, data.geometry, data.sizes[index])
        width, height = self.size(index)
        scale = min(1.0, _LONGEST_HEAT / max(width, height))
        shape = max(1, round(width * scale)), max(1, round(height * scale))
        if not self.problem("test", index):
            return data_uri(heat_picture(pixels, self.fitted.colours, shape), "png")
        coloured = heat_layer(pixels, self.fitted.colours)
        return data_uri(Image.fromarray(coloured).resize(shape, Image.Resampling.BILINEAR))

    def outline(self, index: int) -> tuple[str, str]:
        """Mask as an SVG path in pixels of :meth:`size`, and why there is none where it should be.

        The mask is that of the measurements, at the size of the pixel maps.
        """
        truth = self.fitted.data.truth
        if not truth.labels[index]:
            return "", ""
        if truth.reason:
            return "", truth.reason
        mask = truth.masks[index]
        if not mask.any():
            return "", "the mask of this anomalous image is empty"
        width, height = self.size(index)
        return svg_path(mask, (width / mask.shape[1], height / mask.shape[0])), ""

    def crop(self, place: Place) -> str:
        """A patch with its eight neighbours, framed; empty where there is no photograph."""
        if self.problem(place.source, place.image):
            return ""
        photo = self._photo(place.source, place.image)
        shown = (photo.height, photo.width)
        shares = self.fitted.data.geometry.patch_box(place.row, place.column, place.grid, shown)
        y, x, height, width = (share * side for share, side in zip(shares, shown * 2))
        # Patches at the border are shown in the middle too, with black where the image ends.
        box = (round(x - width), round(y - height), round(x + 2 * width), round(y + 2 * height))
        cut = photo.crop(box).resize((_CROP, _CROP), Image.Resampling.BICUBIC)
        pen, third = ImageDraw.Draw(cut), _CROP // 3
        frame = (third, third, 2 * third, 2 * third)
        pen.rectangle(frame, outline="#10222b", width=3)
        pen.rectangle(frame, outline="#ffffff", width=1)
        return data_uri(cut)
