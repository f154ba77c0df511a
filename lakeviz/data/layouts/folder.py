"""Any folder: one directory of normal images, others of defective ones, masks if there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lakeviz.data.files import (
    describe,
    holds_images,
    list_folders,
    list_images,
    require_root,
    train_part,
)
from lakeviz.data.masks import images_and_masks, mask_folder, masks_of_kinds
from lakeviz.data.polygons import is_coco
from lakeviz.data.registry import Reading, as_names, choose, register_reader
from lakeviz.data.table import Sample, sample_id
from lakeviz.data.text_tables import is_normal_word
from lakeviz.errors import ConfigError, DatasetLayoutError


@register_reader(
    "folder",
    title="Any folder",
    layout="NORMAL/*, DEFECT/*, MASKS/{STEM,STEM_mask}.* or MASKS/DEFECT/...; seeded split",
    license="your own",
)
def read_folder(
    root: str | Path,
    categories: Sequence[str] | None,
    *,
    normal: str | Iterable[str] | None = None,
    anomalous: str | Iterable[str] | None = None,
    normal_test: str | Iterable[str] | None = None,
    masks: str | None = None,
    category: str | None = None,
    split_seed: int = 0,
    train_fraction: float = 0.5,
) -> Reading:
    """Read a folder of images of one category; directories are given relative to ``root``.

    Parameters
    ----------
    normal
        Directory or directories of normal images; by default those called normal, good, ok, ...
    anomalous
        Those of defective images; the name of each is the kind of defect. By default every other
        directory in ``root`` that holds images.
    normal_test
        Directory or directories of normal test images. If given, all of ``normal`` trains;
        otherwise ``normal`` is split, ``train_fraction`` of it for training by ``split_seed``.
    masks
        Directory of masks or polygons (or a COCO .json), with one sub-directory for each kind of
        defect or with none; by default the one called masks, ground_truth, gt, labels, ..., where
        ``anomalous`` does not name it.
    category
        Name of the category; the name of ``root`` by default.
    split_seed
        Seed of the split of the normal images.
    train_fraction
        Share of the normal images that trains.
    """
    looked_for = f"the folder {normal or 'normal'!r} of normal images"
    path = require_root(root, looked_for)
    category = category or path.name
    choose([category], categories, "folder")
    if normal is None:
        normal = [f.name for f in list_folders(path) if is_normal_word(f.name)] or "normal"
    normal_dirs, test_dirs = _folders(path, normal), _folders(path, normal_test)
    given = _folders(path, anomalous)
    taken = {*normal_dirs, *test_dirs, *given}
    if masks and is_coco(path / masks):
        mask_dir = path / masks
    else:
        mask_dir = _folders(path, masks)[0] if masks else mask_folder(path, taken)
    others = [f for f in list_folders(path) if f not in taken and f != mask_dir]
    kinds = [f for f in others if list_images(f)] if anomalous is None else given
    images = [p for folder in normal_dirs for p in images_and_masks(folder)[0]]
    if not images:
        raise DatasetLayoutError(f"{looked_for} in {path} holds no image")
    train = {sample_id(p, path) for p in images}
    if not test_dirs:
        train = train_part(train, split_seed, train_fraction)
    images += [p for folder in test_dirs for p in images_and_masks(folder)[0]]
    samples = [
        Sample(p, category, "train" if sample_id(p, path) in train else "test") for p in images
    ]
    for kind in kinds:
        if is_normal_word(kind.name):
            raise ConfigError(
                f"{kind} would be a kind of defect called {kind.name!r}; list it under 'normal'"
            )
    found, unused = masks_of_kinds(kinds, mask_dir, images)
    for kind, masks_of in found.items():
        samples += [Sample(p, category, "test", kind.name, mask) for p, mask in masks_of.items()]
    unread = [f for f in others if f not in kinds and holds_images(f)]
    return Reading(
        path,
        samples,
        tuple(f"{category}: the images of {f.name}/ are not read" for f in unread),
        f"{mask_dir.name if mask_dir else 'masks'}/[DEFECT/]STEM.* or STEM_mask.*",
        {category: unused},
    )


def _folders(root: Path, given: str | Iterable[str] | None) -> list[Path]:
    folders = [root / name for name in as_names(given)]
    for folder in folders:
        if not folder.is_dir():
            raise DatasetLayoutError(f"{folder} is not a folder; {describe(root)}")
    return folders
