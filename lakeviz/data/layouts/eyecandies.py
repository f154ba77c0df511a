"""Eyecandies: rendered candies under several lights, with depth."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lakeviz.data.files import child_folder, list_folders, list_images, require_root
from lakeviz.data.images import mask_is_empty
from lakeviz.data.registry import Reading, category_folders, register_reader
from lakeviz.data.table import GOOD, Sample
from lakeviz.errors import ConfigError, DatasetLayoutError

_SPLITS = {"train": "train", "val": "valid", "test_public": "test"}
_CAUSES = ("bumps", "dents", "colors", "normals")
_LIGHTS = 6
_LOOKED_FOR = "CATEGORY/{train,val,test_public}/data/NNN_image_K.png with NNN_depth.png"


def _data(folder: Path, split: str) -> Path | None:
    """Folder of a split: in the archives its files lie in ``data``, or the splits do."""
    found = child_folder(folder, f"{split}/data", f"data/{split}", split)
    return found if found and any(p.stem.endswith("_depth") for p in list_images(found)) else None


def _is_category(folder: Path) -> bool:
    return _data(folder, "train") is not None and _data(folder, "test_public") is not None


@register_reader(
    "eyecandies",
    title="Eyecandies",
    layout="CAT/{train,val,test_public}/data/NNN_{image_K,depth,mask}.png, NNN_info_depth.yaml",
    license="CC BY-NC-SA 4.0",
    homepage="https://eyecan-ai.github.io/eyecandies/",
    citation="Bonfiglioli et al., The Eyecandies Dataset, ACCV 2022",
    detect=lambda root: any(_is_category(f) for f in [root, *list_folders(root)]),
)
def read_eyecandies(
    root: str | Path, categories: Sequence[str] | None, *, light: int = 0
) -> Reading:
    """Read Eyecandies; the private test set has no labels.

    Parameters
    ----------
    root
        The folder.
    categories
        Names of candies, or None.
    light
        Number of the image: 0 is lit by all spots, 1 to 4 by one, 5 by all and the camera's.
    """
    if not 0 <= light < _LIGHTS:
        raise ConfigError(f"light must be 0 to {_LIGHTS - 1}, got {light}")
    path = require_root(root, _LOOKED_FOR)
    folders = category_folders(path, _is_category, categories, "eyecandies", _LOOKED_FOR)
    samples = [
        sample
        for category, folder in folders.items()
        for own, split in _SPLITS.items()
        for sample in _samples(_data(folder, own), category, split, light)
    ]
    return Reading(path, samples, masks_looked_for="NNN_mask.png")


def _samples(folder: Path | None, category: str, split: str, light: int) -> Iterator[Sample]:
    files = {p.name: p for p in list_images(folder)} if folder else {}
    for name, image in files.items():
        match = re.fullmatch(rf"(.+)_image_{light}", image.stem)
        if not match:
            continue
        number, suffix = match[1], image.suffix
        mask = files.get(f"{number}_mask{suffix}")
        if mask is None and split == "test":
            raise DatasetLayoutError(f"{image.parent / name} has no mask {number}_mask{suffix}")
        kind = GOOD
        if mask is not None and not mask_is_empty(mask):
            causes = (c for c in _CAUSES if f"{number}_{c}_mask{suffix}" in files)
            there = [c for c in causes if not mask_is_empty(files[f"{number}_{c}_mask{suffix}"])]
            kind = "+".join(there) or "defect"
        yield Sample(image, category, split, kind, mask, depth=files.get(f"{number}_depth{suffix}"))
