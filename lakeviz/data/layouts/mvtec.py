"""MVTec AD and the data sets laid out like it: LOCO, AD 2, MPDD and BTAD.

They differ in the names of folders only, which a :class:`Shape` holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakeviz.data.files import (
    describe,
    find_mask,
    list_folders,
    list_images,
    mask_index,
    require_root,
)
from lakeviz.data.registry import Reading, category_folders, register_reader
from lakeviz.data.table import GOOD, Sample
from lakeviz.errors import DatasetLayoutError

_CC_BY_NC_SA = "CC BY-NC-SA 4.0"


@dataclass(frozen=True)
class Shape:
    """Folder names of an MVTec-like layout.

    ``normal`` is the folder of normal images in each split, every other folder of the test split
    is a kind of defect, and ``masks`` has one sub-folder for each kind.
    """

    normal: str = GOOD
    test: str = "test"
    valid: str = "validation"
    masks: str = "ground_truth"

    @property
    def looked_for(self) -> str:
        """The folders of a category, in words."""
        return f"CATEGORY/train/{self.normal}/ and CATEGORY/{self.test}/"


MVTEC = Shape()
BTAD = Shape(normal="ok")
AD2 = Shape(test="test_public", masks="test_public/ground_truth")


def is_category(folder: Path, shape: Shape = MVTEC) -> bool:
    """Whether ``folder`` is a category of this shape (its training folder tells)."""
    return (folder / "train" / shape.normal).is_dir()


def read_mvtec_like(
    root: str | Path, categories: Sequence[str] | None, name: str, shape: Shape = MVTEC
) -> Reading:
    """Read the categories below ``root``, or ``root`` as one category.

    Raises
    ------
    DatasetLayoutError
        The folders of the shape are not there.
    DataError
        A wanted category is not there.
    """
    path = require_root(root, shape.looked_for)
    folders = category_folders(
        path, lambda f: is_category(f, shape), categories, name, shape.looked_for
    )
    samples = [s for category, f in folders.items() for s in _category(f, category, shape)]
    where = f"{shape.masks}/DEFECT/STEM_mask.* or STEM.* or the folder STEM/"
    return Reading(path, samples, masks_looked_for=where)


def _category(folder: Path, category: str, shape: Shape) -> Iterator[Sample]:
    test = folder / shape.test
    if not test.is_dir():
        raise DatasetLayoutError(f"{category} has no {shape.test}/ folder; {describe(folder)}")
    for split, parent in (("train", folder / "train"), ("valid", folder / shape.valid)):
        for image in list_images(parent / shape.normal):
            yield Sample(image, category, split)
    masks = folder / shape.masks
    for kind in list_folders(test):
        if kind == masks:
            continue
        if kind.name == shape.normal:
            yield from (Sample(image, category, "test") for image in list_images(kind))
            continue
        index = mask_index(masks / kind.name)
        for image in list_images(kind):
            yield Sample(image, category, "test", kind.name, find_mask(image.stem, index))


def _any_category(root: Path, *inside: str) -> bool:
    """Whether ``root`` or one of its sub-folders has all of these folders."""
    return any(all((f / x).is_dir() for x in inside) for f in [root, *list_folders(root)])


def _is_loco(root: Path) -> bool:
    return _any_category(root, "train/good", "test/logical_anomalies")


@register_reader(
    "mvtec",
    title="MVTec AD",
    layout="CAT/train/good, CAT/test/{good,DEFECT}, CAT/ground_truth/DEFECT/NNN[_mask].png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    citation="Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 2021",
    detect=lambda root: (
        _any_category(root, "train/good", "test/good", "ground_truth") and not _is_loco(root)
    ),
)
def read_mvtec(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read MVTec AD, or any folder laid out like it."""
    return read_mvtec_like(root, categories, "mvtec")


@register_reader(
    "mvtec_loco",
    title="MVTec LOCO AD",
    layout="CAT/{train,validation}/good, CAT/test/{good,DEFECT}, CAT/ground_truth/DEFECT/NNN/*.png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    citation="Bergmann et al., Beyond Dents and Scratches, IJCV 2022",
    detect=_is_loco,
)
def read_mvtec_loco(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read MVTec LOCO AD; the masks of an image are a folder, whose union is taken."""
    return read_mvtec_like(root, categories, "mvtec_loco")


@register_reader(
    "mvtec_ad2",
    title="MVTec AD 2",
    layout="CAT/{train,validation}/good, CAT/test_public/{good,bad}, "
    "CAT/test_public/ground_truth/bad/*_mask.png",
    license=_CC_BY_NC_SA,
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    citation="Heckler-Kram et al., The MVTec AD 2 Dataset, 2025",
    detect=lambda root: _any_category(root, "train/good", "test_public/ground_truth"),
)
def read_mvtec_ad2(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read the labelled part of MVTec AD 2; its private test sets have no public labels."""
    return read_mvtec_like(root, categories, "mvtec_ad2", AD2)


@register_reader(
    "mpdd",
    title="MPDD (metal parts)",
    layout="as MVTec AD",
    license="none stated by the authors; cite",
    homepage="https://github.com/stepanje/MPDD",
    citation="Jezek et al., Deep learning-based defect detection of metal parts, ICUMT 2021",
)
def read_mpdd(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read MPDD."""
    return read_mvtec_like(root, categories, "mpdd")


@register_reader(
    "btad",
    title="BTAD (beanTech)",
    layout="CAT/train/ok, CAT/test/{ok,ko}, CAT/ground_truth/ko/STEM.{png,bmp}",
    license=_CC_BY_NC_SA,
    homepage="http://avires.dimi.uniud.it/papers/btad/btad.zip",
    citation="Mishra et al., VT-ADL, ISIE 2021",
    detect=lambda root: _any_category(root, "train/ok", "test/ko"),
)
def read_btad(root: str | Path, categories: Sequence[str] | None) -> Reading:
    """Read BTAD; images and masks may be .png or .bmp."""
    return read_mvtec_like(root, categories, "btad", BTAD)
