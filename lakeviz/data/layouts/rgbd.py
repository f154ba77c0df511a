"""Pictures with depth: MVTec 3D-AD, Eyecandies, and any folder with pictures, depth and masks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lakeviz.data.files import (
    DEPTH_SUFFIXES,
    child_folder,
    list_files,
    list_folders,
    list_images,
    require_root,
)
from lakeviz.data.images import mask_is_empty
from lakeviz.data.masks import match_masks
from lakeviz.data.registry import Reading, category_folders, register_reader
from lakeviz.data.table import GOOD, Sample
from lakeviz.data.text_tables import is_normal_word, split_of
from lakeviz.errors import ConfigError, DatasetLayoutError

_COLOUR = ("rgb", "color", "colour", "image", "images", "img")
_CLOUD, _DEPTH = "xyz", ("depth", "disparity")
_MASKS = ("gt", "mask", "masks", "ground_truth")


def depth_of(images: Sequence[Path], depths: Sequence[Path]) -> dict[Path, Path]:
    """Depth map of each image that has one: the file with the same stem."""
    by_stem: dict[str, Path] = {}
    for path in depths:
        if path.stem in by_stem:
            raise DatasetLayoutError(f"{by_stem[path.stem]} and {path} have one name; keep one")
        by_stem[path.stem] = path
    return {image: by_stem[image.stem] for image in images if image.stem in by_stem}


def _kinds(folder: Path) -> list[Path]:
    """Folders of the kinds of image in a split that hold pictures in a folder of their own."""
    return [k for k in list_folders(folder) if child_folder(k, *_COLOUR)]


def _is_category(folder: Path) -> bool:
    train = child_folder(folder, "train")
    return train is not None and any(is_normal_word(k.name) for k in _kinds(train))


def _has(root: Path, *depth: str) -> bool:
    """Whether a category has its depth in a folder of one of these names."""
    return any(
        child_folder(kind, *depth)
        for category in [root, *list_folders(root)]
        if (train := child_folder(category, "train"))
        for kind in _kinds(train)
    )


def _read(root: str | Path, categories: Sequence[str] | None, name: str) -> Reading:
    looked_for = "CATEGORY/train/good/rgb/ and CATEGORY/test/DEFECT/{rgb,xyz or depth,gt}/"
    path = require_root(root, looked_for)
    folders = category_folders(path, _is_category, categories, name, looked_for)
    samples, notes = [], []
    unused: dict[str, list[Path]] = {}
    for category, folder in folders.items():
        unused[category] = []
        splits = [(split_of(f.name), f) for f in list_folders(folder)]
        for split, parent in splits:
            for kind in _kinds(parent) if split else ():
                samples += _samples(kind, category, split or "", unused[category])
    for category in folders:
        if all(s.depth is None for s in samples if s.category == category):
            notes.append(f"{category}: there is no folder xyz/ or depth/ beside its pictures")
    return Reading(path, samples, tuple(notes), "DEFECT/gt/STEM.*", unused)


def _samples(kind: Path, category: str, split: str, unused: list[Path]) -> list[Sample]:
    colour, depth = child_folder(kind, *_COLOUR), child_folder(kind, _CLOUD, *_DEPTH)
    images = list_images(colour) if colour else []
    depths = depth_of(images, list_files(depth, DEPTH_SUFFIXES)) if depth else {}
    masks = {}
    defect = GOOD if is_normal_word(kind.name) else kind.name
    if defect != GOOD:
        match = match_masks({kind: images}, child_folder(kind, *_MASKS))
        masks = match.masks
        unused += match.unused
    return [Sample(p, category, split, defect, masks.get(p), depth=depths.get(p)) for p in images]


@register_reader(
    "mvtec_3d",
    title="MVTec 3D-AD",
    layout="CAT/{train,validation,test}/{good,DEFECT}/{rgb/NNN.png,xyz/NNN.tiff,gt/NNN.png}",
    license="CC BY-NC-SA 4.0",
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-3d-ad",
    citation="Bergmann et al., The MVTec 3D-AD Dataset, VISAPP 2022",
    detect=lambda root: _has(root, _CLOUD),
)
def read_mvtec_3d(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read MVTec 3D-AD: pictures and organised point clouds."""
    return _read(root, categories, "mvtec_3d")


@register_reader(
    "rgbd",
    title="Any folders of pictures with depth",
    layout="CAT/{train,test}/{good,DEFECT}/{rgb,depth,gt}/STEM.*",
    license="your own",
    detect=lambda root: _has(root, *_DEPTH) and not _has(root, _CLOUD),
)
def read_rgbd(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read pictures with depth maps or point clouds of the same stem (PNG, TIFF or npy)."""
    return _read(root, categories, "rgbd")


# --- Eyecandies: rendered candies under several lights ---

_SPLITS = {"train": "train", "val": "valid", "test_public": "test"}
_CAUSES = ("bumps", "dents", "colors", "normals")
_LIGHTS = 6
_CANDIES = "CATEGORY/{train,val,test_public}/data/NNN_image_K.png with NNN_depth.png"


def _data(folder: Path, split: str) -> Path | None:
    """Folder of a split: in the archives its files lie in ``data``, or the splits do."""
    found = child_folder(folder, f"{split}/data", f"data/{split}", split)
    return found if found and any(p.stem.endswith("_depth") for p in list_images(found)) else None


def _is_candy(folder: Path) -> bool:
    return _data(folder, "train") is not None and _data(folder, "test_public") is not None


@register_reader(
    "eyecandies",
    title="Eyecandies",
    layout="CAT/{train,val,test_public}/data/NNN_{image_K,depth,mask}.png, NNN_info_depth.yaml",
    license="CC BY-NC-SA 4.0",
    homepage="https://eyecan-ai.github.io/eyecandies/",
    citation="Bonfiglioli et al., The Eyecandies Dataset, ACCV 2022",
    detect=lambda root: any(_is_candy(f) for f in [root, *list_folders(root)]),
)
def read_eyecandies(
    root: str | Path, categories: Sequence[str] | None, *, light: int = 0
) -> Reading:
    """Read Eyecandies; the private test set has no labels.

    Parameters
    ----------
    light
        Number of the image: 0 is lit by all spots, 1 to 4 by one, 5 by all and the camera's.
    """
    if not 0 <= light < _LIGHTS:
        raise ConfigError(f"light must be 0 to {_LIGHTS - 1}, got {light}")
    path = require_root(root, _CANDIES)
    folders = category_folders(path, _is_candy, categories, "eyecandies", _CANDIES)
    samples = [
        sample
        for category, folder in folders.items()
        for own, split in _SPLITS.items()
        for sample in _candies(_data(folder, own), category, split, light)
    ]
    return Reading(path, samples, masks_looked_for="NNN_mask.png")


def _candies(folder: Path | None, category: str, split: str, light: int) -> Iterator[Sample]:
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
