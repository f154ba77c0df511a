"""Polygons as masks: labelme and COCO (.json), and YOLO segmentation (.txt).

A pixel is a defect where its centre lies in a polygon, by the even-odd rule, so that areas are
kept (Pillow's polygons take in the pixels on their outline). Bounding boxes are refused.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from lakeviz.errors import MaskError
from lakeviz.wording import some

POLYGON_SUFFIXES = frozenset({".json", ".txt"})

Mask = Bool[np.ndarray, "height width"]
Size = tuple[int, int]


def fill(points: Sequence[tuple[float, float]], size: Size) -> Mask:
    """Pixels whose centre lies in a polygon of (x, y) in pixels; (0, 0) is the image's corner."""
    corners = np.asarray(points, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ValueError("a polygon has three or more points (x, y)")
    if not np.isfinite(corners).all():
        raise ValueError("a point of a polygon is not finite")
    height, width = size
    mask = np.zeros(size, dtype=bool)
    (x0, y0), (x1, y1) = corners.T, np.roll(corners, -1, axis=0).T
    centres = np.arange(width) + 0.5
    first, last = np.clip([np.floor(y0.min()), np.ceil(y0.max())], 0, height).astype(int)
    for row in range(first, last):
        y = row + 0.5
        crosses = (y0 <= y) != (y1 <= y)
        at = x0[crosses] + (y - y0[crosses]) * (x1 - x0)[crosses] / (y1 - y0)[crosses]
        mask[row] = np.searchsorted(np.sort(at), centres, side="right") % 2 == 1
    return mask


def polygon_mask(path: Path, size: Size, image: str | Path | None) -> Mask:
    """Read the mask of one upright image from a file of polygons.

    It is a .txt of YOLO (class and normalised points a line), or a .json of labelme or of COCO,
    which knows an image by its path.
    """
    try:
        if path.suffix.lower() == ".txt":
            parts = list(_yolo(path.read_text(encoding="utf-8"), size))
        elif is_coco(path):
            parts = _coco_parts(path, size, image)
        else:
            parts = _labelme(_json(path), size)
        return np.logical_or.reduce([np.zeros(size, dtype=bool), *parts])
    except FileNotFoundError as error:
        raise MaskError(f"the mask {path} does not exist") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MaskError(f"cannot read the polygons {path}: {error}") from error


def is_coco(path: Path) -> bool:
    """Whether a file is a COCO table, which holds the polygons of many images."""
    found = _known(path)
    return isinstance(found, dict) and isinstance(found.get("annotations"), list)


def is_labelme(path: Path) -> bool:
    """Whether a file holds the polygons of one image as labelme writes them."""
    found = _known(path)
    return isinstance(found, dict) and isinstance(found.get("shapes"), list)


def coco_masks(path: Path, images: Sequence[Path]) -> dict[Path, Path]:
    """Give the COCO table as the mask of each image that it names."""
    found: dict[str, Path] = {}
    try:
        for image in images:
            for entry in _entries_of(path, image):
                if entry["file_name"] in found:
                    other = found[entry["file_name"]]
                    raise MaskError(
                        f"{entry['file_name']} of {path} could be {other} and {image}; name the "
                        "folders of the images in it"
                    )
                found[entry["file_name"]] = image
        return dict.fromkeys(found.values(), path)
    except (TypeError, KeyError, AttributeError) as error:
        raise MaskError(f"cannot read the polygons {path}: {error!r}") from error


def _yolo(text: str, size: Size) -> Iterator[Mask]:
    height, width = size
    for number, line in enumerate(text.splitlines(), start=1):
        values = [float(word) for word in line.split()[1:]]
        if not line.strip():
            continue
        if len(values) == 4:
            raise ValueError(f"line {number} is a bounding box, and no polygon")
        if len(values) % 2 or not all(0 <= v <= 1 for v in values):
            raise ValueError(f"line {number} is not a class and points between 0 and 1")
        yield fill([(x * width, y * height) for x, y in zip(values[::2], values[1::2])], size)


def _labelme(found: Any, size: Size) -> list[Mask]:
    if not isinstance(found, dict) or not isinstance(found.get("shapes"), list):
        raise ValueError("it is neither of labelme (shapes) nor of COCO (images, annotations)")
    _require_size((found.get("imageHeight"), found.get("imageWidth")), size)
    kinds = [shape.get("shape_type") or "polygon" for shape in found["shapes"]]
    other = [kind for kind in kinds if kind != "polygon"]
    if other:
        raise ValueError(f"it holds {some(sorted(set(other)))}, and only polygons are masks")
    return [fill(shape["points"], size) for shape in found["shapes"]]


def _coco_parts(path: Path, size: Size, image: str | Path | None) -> list[Mask]:
    entries = _entries_of(path, Path(image)) if image is not None else []
    if not entries:
        raise ValueError(f"it does not name the image {image}")
    ids = {entry["id"] for entry in entries}
    for entry in entries:
        _require_size((entry.get("height"), entry.get("width")), size)
    annotations = _coco(path)[1]
    drawn = [one for key in ids for one in annotations.get(key, ())]
    return [part for one in drawn for part in _segments(one, size)]


def _segments(annotation: dict[str, Any], size: Size) -> list[Mask]:
    segments = annotation.get("segmentation")
    if not segments:
        raise ValueError(f"annotation {annotation.get('id')} is a bounding box, and no polygon")
    if isinstance(segments, dict):
        counts = segments["counts"]
        if not isinstance(counts, list):
            raise ValueError(
                f"annotation {annotation.get('id')} is a compressed RLE; save it as polygons or as "
                "a mask image"
            )
        if sum(counts) != size[0] * size[1]:
            raise ValueError(f"the runs of annotation {annotation.get('id')} do not fill the image")
        # Runs of 0 and 1 in turn, column by column.
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return [flat.reshape(size[1], size[0]).T]
    return [fill(list(zip(points[::2], points[1::2], strict=True)), size) for points in segments]


def _entries_of(path: Path, image: Path) -> list[dict[str, Any]]:
    """Entries of an image in a COCO table: by the end of its path."""
    whole = image.as_posix()
    same = _coco(path)[0].get(image.name, ())
    named = [entry for entry in same if f"/{whole}".endswith(f"/{entry['file_name']}")]
    if len({entry["file_name"] for entry in named}) < len(named):
        raise MaskError(f"{path} names the image {image} twice")
    return named


def _require_size(said: tuple[Any, Any], size: Size) -> None:
    if None not in said and said != size:
        raise ValueError(
            f"it is of an image of {said[1]}x{said[0]} (width x height), not {size[1]}x{size[0]}"
        )


def _known(path: Path) -> Any:
    if path.suffix.lower() != ".json":
        return None
    try:
        return _json(path)
    except (OSError, ValueError, RecursionError):
        return None  # said when it is read as a mask


def _coco(path: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[Any, list[dict[str, Any]]]]:
    """Entries of a COCO table by the name of their file, and annotations by their image."""
    status = path.stat()
    return _indexed(path, status.st_size, status.st_mtime_ns)


def _json(path: Path) -> Any:
    status = path.stat()
    return _parsed(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _indexed(path: Path, size: int, mtime_ns: int) -> Any:
    entries, annotations = defaultdict(list), defaultdict(list)
    found = _parsed(path, size, mtime_ns)
    for entry in found["images"]:
        entries[entry["file_name"].rpartition("/")[2]].append(entry)
    for one in found["annotations"]:
        annotations[one["image_id"]].append(one)
    return entries, annotations


@lru_cache(maxsize=8)
def _parsed(path: Path, size: int, mtime_ns: int) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
