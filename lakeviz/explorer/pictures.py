"""Pictures of the explorer as data URIs: photographs, heat maps, crops of patches."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from lakeviz.data import load_image
from lakeviz.errors import LakevizError
from lakeviz.explorer.fitted import Fitted
from lakeviz.explorer.views import Place
from lakeviz.lake.score_maps import upsample
from lakeviz.plots import heat_layer, mask_outlines
from lakeviz.plots.colours import heat_picture
from lakeviz.plots.heatmap import data_uri, fit_within

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
        scale = width / mask.shape[1], height / mask.shape[0]
        return _path(mask, scale), ""

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


def _path(mask: Bool[np.ndarray, "row column"], scale: tuple[float, float]) -> str:
    return "".join(
        "M" + "L".join(f"{x * scale[0]:.1f} {y * scale[1]:.1f}" for x, y in corners) + "Z"
        for corners in mask_outlines(mask)
    )
