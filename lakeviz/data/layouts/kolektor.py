"""KolektorSDD and KolektorSDD2: an image is defective if its mask is not empty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lakeviz.data.files import list_folders, require_root, train_part
from lakeviz.data.images import mask_is_empty
from lakeviz.data.masks import images_and_masks, pair
from lakeviz.data.registry import Reading, choose, not_a_folder_of, register_reader
from lakeviz.data.table import GOOD, Sample, sample_id
from lakeviz.errors import MaskError

_DEFECT = "defect"
_LICENSE = "CC BY-NC-SA 4.0"


def _pairs(folder: Path, suffix: str) -> list[tuple[Path, Path]]:
    """Images of ``folder`` with their masks, which are called ``STEM`` + ``suffix``.

    Every image must have one, since the mask is the only label.
    """
    images, beside = images_and_masks(folder)
    masks, _ = pair(images, beside)
    for image in images:
        if image not in masks:
            raise MaskError(f"{image} has no mask {image.stem}{suffix}.*, which is its only label")
    return list(masks.items())


@register_reader(
    "kolektor_sdd",
    title="KolektorSDD",
    layout="kosNN/PartN.jpg, kosNN/PartN_label.bmp",
    license=_LICENSE,
    homepage="https://www.vicos.si/resources/kolektorsdd/",
    citation="Tabernik et al., Segmentation-based deep-learning approach, J. Intell. Manuf. 2020",
    detect=lambda root: any(f.name.startswith("kos") for f in list_folders(root)),
)
def read_kolektor_sdd(
    root: str | Path,
    categories: Sequence[str] | None,
    *,
    split_seed: int = 0,
    train_fraction: float = 0.5,
) -> Reading:
    """Read KolektorSDD with a seeded split: a share of the normal images trains, the rest is test.

    Parameters
    ----------
    root
        The folder.
    categories
        None, or the one category.
    split_seed
        Seed of the split of the normal images.
    train_fraction
        Share of the normal images that trains.
    """
    category = "commutator"
    looked_for = "kosNN/PartN.jpg with PartN_label.bmp"
    path = require_root(root, looked_for)
    folders = [f for f in list_folders(path) if f.name.startswith("kos")]
    if not folders:
        raise not_a_folder_of("kolektor_sdd", looked_for, path)
    choose([category], categories, "kolektor_sdd")
    pairs = [pair for folder in folders for pair in _pairs(folder, "_label")]
    normal = {sample_id(image, path) for image, mask in pairs if mask_is_empty(mask)}
    train = train_part(normal, split_seed, train_fraction)
    samples = []
    for image, mask in pairs:
        name = sample_id(image, path)
        split = "train" if name in train else "test"
        samples.append(Sample(image, category, split, GOOD if name in normal else _DEFECT, mask))
    return Reading(path, samples)


@register_reader(
    "kolektor_sdd2",
    title="KolektorSDD2",
    layout="{train,test}/NNNNN.png, {train,test}/NNNNN_GT.png",
    license=_LICENSE,
    homepage="https://www.vicos.si/resources/kolektorsdd2/",
    citation="Božič et al., Mixed supervision for surface-defect detection, Comput. Ind. 2021",
    detect=lambda root: bool(images_and_masks(root / "test")[1]),
)
def read_kolektor_sdd2(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read KolektorSDD2 with its published split, which has defective images in training too."""
    category = "surface"
    looked_for = "train/NNNNN.png with NNNNN_GT.png, and test/ likewise"
    path = require_root(root, looked_for)
    if not (path / "train").is_dir() or not (path / "test").is_dir():
        raise not_a_folder_of("kolektor_sdd2", looked_for, path)
    choose([category], categories, "kolektor_sdd2")
    samples = [
        Sample(image, category, split, GOOD if mask_is_empty(mask) else _DEFECT, mask)
        for split in ("train", "test")
        for image, mask in _pairs(path / split, "_GT")
    ]
    return Reading(path, samples)
