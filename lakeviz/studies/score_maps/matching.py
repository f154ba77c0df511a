"""Which mask belongs to which map, and which images are normal: by name, never by guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from lakeviz.data.files import IMAGE_SUFFIXES, walk_files
from lakeviz.data.images import image_size, load_mask
from lakeviz.data.masks import pair
from lakeviz.data.text_tables import is_normal_word
from lakeviz.errors import DataError, ImageReadError, MaskError
from lakeviz.studies.score_maps.reading import MapFile, key_of
from lakeviz.wording import some

_MASK_SUFFIXES = IMAGE_SUFFIXES | {".npy"}


@dataclass(frozen=True)
class Pair:
    """A map with its mask, or without where the image is normal.

    Attributes
    ----------
    map : MapFile
    mask : Path, optional
    """

    map: MapFile
    mask: Path | None

    def read_mask(self) -> Bool[np.ndarray, "height width"] | None:
        """Read the mask at its own size."""
        if self.mask is None:
            return None
        if self.mask.suffix.lower() == ".npy":
            try:
                return np.load(self.mask, allow_pickle=False).squeeze() != 0
            except (OSError, ValueError) as error:
                raise MaskError(f"cannot read the mask {self.mask}: {error}") from error
        try:
            size = image_size(self.mask)
        except ImageReadError as error:
            raise MaskError(f"cannot read the mask {self.mask}: {error}") from error
        return load_mask(self.mask, size)


def match(
    maps: Mapping[str, MapFile], masks: str | Path, *, normal_without_mask: bool = False
) -> list[Pair]:
    """Pair maps and masks of one relative folder by the rule of :mod:`lakeviz.data.masks`.

    An image without a mask is normal if one of its folders is called ``good``, ``normal``, ..., or
    if ``normal_without_mask`` says so of all.
    """
    found, without = _match(maps, Path(masks))
    if without:
        hint = ""
        if not found:
            keys, names = list(maps), [key_of(p, Path(masks)) for p in without]
            hint = f"; no name agrees: maps are called like {some(keys)}, masks like {some(names)}"
        raise DataError(f"{_some(without, 'mask')} without a map of that name{hint}")
    pairs = [Pair(one, found.get(key)) for key, one in maps.items()]
    unknown = [str(p.map) for p in pairs if p.mask is None and not _is_normal(p.map.key)]
    if unknown and not normal_without_mask:
        raise DataError(
            f"{_some(unknown, 'map')} without a mask; if images without a mask are normal, say so "
            "(--normal-without-mask), or put them into a folder called good"
        )
    return pairs


def read_scores(path: str | Path, keys: Sequence[str]) -> Float[np.ndarray, " image"]:
    """Read image scores: a CSV file with the columns ``sample_id`` and ``score``."""
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype={"sample_id": str})
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the scores {path}: {error}") from error
    missing = [name for name in ("sample_id", "score") if name not in table]
    if missing:
        columns = ", ".join(map(str, table.columns))
        raise DataError(f"{path} has no column {missing[0]!r}; it has {columns}")
    names = [_without_suffix(str(name)) for name in table["sample_id"]]
    scores = np.array([_number(value) for value in table["score"].tolist()])
    bad = [name for name, score in zip(names, scores) if not np.isfinite(score)]
    if bad:
        raise DataError(f"{path}: the score of {bad[0]} is not a finite number")
    by_name = dict(zip(names, scores))
    if len(by_name) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: {twice} has two scores")
    absent = [key for key in keys if key not in by_name]
    if absent:
        raise DataError(f"{path}: {_some(absent, 'image')} without a score")
    foreign = [name for name in names if name not in set(keys)]
    if foreign:
        raise DataError(f"{path}: {_some(foreign, 'score')} of images without a map")
    return np.array([by_name[key] for key in keys])


def _match(maps: Mapping[str, MapFile], root: Path) -> tuple[dict[str, Path], list[Path]]:
    """Masks by the key of their map, and the masks that have none."""
    if not root.is_dir():
        raise MaskError(f"{root} is no folder of masks")
    masks = walk_files(root, _MASK_SUFFIXES)
    if not masks:
        raise MaskError(f"{root} holds no mask")
    found: dict[str, Path] = {}
    left: list[Path] = []
    for folder in dict.fromkeys(p.parent for p in masks):
        inside = folder.relative_to(root)
        own = [Path(key) for key in maps if Path(key).parent == inside]
        paired, rest = pair(own, [p for p in masks if p.parent == folder])
        found |= {key.as_posix(): mask for key, mask in paired.items()}
        left += rest
    return found, left


def _is_normal(key: str) -> bool:
    return any(is_normal_word(part) for part in Path(key).parts[:-1])


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return np.nan


def _without_suffix(name: str) -> str:
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else name


def _some(names: Sequence[object], what: str) -> str:
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({some(names)})"
