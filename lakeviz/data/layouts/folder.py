"""Any folder: one directory of normal images, others of defective ones, masks if there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lakeviz.data.files import (
    describe,
    find_mask,
    list_folders,
    list_images,
    mask_index,
    require_root,
    train_part,
)
from lakeviz.data.registry import Reading, choose, register_reader
from lakeviz.data.table import GOOD, Sample, sample_id
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
    normal: str | Iterable[str] = "normal",
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
    root
        The folder.
    categories
        None, or the one category.
    normal
        Directory or directories of normal images.
    anomalous
        Those of defective images; the name of each is the kind of defect. None takes every other
        directory in ``root`` that holds images.
    normal_test
        Directory or directories of normal test images. If given, all of ``normal`` trains;
        otherwise ``normal`` is split, ``train_fraction`` of it for training by ``split_seed``.
    masks
        Directory of masks, with one sub-directory for each kind of defect or with none.
    category
        Name of the category; the name of ``root`` by default.

    Raises
    ------
    DatasetLayoutError
        A directory is missing or holds no image.
    ConfigError
        ``train_fraction`` is not between 0 and 1, or a kind of defect is called "good".
    """
    looked_for = f"the folder {normal!r} of normal images"
    path = require_root(root, looked_for)
    category = category or path.name
    choose([category], categories, "folder")
    normal_dirs, test_dirs = _folders(path, normal), _folders(path, normal_test)
    mask_dir = _folders(path, masks)[0] if masks else None
    if anomalous is None:
        taken = {*normal_dirs, *test_dirs, *([mask_dir] if mask_dir else [])}
        kinds = [f for f in list_folders(path) if f not in taken and list_images(f)]
    else:
        kinds = _folders(path, anomalous)
    images = [p for folder in normal_dirs for p in list_images(folder)]
    if not images:
        raise DatasetLayoutError(f"{looked_for} in {path} holds no image")
    if test_dirs:
        train = {sample_id(p, path) for p in images}
    else:
        train = train_part((sample_id(p, path) for p in images), split_seed, train_fraction)
    samples = [
        Sample(p, category, "train" if sample_id(p, path) in train else "test") for p in images
    ]
    samples += [Sample(p, category, "test") for folder in test_dirs for p in list_images(folder)]
    for kind in kinds:
        samples += _defective(kind, category, mask_dir)
    return Reading(path, samples, masks_looked_for=f"{masks}/[DEFECT/]STEM.* or STEM_mask.*")


def _folders(root: Path, given: str | Iterable[str] | None) -> list[Path]:
    names = [given] if isinstance(given, str | Path) else list(given or ())
    folders = [root / name for name in names]
    for folder in folders:
        if not folder.is_dir():
            raise DatasetLayoutError(f"{folder} is not a folder; {describe(root)}")
    return folders


def _defective(kind: Path, category: str, masks: Path | None) -> list[Sample]:
    if kind.name == GOOD:
        raise ConfigError(f"{kind} would be a kind of defect called 'good'; list it under 'normal'")
    index: dict[str, Path] = {}
    if masks is not None:
        own = masks / kind.name
        index = mask_index(own if own.is_dir() else masks)
    return [
        Sample(p, category, "test", kind.name, find_mask(p.stem, index)) for p in list_images(kind)
    ]
