"""What a neuron does, to be looked at: histograms, and pictures of the patches that drive it."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from PIL import Image

from lakeviz.data import load_image
from lakeviz.data.aspect import SQUASH, Geometry
from lakeviz.data.files import IMAGE_FORMATS
from lakeviz.errors import LakevizError
from lakeviz.plots.heatmap import png_bytes
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.tables import rows

if TYPE_CHECKING:
    from lakeviz.studies.base.captured import StudyData

_BINS = 40
_TAIL = 0.001  # of the pooled patches beyond either end; they are counted in the outermost bins


def histogram_table(
    activation: Float[np.ndarray, "image patch"], truth: PatchTruth
) -> pd.DataFrame:
    """Densities of the activation over normal and over defect patches, in the same bins.

    Without masks the second class is all patches of anomalous images. The outermost bins also count
    what lies beyond them.
    """
    normal = activation[truth.labels == 0].ravel()
    if truth.reason:
        name, other = "anomalous image", activation[truth.labels != 0].ravel()
    else:
        name, other = "defect", activation[truth.defect]
    classes = {n: v for n, v in {"normal": normal, name: other}.items() if v.size}
    edges = _edges(list(classes.values()))
    tables = []
    for label, values in classes.items():
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
        tables.append(
            pd.DataFrame(
                {
                    "label": label,
                    "bin": np.arange(_BINS),
                    "bin_low": edges[:-1],
                    "bin_high": edges[1:],
                    "count": counts,
                    "density": counts / (counts.sum() * np.diff(edges)),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _edges(classes: list[np.ndarray]) -> Float[np.ndarray, " edge"]:
    """Bins over the range of both classes, so that the rarer one is not cut off."""
    ends = np.array([np.quantile(values, [_TAIL, 1 - _TAIL]) for values in classes], dtype=float)
    low, high = ends[:, 0].min(), ends[:, 1].max()
    if high - low <= 1e-7 * max(abs(low), abs(high), 1e-30):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def driving_patches(
    activation: Float[np.ndarray, "image patch"],
    deviation: Float[np.ndarray, "image patch"],
    truth: PatchTruth,
    sample_ids: list[str],
    columns: int,
    n_top: int,
) -> pd.DataFrame:
    """The test patches of largest deviation, whatever their label, largest first."""
    flat = deviation.ravel()
    order = np.argsort(-flat, kind="stable")[:n_top]
    image, patch = np.divmod(order, deviation.shape[1])
    return pd.DataFrame(
        {
            "place": np.arange(1, len(order) + 1),
            "sample_id": [sample_ids[i] for i in image],
            "image": image,
            "row": patch // columns,
            "column": patch % columns,
            "value": activation.ravel()[order].astype(float),
            "deviation": flat[order].astype(float),
            "label": truth.names().ravel()[order],
            "coverage": np.nan if truth.reason else truth.coverage.ravel()[order],
        }
    )


Place = tuple[int, int, int, tuple[int, int]]
"""Image, row and column of a patch, and its grid."""

CROP_PATCHES = 3
CROP_PIXELS = 48
_BEYOND = "#868E99"  # beyond the border of the image


def crop_patch(
    image: Image.Image,
    row: int,
    column: int,
    grid: tuple[int, int],
    longest: int = CROP_PIXELS,
    geometry: Geometry = SQUASH,
) -> Image.Image:
    """Cut a patch and its neighbours out of an image; what lies beyond the image is grey.

    The patch is the middle third in both directions; the longer side has ``longest`` pixels at
    most.
    """
    y, x, height, width = (
        share * side
        for share, side in zip(
            geometry.patch_box(row, column, grid, (image.height, image.width)),
            (image.height, image.width) * 2,
        )
    )
    around = CROP_PATCHES // 2
    left, top = round(x - around * width), round(y - around * height)
    right, bottom = round(x + (around + 1) * width), round(y + (around + 1) * height)
    tile = Image.new("RGB", (max(1, right - left), max(1, bottom - top)), _BEYOND)
    inside = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    tile.paste(image.crop(inside), (inside[0] - left, inside[1] - top))
    tile.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return tile


def decode(crop: bytes) -> Image.Image:
    """Read a picture of a patch back."""
    return Image.open(io.BytesIO(crop), formats=IMAGE_FORMATS).convert("RGB")


def with_crops(patches: pd.DataFrame) -> pd.DataFrame:
    """Have the column ``crop`` hold pictures or None: Parquet gives missing ones as numbers."""
    found = patches["crop"] if "crop" in patches else [None] * len(patches)
    pictures = [one if isinstance(one, bytes) else None for one in found]
    return patches.assign(crop=pd.Series(pictures, patches.index, dtype=object))


def add_crops(
    data: StudyData, patches: pd.DataFrame, keep: Int[np.ndarray, " row"] | None = None
) -> list[str]:
    """Picture all patches, or the rows ``keep``; returns notes on what has no picture."""
    if data.dataset is None:
        return [f"{data.category}: no pictures of patches, because there are no image files"]
    shown = patches if keep is None else rows(patches, keep)
    columns = (shown[name].tolist() for name in ("image", "row", "column", "point"))
    places = [(*place, data.grids[point]) for *place, point in zip(*columns, strict=True)]
    # The same patch drives many neurons: each is cut out once.
    made, problems = _crops(data.dataset.paths, set(places), data.geometry)
    pictures = pd.Series([made.get(place) for place in places], shown.index, dtype=object)
    patches["crop"] = pictures.reindex(patches.index)
    return [f"{data.category}: no picture of a patch: {problem}" for problem in problems]


def _crops(
    paths: Sequence[Path], places: Collection[Place], geometry: Geometry
) -> tuple[dict[Place, bytes], list[str]]:
    """PNG of each place, and why an image could not be read; every image is read once."""
    made: dict[Place, bytes] = {}
    problems = []
    for index in sorted({place[0] for place in places}):
        try:
            image = load_image(paths[index])
        except LakevizError as error:
            problems.append(str(error))
            continue
        for place in places:
            if place[0] == index:
                made[place] = png_bytes(crop_patch(image, *place[1:], geometry=geometry))
    return made, problems
