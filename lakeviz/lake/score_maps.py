"""From patch scores to pixel maps and image scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from lakeviz.data.aspect import SQUASH, Geometry
from lakeviz.data.streams import stream_of
from lakeviz.errors import ConfigError, StoreError, no_attribute
from lakeviz.lake.elsewhere import OF_SCORES
from lakeviz.lake.provenance import as_plain

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from PIL import Image

PatchMaps = Float[np.ndarray, "image row column"]
_POINT = "visual/"  # before the name of a hook point among the parts


def upsample(
    patch_map: Float[np.ndarray, "row column"],
    size: tuple[int, int],
    smoothing: float = 0.0,
    geometry: Geometry = SQUASH,
    image_size: tuple[int, int] | None = None,
) -> Float[np.ndarray, "height width"]:
    """Bring one patch map to ``size`` pixels: bilinear between patch centres, then Gaussian.

    Parameters
    ----------
    patch_map : float array [row, column]
    size : (height, width)
        In pixels.
    smoothing : float
        Standard deviation of the Gaussian in pixels of the result; 0 for none.
    geometry : Geometry
        Which part of the image the patches cover.
    image_size : (height, width)
        Of the image, in pixels; ``size`` by default.
    """
    if geometry.is_whole:
        tensor = torch.from_numpy(np.ascontiguousarray(patch_map, dtype=np.float32))[None, None]
        pixels = torch.nn.functional.interpolate(
            tensor, size=size, mode="bilinear", align_corners=False
        )[0, 0].numpy()
    else:
        pixels = geometry.to_image(patch_map, image_size or size, size)
    if smoothing > 0:
        pixels = gaussian_filter(pixels, smoothing, mode="nearest")
    return pixels


@dataclass(repr=False)
class ScoreMaps:
    """Scores of some images, the parts they are made of, and pixel maps on demand.

    Attributes
    ----------
    patch : float array [image, row, column]
        The fused patch scores.
    parts : dict of float arrays [image, row, column]
        ``"visual"``, ``"visual/<hook point>"`` for each layer and, with a text branch, ``"text"``.
    image_scores : float array [image]
        The image score of the fused map.
    image_parts : dict of float arrays [image]
        The same rule on each part; with a text branch also ``"text_image"``, the probability of
        "anomalous" for the image embedding.
    sample_ids : list of str
    sizes : list of (height, width)
        Sizes of the original images in pixels.
    smoothing : float
        Standard deviation of the Gaussian on pixel maps, in pixels.
    map_size : (height, width), optional
        Size of the pixel maps; each image's own size by default.
    skipped : list of (path, reason)
        Images that could not be read, where that was allowed.
    geometry : Geometry
        Which part of each image the patches cover.
    picture : callable, optional
        From a sample id to the image, for :meth:`heatmap`; not stored in files.
    """

    patch: PatchMaps
    parts: dict[str, PatchMaps]
    image_scores: Float[np.ndarray, " image"]
    image_parts: dict[str, Float[np.ndarray, " image"]]
    sample_ids: list[str]
    sizes: list[tuple[int, int]]
    smoothing: float = 0.0
    map_size: tuple[int, int] | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    geometry: Geometry = SQUASH
    picture: Callable[[str], Image.Image] | None = field(default=None, compare=False)

    if not TYPE_CHECKING:  # else type checkers take any name

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, OF_SCORES)

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __repr__(self) -> str:
        rows, columns = self.grid
        scores = [f"{score:.4g}" for score in self.image_scores[:6]]
        more = ", ..." if len(self) > len(scores) else ""
        return (
            f"<ScoreMaps of {len(self)} image{'s' * (len(self) != 1)}, {rows} x {columns} patches "
            "each; image scores "
            f"{', '.join(scores)}{more}; parts {', '.join(self.parts)}>"
        )

    def heatmap(self, image: int | str) -> go.Figure:
        """Patch scores over one image, given by position or sample id.

        Raises
        ------
        DataError
            If there is no such image, or the maps were read from a file, without images.
        """
        from lakeviz.lake.drawing import map_heatmap

        return map_heatmap(self, image)

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, as files hold them."""
        return {
            "patch": self.patch,
            "image_scores": self.image_scores,
            **{f"part/{name}": part for name, part in self.parts.items()},
            **{f"image/{name}": part for name, part in self.image_parts.items()},
        }

    def plain(self) -> dict[str, Any]:
        """All but the arrays, as JSON types."""
        names = ("sample_ids", "sizes", "smoothing", "map_size", "skipped")
        said = {name: as_plain(getattr(self, name)) for name in names}
        if self.geometry.aspect != "squash":
            said["geometry"] = self.geometry.plain()
        return said

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> ScoreMaps:
        """Restore what :meth:`plain` and :meth:`arrays` gave.

        Raises
        ------
        StoreError
            If an array is missing, or they are not of the images listed.
        """
        size, n = plain["map_size"], len(plain["sample_ids"])
        patch = arrays.get("patch", np.empty(0))
        shapes = {name: a.shape[:1] if "image" in name else a.shape for name, a in arrays.items()}
        for name in ("patch", "image_scores", *arrays):
            wanted = (n,) if "image" in name else (n, *patch.shape[1:])
            if shapes.get(name) != wanted or len(plain["sizes"]) != n or patch.ndim != 3:
                raise StoreError(
                    f"the score maps are damaged: {name} is not of the {n} images listed; delete "
                    "the folder of the category and run again"
                )
        parts, image_parts = (
            {n.removeprefix(head): a for n, a in arrays.items() if n.startswith(head)}
            for head in ("part/", "image/")
        )
        return cls(
            patch=arrays["patch"],
            parts=parts,
            image_scores=arrays["image_scores"],
            image_parts=image_parts,
            sample_ids=plain["sample_ids"],
            sizes=[tuple(size) for size in plain["sizes"]],
            smoothing=plain["smoothing"],
            map_size=None if size is None else tuple(size),
            skipped=[tuple(entry) for entry in plain["skipped"]],
            # Maps that were squashed do not say so, as those of earlier versions.
            geometry=Geometry.from_plain(plain["geometry"]) if "geometry" in plain else SQUASH,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.patch.shape[1], self.patch.shape[2]

    @property
    def streams(self) -> dict[str, PatchMaps]:
        """Patch maps of each stream: the means over its hook points."""
        found: dict[str, list[PatchMaps]] = {}
        for name, part in self.parts.items():
            if name.startswith(_POINT):
                found.setdefault(stream_of(name), []).append(part)
        return {stream: np.mean(parts, axis=0) for stream, parts in found.items()}

    def pixel_map(self, index: int, part: str | None = None) -> Float[np.ndarray, "height width"]:
        """Pixel map of one image, of the fused score or of one part.

        Made when asked for, so that a large test set does not have to fit in memory.
        """
        if part is not None and part not in self.parts:
            raise ConfigError(f"no part {part!r} in these maps; parts: {', '.join(self.parts)}")
        source = (self.patch if part is None else self.parts[part])[index]
        size = self.map_size or self.sizes[index]
        return upsample(source, size, self.smoothing, self.geometry, self.sizes[index])

    def pixel_maps(self, part: str | None = None) -> Iterator[Float[np.ndarray, "height width"]]:
        """Yield the pixel map of each image."""
        for index in range(len(self)):
            yield self.pixel_map(index, part)


def join_layers(
    scores: Mapping[str, Float[Tensor, "image patch"]], grids: Mapping[str, tuple[int, int]]
) -> tuple[Float[Tensor, "image row column"], dict[str, Float[Tensor, "image row column"]]]:
    """Lay the scores of each hook point on its patch grid and average the points.

    Scores that are NaN are left out of the average: the frame has no token on that stream. Where
    there is no score at all it is 0.

    Parameters
    ----------
    scores : mapping of hook point to Tensor [image, patch]
    grids : mapping of hook point to (rows, columns)
        A coarser grid (of a later stage of a ResNet) is brought to the finest by bilinear
        interpolation.

    Returns
    -------
    mean, layers
        The average over the points, and the map of each.
    """
    layers = {p: s.reshape(len(s), *grids[p]) for p, s in scores.items()}
    grid = max(grids[p] for p in scores)
    layers = {p: to_grid(layer, grid) for p, layer in layers.items()}
    stacked = torch.stack(list(layers.values()))
    mean = stacked.mean(0)
    if bool(mean.isnan().any()):
        mean = stacked.nanmean(0).nan_to_num(0)
    return mean, layers


def to_grid(
    maps: Float[Tensor, "image row column"], grid: tuple[int, int]
) -> Float[Tensor, "image row column"]:
    """Bring maps of a coarser stage (ResNet) to a finer grid; a no-op for ViTs."""
    if maps.shape[-2:] == grid:
        return maps.float()
    resized = torch.nn.functional.interpolate(maps.float()[:, None], size=grid, mode="bilinear")
    return resized[:, 0]


def stack_parts(batches: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the parts of successive batches along the image axis."""
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}


class PixelMaps(Sequence[np.ndarray]):
    """Pixel maps of one part, made when they are read."""

    def __init__(self, maps: ScoreMaps, part: str | None):
        self.maps, self.part = maps, part

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: Any) -> Any:
        if index >= len(self):
            raise IndexError(index)
        return self.maps.pixel_map(index, self.part)
