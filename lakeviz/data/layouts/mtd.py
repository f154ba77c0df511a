"""MTD, the magnetic tiles: normal and defective images without an official split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lakeviz.data.files import list_folders, list_images, require_root, train_part
from lakeviz.data.images import mask_is_empty
from lakeviz.data.registry import Reading, choose, not_a_folder_of, register_reader
from lakeviz.data.table import Sample, sample_id

CATEGORY = "magnetic_tile"
_NORMAL = "MT_Free"
_LOOKED_FOR = "MT_Free/Imgs/ and MT_DEFECT/Imgs/"


@register_reader(
    "mtd",
    title="MTD (magnetic tiles)",
    layout="MT_Free/Imgs/*.jpg, MT_DEFECT/Imgs/{*.jpg, same-stem *.png masks}",
    license="no formal licence: 'welcome to use', cite",
    homepage="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    citation="Huang, Qiu, Yuan, Surface defect saliency of magnetic tile, The Visual Computer 2020",
    detect=lambda root: (root / _NORMAL / "Imgs").is_dir(),
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
    root
        The folder.
    categories
        None, or the one category.
    split_seed
        Seed of the split of the normal images.
    train_fraction
        Share of the normal images that trains.
    """
    path = require_root(root, _LOOKED_FOR)
    kinds = [f for f in list_folders(path) if f.name.startswith("MT_") and f.name != _NORMAL]
    if not (path / _NORMAL / "Imgs").is_dir() or not kinds:
        raise not_a_folder_of("mtd", _LOOKED_FOR, path)
    choose([CATEGORY], categories, "mtd")
    ids = {image: sample_id(image, path) for image, _ in _pairs(path / _NORMAL)}
    train = train_part(ids.values(), split_seed, train_fraction)
    samples = [Sample(p, CATEGORY, "train" if ids[p] in train else "test") for p in ids]
    for kind in kinds:
        name = kind.name.removeprefix("MT_")
        samples += [Sample(p, CATEGORY, "test", name, mask) for p, mask in _pairs(kind)]
    return Reading(path, samples, _notes(samples, path), "MT_DEFECT/Imgs/STEM.png")


def _pairs(kind: Path) -> list[tuple[Path, Path | None]]:
    """Images of ``kind/Imgs`` with their masks: the .png files next to them."""
    files = list_images(kind / "Imgs")
    masks = {p.stem: p for p in files if p.suffix.lower() == ".png"}
    return [(p, masks.get(p.stem)) for p in files if p.suffix.lower() != ".png"]


def _notes(samples: Sequence[Sample], root: Path) -> tuple[str, ...]:
    empty = [sample_id(s.path, root) for s in samples if s.mask and mask_is_empty(s.mask)]
    if not empty:
        return ()
    return (
        f"{len(empty)} defective images have an empty mask and stay anomalous at image level: "
        + ", ".join(empty),
    )
