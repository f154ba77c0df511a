"""Pictures beside renderings of their depth, each under the heat map of its own stream."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lakeviz.data import load_image
from lakeviz.data.streams import rendering_of
from lakeviz.errors import LakevizError
from lakeviz.plots import ColourRange, colour_range
from lakeviz.plots.heatmap import data_uri, fit_within
from lakeviz.report.page_model import Page, Section
from lakeviz.report.pictures import colour_bar, frame, heat_uri, outline_path, typical

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation

_LONGEST, _ROWS = 240, 4


def depth(page: Page) -> list[Section]:
    """Make the section of every category that was scored on a rendering of depth."""
    return [
        Section(
            f"{page.anchor(evaluation)}-depth",
            f"Streams: {evaluation.category}",
            "depth.html",
            _context(evaluation),
            "Picture and depth",
        )
        for evaluation in page.ordered
        if evaluation.dataset.depths and any(map(rendering_of, evaluation.maps.streams))
    ]


def _context(evaluation: Evaluation) -> dict[str, Any]:
    streams = evaluation.maps.streams
    labels = evaluation.dataset.labels
    colours = {name: colour_range(maps, labels) for name, maps in streams.items()}
    ends = {name: own.labels() for name, own in colours.items()}
    rows = [_row(evaluation, i, streams, colours) for i in typical(evaluation, _ROWS)]
    return {
        "rows": rows,
        "gradient": colour_bar(),
        "colours": [(name, said[0], said[-1]) for name, said in ends.items()],
        "rule": next(iter(colours.values())).rule.partition(";")[0],
        "frame": frame([tile for row in rows for tile in row["tiles"]]),
    }


class _Tile:
    """A picture or rendering, and what lies over it; see ``macros.layers``."""

    def __init__(self, name: str, base: Image.Image, heat: str = "", outline: str = "") -> None:
        self.name, self.heat, self.outline = name, heat, outline
        self.photo = data_uri(base, quality=80, optimize=True)
        self.width, self.height = base.size


def _row(
    evaluation: Evaluation,
    index: int,
    streams: dict[str, np.ndarray],
    colours: dict[str, ColourRange],
) -> dict[str, Any]:
    row = evaluation.dataset.frame.iloc[index]
    tiles, problem = [], ""
    try:
        photo = fit_within(load_image(row["path"]), _LONGEST)
        outline, problem = outline_path(evaluation, index, (photo.height, photo.width))
        tiles.append(_Tile("picture", photo, "", outline))
        for name, maps in streams.items():
            how = rendering_of(name)
            base = photo if how is None else _rendering(evaluation, index, how, photo.size)
            pixels = replace(evaluation.maps, patch=maps).pixel_map(index)
            heat = heat_uri(pixels, colours[name], photo)
            tiles.append(_Tile(name, base, heat, outline))
    except LakevizError as error:
        problem = str(error)
    return {"name": row["sample_id"], "defect": row["defect_type"]} | {
        "tiles": tiles,
        "problem": problem,
    }


def _rendering(evaluation: Evaluation, index: int, how: str, size: tuple[int, int]) -> Image.Image:
    from lakeviz.data.depth import render, units_of

    found = evaluation.dataset.depths[index]
    return render(found.path, how, units_of(found.normal)).resize(size)
