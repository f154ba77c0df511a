"""BMAD: Brain-AD and the other medical data sets, with a labelled validation split.

The six sets are not laid out alike: some nest ``img`` and ``label`` folders inside the state,
some the other way round, some have no masks, and the case of the names varies. All of it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lakeviz.data.files import (
    child_folder,
    list_folders,
    list_images,
    require_root,
)
from lakeviz.data.masks import match_masks
from lakeviz.data.registry import Reading, category_folders, register_reader
from lakeviz.data.table import GOOD, Sample

_LOOKED_FOR = "CATEGORY/train/good/, CATEGORY/test/good/ and CATEGORY/test/Ungood/"
_DEFECTIVE = "Ungood"
_IMAGES = ("{state}/img", "img/{state}", "{state}")
_MASKS = ("{state}/label", "{state}/anomaly_mask", "label/{state}")


def _has_splits(folder: Path) -> bool:
    test = child_folder(folder, "test")
    return child_folder(folder, "train/good") is not None and (
        test is not None and _state_folder(test, _DEFECTIVE, _IMAGES) is not None
    )


def _data_folder(category: Path) -> Path | None:
    """Return the folder with the splits: the category or, as in the archives, one inside it."""
    return next((f for f in [category, *list_folders(category)] if _has_splits(f)), None)


def _state_folder(split: Path, state: str, patterns: Sequence[str]) -> Path | None:
    return child_folder(split, *(p.format(state=state) for p in patterns))


@register_reader(
    "bmad",
    title="BMAD (Brain-AD, Liver-AD, Retina-AD, ...)",
    layout="CAT/train/good, CAT/{valid,test}/{good,Ungood}/{img,label}",
    license="that of each source data set",
    homepage="https://github.com/DorisBao/BMAD",
    citation="Bao et al., BMAD: Benchmarks for Medical Anomaly Detection, CVPR Workshops 2024",
    detect=lambda root: (
        root.is_dir() and (_has_splits(root) or any(_data_folder(f) for f in list_folders(root)))
    ),
)
def read_bmad(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read one or several of the BMAD sets; a mask has its image's name."""
    path = require_root(root, _LOOKED_FOR)
    found = category_folders(
        path,
        lambda f: _has_splits(f) or (f != path and _data_folder(f) is not None),
        categories,
        "bmad",
        _LOOKED_FOR,
    )
    unused: dict[str, list[Path]] = {name: [] for name in found}
    samples = [s for name, folder in found.items() for s in _category(folder, name, unused[name])]
    return Reading(path, samples, masks_looked_for="SPLIT/Ungood/label/STEM.*", unused_masks=unused)


def _category(folder: Path, category: str, unused: list[Path]) -> Iterator[Sample]:
    data = _data_folder(folder) or folder
    train = child_folder(data, "train/good")
    if train is not None:
        flat = child_folder(train, "img") or train
        yield from (Sample(image, category, "train") for image in list_images(flat))
    for split, names in (("valid", ("valid", "val", "validation")), ("test", ("test",))):
        parent = child_folder(data, *names)
        if parent is not None:
            yield from _labelled(parent, category, split, unused)


def _labelled(parent: Path, category: str, split: str, unused: list[Path]) -> Iterator[Sample]:
    good = _state_folder(parent, GOOD, _IMAGES)
    if good is not None:
        yield from (Sample(image, category, split) for image in list_images(good))
    defective = _state_folder(parent, _DEFECTIVE, _IMAGES)
    if defective is not None:
        images = list_images(defective)
        match = match_masks({defective: images}, _state_folder(parent, _DEFECTIVE, _MASKS))
        unused += match.unused
        for image in images:
            yield Sample(image, category, split, _DEFECTIVE, match.masks.get(image))
