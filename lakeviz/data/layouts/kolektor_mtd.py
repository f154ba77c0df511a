"""Surfaces whose masks lie beside the images: KolektorSDD, KolektorSDD2 and the magnetic tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lakeviz.data.files import list_folders, list_images, require_root, train_part
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
    split_seed
        Seed of the split of the normal images.
    train_fraction
        Share of the normal images that trains.
    """
    looked_for = "kosNN/PartN.jpg with PartN_label.bmp"
    path = require_root(root, looked_for)
    folders = [f for f in list_folders(path) if f.name.startswith("kos")]
    if not folders:
        raise not_a_folder_of("kolektor_sdd", looked_for, path)
    choose(["commutator"], categories, "kolektor_sdd")
    pairs = [pair for folder in folders for pair in _pairs(folder, "_label")]
    normal = {sample_id(image, path) for image, mask in pairs if mask_is_empty(mask)}
    train = train_part(normal, split_seed, train_fraction)

    def sample(image: Path, mask: Path) -> Sample:
        name = sample_id(image, path)
        split, kind = "train" if name in train else "test", GOOD if name in normal else _DEFECT
        return Sample(image, "commutator", split, kind, mask)

    return Reading(path, [sample(*one) for one in pairs])


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
    looked_for = "train/NNNNN.png with NNNNN_GT.png, and test/ likewise"
    path = require_root(root, looked_for)
    if not (path / "train").is_dir() or not (path / "test").is_dir():
        raise not_a_folder_of("kolektor_sdd2", looked_for, path)
    choose(["surface"], categories, "kolektor_sdd2")
    samples = [
        Sample(image, "surface", split, GOOD if mask_is_empty(mask) else _DEFECT, mask)
        for split in ("train", "test")
        for image, mask in _pairs(path / split, "_GT")
    ]
    return Reading(path, samples)


_TILE = "magnetic_tile"
_FREE = "MT_Free"
_MTD = "MT_Free/Imgs/ and MT_DEFECT/Imgs/"


@register_reader(
    "mtd",
    title="MTD (magnetic tiles)",
    layout="MT_Free/Imgs/*.jpg, MT_DEFECT/Imgs/{*.jpg, same-stem *.png masks}",
    license="no formal licence: 'welcome to use', cite",
    homepage="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    citation="Huang, Qiu, Yuan, Surface defect saliency of magnetic tile, The Visual Computer 2020",
    detect=lambda root: (root / _FREE / "Imgs").is_dir(),
)
def read_mtd(
    root: str | Path,
    categories: Sequence[str] | None,
    *,
    split_seed: int = 0,
    train_fraction: float = 0.5,
) -> Reading:
    """Read MTD with a seeded split, for none was published.

    A share ``train_fraction`` of the normal images, drawn with ``split_seed``, is the training
    split; the rest and all defective images are the test split. Some "Uneven" images have an
    empty mask: they stay anomalous at image level, have no anomalous pixel, and are noted.

    Parameters
    ----------
    split_seed
        Seed of the split of the normal images.
    train_fraction
        Share of the normal images that trains.
    """
    path = require_root(root, _MTD)
    kinds = [f for f in list_folders(path) if f.name.startswith("MT_") and f.name != _FREE]
    if not (path / _FREE / "Imgs").is_dir() or not kinds:
        raise not_a_folder_of("mtd", _MTD, path)
    choose([_TILE], categories, "mtd")
    ids = {image: sample_id(image, path) for image, _ in _tiles(path / _FREE)}
    train = train_part(ids.values(), split_seed, train_fraction)
    samples = [Sample(p, _TILE, "train" if ids[p] in train else "test") for p in ids]
    for kind in kinds:
        name = kind.name.removeprefix("MT_")
        samples += [Sample(p, _TILE, "test", name, mask) for p, mask in _tiles(kind)]
    empty = [sample_id(s.path, path) for s in samples if s.mask and mask_is_empty(s.mask)]
    note = (
        f"{len(empty)} defective images have an empty mask and stay anomalous at image level: "
        f"{', '.join(empty)}"
    )
    return Reading(path, samples, (note,) if empty else (), "MT_DEFECT/Imgs/STEM.png")


def _tiles(kind: Path) -> list[tuple[Path, Path | None]]:
    """Images of ``kind/Imgs`` with their masks: the .png files next to them."""
    files = list_images(kind / "Imgs")
    masks = {p.stem: p for p in files if p.suffix.lower() == ".png"}
    return [(p, masks.get(p.stem)) for p in files if p.suffix.lower() != ".png"]
