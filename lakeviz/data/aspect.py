"""How an image of any shape becomes the input of a model, and how maps come back to its place.

``squash`` resizes the whole image to the input. ``letterbox`` keeps the aspect ratio and fills what
is left of the input. ``crop`` keeps it too and takes the middle; what lies outside was not looked
at and gets the lowest score of its image. ``tile_2x1`` cuts the image into two rows and one column
of parts, of which each is squashed to the input; their patches lie side by side in one map.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lakeviz.errors import ConfigError

ASPECTS = ("squash", "letterbox", "crop")
_TILES = re.compile(r"tile_([1-9])x([1-9])")

Size = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Which part of an image the input of a model shows.

    ``aspect`` is ``squash``, ``letterbox``, ``crop``, or ``tile_RxC`` of 1 to 9 rows and columns;
    ``input_size`` is that of the model in pixels, of all tiles together where there are some.
    """

    aspect: str = "squash"
    input_size: Size = (1, 1)

    def __post_init__(self) -> None:
        if self.aspect not in ASPECTS and not _TILES.fullmatch(self.aspect):
            known = ", ".join(ASPECTS)
            raise ConfigError(
                f"aspect must be one of {known} or tile_RxC, such as tile_2x1, not {self.aspect!r}"
            )

    @property
    def tiles(self) -> Size:
        """Rows and columns of parts that pass the tower one by one; 1 x 1 where it is whole."""
        found = _TILES.fullmatch(self.aspect)
        return (int(found[1]), int(found[2])) if found else (1, 1)

    @property
    def is_whole(self) -> bool:
        """Whether the patches cover the image from edge to edge."""
        return self.aspect not in ("letterbox", "crop")

    def placement(self, image_size: Size) -> tuple[Size, Size]:
        """Size to resize an image to, and where its upper left corner lies in the input."""
        if self.is_whole:
            return self.input_size, (0, 0)
        scales = [own / side for own, side in zip(self.input_size, image_size)]
        scale = min(scales) if self.aspect == "letterbox" else max(scales)
        height, width = (max(1, round(side * scale)) for side in image_size)
        top, left = (self.input_size[0] - height) // 2, (self.input_size[1] - width) // 2
        return (height, width), (top, left)

    def box(self, image_size: Size) -> tuple[float, float, float, float]:
        """Top, left, height and width of the input, in heights and widths of the image.

        It reaches beyond 0 and 1 where the input was filled, and stays within where it was cropped.
        """
        (height, width), (top, left) = self.placement(image_size)
        rows, columns = self.input_size
        return -top / height, -left / width, rows / height, columns / width

    def patch_box(
        self, row: int, column: int, grid: Size, image_size: Size
    ) -> tuple[float, float, float, float]:
        """Top, left, height and width of a patch, in heights and widths of the image."""
        top, left, height, width = self.box(image_size)
        high, wide = height / grid[0], width / grid[1]
        return top + row * high, left + column * wide, high, wide

    def to_image(
        self, patch_map: Float[np.ndarray, "row column"], image_size: Size, size: Size
    ) -> Float[np.ndarray, "height width"]:
        """Bring a map of the input to ``size`` pixels over the whole image, bilinearly."""
        from scipy.ndimage import map_coordinates  # slow to import; reading needs none

        top, left, height, width = self.box(image_size)
        rows, inside_rows = _places(size[0], top, height, patch_map.shape[0])
        columns, inside_columns = _places(size[1], left, width, patch_map.shape[1])
        grid = np.meshgrid(rows, columns, indexing="ij")
        pixels = map_coordinates(patch_map.astype(np.float32), grid, order=1, mode="nearest")
        pixels[~(inside_rows[:, None] & inside_columns)] = patch_map.min()
        return pixels

    def to_input(
        self, mask: Bool[np.ndarray, "height width"], image_size: Size
    ) -> Bool[np.ndarray, "height width"]:
        """Bring a mask over the whole image, of any size, to the part that the input shows."""
        if self.is_whole:
            return mask
        top, left, height, width = self.box(image_size)
        rows, columns = (
            (start + (np.arange(n) + 0.5) / n * length) * n
            for start, length, n in zip((top, left), (height, width), mask.shape)
        )
        inside = ((rows >= 0) & (rows < len(rows)))[:, None] & (columns >= 0)
        inside &= columns < len(columns)
        at = np.ix_(*(np.clip(p, 0, len(p) - 1).astype(int) for p in (rows, columns)))
        return mask[at] & inside

    def plain(self) -> dict[str, Any]:
        """JSON types."""
        return {"aspect": self.aspect, "input_size": list(self.input_size)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Geometry:
        """Restore what :meth:`plain` gave."""
        height, width = plain["input_size"]
        return cls(plain["aspect"], (height, width))


SQUASH = Geometry()


def _places(n: int, start: float, length: float, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of pixel centres among the centres of cells, and which lie in the input."""
    share = ((np.arange(n) + 0.5) / n - start) / length
    return share * cells - 0.5, (share >= 0) & (share <= 1)
